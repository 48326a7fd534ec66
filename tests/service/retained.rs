//! Retention, as people see it of a real server: contents go by themselves at the end of a class of seconds, what is held stays,
//! and a death in the middle changes nothing.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::time::Duration;

use custody_api_client::ClientError;
use custody_api_types::control::ControlQuery;
use custody_api_types::retention::HeldWhat;
use custody_api_types::session::{CreateSession, Session};
use custody_model::{Actor, ProjectName, SessionId};
use custody_record::control::{ControlBody, ControlEvent};

use crate::ground::{Ground, POLICY};

/// The sweeper passes each second.
fn configured(ground: &Ground) -> PathBuf {
    let path = ground.installation.state().join("sweeping.yaml");
    std::fs::write(&path, "retention: {sweep_interval: 1s, sweep_batch: 2}\n").unwrap();
    path
}

/// An installation whose server sweeps.
async fn sweeping() -> (Ground, PathBuf) {
    let mut ground = Ground::new().await;
    let config = configured(&ground);
    ground.end();
    ground.start(&["--config", config.to_str().unwrap()]).await;
    // One that says nothing would keep everything for ever.
    activate(&ground, "{content: 1s}").await;
    (ground, config)
}

/// A request under a policy that says this of retention.
fn asks(ground: &Ground, retention: &str) -> CreateSession {
    let policy = Some(format!("{POLICY}retention: {retention}\n"));
    CreateSession { policy, ..ground.asks("echo shown; echo written >written") }
}

async fn over(ground: &Ground, retention: &str) -> SessionId {
    let asked = asks(ground, retention);
    let id = ground.client.create_session(&ground.key(), &asked).await.unwrap().id;
    ground.until_over(id).await;
    id
}

async fn until_erased(ground: &Ground, id: SessionId) -> Session {
    // The note is there a moment before the key is gone.
    let gone = |session: &Session| session.erased.is_some() && !has_key(ground, id);
    ground.until(id, "the erasure", gone).await
}

fn has_key(ground: &Ground, id: SessionId) -> bool {
    ground.installation.state().join(format!("vault/sessions/{id}.json")).exists()
}

async fn control(ground: &Ground) -> Vec<ControlEvent> {
    let (mut events, mut from) = (Vec::new(), Some(0));
    while let Some(next) = from {
        let page = ground
            .client
            .control_events(&ControlQuery { from: Some(next), limit: None })
            .await
            .unwrap();
        events.extend(page.items);
        from = page.next;
    }
    events
}

/// Lets a policy that says this of retention decide from here on.
async fn activate(ground: &Ground, retention: &str) {
    let project = ProjectName::default_project();
    let text = format!("{POLICY}retention: {retention}\n");
    let policy = ground.client.create_policy(&project, &text).await.unwrap();
    ground.client.activate_policy(&project, &policy.digest).await.unwrap();
}

fn detail(result: Result<Session, ClientError>) -> String {
    result.map(|session| session.id).expect_err("it is refused").to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn contents_go_by_themselves_and_what_is_held_stays() {
    let (mut ground, config) = sweeping().await;
    let kept = over(&ground, "{content: 1y}").await;
    let held = over(&ground, "{content: 20s}").await;
    let shown = ground.client.hold(held, "claim 7").await.unwrap().retention.unwrap();
    assert_eq!((shown.class.as_str(), shown.held.unwrap().what), ("20s", HeldWhat::Session));
    let free = over(&ground, "{content: 2s}").await;
    assert!(has_key(&ground, held));

    let gone = until_erased(&ground, free).await;
    let commit = gone.commit.clone().unwrap();
    let (erased, retention) = (gone.erased.unwrap(), gone.retention.unwrap());
    let until = retention.until.unwrap();
    assert_eq!(erased.by.as_str(), "system");
    let reason = format!("its retention class 2s of policy {} ended at {until}", gone.policy);
    assert_eq!(erased.reason, reason);
    let verified = ground.installation.verify(free).succeeded().stdout;
    assert!(verified.contains(&reason), "{verified}");
    let asked = serde_json::json!({ "repository": ground.repository, "question": commit });
    let answer = ground.client.investigate(&serde_json::from_value(asked).unwrap()).await.unwrap();
    let told = serde_json::to_string(&answer.0["findings"][0]["statements"]).unwrap();
    assert!(told.contains(&reason), "{told}");
    let deleted = control(&ground).await.into_iter().find(|event| match &event.body {
        ControlBody::RetentionDeleted(deleted) => deleted.session == free,
        _ => false,
    });
    let deleted = deleted.expect("it is on record");
    assert!(matches!(deleted.actor, Actor::Server) && deleted.time >= until, "{deleted:#?}");

    // Its class has ended long since when the project is held as well; then both are released.
    let end = ground.session(held).await.retention.unwrap().until.unwrap();
    activate(&ground, "{content: 1s, hold: claim 8}").await;
    ground.until_it_is(end).await;
    let refused = detail(ground.client.erase(held, "now").await);
    for part in ["held by ", "claim 7", "custody release "] {
        assert!(refused.contains(part), "{refused}");
    }
    let named = held.to_string();
    let shown = ground.listed(&["session", "show", &named]);
    assert!(shown.contains("kept        20s: until ") && shown.contains(": claim 7"), "{shown}");
    let shown = ground.listed(&["session", "show", &named, "-o", "json"]);
    let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(shown["retention"]["held"]["reason"], "claim 7");
    let only = ground.listed(&["retention", "list", "--held"]);
    assert!(only.contains(&named) && !only.contains(&kept.to_string()), "{only}");
    let said = ground.listed(&["release", &named, "--reason", "settled"]);
    assert!(said.contains("its project's policy holds it"), "{said}");
    let listed = ground.listed(&["retention", "list"]);
    assert!(listed.contains(&held.to_string()) && listed.contains("claim 8"), "{listed}");
    assert!(listed.contains(&kept.to_string()) && !listed.contains(&free.to_string()), "{listed}");
    let due = ground.listed(&["sweep", "--dry-run"]);
    assert!(due.contains("0 sessions would be erased"), "{due}");
    assert!(has_key(&ground, held), "its project is held");
    let metrics = ground.metrics();
    assert!(
        metrics.contains("custody_retention_sessions_total{outcome=\"erased\"} 1"),
        "{metrics}"
    );
    assert!(metrics.contains("custody_retention_passes_total{outcome=\"done\"}"), "{metrics}");
    activate(&ground, "{content: 1s}").await;
    until_erased(&ground, held).await;
    assert!(has_key(&ground, kept));

    // The index comes back as it was.
    let mut before = Vec::new();
    for id in [kept, held, free] {
        before.push(ground.session(id).await);
        let _ = ground.installation.verify(id).succeeded();
    }
    ground.end();
    let said = ground.installation.custody(ground.installation.state(), &["reindex"]);
    let _ = said.succeeded();
    ground.start(&["--config", config.to_str().unwrap()]).await;
    for session in before {
        assert_eq!(ground.session(session.id).await, session);
    }
    ground.assert_whole("after the sweeps").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sweep_may_be_killed_at_each_of_its_steps() {
    let (mut ground, config) = sweeping().await;
    let config = config.to_str().unwrap().to_owned();
    for step in ["erase.begin", "erase.record", "erase.destroy"] {
        for when in ["before", "after"] {
            ground.end();
            let what = format!("{step}:{when}");
            ground.start(&["--config", &config, "--fault", &what]).await;
            let asked = asks(&ground, "{content: 1s}");
            let id = ground.client.create_session(&ground.key(), &asked).await.unwrap().id;
            assert!(ground.until_dead(crate::ground::PATIENCE).await, "{what} was never reached");
            ground.start(&["--config", &config]).await;
            let gone = until_erased(&ground, id).await;
            assert_eq!(gone.erased.unwrap().by.as_str(), "system", "{what}");
            let _ = ground.installation.verify(id).succeeded();
            let deleted = control(&ground).await;
            let deleted = deleted.iter().filter(|event| match &event.body {
                ControlBody::RetentionDeleted(deleted) => deleted.session == id,
                _ => false,
            });
            assert_eq!(deleted.count(), 1, "{what}");
        }
    }
    ground.assert_whole("after the deaths").await;
}

impl Ground {
    /// Waits until this moment is over by the machine's clock, and the sweeper passed since.
    async fn until_it_is(&self, moment: custody_model::Timestamp) {
        let passes = || {
            let line = "custody_retention_passes_total{outcome=\"done\"} ";
            let metrics = self.metrics();
            let count = metrics.lines().find_map(|found| found.strip_prefix(line)).unwrap_or("0");
            count.parse::<u64>().unwrap()
        };
        let deadline = tokio::time::Instant::now() + crate::ground::PATIENCE;
        let mut from = None;
        loop {
            let over = custody_model::Clock::now(&custody_model::SystemClock) >= moment;
            match from {
                // One pass may have begun before.
                Some(from) if passes() >= from + 2 => return,
                None if over => from = Some(passes()),
                Some(_) | None => {}
            }
            assert!(tokio::time::Instant::now() < deadline, "no pass\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    fn listed(&self, command: &[&str]) -> String {
        self.installation.custody(self.installation.state(), command).succeeded().stdout
    }

    fn metrics(&self) -> String {
        let address = self.address();
        let mut stream = TcpStream::connect(address.strip_prefix("http://").unwrap()).unwrap();
        write!(stream, "GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        text
    }
}
