//! The content of sessions is kept for as long as policies say and nobody holds it, by a clock that the test sets.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use custody_control::{Author, Hold};
use custody_model::{Actor, Clock, SessionId, SystemClock, Timestamp};
use custody_policy::PolicyVersion;
use custody_policy::quantity::Seconds;
use custody_record::Scope;
use custody_record::control::ControlBody;
use custody_session::{Options, SessionError, Sweeping, When};
use custody_store::SessionRow;

use crate::ground::{Ground, Trap, author, open_at, options, project};

const SCRIPT: &str = "echo shown; echo written >written";

const DAY: i64 = 86_400_000_000;

const NONE: [SessionId; 0] = [];

/// The machine's clock until a test sets it: keepers have no other.
#[derive(Debug, Default)]
struct Set(AtomicI64);

impl Set {
    fn to(&self, at: Timestamp) {
        self.0.store(at.as_micros(), Ordering::SeqCst);
    }

    fn by_days(&self, days: i64) {
        let now = SystemClock.now().as_micros();
        self.0.store(now + days * DAY, Ordering::SeqCst);
    }

    /// Back to the machine's.
    fn right(&self) {
        self.0.store(0, Ordering::SeqCst);
    }
}

impl Clock for Set {
    fn now(&self) -> Timestamp {
        match self.0.load(Ordering::SeqCst) {
            0 => SystemClock.now(),
            set => Timestamp::from_micros(set),
        }
    }
}

/// Everybody may request `sh`, and this is said of retention.
fn says(retention: &str) -> PolicyVersion {
    let text = format!(
        "version: custody/policy/v1\nname: team\nrequesters: {{users: ['*']}}\nimages: ['host']\n\
         commands:\n  - {{allow: [sh]}}\nretention: {retention}\n"
    );
    PolicyVersion::parse(&text).unwrap_or_else(|e| panic!("{e}: {text}"))
}

/// No jump is too far, and a pass takes so many.
fn batch(batch: usize) -> Options {
    let sweep = Sweeping { batch, clock_lead: Seconds(100 * 365 * 86_400) };
    Options { sweep, ..options() }
}

async fn ground(retention: &str, options: Options) -> (Ground, Arc<Set>) {
    let clock = Arc::new(Set::default());
    (Ground::with(says(retention), options, clock.clone()).await, clock)
}

impl Ground {
    async fn over(&self) -> SessionRow {
        let id = self.create("dana", SCRIPT).await.id;
        self.until_over(id).await
    }

    /// Lets another version decide.
    async fn activate(&self, retention: &str) {
        let (plane, admin, version) = (self.orchestrator.plane(), author("admin"), says(retention));
        plane.create_policy(&admin, &project(), &version).await.unwrap();
        plane.activate_policy(&admin, &project(), &version.digest()).await.unwrap();
    }

    async fn sweep(&self) -> Vec<SessionId> {
        let swept = self.orchestrator.sweep(&Author::server(), false).await.unwrap();
        assert!(swept.failed.is_empty(), "{swept:?}");
        swept.erased
    }

    fn has_key(&self, session: SessionId) -> bool {
        self.orchestrator.plane().vault().key(Scope::Session(session)).unwrap().is_some()
    }

    async fn end_of(&self, row: &SessionRow) -> Timestamp {
        self.orchestrator.plane().retention(row).await.unwrap().until.unwrap()
    }
}

fn before(at: Timestamp) -> Timestamp {
    Timestamp::from_micros(at.as_micros() - 1)
}

fn conflict(result: &Result<SessionRow, SessionError>) -> String {
    match result {
        Err(error @ SessionError::Conflict { .. }) => error.to_string(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn content_goes_when_its_class_ends_and_not_a_moment_before() {
    let (ground, clock) = ground("{content: 180d}", batch(10)).await;
    for (class, days) in [("180d", 180), ("1y", 365), ("6y", 6 * 365), ("7y", 7 * 365)] {
        clock.right();
        // The class is that of the version that it is requested under, whichever is active.
        let version = says(&format!("{{content: {class}}}"));
        let asked = custody_session::NewSession {
            policy: Some(version.clone()),
            ..ground.asks("dana", SCRIPT)
        };
        let id = ground.orchestrator.create(&author("admin"), asked).await.unwrap().row.id;
        let row = ground.until_over(id).await;
        let until = ground.end_of(&row).await;
        let closed_at = row.state.closed_at().unwrap();
        assert_eq!(until.as_micros() - closed_at.as_micros(), days * DAY, "{class}");
        clock.to(before(until));
        assert_eq!(ground.sweep().await, NONE, "{class}");
        assert!(ground.has_key(id));
        clock.to(until);
        let dry = ground.orchestrator.sweep(&Author::server(), true).await.unwrap();
        assert!(dry.erased == [id] && ground.has_key(id), "a dry run only says what is due");
        assert_eq!(ground.sweep().await, [id], "{class}");
        assert!(!ground.has_key(id));
        assert_eq!(ground.sweep().await, NONE, "{class}: it goes once");
        let verified = ground.installation.verify(id).succeeded().stdout;
        let says = format!(
            "content erased by system at {until}: its retention class {class} of policy {} ended at {until}",
            version.digest()
        );
        assert!(verified.contains(&says), "{verified}");
    }
    // What the index shows is what the logs tell.
    clock.right();
    let (before, state) = (ground.dump().await, ground.installation.sessions());
    let records = |session| ground.orchestrator.record(session);
    ground.orchestrator.plane().reindex(state, &records, &|_| ()).await.unwrap();
    assert_eq!(ground.dump().await, before);
    ground.orchestrator.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_held_stays_until_it_is_released() {
    let (ground, clock) = ground("{content: 1y}", batch(10)).await;
    let (orchestrator, admin) = (&ground.orchestrator, author("admin"));
    let row = ground.over().await;
    let (id, until) = (row.id, ground.end_of(&row).await);
    let unexplained = orchestrator.hold(&admin, id, " ").await;
    assert!(matches!(unexplained, Err(SessionError::Invalid { .. })), "{unexplained:?}");
    let held = orchestrator.hold(&admin, id, "claim 7").await.unwrap().hold.unwrap();
    assert_eq!((held.by.as_str(), held.reason.as_str()), ("admin", "claim 7"));
    let size = orchestrator.plane().log().size().unwrap();
    let again = orchestrator.hold(&author("boss"), id, "claim 7").await.unwrap().hold.unwrap();
    assert_eq!((&again, orchestrator.plane().log().size().unwrap()), (&held, size));
    let other = orchestrator.hold(&author("boss"), id, "claim 8").await.unwrap().hold.unwrap();
    assert_eq!((other.by.as_str(), other.at, other.reason.as_str()), ("boss", held.at, "claim 8"));

    clock.to(until);
    assert_eq!(ground.sweep().await, NONE);
    let refused = conflict(&orchestrator.erase(&admin, id, "now").await);
    for part in ["held by boss since ", "claim 8", &format!("`custody release {id} --reason …`")]
    {
        assert!(refused.contains(part), "{refused}");
    }
    orchestrator.release_hold(&admin, id, "settled").await.unwrap();
    let size = orchestrator.plane().log().size().unwrap();
    orchestrator.release_hold(&admin, id, "settled").await.unwrap();
    assert_eq!(orchestrator.plane().log().size().unwrap(), size, "nothing was to be released");
    assert_eq!(ground.sweep().await, [id]);
    let gone = conflict(&orchestrator.hold(&admin, id, "too late").await);
    assert!(gone.contains("nothing to hold"), "{gone}");
    let told: Vec<String> = orchestrator
        .plane()
        .log()
        .read(0, 1_000)
        .unwrap()
        .iter()
        .filter_map(|event| match (&event.body, &event.actor) {
            (ControlBody::RetentionHeld(_), Actor::User { name }) => Some(format!("held {name}")),
            (ControlBody::RetentionReleased(_), Actor::User { name }) => {
                Some(format!("released {name}"))
            }
            (ControlBody::RetentionDeleted(_), Actor::Server) => Some("deleted".to_owned()),
            _ => None,
        })
        .collect();
    assert_eq!(told, ["held admin", "held boss", "released admin", "deleted"]);
    ground.orchestrator.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_active_policy_holds_and_lengthens_and_never_shortens() {
    let (ground, clock) = ground("{content: 1y, early_erasure: refused}", batch(10)).await;
    let (orchestrator, admin) = (&ground.orchestrator, author("admin"));
    let row = ground.over().await;
    let until = ground.end_of(&row).await;
    ground.activate("{content: 1d}").await;
    assert_eq!(ground.end_of(&row).await, until, "never shorter");
    let early = conflict(&orchestrator.erase(&admin, row.id, "now").await);
    assert!(early.contains(&format!("1y keeps it until {until}")), "{early}");
    assert!(early.contains("early_erasure: refused"), "{early}");
    ground.activate("{content: 2y}").await;
    let longer = ground.end_of(&row).await;
    assert_eq!(longer.as_micros() - until.as_micros(), 365 * DAY);
    clock.to(until);
    assert_eq!(ground.sweep().await, NONE);
    ground.activate("{content: forever}").await;
    clock.by_days(36_000);
    assert_eq!(ground.sweep().await, NONE);

    ground.activate("{content: 2y, hold: claim 9}").await;
    assert_eq!(ground.sweep().await, NONE);
    let kept = orchestrator.plane().retention(&row).await.unwrap();
    assert!(matches!(kept.hold, Some(Hold::Project(_))), "{kept:?}");
    let since = kept.hold.unwrap().row().at;
    let refused = conflict(&orchestrator.erase(&admin, row.id, "now").await);
    for part in ["held by admin since ", "claim 9", "a version without `hold` ends that"] {
        assert!(refused.contains(part), "{refused}");
    }
    let not_itself = conflict(&orchestrator.release_hold(&admin, row.id, "settled").await);
    assert!(not_itself.contains("holds all of its sessions"), "{not_itself}");
    // A hold that goes on under another version keeps its beginning.
    ground.activate("{content: 3y, hold: claim 10}").await;
    let kept = orchestrator.plane().retention(&row).await.unwrap().hold.unwrap();
    assert_eq!((kept.row().at, kept.row().reason.as_str()), (since, "claim 10"));
    ground.activate("{content: 1d}").await;
    assert_eq!(ground.sweep().await, [row.id]);
    ground.orchestrator.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pass_is_bounded_begins_with_the_oldest_and_goes_on_past_what_fails() {
    let (ground, clock) = ground("{content: 1d}", batch(2)).await;
    let mut ids = Vec::new();
    for _ in 0..4 {
        ids.push(ground.over().await.id);
    }
    clock.by_days(2);
    *ground.trap.fails.lock().unwrap() = Some(("erase.begin".to_owned(), When::Before));
    let first = ground.orchestrator.sweep(&Author::server(), false).await.unwrap();
    assert_eq!((&first.erased[..], first.more), (&ids[1..3], true));
    assert!(matches!(&first.failed[..], [(id, why)] if *id == ids[0] && why.contains("test")));
    assert_eq!(ground.sweep().await, [ids[0], ids[3]]);
    ground.orchestrator.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_jumped_erases_nothing_not_even_after_a_restart() {
    let (ground, clock) = ground("{content: 180d}", options()).await;
    clock.by_days(400);
    assert_eq!(ground.sweep().await, NONE, "nothing is due, and nothing to be said");
    clock.right();
    let row = ground.over().await;
    assert_eq!(ground.sweep().await, NONE);
    clock.by_days(400);
    let mut orchestrator = ground.orchestrator.clone();
    for restart in 0..3 {
        let refused = orchestrator.sweep(&Author::server(), false).await;
        let Err(error @ SessionError::Clock { .. }) = refused else { panic!("{refused:?}") };
        assert!(error.to_string().contains("more than 7d after "), "{error}");
        // What is recorded meanwhile is dated by the wrong clock, too.
        let (plane, admin) = (orchestrator.plane(), author("admin"));
        let name = format!("meanwhile-{restart}").parse().unwrap();
        plane.create_project(&admin, &name, "").await.unwrap();
        if restart == 1 {
            // And what the sweeper knew may be lost.
            std::fs::remove_file(orchestrator.state().sweeper()).unwrap();
        }
        orchestrator.shut_down().await;
        let trap = Arc::new(Trap::default());
        orchestrator = open_at(&ground.installation, trap, options(), clock.clone()).await;
    }
    clock.right();
    let swept = orchestrator.sweep(&Author::server(), false).await.unwrap();
    assert_eq!(swept.erased, NONE, "the clock is right again, and nothing is due");
    // The installation lay idle for so long, and somebody says so.
    clock.by_days(400);
    assert!(orchestrator.sweep(&Author::server(), false).await.is_err());
    orchestrator.believe_clock().await.unwrap();
    let swept = orchestrator.sweep(&Author::server(), false).await.unwrap();
    assert_eq!(swept.erased, [row.id]);
    orchestrator.shut_down().await;
}
