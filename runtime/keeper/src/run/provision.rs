//! Provision: the sandbox, init in it, and the threads that answer it. The command waits for `go`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use custody_policy::PathRules;
use custody_record::event::{
    BaseSubmodule, Body, GapSource, MediationMode, SessionProvisioned, SessionStarted,
};
use custody_record::{Sink, SinkError};
use custody_sandbox::spec::{HOME_INSIDE, WORKSPACE_INSIDE};
use custody_sandbox::{Authorization, Identity, Root, Sandbox, SandboxSpec};
use custody_workspace::base::Base;
use custody_workspace::base::OBJECTS_INSIDE;
use custody_workspace::mirror::Submodule;
use custody_workspace::view::{Mediation, StrictReason};

use super::disk::DiskWatch;
use super::history::{History, HistorySink};
use super::prepare::{Bells, Prepared, readable};
use super::scratch::Scratch;
use super::serve::not_run;
use super::{KeeperError, Message, RETRY, Session, authorize, environment};
use crate::inside::protocol::{Landlock, Resource, Rlimit, Start, Step, WatchNames, Window};
use crate::inside::{
    self, Event, GuardedNames, Inside, InsideError, Lifetimes, NoticeLimits, Notices, Objects,
    OwnNetwork, Peer, PortOwners, Programs, ReadingSinks, Readings, Ready, Relay, RelayLimits,
    RelaySockets, Streams, WatchedTrees, Withheld,
};
use crate::spec;
use crate::terminal::{Route, Stream, Terminal};

/// How long init may take for each of its answers.
const INIT_PATIENCE: Duration = Duration::from_secs(20);

/// Open files of the command, soft and hard.
const OPEN_FILES: (u64, u64) = (4096, 65_536);

/// A sandbox whose command runs.
pub(super) struct Running {
    pub(super) sandbox: Box<dyn Sandbox>,
    pub(super) inside: Arc<Inside>,
    pub(super) notices: Notices,
    pub(super) relay: Relay,
    pub(super) objects: Objects,
    pub(super) lifetimes: Arc<Lifetimes>,
    pub(super) terminal: Terminal,
    pub(super) watch: super::prepare::Watch,
    pub(super) disk: Option<DiskWatch>,
    pub(super) limits: custody_model::Limits,
}

pub(super) fn provision(
    session: &Session<'_>,
    authorization: &Authorization,
    prepared: &Prepared,
) -> Result<Running, KeeperError> {
    session.progress("starting the sandbox", None, None);
    let permit = authorization.intent();
    let control = session.dir.run().join("control");
    std::fs::create_dir_all(&control).map_err(KeeperError::file("making the control directory"))?;
    let init = inside::write_init(&control).map_err(KeeperError::file("writing init"))?;
    let listener =
        inside::listen(&control).map_err(KeeperError::step("listening for the sandbox"))?;
    let identity = Identity::default();
    let scratch = Scratch::mount(session.dir.run().join("scratch"), permit.limits().disk_bytes)?;
    let spec = SandboxSpec {
        session: session.spec.id,
        root: root(session)?,
        workspace: prepared.workspace.view().to_owned(),
        objects: Some(prepared.base.objects().to_owned()),
        init,
        control,
        scratch: Some(scratch.point().to_owned()),
        limits: permit.limits().clone(),
        hostname: environment::HOSTNAME.to_owned(),
        identity,
        extra_read_only: Vec::new(),
    };
    let mut sandbox = session
        .setup
        .driver
        .provision(authorization, &spec)
        .map_err(KeeperError::step("provisioning the sandbox"))?;
    sandbox.start().map_err(KeeperError::step("starting the sandbox"))?;
    let inside = listener
        .accept(Peer { uid: identity.host_uid(), pid: None }, INIT_PATIENCE)
        .map_err(KeeperError::step("waiting for init"))?;
    let inside = Arc::new(inside);
    let names = guarded_names(authorization, prepared, inside.pid())?;
    let ready = inside
        .start(start_message(session, authorization, names.watch()), INIT_PATIENCE)
        .map_err(|error| match error {
        InsideError::Failed(failed) if failed.step == Step::Exec => {
            let exit = not_run(&failed);
            KeeperError::NotRun { reason: failed.message, exit }
        }
        error => KeeperError::step("preparing the command")(error),
    })?;
    let programs =
        Programs::watch(inside.pid(), session.recorder.clone(), session.setup.clock.clone())
            .map_err(KeeperError::file("watching what is opened to be run"))?;
    let programs = Arc::new(programs);
    prepared.watch.add(programs.clone());
    // The machinery has made what it needs there, and the command waits: what happens from now on is the command's.
    prepared.watch.add_scratch(scratch.watch(session)?);
    let readings = watch_image(session, inside.pid())?;
    prepared.watch.add_readings(readings.clone());
    let mut protections = sandbox.protections().clone();
    protections.insert("programs".to_owned(), programs.told());
    protections.insert("image".to_owned(), readings.told());
    protections.extend(ready.protections.clone());
    record(session, prepared, protections)?;
    let objects = watch_objects(session, authorization, prepared, inside.pid())?;
    let rules = permit.path_rules().clone();
    let borders = Borders { names, programs, objects, rules };
    serve_it(session, prepared, permit.limits().clone(), sandbox, inside, ready, borders)
}

/// What the notices are held against.
struct Borders {
    names: GuardedNames,
    programs: Arc<Programs>,
    objects: Objects,
    rules: PathRules,
}

/// Watches what is read of the image outside of the system's own trees. `pid` is init's.
fn watch_image(session: &Session<'_>, pid: u32) -> Result<Arc<Readings>, KeeperError> {
    let capabilities = session.setup.driver.capabilities();
    let trees = WatchedTrees { system: capabilities.system_trees, added: capabilities.added_trees };
    let alarms = Bells {
        source: GapSource::Image,
        recorder: session.recorder.clone(),
        messages: session.sender.clone(),
    };
    let limit = session.setup.hashed_outside;
    let sink = ReadingSinks { sink: session.recorder.clone(), alarms: Arc::new(alarms) };
    let readings = Readings::watch(pid, trees, sink, session.setup.clock.clone(), limit)
        .map_err(KeeperError::file("watching what is read of the image"))?;
    Ok(Arc::new(readings))
}

/// Watches what is opened of git's objects. `pid` is init's.
fn watch_objects(
    session: &Session<'_>,
    authorization: &Authorization,
    prepared: &Prepared,
    pid: u32,
) -> Result<Objects, KeeperError> {
    let rules = authorization.intent().path_rules();
    let withheld = prepared
        .base
        .withheld()
        .map_err(KeeperError::step("looking at what is withheld of the history"))?;
    let withheld = withheld.into_iter().map(|(object, path)| {
        let rule = rules.treatment(&path).rule.to_owned();
        (object, Withheld { path, rule })
    });
    let (sink, clock) = (session.recorder.clone(), session.setup.clock.clone());
    Objects::watch(pid, OBJECTS_INSIDE, withheld.collect(), sink, clock)
        .map_err(KeeperError::file("watching what is opened of git's objects"))
}

/// The borders of the guard, where the kernel alone would refuse a rename. `pid` is init's.
fn guarded_names(
    authorization: &Authorization,
    prepared: &Prepared,
    pid: u32,
) -> Result<GuardedNames, KeeperError> {
    let rules = authorization.intent().path_rules();
    let (guarded, strict) = match prepared.workspace.mediation() {
        Mediation::Observed { guarded } => (guarded.as_slice(), false),
        Mediation::Strict { .. } => (&[] as &[_], true),
    };
    let points = guarded.iter().map(|point| {
        let own = rules.treatment(&point.path);
        // A directory may be guarded only for what is in it (`secrets/**`).
        let rule = match own.treatment.is_guarded() {
            true => own.rule.to_owned(),
            false => {
                match point.path.join(b"*").map(|below| rules.treatment(&below).rule.to_owned()) {
                    Ok(rule) => rule,
                    Err(_) => own.rule.to_owned(),
                }
            }
        };
        (point.path.clone(), rule)
    });
    GuardedNames::of(pid, WORKSPACE_INSIDE, rules, strict, points)
        .map_err(KeeperError::file("looking at the guarded paths"))
}

/// Tells that the sandbox exists and that the command is about to run.
fn record(
    session: &Session<'_>,
    prepared: &Prepared,
    protections: BTreeMap<String, String>,
) -> Result<(), KeeperError> {
    let (mediation, mediation_reason, guards) = match prepared.workspace.mediation() {
        Mediation::Observed { guarded } => (MediationMode::Observed, None, guarded.len() as u64),
        Mediation::Strict { reason: StrictReason::Asked } => (MediationMode::Strict, None, 1),
        Mediation::Strict { reason: StrictReason::TooManyGuardedPaths { found, limit } } => {
            let reason = format!("{found} guarded paths are more than {limit}");
            (MediationMode::Strict, Some(reason), 1)
        }
    };
    let uname =
        nix::sys::utsname::uname().map_err(KeeperError::step("asking for the kernel's name"))?;
    let history_cuts = prepared
        .mirror
        .cuts()
        .map_err(KeeperError::step("looking whether the history is cut off"))?;
    session.recorder.keeper(
        Body::SessionProvisioned(SessionProvisioned {
            driver: session.setup.driver.name().to_owned(),
            mediation: mediation.as_str().to_owned(),
            mediation_reason,
            guards,
            kernel: uname.release().to_string_lossy().into_owned(),
            init: inside::init_digest(),
            protections,
            submodule_count: (!prepared.base.submodules().is_empty())
                .then(|| prepared.base.submodules().len() as u64),
            submodules: submodules(&prepared.base),
            history_cuts,
        }),
        Vec::new(),
    )?;
    let started = session.recorder.keeper(
        Body::SessionStarted(SessionStarted {
            command: session.spec.command.clone(),
            command_whole: None,
            cwd: session.spec.start_directory(),
            terminal: session.spec.terminal.is_some(),
        }),
        Vec::new(),
    )?;
    session.recorder.started_by(started);
    session.journal.barrier()?;
    Ok(())
}

/// Starts the threads that answer the sandbox, and then the command.
fn serve_it(
    session: &Session<'_>,
    prepared: &Prepared,
    limits: custody_model::Limits,
    sandbox: Box<dyn Sandbox>,
    inside: Arc<Inside>,
    ready: Ready,
    borders: Borders,
) -> Result<Running, KeeperError> {
    let thread = || KeeperError::file("starting the threads of the session");
    let recorder = &session.recorder;
    let clock = &session.setup.clock;
    let lifetimes = Arc::new(Lifetimes::start(inside.pid(), recorder.clone()).map_err(thread())?);
    let heard = Arc::downgrade(&lifetimes);
    recorder.listen_with(move || {
        if let Some(lifetimes) = heard.upgrade() {
            lifetimes.drain();
        }
    });
    let messages = session.sender.clone();
    recorder.alarm_with(move |error| {
        let _ended = messages.send(Message::Broken(error));
    });
    let owners = Arc::new(PortOwners::default());
    let history = History {
        root: readable(prepared.workspace.clean()).map_err(thread())?,
        commit: prepared.base.commit().clone(),
        manifest: prepared.base.manifest().clone(),
        rules: borders.rules,
        git: prepared.mirror.git(),
    };
    let notices = Notices::serve(
        ready.notices,
        Arc::new(HistorySink { recorder: recorder.clone(), history }),
        clock.clone(),
        owners.clone(),
        borders.names,
        Some(borders.programs),
        NoticeLimits::default(),
    )
    .map_err(thread())?;
    let relay = Relay::start(
        RelaySockets { proxy: ready.proxy, names_udp: ready.names_udp, names_tcp: ready.names_tcp },
        Some(OwnNetwork::of(inside.pid(), environment::HOSTNAME).map_err(thread())?),
        recorder.clone(),
        clock.clone(),
        owners,
        RelayLimits::default(),
    )
    .map_err(thread())?;
    let terminal = streams(session, prepared, ready.streams)?;
    let disk = match limits.disk_bytes {
        Some(limit) => {
            let places = vec![prepared.workspace.upper().to_owned(), session.dir.record()];
            Some(DiskWatch::start(places, limit, session.sender.clone()).map_err(thread())?)
        }
        None => None,
    };
    listen(session, &inside).map_err(thread())?;
    session.progress("running", None, None);
    inside.go().map_err(KeeperError::step("starting the command"))?;
    let watch = prepared.watch.clone();
    let objects = borders.objects;
    Ok(Running {
        sandbox,
        inside,
        notices,
        relay,
        objects,
        lifetimes,
        terminal,
        watch,
        disk,
        limits,
    })
}

fn streams(
    session: &Session<'_>,
    prepared: &Prepared,
    streams: Streams,
) -> Result<Terminal, KeeperError> {
    let (outputs, input) = match streams {
        Streams::Terminal(master) => {
            let input =
                master.try_clone().map_err(KeeperError::file("duplicating the terminal"))?;
            (vec![(master, Stream::Output)], Some(input))
        }
        Streams::Pipes { stdin, stdout, stderr } => {
            (vec![(stdout, Stream::Output), (stderr, Stream::Error)], stdin)
        }
    };
    let (watch, journal) = (prepared.watch.clone(), session.journal.clone());
    let (recorder, clock) = (session.recorder.clone(), session.setup.clock.clone());
    let (messages, ending) = (session.sender.clone(), session.ending.clone());
    let route = Route {
        before: Arc::new(move || {
            watch.drain()?;
            // Output that can't be recorded is late, not lost.
            while let Err(error) = journal.flush() {
                match error {
                    SinkError::Unwritable(_) => {
                        ending.left().map_err(|spent| SinkError::Unwritable(spent.to_string()))?;
                        journal.wait_until_writable_within(RETRY)?;
                    }
                    SinkError::Malformed(_) | SinkError::Sealed => return Err(error),
                }
            }
            Ok(())
        }),
        clients: session.clients.clone(),
        broken: Arc::new(move |error| {
            let _ended = messages.send(Message::Broken(error));
        }),
        alive: Arc::new(move || recorder.touch(clock.now())),
        clock: session.setup.clock.clone(),
        patience: session.ending.clone(),
        redactor: session.redactor.clone(),
    };
    let window = session.spec.terminal.unwrap_or(spec::Window { rows: 24, columns: 80 });
    let path = super::finish::cast_path(&session.dir);
    Terminal::start(&path, window, &session.spec.command, outputs, input, route)
        .map_err(KeeperError::file("recording the terminal"))
}

/// Passes on what init says.
fn listen(session: &Session<'_>, inside: &Arc<Inside>) -> std::io::Result<()> {
    let (inside, messages) = (inside.clone(), session.sender.clone());
    std::thread::Builder::new().name("inside".into()).spawn(move || {
        loop {
            let message = match inside.next_event(None) {
                Ok(Some(event)) => Message::Inside(event),
                Ok(None) => continue,
                Err(error) => Message::InsideLost(error.to_string()),
            };
            let last = matches!(message, Message::Inside(Event::HungUp) | Message::InsideLost(_));
            if messages.send(message).is_err() || last {
                return;
            }
        }
    })?;
    Ok(())
}

fn root(session: &Session<'_>) -> Result<Root, KeeperError> {
    let image = &session.spec.image;
    if image == "host" {
        return Ok(Root::Host);
    }
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let path = session.setup.state.images().join(image);
    if image.starts_with('.') || !image.chars().all(plain) || !path.is_dir() {
        let reason =
            format!("there is no image {image:?} in {}", session.setup.state.images().display());
        return Err(KeeperError::Step { step: "finding the image", source: reason.into() });
    }
    Ok(Root::Directory(path))
}

fn start_message(
    session: &Session<'_>,
    authorization: &Authorization,
    watch_names: WatchNames,
) -> Start {
    let permit = authorization.intent();
    let spec = &session.spec;
    let granted = authorize::granted(spec, permit);
    let terminal = spec.terminal.map(|w| Window { rows: w.rows, cols: w.columns });
    let (soft, hard) = OPEN_FILES;
    let mut rlimits = vec![
        Rlimit { resource: Resource::Core, soft: 0, hard: 0 },
        Rlimit { resource: Resource::OpenFiles, soft, hard },
    ];
    // A file of holes takes no room on disk, and yet its content has to be hashed: none is larger than the disk may be.
    if let Some(bytes) = permit.limits().disk_bytes {
        rlimits.push(Rlimit { resource: Resource::FileSize, soft: bytes, hard: bytes });
    }
    Start {
        argv: spec.command.clone(),
        env: environment::compose(HOME_INSIDE, &spec.id.to_string(), terminal.is_some(), &granted),
        cwd: spec.start_directory(),
        terminal,
        stdin: spec.input,
        rlimits,
        landlock: Landlock {
            read_only: vec!["/".to_owned()],
            read_write: ["/workspace", "/tmp", "/var/tmp", "/home", "/run", "/dev", "/proc"]
                .map(str::to_owned)
                .into(),
        },
        proxy_port: Some(environment::PROXY_PORT),
        name_server: true,
        watch_names,
    }
}

/// Most bytes that the submodules take in the event of the provisioning.
const SUBMODULES_BYTES_IN_EVENT: usize = 24 << 10;

/// Those as the event tells them.
fn submodules(base: &Base) -> Option<Vec<BaseSubmodule>> {
    let mut room = SUBMODULES_BYTES_IN_EVENT;
    let fits = |one: &&Submodule| {
        let words = one.absent.as_ref().map_or(0, String::len);
        let left = room.checked_sub(one.path.to_text().len() + 2 * words + 200);
        left.inspect(|left| room = *left).is_some()
    };
    let told = |one: &Submodule| BaseSubmodule {
        path: one.path.clone(),
        commit: one.commit.clone(),
        absent: one.absent.clone(),
    };
    let told: Vec<_> = base.submodules().iter().take_while(fits).map(told).collect();
    (!told.is_empty()).then_some(told)
}
