//! What a sandbox under test needs around it: directories, the keeper's end of the control socket, an authorisation.

use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use custody_model::{Actor, Clock, EventId, Limits, SessionId, StartSession, SystemClock};
use custody_policy::{PolicyVersion, Verdict, evaluate};
use custody_record::event::{Gap, GapSource};
use custody_record::{Body, Draft, Recorded, Sink, SinkError};

use crate::Authorization;

/// How long init may take to connect or to answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// The directories of one sandbox under test, removed with it.
#[derive(Debug)]
pub struct Room {
    directory: tempfile::TempDir,
    session: SessionId,
    connections: mpsc::Receiver<io::Result<UnixStream>>,
}

impl Room {
    /// Makes the directories and listens on the control socket.
    ///
    /// # Panics
    /// If that fails: it is for tests.
    #[must_use]
    pub fn new() -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let directory = tempfile::tempdir().expect("a temporary directory");
        for name in ["workspace", "control", "objects"] {
            std::fs::create_dir(directory.path().join(name)).expect("a directory of the room");
        }
        let listener = UnixListener::bind(directory.path().join("control/control.sock"))
            .expect("the control socket");
        let (sender, connections) = mpsc::channel();
        // Ends with the first connection, as in the keeper; a room that nobody enters leaves it to the process.
        std::thread::spawn(move || sender.send(listener.accept().map(|(stream, _)| stream)));
        let mut random = [0; 10];
        random[..8].copy_from_slice(&COUNT.fetch_add(1, Ordering::Relaxed).to_be_bytes());
        let pid = std::process::id().to_be_bytes();
        random[8..].copy_from_slice(&pid[2..]);
        let session = SessionId::new(SystemClock.now(), random);
        Self { directory, session, connections }
    }

    /// The session.
    #[must_use]
    pub fn session(&self) -> SessionId {
        self.session
    }

    /// A directory of the room: `workspace`, `control`, `objects`.
    #[must_use]
    pub fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Takes init's connection.
    ///
    /// # Panics
    /// If it does not come.
    #[must_use]
    pub fn control(&self) -> Control {
        let stream = self
            .connections
            .recv_timeout(PATIENCE)
            .expect("init connects")
            .expect("the connection is accepted");
        stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
        Control { reader: BufReader::new(stream) }
    }

    /// Whether nobody has connected.
    #[must_use]
    pub fn is_untouched(&self) -> bool {
        matches!(self.connections.try_recv(), Err(mpsc::TryRecvError::Empty))
    }
}

impl Default for Room {
    fn default() -> Self {
        Self::new()
    }
}

/// The keeper's end of the control socket.
#[derive(Debug)]
pub struct Control {
    reader: BufReader<UnixStream>,
}

impl Control {
    /// Gives an order and waits for the answer.
    ///
    /// # Panics
    /// If there is none.
    pub fn order(&mut self, words: &[&str]) -> String {
        self.say(words);
        self.answer(PATIENCE).expect("an answer")
    }

    /// Gives an order.
    ///
    /// # Panics
    /// If nobody takes it.
    pub fn say(&mut self, words: &[&str]) {
        let line = serde_json::to_string(words).expect("an order is JSON");
        writeln!(self.reader.get_mut(), "{line}").expect("init takes the order");
    }

    /// Waits so long for an answer; `None` if there is none by then, or the connection has ended.
    pub fn answer(&mut self, timeout: Duration) -> Option<String> {
        self.reader.get_ref().set_read_timeout(Some(timeout)).expect("a time-out");
        let mut line = String::new();
        match self.reader.read_line(&mut line) {
            Ok(0) | Err(_) => None,
            Ok(_) => Some(serde_json::from_str(&line).expect("an answer is a JSON string")),
        }
    }

    /// Waits until the other end has hung up.
    #[must_use]
    pub fn has_ended(&mut self) -> bool {
        let mut line = String::new();
        match self.reader.read_line(&mut line) {
            Ok(0) => true,
            Ok(_) => false,
            Err(error) => error.kind() == io::ErrorKind::ConnectionReset,
        }
    }
}

/// Takes every event and is durable at once: the suite is about drivers, not about records.
struct TakesAll;

impl Sink for TakesAll {
    fn observe(&self, draft: Draft) -> Result<EventId, SinkError> {
        Ok(EventId::new(draft.time, [0; 10]))
    }

    fn flush(&self) -> Result<(), SinkError> {
        Ok(())
    }

    fn barrier(&self) -> Result<(), SinkError> {
        Ok(())
    }
}

/// A real permit of the built-in policy, with these limits asked for.
///
/// # Panics
/// If the built-in policy refuses it.
#[must_use]
pub fn authorize(limits: &Limits) -> Authorization {
    let requester: custody_model::UserName = "tester".parse().expect("a user's name");
    let policy = PolicyVersion::builtin_local(&requester);
    let oid = "0".repeat(40);
    let act = StartSession {
        requester,
        repository: "repository".to_owned(),
        base_commit: oid.parse().expect("a commit's id"),
        base_tree: oid.parse().expect("a tree's id"),
        dirty: false,
        command: vec!["true".to_owned()],
        image: "host".to_owned(),
        environment: Vec::new(),
        limits: limits.clone(),
        strict: false,
    };
    let Verdict::Allow(permit) = evaluate(&policy, act, &[]) else {
        panic!("the built-in policy allows a session");
    };
    let body = Body::RecorderGap(Gap {
        source: GapSource::Keeper,
        code: None,
        reason: "a test".to_owned(),
        from: None,
        until: None,
        process: None,
    });
    let draft = Draft::new(SystemClock.now(), Actor::Keeper, body);
    Recorded::commit(&TakesAll, permit, draft).expect("the sink takes all")
}
