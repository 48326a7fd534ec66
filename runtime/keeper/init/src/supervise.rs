//! Init's long part: passes on what the keeper asks, reaps, and ends everything.

use std::os::fd::{AsFd, OwnedFd};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use custody_init::channel::Channel;
use custody_init::protocol::{ExitStatus, FromInit, Step, ToInit};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use crate::child::{Child, Setup};
use crate::failure::{Failure, Try};
use crate::streams;

/// Added to a signal's number in init's own exit code, as shells do.
const SIGNAL_BASE: u8 = 128;

/// What a turn of the loop has found.
enum Turn {
    On,
    /// The command ended.
    Ended(ExitStatus),
    /// The keeper is gone.
    Alone,
}

/// Runs until the command ends or the keeper is gone; nothing but init lives when it returns.
pub(crate) fn supervise(
    channel: &Channel,
    child: &mut Child,
    terminal: Option<OwnedFd>,
) -> Result<ExitCode, Failure> {
    let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
    let signals = SignalFd::with_flags(&SigSet::from(Signal::SIGCHLD), flags)
        .or_fail(Step::Process, "signalfd")?;
    let mut watch =
        Watch { channel, child: child.pid, setup: Some(&child.setup), terminal, kill_at: None };
    loop {
        match watch.turn(&signals)? {
            Turn::On => {}
            Turn::Ended(status) => {
                // A keeper that is gone has nobody to tell.
                let _ = channel.send(&FromInit::Exited(status), &[]);
                end_all();
                return Ok(ExitCode::from(match status {
                    ExitStatus::Code(code) => code,
                    ExitStatus::Signal(signal) => SIGNAL_BASE | signal,
                }));
            }
            Turn::Alone => {
                end_all();
                return Ok(ExitCode::from(crate::EXIT_FAILED));
            }
        }
    }
}

struct Watch<'a> {
    channel: &'a Channel,
    child: Pid,
    /// Until the command has been run.
    setup: Option<&'a Channel>,
    terminal: Option<OwnedFd>,
    kill_at: Option<Instant>,
}

impl Watch<'_> {
    fn turn(&mut self, signals: &SignalFd) -> Result<Turn, Failure> {
        let mut fds = vec![
            PollFd::new(self.channel.as_fd(), PollFlags::POLLIN),
            PollFd::new(signals.as_fd(), PollFlags::POLLIN),
        ];
        if let Some(setup) = self.setup {
            fds.push(PollFd::new(setup.as_fd(), PollFlags::POLLIN));
        }
        let wait = self.kill_at.map_or(PollTimeout::NONE, |at| {
            let left = at.saturating_duration_since(Instant::now());
            PollTimeout::try_from(left + Duration::from_micros(999)).unwrap_or(PollTimeout::MAX)
        });
        match poll(&mut fds, wait) {
            Ok(_) => {}
            Err(Errno::EINTR) => return Ok(Turn::On),
            Err(errno) => return Err(errno).or_fail(Step::Process, "poll"),
        }
        let seen: Vec<bool> =
            fds.iter().map(|fd| fd.revents().is_some_and(|r| !r.is_empty())).collect();
        drop(fds);
        if self.kill_at.is_some_and(|at| at <= Instant::now()) {
            self.kill_at = None;
            signal_all(Signal::SIGKILL);
        }
        if seen.get(2) == Some(&true) {
            self.hear_child()?;
        }
        if seen[1] {
            // What it says is in waitpid too.
            while signals.read_signal().or_fail(Step::Process, "signalfd")?.is_some() {}
            if let Some(status) = self.reap()? {
                // A failed exec is told before the end of its process.
                self.hear_child()?;
                return Ok(Turn::Ended(status));
            }
        }
        if seen[0] { self.obey() } else { Ok(Turn::On) }
    }

    fn hear_child(&mut self) -> Result<(), Failure> {
        let Some(setup) = self.setup else { return Ok(()) };
        match setup.receive::<Setup>() {
            Ok(Some((Setup::Failed(failed), _))) => Err(Failure(failed)),
            // Closed by the exec.
            Ok(_) => {
                self.setup = None;
                Ok(())
            }
            Err(error) => Err(Failure::new(Step::Exec, None, &error.to_string())),
        }
    }

    /// Reaps all that has ended; the command's status if it is among them.
    fn reap(&self) -> Result<Option<ExitStatus>, Failure> {
        let mut ended = None;
        loop {
            match waitpid(Pid::from_raw(-1), Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::Exited(pid, code)) if pid == self.child => {
                    ended = Some(ExitStatus::Code((code & 0xff) as u8));
                }
                Ok(WaitStatus::Signaled(pid, signal, _)) if pid == self.child => {
                    ended = Some(ExitStatus::Signal(signal as u8));
                }
                Ok(WaitStatus::StillAlive) | Err(Errno::ECHILD) => return Ok(ended),
                Ok(_) | Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno).or_fail(Step::Process, "waitpid"),
            }
        }
    }

    fn obey(&mut self) -> Result<Turn, Failure> {
        let request = match self.channel.receive::<ToInit>() {
            Ok(Some((request, _))) => request,
            Ok(None) => return Ok(Turn::Alone),
            Err(error) => return Err(Failure::new(Step::Request, None, &error.to_string())),
        };
        match request {
            ToInit::Start(_) | ToInit::StartInFile => {
                return Err(Failure::new(Step::Request, None, "Start comes once"));
            }
            ToInit::Go => {
                if let Some(setup) = self.setup {
                    setup
                        .send(&Setup::Go, &[])
                        .map_err(|e| Failure::new(Step::Exec, None, &e.to_string()))?;
                }
            }
            ToInit::Signal(number) => self.signal(number),
            ToInit::Resize(window) => {
                if let Some(terminal) = &self.terminal {
                    streams::resize(terminal, window).or_fail(Step::Streams, "TIOCSWINSZ")?;
                }
            }
            ToInit::Stop { grace_ms } => {
                signal_all(Signal::SIGTERM);
                // A stopped process gets its SIGTERM when it goes on.
                signal_all(Signal::SIGCONT);
                self.kill_at = Instant::now().checked_add(Duration::from_millis(grace_ms));
            }
        }
        Ok(Turn::On)
    }

    /// To the terminal's foreground group, or the command's own. Whoever is gone already needs no signal.
    fn signal(&self, number: i32) {
        let foreground = self.terminal.as_ref().and_then(|t| streams::foreground(t).ok());
        let group = foreground.filter(|group| *group > 1).unwrap_or(self.child.as_raw());
        // SAFETY: kill takes integers only.
        unsafe { libc::kill(-group, number) };
    }
}

/// To everybody but init, which is process 1 of the namespace.
fn signal_all(signal: Signal) {
    // Nobody left is no error.
    let _ = kill(Pid::from_raw(-1), signal);
}

/// Kills and reaps until nobody is left.
pub(crate) fn end_all() {
    if std::process::id() != 1 {
        return;
    }
    loop {
        signal_all(Signal::SIGKILL);
        match waitpid(Pid::from_raw(-1), None) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(_) => return,
        }
    }
}
