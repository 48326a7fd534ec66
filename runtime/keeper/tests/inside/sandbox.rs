//! A sandbox of `unshare`, and a recorder in memory.

use std::fs::{File, Permissions};
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use custody_keeper::inside::protocol::{
    ExitStatus, Failed, Landlock, Resource, Rlimit, Start, WatchNames,
};
use custody_keeper::inside::{
    Event, ExecNotice, GuardedNames, Inside, InsideError, LifeSink, Lifetimes, NoticeLimits,
    NoticeSink, Notices, OwnNetwork, Peer, PortOwners, Programs, Ready, Relay, RelayLimits,
    RelaySockets, Streams, listen, write_init,
};
use custody_model::{ImageId, SystemClock, Timestamp};
use custody_record::SinkError;
use custody_record::event::{EgressDenied, ExitStatus as Ended, FileDenied, FileOutside};

/// Longest that a test waits for anything.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
const AGENT: u32 = 1000;
pub(crate) const PROXY: u16 = 3128;

/// What a test does while an exec waits for its answer.
type Meanwhile = Box<dyn Fn(&ExecNotice) + Send + Sync>;

/// All that was told.
#[derive(Default)]
pub(crate) struct Told {
    pub(crate) execs: Mutex<Vec<ExecNotice>>,
    pub(crate) denied: Mutex<Vec<(Option<u32>, EgressDenied)>>,
    pub(crate) forks: Mutex<Vec<(u32, u32)>>,
    pub(crate) exits: Mutex<Vec<(u32, Option<Ended>)>>,
    pub(crate) gaps: Mutex<Vec<String>>,
    pub(crate) corrected: Mutex<Vec<(ExecNotice, ImageId, String)>>,
    /// Done between the notice of an exec and its answer.
    pub(crate) meanwhile: Option<Meanwhile>,
    /// Refuse to record execs whose first argument is this.
    pub(crate) unwritable: Option<String>,
}

impl NoticeSink for Told {
    fn executed(&self, notice: ExecNotice) -> Result<ImageId, SinkError> {
        if self.unwritable.is_some() && self.unwritable.as_ref() == notice.argv.first() {
            return Err(SinkError::Unwritable("the test says so".into()));
        }
        if let Some(meanwhile) = &self.meanwhile {
            meanwhile(&notice);
        }
        let mut execs = self.execs.lock().unwrap();
        execs.push(notice);
        Ok(ImageId(execs.len() as u64))
    }

    fn corrected(
        &self,
        _: Timestamp,
        notice: ExecNotice,
        image: ImageId,
        opened: String,
    ) -> Result<(), SinkError> {
        self.corrected.lock().unwrap().push((notice, image, opened));
        Ok(())
    }

    fn refused(
        &self,
        _: Timestamp,
        pid: Option<u32>,
        denied: EgressDenied,
    ) -> Result<(), SinkError> {
        self.denied.lock().unwrap().push((pid, denied));
        Ok(())
    }

    fn denied(&self, _: Timestamp, _: u32, denied: FileDenied) -> Result<(), SinkError> {
        panic!("nothing is guarded here: {denied:?}");
    }

    fn outside(&self, _: Timestamp, _: u32, outside: FileOutside) -> Result<(), SinkError> {
        panic!("nothing outside is watched here: {outside:?}");
    }

    fn gap(&self, _: custody_record::event::GapCode, reason: String) {
        self.gaps.lock().unwrap().push(reason);
    }
}

impl LifeSink for Told {
    fn forked(&self, parent: u32, child: u32) {
        self.forks.lock().unwrap().push((parent, child));
    }

    fn exited(&self, pid: u32, status: Option<Ended>) {
        self.exits.lock().unwrap().push((pid, status));
    }

    fn gap(&self, _: custody_record::event::GapCode, reason: String) {
        self.gaps.lock().unwrap().push(reason);
    }
}

/// A running sandbox.
pub(crate) struct Sandbox {
    pub(crate) inside: Inside,
    pub(crate) told: Arc<Told>,
    pub(crate) streams: Option<Streams>,
    pub(crate) protections: std::collections::BTreeMap<String, String>,
    notices: Option<Notices>,
    relay: Option<Relay>,
    lifetimes: Option<Lifetimes>,
    programs: Arc<Programs>,
    driver: Child,
    _directory: tempfile::TempDir,
}

/// What `argv` gets, without a terminal.
pub(crate) fn start(argv: &[&str]) -> Start {
    Start {
        argv: argv.iter().map(|a| (*a).to_owned()).collect(),
        env: vec!["PATH=/usr/bin:/bin".into(), "LC_ALL=C".into()],
        cwd: "/tmp".into(),
        terminal: None,
        stdin: false,
        rlimits: vec![Rlimit { resource: Resource::Core, soft: 0, hard: 0 }],
        landlock: Landlock {
            read_only: vec!["/".into()],
            read_write: vec!["/dev".into(), "/tmp".into(), "/proc".into()],
        },
        proxy_port: Some(PROXY),
        name_server: true,
        watch_names: WatchNames::Nothing,
    }
}

fn launch(told: Told) -> (Inside, Arc<Told>, Child, tempfile::TempDir) {
    let directory = tempfile::tempdir().unwrap();
    std::fs::set_permissions(directory.path(), Permissions::from_mode(0o755)).unwrap();
    let init = write_init(directory.path()).unwrap();
    let listener = listen(directory.path()).unwrap();
    let script = "ip link set lo up && echo 0 >/proc/sys/net/ipv4/ip_unprivileged_port_start && \
        exec setpriv --reuid 1000 --regid 1000 --clear-groups --bounding-set=-all --inh-caps=-all \
        \"$0\" --control \"$1\"";
    let driver = Command::new("unshare")
        .args(["--pid", "--fork", "--kill-child", "--net", "--ipc", "--mount-proc", "sh", "-c"])
        .arg(script)
        .arg(&init)
        .arg(directory.path().join("control.sock"))
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    let inside = listener.accept(Peer { uid: AGENT, pid: None }, PATIENCE).unwrap();
    (inside, Arc::new(told), driver, directory)
}

impl Sandbox {
    /// Prepared, but not running yet.
    pub(crate) fn prepare(request: Start) -> Self {
        Self::prepare_with(request, Told::default())
    }

    pub(crate) fn prepare_with(request: Start, told: Told) -> Self {
        let (inside, told, driver, directory) = launch(told);
        let lifetimes = Lifetimes::start(inside.pid(), told.clone()).unwrap();
        let ready: Ready = inside.start(request, PATIENCE).unwrap();
        let owners = Arc::new(PortOwners::default());
        let clock = Arc::new(SystemClock);
        let programs = Programs::watch(inside.pid(), told.clone(), clock.clone()).unwrap();
        let programs = Arc::new(programs);
        let notices = Notices::serve(
            ready.notices,
            told.clone(),
            clock.clone(),
            owners.clone(),
            GuardedNames::default(),
            Some(programs.clone()),
            NoticeLimits::default(),
        )
        .unwrap();
        let relay = Relay::start(
            RelaySockets {
                proxy: ready.proxy,
                names_udp: ready.names_udp,
                names_tcp: ready.names_tcp,
            },
            Some(OwnNetwork::of(inside.pid(), "custody").unwrap()),
            told.clone(),
            clock,
            owners,
            RelayLimits::default(),
        )
        .unwrap();
        Self {
            inside,
            told,
            streams: Some(ready.streams),
            protections: ready.protections,
            notices: Some(notices),
            relay: Some(relay),
            lifetimes: Some(lifetimes),
            programs,
            driver,
            _directory: directory,
        }
    }

    /// What init says to a request that it can't serve.
    pub(crate) fn refused(request: Start) -> Failed {
        let (inside, _, mut driver, _directory) = launch(Told::default());
        let refusal = inside.start(request, PATIENCE).unwrap_err();
        assert_eq!(inside.next_event(Some(PATIENCE)).unwrap(), Some(Event::HungUp));
        driver.wait().unwrap();
        match refusal {
            InsideError::Failed(failed) => failed,
            other => panic!("{other}"),
        }
    }

    pub(crate) fn run(request: Start) -> Self {
        let sandbox = Self::prepare(request);
        sandbox.inside.go().unwrap();
        sandbox
    }

    /// The command's output and status, once nothing of it is left.
    pub(crate) fn finish(mut self) -> Finished {
        let output = match self.streams.take().unwrap() {
            Streams::Pipes { stdout, stderr, .. } => {
                let error = std::thread::spawn(move || read(stderr.into()));
                (read(stdout.into()), error.join().unwrap())
            }
            Streams::Terminal(master) => (read(master.into()), String::new()),
        };
        let mut status = None;
        loop {
            match self.inside.next_event(Some(PATIENCE)).unwrap().expect("init says something") {
                Event::Exited(s) => status = Some(Ok(s)),
                Event::Failed(f) => status = Some(Err(f)),
                Event::HungUp => break,
            }
        }
        self.driver.wait().unwrap();
        self.notices.take().unwrap().finish();
        self.relay.take().unwrap().finish();
        self.lifetimes.take().unwrap().finish();
        self.programs.drain().unwrap();
        Finished { status, stdout: output.0, stderr: output.1, told: self.told }
    }

    /// As if the keeper had been killed.
    pub(crate) fn abandon(self) -> (Child, Arc<Told>) {
        let Self { inside, driver, told, notices, relay, lifetimes, .. } = self;
        drop(inside);
        drop((notices, relay, lifetimes));
        (driver, told)
    }
}

pub(crate) struct Finished {
    pub(crate) status: Option<Result<ExitStatus, Failed>>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) told: Arc<Told>,
}

/// Reads to the end; a terminal ends with EIO.
pub(crate) fn read(mut from: File) -> String {
    let mut bytes = Vec::new();
    if let Err(error) = from.read_to_end(&mut bytes) {
        assert_eq!(error.raw_os_error(), Some(nix::libc::EIO), "{error}");
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Waits until `holds`.
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::yield_now();
    }
}
