//! Streams: a record is followed while it is written, across its seal, from any place, without a lost or doubled event.

use std::time::Duration;

use custody_api_server::Limits;
use custody_control::Author;
use custody_model::{Scope, SessionId, TokenKind};

use crate::http::{Call, PATIENCE, Reading};
use crate::installation::{Installation, user};
use crate::recording::{Recording, sealed};

/// What came of a stream.
#[derive(Debug, Default, PartialEq)]
struct Seen {
    ids: Vec<u64>,
    data: Vec<String>,
    end: Option<u64>,
    comments: Vec<String>,
    retry: Option<String>,
}

/// A watcher: it reads server-sent events as the specification says.
struct Watcher {
    reading: Reading,
    buffer: String,
    seen: Seen,
}

impl Watcher {
    async fn new(installation: &Installation, session: SessionId, last: Option<u64>) -> Self {
        let call = Call::get(&format!("/v1/sessions/{session}/events/stream"));
        let mut call = call.token(installation.token("dev"));
        if let Some(last) = last {
            call = call.header("last-event-id", &last.to_string());
        }
        Self::of(call, installation).await
    }

    async fn of(call: Call, installation: &Installation) -> Self {
        let reading = call.begin(installation.address).await;
        assert_eq!(reading.status, 200);
        assert_eq!(reading.header("content-type"), Some("text/event-stream"));
        Self { reading, buffer: String::new(), seen: Seen::default() }
    }

    /// Reads the next part; `false` at the end of the stream.
    async fn read(&mut self) -> bool {
        let chunk = tokio::time::timeout(PATIENCE, self.reading.chunk()).await;
        let Some(chunk) = chunk.expect("something comes") else { return false };
        self.buffer.push_str(std::str::from_utf8(&chunk).unwrap());
        while let Some(end) = self.buffer.find("\n\n") {
            let block: String = self.buffer.drain(..end + 2).collect();
            self.block(block.trim_end());
        }
        true
    }

    fn block(&mut self, block: &str) {
        let mut event = "message";
        let mut data = None;
        let mut id = None;
        for line in block.lines() {
            match line.split_once(": ") {
                Some(("event", name)) => event = name,
                Some(("data", text)) => data = Some(text.to_owned()),
                Some(("id", text)) => id = Some(text.parse().unwrap()),
                Some(("retry", text)) => self.seen.retry = Some(text.to_owned()),
                Some(("", comment)) => self.seen.comments.push(comment.to_owned()),
                other => panic!("{other:?} in {block:?}"),
            }
        }
        match (event, data) {
            ("message", Some(data)) => {
                self.seen.ids.push(id.expect("an event has an id"));
                self.seen.data.push(data);
            }
            ("end", Some(data)) => {
                let end: custody_api_types::event::StreamEnd = serde_json::from_str(&data).unwrap();
                self.seen.end = Some(end.events);
            }
            (_, None) => {}
            other => panic!("{other:?}"),
        }
    }

    async fn into_end(mut self) -> Seen {
        while self.read().await {}
        self.seen
    }

    async fn until(&mut self, events: usize) {
        while self.seen.ids.len() < events {
            assert!(self.read().await, "the stream ended at {:?}", self.seen.ids.last());
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_resumes_at_every_event_while_the_record_is_written_and_after() {
    const FILES: u64 = 280;
    let installation = Installation::start().await;
    let row = installation.session(None).await;
    // Before there is a record at all.
    let whole = Watcher::new(&installation, row.id, None).await;
    let mut interrupted = Watcher::new(&installation, row.id, None).await;
    let recording = Recording::begin(&installation, &row);
    let writing = tokio::task::spawn_blocking(move || {
        for n in 0..FILES {
            recording.opens(&format!("src/file_{n}.rs"));
        }
        recording
    });
    // A watcher whose connection breaks again and again, and who comes back each time from the last event that it has.
    let mut resumed = Seen::default();
    for target in [1, 2, 3, 50, 120] {
        interrupted.until(target - resumed.ids.len().min(target)).await;
        resumed.ids.extend(&interrupted.seen.ids);
        resumed.data.append(&mut interrupted.seen.data);
        interrupted = Watcher::new(&installation, row.id, resumed.ids.last().copied()).await;
    }
    let recording = writing.await.unwrap();
    let mut living = Watcher::new(&installation, row.id, Some(100)).await;
    living.until(20).await;
    recording.end();
    let whole = whole.into_end().await;
    let total = FILES + 4;
    assert_eq!(whole.ids, (0..total).collect::<Vec<_>>());
    assert_eq!(whole.end, Some(total));
    let rest = interrupted.into_end().await;
    resumed.ids.extend(&rest.ids);
    resumed.data.extend(rest.data);
    assert_eq!((&resumed.ids, &resumed.data), (&whole.ids, &whole.data));
    let living = living.into_end().await;
    assert_eq!(living.ids, (101..total).collect::<Vec<_>>());
    for (seq, text) in whole.data.iter().enumerate() {
        let event = custody_record::Event::from_canonical(text.as_bytes()).unwrap();
        assert_eq!(event.seq, seq as u64);
    }
    // Sealed: from every event on.
    for last in 0..total {
        let seen = Watcher::new(&installation, row.id, Some(last)).await.into_end().await;
        assert_eq!(seen.ids, (last + 1..total).collect::<Vec<_>>(), "after {last}");
        assert_eq!(seen.data, whole.data[last as usize + 1..]);
        assert_eq!(seen.end, Some(total));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_place_to_begin_may_be_asked_for_and_the_last_event_goes_before_it() {
    let installation = Installation::start().await;
    let row = sealed(&installation, 2).await;
    let call = |query: &str| {
        let target = format!("/v1/sessions/{}/events/stream{query}", row.id);
        Call::get(&target).token(installation.token("dev"))
    };
    let seen = Watcher::of(call("?from=4"), &installation).await.into_end().await;
    assert_eq!((seen.ids, seen.end), (vec![4, 5], Some(6)));
    let both = call("?from=1").header("last-event-id", "4");
    let seen = Watcher::of(both, &installation).await.into_end().await;
    assert_eq!(seen.ids, [5]);
    let bad = call("").header("last-event-id", "x").to(installation.address).await;
    assert_eq!(bad.problem(422, "invalid")["field"], "Last-Event-ID");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_stream_says_that_it_lives_and_ends_with_its_token() {
    let heartbeat = Duration::from_millis(50);
    let limits = Limits { heartbeat, burst: 100_000, ..Limits::default() };
    let installation = Installation::with(limits).await;
    let row = installation.session(None).await;
    let mut watcher = Watcher::new(&installation, row.id, None).await;
    while watcher.seen.comments.len() < 2 {
        assert!(watcher.read().await);
    }
    let other = installation.mint("dev", TokenKind::Access, Scope::ALL.into()).await;
    let now = installation.plane().now();
    let id = installation.identity.verify(&other, now).await.unwrap().token.unwrap();
    let call = Call::get(&format!("/v1/sessions/{}/events/stream", row.id)).token(&other);
    let second = Watcher::of(call, &installation).await;
    installation.plane().revoke_token(&Author::server(), &id, "").await.unwrap();
    let seen = second.into_end().await;
    assert!(seen.comments.last().unwrap().contains("token"), "{seen:?}");
    // The first goes on until its user is disabled.
    assert!(watcher.read().await);
    let (plane, server) = (installation.plane(), Author::server());
    plane.switch_user(&server, &user("dev"), false, "").await.unwrap();
    assert!(watcher.into_end().await.comments.last().unwrap().contains("token"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_draining_server_ends_its_streams_with_word_to_come_back() {
    let installation = Installation::start().await;
    let row = installation.session(None).await;
    let recording = Recording::begin(&installation, &row);
    let mut watcher = Watcher::new(&installation, row.id, None).await;
    watcher.until(2).await;
    let (seen, drained) = tokio::join!(watcher.into_end(), installation.stop());
    assert!(drained);
    assert_eq!((seen.retry.as_deref(), seen.end), (Some("1000"), None));
    drop(recording);
}
