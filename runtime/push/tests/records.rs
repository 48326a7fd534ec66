//! Records that are not what they were, or are gone: nothing is lost in silence.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use custody_model::{Actor, Digest, SessionId, SystemClock, Timestamp};
use custody_push::{
    Backoff, Counted, Counter, Destination, Kind, Positions, Pusher, Records, Secret, Setup,
    Unknown,
};
use custody_record::event::{Body, SessionPaused};
use custody_record::{Draft, Journal, JournalHeader, JournalOptions, Sink as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::Notify;

const SECRET: &str = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";

fn session(n: u8) -> SessionId {
    SessionId::new(Timestamp::from_micros(i64::from(n) * 1_000_000), [n; 10])
}

struct Place {
    root: tempfile::TempDir,
    live: Arc<Mutex<BTreeSet<SessionId>>>,
}

impl Place {
    fn new(live: &[SessionId]) -> Self {
        let root = tempfile::tempdir().unwrap();
        Self { root, live: Arc::new(Mutex::new(live.iter().copied().collect())) }
    }

    fn path(&self, session: SessionId) -> PathBuf {
        self.root.path().join(session.to_string())
    }

    /// A record of so many events, each of which says `word`.
    fn write(&self, session: SessionId, events: u64, word: &str) {
        let _ = std::fs::remove_dir_all(self.path(session));
        let header = JournalHeader { session, policy: Digest::of(b"policy"), on_behalf_of: None };
        let journal =
            Journal::create(&self.path(session), header, JournalOptions::default()).unwrap();
        for n in 0..events {
            let body =
                Body::SessionPaused(SessionPaused { code: None, reason: format!("{word} {n}") });
            let at = Timestamp::from_micros(i64::try_from(n).unwrap() * 1_000_000);
            journal.observe(Draft::new(at, Actor::Keeper, body)).unwrap();
        }
        journal.flush().unwrap();
    }

    fn records(&self) -> Arc<Own> {
        Arc::new(Own { root: self.root.path().to_owned(), live: self.live.clone() })
    }
}

struct Own {
    root: PathBuf,
    live: Arc<Mutex<BTreeSet<SessionId>>>,
}

#[async_trait]
impl Records for Own {
    async fn live(&self) -> Result<BTreeSet<SessionId>, Unknown> {
        Ok(self.live.lock().unwrap().clone())
    }

    async fn all(&self) -> Result<BTreeSet<SessionId>, Unknown> {
        let names = std::fs::read_dir(&self.root).map_err(|error| Unknown(Box::new(error)))?;
        let names = names.map(|entry| entry.unwrap().file_name());
        Ok(names.filter_map(|name| name.to_str()?.parse().ok()).collect())
    }

    fn record(&self, session: SessionId) -> PathBuf {
        self.root.join(session.to_string())
    }
}

#[derive(Default)]
struct Counts {
    counted: Mutex<BTreeMap<Counted, u64>>,
    changed: Notify,
}

impl Counter for Counts {
    fn count(&self, _: &str, what: Counted, more: u64) {
        *self.counted.lock().unwrap().entry(what).or_default() += more;
        self.changed.notify_waiters();
    }

    fn pending(&self, _: &str, _: u64) {}
}

impl Counts {
    fn of(&self, what: Counted) -> u64 {
        self.counted.lock().unwrap().get(&what).copied().unwrap_or(0)
    }

    /// Until the condition holds, which is looked at whenever something was counted.
    async fn until(&self, condition: impl Fn() -> bool) {
        loop {
            // Registered first: what is counted after the look is not missed.
            let mut changed = std::pin::pin!(self.changed.notified());
            changed.as_mut().enable();
            if condition() {
                return;
            }
            changed.await;
        }
    }
}

/// What each call said, in order.
type Bodies = Arc<Mutex<Vec<String>>>;

/// A receiver that takes everything.
async fn receiver() -> (String, Bodies) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let bodies = Bodies::default();
    let kept = bodies.clone();
    tokio::spawn(async move {
        while let Ok((mut connection, _)) = listener.accept().await {
            let mut request = Vec::new();
            while !whole(&request) {
                let mut part = [0; 4096];
                match connection.read(&mut part).await {
                    Ok(0) | Err(_) => break,
                    Ok(n) => request.extend_from_slice(&part[..n]),
                }
            }
            let text = String::from_utf8(request).unwrap();
            kept.lock().unwrap().push(text.split_once("\r\n\r\n").unwrap().1.to_owned());
            let answer = b"HTTP/1.1 204 x\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
            connection.write_all(answer).await.unwrap();
        }
    });
    (url, bodies)
}

fn whole(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| {
        line.to_ascii_lowercase().strip_prefix("content-length: ").map(str::to_owned)
    });
    body.len() >= length.and_then(|length| length.parse().ok()).unwrap_or(0)
}

fn setup(place: &Place, url: &str, counts: &Arc<Counts>) -> Setup {
    Setup {
        destination: Destination {
            name: "siem".to_owned(),
            url: url.to_owned(),
            kind: Kind::Webhook {
                secret: Secret::parse(SECRET).unwrap(),
                batch: 1,
                types: Vec::new(),
            },
            patience: Duration::from_secs(10),
            backoff: Backoff {
                first: Duration::from_millis(5),
                longest: Duration::from_millis(20),
            },
        },
        records: place.records(),
        positions: Positions::open(&place.root.path().join("push")).unwrap(),
        counter: counts.clone(),
        clock: Arc::new(SystemClock),
        random: Arc::new(|| 7),
        poll: Duration::from_millis(5),
    }
}

/// Runs a worker until the condition holds.
async fn run_until(place: &Place, url: &str, counts: &Arc<Counts>, condition: impl Fn() -> bool) {
    let pusher = Pusher::open(setup(place, url, counts)).await.unwrap();
    let holds = counts.until(condition);
    tokio::select! {
        () = pusher.run() => {}
        held = tokio::time::timeout(Duration::from_secs(30), holds) => held.expect("in time"),
    }
}

fn reasons(bodies: &Bodies) -> Vec<String> {
    let bodies = bodies.lock().unwrap();
    bodies
        .iter()
        .map(|body| {
            let event: serde_json::Value = serde_json::from_str(body).unwrap();
            event["data"]["data"]["reason"].as_str().unwrap().to_owned()
        })
        .collect()
}

fn install_provider() {
    let _already = rustls::crypto::ring::default_provider().install_default();
}

#[tokio::test]
async fn a_journal_that_went_back_and_on_in_another_way_is_sent_anew() {
    install_provider();
    let (place, counts) = (Place::new(&[session(1)]), Arc::new(Counts::default()));
    let (url, bodies) = receiver().await;
    place.write(session(1), 3, "before");
    run_until(&place, &url, &counts, || counts.of(Counted::Delivered) == 3).await;
    // As after a loss of power: the same numbers, other events.
    place.write(session(1), 5, "after");
    run_until(&place, &url, &counts, || counts.of(Counted::Delivered) == 8).await;
    assert_eq!(counts.of(Counted::Resent), 1);
    let expected: Vec<String> =
        (0..3).map(|n| format!("before {n}")).chain((0..5).map(|n| format!("after {n}"))).collect();
    assert_eq!(reasons(&bodies), expected);
}

#[tokio::test]
async fn a_worker_that_begins_again_goes_on_and_new_sessions_come_of_themselves() {
    install_provider();
    let (place, counts) = (Place::new(&[]), Arc::new(Counts::default()));
    let (url, bodies) = receiver().await;
    // It ended before anybody was to be told.
    place.write(session(1), 2, "old");
    run_until(&place, &url, &counts, || place.root.path().join("push/siem.json").exists()).await;
    place.live.lock().unwrap().insert(session(2));
    place.write(session(2), 4, "new");
    run_until(&place, &url, &counts, || counts.of(Counted::Delivered) == 4).await;
    run_until(&place, &url, &counts, || true).await;
    assert_eq!(reasons(&bodies), ["new 0", "new 1", "new 2", "new 3"]);
}

#[tokio::test]
async fn a_damaged_record_is_counted_and_holds_up_no_other() {
    install_provider();
    let (place, counts) = (Place::new(&[session(1), session(2)]), Arc::new(Counts::default()));
    let (url, bodies) = receiver().await;
    place.write(session(1), 40, "damaged");
    place.write(session(2), 2, "whole");
    let journal = std::fs::read_dir(place.path(session(1)))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.is_file())
        .unwrap();
    let mut bytes = std::fs::read(&journal).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&journal, bytes).unwrap();
    run_until(&place, &url, &counts, || {
        counts.of(Counted::Dropped) == 1
            && reasons(&bodies).iter().filter(|r| r.starts_with("whole")).count() == 2
    })
    .await;
}

#[tokio::test]
async fn a_position_that_is_damaged_is_named_and_not_guessed() {
    install_provider();
    let (place, counts) = (Place::new(&[]), Arc::new(Counts::default()));
    let dir = place.root.path().join("push");
    std::fs::create_dir_all(&dir).unwrap();
    for text in ["", "{}", "{\"version\":2,\"settled\":null,\"open\":{}}"] {
        std::fs::write(dir.join("siem.json"), text).unwrap();
        let Err(error) = Pusher::open(setup(&place, "http://127.0.0.1:1/", &counts)).await else {
            panic!("{text} is a position")
        };
        assert!(error.to_string().contains("siem.json is no position"), "{error}");
    }
}
