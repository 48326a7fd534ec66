//! Serve: the main loop of a running session, until nothing of it runs any more.

use std::collections::HashSet;
use std::sync::mpsc::RecvTimeoutError;
use std::time::{Duration, Instant};

use custody_model::{Actor, LimitName};
use custody_record::event::{
    Body, ClosingCode, Draft, ExitStatus, GapSource, Outcome, PauseCode, SessionPaused,
    SessionResumed,
};
use custody_record::living::{PublishError, publish};
use custody_record::{Sink, SinkError};
use custody_sandbox::Usage;

use super::provision::Running;
use super::{KeeperError, Message, Session};
use crate::frame::Frame;
use crate::inside::Event;
use crate::inside::protocol::{Failed, Step, Window};

/// How often limits, exits and the installation log are looked after.
const TICK: Duration = Duration::from_millis(200);

/// Least time between two heads in the installation log: with a tick on top a head is there at least once a second.
const HEAD_PERIOD: Duration = Duration::from_millis(800);

/// Time between SIGTERM and SIGKILL when a session is stopped.
const GRACE: Duration = Duration::from_secs(5);

/// How long the end of all processes is waited for after init is gone.
const END_PATIENCE: Duration = Duration::from_secs(10);

/// How it went.
pub(super) struct Served {
    pub(super) outcome: Outcome,
    pub(super) code: ClosingCode,
    pub(super) limit: Option<LimitName>,
    pub(super) reason: String,
    pub(super) exit: Option<ExitStatus>,
    /// What the terminal carried; absent if nothing ran.
    pub(super) terminal: Option<crate::asciicast::Recorded>,
    /// The command ran: there may be outputs.
    pub(super) ran: bool,
}

impl Served {
    /// Nothing ran.
    pub(super) fn failed(error: &KeeperError) -> Self {
        let (code, exit) = match error {
            KeeperError::NotRun { exit, .. } => (ClosingCode::CommandNotRun, *exit),
            KeeperError::Refused { .. } => (ClosingCode::Refused, None),
            KeeperError::Record(_) | KeeperError::Disk { .. } => {
                (ClosingCode::RecordUnwritable, None)
            }
            KeeperError::File { .. } | KeeperError::Request { .. } | KeeperError::Step { .. } => {
                (ClosingCode::NotProvisioned, None)
            }
        };
        let (outcome, reason) = (Outcome::Failed, error.chain());
        Self { outcome, code, limit: None, reason, exit, terminal: None, ran: false }
    }
}

/// Why a session is being stopped.
struct Stop {
    code: ClosingCode,
    limit: Option<LimitName>,
    reason: String,
}

impl Stop {
    fn at(limit: LimitName, reason: String) -> Self {
        Self { code: ClosingCode::LimitReached, limit: Some(limit), reason }
    }

    fn by(code: ClosingCode, reason: String) -> Self {
        Self { code, limit: None, reason }
    }
}

/// What the loop keeps in mind.
struct Course {
    exit: Option<ExitStatus>,
    failed: Option<(ClosingCode, String)>,
    /// Why it is being stopped.
    stopping: Option<Stop>,
    killed: Option<Instant>,
    /// What the sandbox is held for: a backlog of the recorder, a record that can't be written.
    backlog: HashSet<GapSource>,
    degraded: bool,
    /// Since when it is frozen.
    paused: Option<Instant>,
    started: Instant,
    head_at: Instant,
    head_size: u64,
    broken: Option<SinkError>,
}

pub(super) fn serve(session: &Session<'_>, mut running: Running) -> Served {
    let now = Instant::now();
    let mut course = Course {
        exit: None,
        failed: None,
        stopping: None,
        killed: None,
        backlog: HashSet::new(),
        degraded: false,
        paused: None,
        started: now,
        head_at: now,
        head_size: 0,
        broken: None,
    };
    let mut ticked = now;
    loop {
        match session.messages.recv_timeout(TICK) {
            Ok(message) => {
                if course.take(session, &mut running, message) {
                    break;
                }
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
        if ticked.elapsed() >= TICK {
            ticked = Instant::now();
            course.tick(session, &mut running);
        }
    }
    course.finish(session, running)
}

impl Course {
    /// Takes one message; says whether nothing runs any more.
    fn take(&mut self, session: &Session<'_>, running: &mut Running, message: Message) -> bool {
        match message {
            Message::Client(frame) => self.client(session, running, frame),
            Message::Inside(Event::Exited(status)) => self.exit = Some(status_of(status)),
            Message::Inside(Event::Failed(failed)) => {
                self.exit = not_run(&failed);
                let reason = format!("the command could not be run: {}", failed.message);
                self.failed = Some((ClosingCode::CommandNotRun, reason));
            }
            Message::Inside(Event::HungUp) => return true,
            Message::InsideLost(reason) => {
                let reason = format!("the connection to init broke: {reason}");
                self.failed = Some((ClosingCode::SandboxLost, reason));
                self.kill(running);
                return true;
            }
            Message::Broken(error) => {
                // Fail closed: nothing may happen that can't be recorded.
                tracing::error!(%error, "the record can't be written: the session is killed");
                self.broken.get_or_insert(error);
                self.kill(running);
            }
            Message::Backlog(source, high) => {
                match high {
                    true => self.backlog.insert(source),
                    false => self.backlog.remove(&source),
                };
                let reason = "the recorder has a backlog".to_owned();
                self.hold(session, running, PauseCode::Backlog, reason);
            }
            Message::Degraded(trouble) => {
                session.progress(&format!("paused: {trouble}"), None, None);
                self.degraded = true;
                let reason = format!("the record can't be written: {trouble}");
                self.hold(session, running, PauseCode::RecordUnwritable, reason);
            }
            Message::Restored => {
                session.progress("running", None, None);
                self.degraded = false;
                self.hold(session, running, PauseCode::RecordUnwritable, String::new());
            }
            Message::DiskFull(used) => {
                let reason =
                    format!("its workspace and its record hold {used} bytes, more than its limit");
                self.stop(running, Stop::at(LimitName::DiskBytes, reason));
            }
            Message::Terminated(signal) => {
                let reason = format!("the keeper was told to end by signal {signal}");
                self.stop(running, Stop::by(ClosingCode::KeeperTerminated, reason));
            }
        }
        false
    }

    fn client(&mut self, session: &Session<'_>, running: &mut Running, frame: Frame) {
        match frame {
            Frame::Input(bytes) => running.terminal.input(bytes),
            Frame::Resize(window) => {
                if session.spec.terminal.is_none() {
                    return;
                }
                let size = Window { rows: window.rows, cols: window.columns };
                if let Err(error) = running.inside.resize(size) {
                    tracing::warn!(%error, "the terminal could not be resized");
                }
                if let Err(error) = running.terminal.resized(window) {
                    tracing::warn!(%error, "the new size could not be recorded");
                }
            }
            Frame::Signal(request) => {
                if let Err(error) = running.inside.signal(request.signal) {
                    tracing::warn!(%error, "the signal could not be passed on");
                }
            }
            Frame::Stop(request) => {
                self.stop(running, Stop::by(ClosingCode::Asked, request.reason));
            }
            Frame::Progress(_)
            | Frame::Position(_)
            | Frame::Output(_)
            | Frame::ErrorOutput(_)
            | Frame::Taken(_)
            | Frame::Ended(_) => {
                tracing::debug!("a client sent what only a keeper sends");
            }
        }
    }

    fn tick(&mut self, session: &Session<'_>, running: &mut Running) {
        // A buffer that is full must not keep this loop from what it is told.
        if !self.degraded
            && let Err(error) = session.recorder.bury(|| running.watch.drain())
        {
            self.broken.get_or_insert(error);
            self.kill(running);
        }
        if let Some(limit) = running.limits.wall_seconds
            && self.started.elapsed() > Duration::from_secs(limit)
        {
            let reason = format!("it ran for {limit} s, its limit of wall time");
            self.stop(running, Stop::at(LimitName::WallSeconds, reason));
        }
        if let Some(limit) = running.limits.idle_seconds {
            let idle = session.setup.clock.now().micros_since(session.recorder.last_active());
            if idle > limit.saturating_mul(1_000_000) && self.paused.is_none() {
                let reason = format!("nothing happened for {limit} s, its limit of idle time");
                self.stop(running, Stop::at(LimitName::IdleSeconds, reason));
            }
        }
        // init gives what is left SIGKILL after the grace; this is for the case that it can't.
        if let Some(at) = self.killed
            && Instant::now() > at
        {
            self.kill(running);
        }
        if self.head_at.elapsed() >= HEAD_PERIOD && !self.degraded {
            self.head_at = Instant::now();
            if let Err(error) = self.tell_head(session) {
                let error: &dyn std::error::Error = &error;
                tracing::error!(error, "the session's head could not be published");
            }
        }
    }

    /// Puts the head of the session's log into the installation log and shows it to who follows, if it is a new one.
    fn tell_head(&mut self, session: &Session<'_>) -> Result<(), PublishError> {
        let now = session.setup.clock.now();
        // Not before it is there: what failed is tried again.
        if let Some(shown) = publish(&session.journal, &session.log, self.head_size, now)? {
            self.head_size = shown.head.size;
        }
        Ok(())
    }

    fn stop(&mut self, running: &mut Running, stop: Stop) {
        if self.stopping.is_some() {
            return;
        }
        tracing::info!(reason = stop.reason, "the session is being stopped");
        self.stopping = Some(stop);
        self.killed = Some(Instant::now() + GRACE * 2);
        if self.degraded {
            // What it did to end in good order could not be recorded.
            self.kill(running);
            return;
        }
        if self.paused.is_some()
            && let Err(error) = running.sandbox.thaw()
        {
            tracing::warn!(%error, "the sandbox could not be thawed");
        }
        if let Err(error) = running.inside.stop(GRACE) {
            tracing::warn!(%error, "init can't be asked to stop");
            self.kill(running);
        }
    }

    fn kill(&mut self, running: &mut Running) {
        if let Err(error) = running.sandbox.kill() {
            tracing::error!(%error, "the sandbox could not be killed");
        }
    }

    /// Freezes the sandbox while there is a backlog or a record that can't be written: the recorder catches up, and
    /// nothing is dropped.
    fn hold(
        &mut self,
        session: &Session<'_>,
        running: &mut Running,
        code: PauseCode,
        reason: String,
    ) {
        let done = match (!self.backlog.is_empty() || self.degraded, self.paused) {
            (true, None) => running.sandbox.freeze().map(|()| {
                self.paused = Some(Instant::now());
                Some(Body::SessionPaused(SessionPaused { code: Some(code), reason }))
            }),
            (false, Some(since)) => running.sandbox.thaw().map(|()| {
                self.paused = None;
                let paused_micros = u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX);
                Some(Body::SessionResumed(SessionResumed { paused_micros }))
            }),
            (true, Some(_)) | (false, None) => Ok(None),
        };
        match done {
            Ok(Some(body)) => {
                // Not by the recorder, whose lock somebody may hold who waits for room in the journal.
                let draft = Draft::new(session.setup.clock.now(), Actor::Keeper, body);
                if let Err(error) = session.journal.observe(draft) {
                    self.broken.get_or_insert(error);
                }
            }
            Ok(None) => {}
            Err(error) => tracing::error!(%error, "the sandbox could not be frozen or thawed"),
        }
    }

    /// Nothing runs any more (or must be made so): collects what every mediator still has.
    fn finish(mut self, session: &Session<'_>, running: Running) -> Served {
        session.ending.begin();
        let Running {
            mut sandbox,
            notices,
            relay,
            objects,
            lifetimes,
            terminal,
            watch,
            disk,
            inside,
            ..
        } = running;
        match sandbox.wait(END_PATIENCE) {
            Ok(Some(_)) => {}
            Ok(None) | Err(_) => {
                if let Err(error) = sandbox.kill() {
                    tracing::error!(%error, "the sandbox could not be killed");
                }
                if let Err(error) = sandbox.wait(END_PATIENCE) {
                    tracing::error!(%error, "the sandbox does not end");
                }
            }
        }
        let usage = sandbox.usage().unwrap_or_else(|error| {
            tracing::error!(%error, "which limits the sandbox reached can't be read");
            Usage::default()
        });
        drop(disk);
        notices.finish();
        relay.finish();
        drop(objects);
        drop(inside);
        lifetimes.drain();
        let counts = match terminal.finish(self.exit) {
            Ok(counts) => Some(counts),
            Err(error) => {
                let reason = format!("the terminal's recording: {error}");
                self.failed.get_or_insert((ClosingCode::RecordingFailed, reason));
                None
            }
        };
        let settled = watch
            .finish()
            .and_then(|()| session.recorder.bury(|| Ok(())))
            .and_then(|()| session.recorder.finish());
        if let Err(error) = settled {
            self.broken.get_or_insert(error);
        }
        if let Err(error) = sandbox.destroy() {
            tracing::error!(%error, "something of the sandbox is left");
        }
        let exit = self.exit;
        let (outcome, Stop { code, limit, reason }) = self.verdict(usage);
        Served { outcome, code, limit, reason, exit, terminal: counts, ran: true }
    }

    fn verdict(self, usage: Usage) -> (Outcome, Stop) {
        if let Some(error) = &self.broken {
            return (Outcome::Failed, Stop::by(ClosingCode::RecordUnwritable, error.to_string()));
        }
        if let Some(stop) = self.stopping {
            return (Outcome::Stopped, stop);
        }
        if let Some((code, reason)) = self.failed {
            return (Outcome::Failed, Stop::by(code, reason));
        }
        let (limit, met) = limits_met(usage);
        let (outcome, code, reason) = match self.exit {
            Some(ExitStatus::Code(code)) => {
                let reason = format!("the command ended with code {code}{met}");
                (Outcome::Completed, ClosingCode::CommandEnded, reason)
            }
            Some(ExitStatus::Signal(signal)) => {
                let reason = format!("signal {signal} ended the command{met}");
                (Outcome::Completed, ClosingCode::CommandEnded, reason)
            }
            None => {
                let reason = format!("the sandbox ended before its command{met}");
                (Outcome::Failed, ClosingCode::SandboxLost, reason)
            }
        };
        (outcome, Stop { code, limit, reason })
    }
}

/// The limit that the command ran into without being stopped for it, and the words for all of them. Memory comes first: what it
/// costs is a process.
fn limits_met(usage: Usage) -> (Option<LimitName>, String) {
    let (mut limit, mut words) = (None, String::new());
    if let Some(n) = usage.process_refusals.filter(|n| *n > 0) {
        limit = Some(LimitName::Processes);
        words = format!("; {n} processes could not be started at the limit of processes");
    }
    if let Some(n) = usage.memory_kills.filter(|n| *n > 0) {
        limit = Some(LimitName::MemoryBytes);
        words = format!("; {n} processes were killed at the memory limit{words}");
    }
    (limit, words)
}

/// The exit code of a command that could not be run, as shells have it (POSIX.1-2024, XCU 2.8.2): 127 if its program
/// was not found, 126 if it can't be run. `None` if it never came to that.
pub(super) fn not_run(failed: &Failed) -> Option<ExitStatus> {
    match failed.step {
        Step::Exec => match failed.errno {
            Some(libc::ENOENT | libc::ENOTDIR) => Some(ExitStatus::Code(127)),
            Some(_) => Some(ExitStatus::Code(126)),
            None => None,
        },
        Step::Process
        | Step::Request
        | Step::Streams
        | Step::Network
        | Step::Fork
        | Step::Session
        | Step::Directory
        | Step::Rlimits
        | Step::Privileges
        | Step::Landlock
        | Step::Seccomp => None,
    }
}

fn status_of(status: crate::inside::protocol::ExitStatus) -> ExitStatus {
    match status {
        crate::inside::protocol::ExitStatus::Code(code) => ExitStatus::Code(code),
        crate::inside::protocol::ExitStatus::Signal(signal) => ExitStatus::Signal(signal),
    }
}
