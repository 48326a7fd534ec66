//! The control socket: waiting for init, and speaking with it.

use std::collections::BTreeMap;
use std::fs::Permissions;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use custody_init::channel::{Channel, ChannelError};
use custody_init::protocol::{
    CONTROL_SOCKET, Descriptor, ExitStatus, Failed, FromInit, Start, ToInit, Window,
};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, UnixAddr, accept4, bind, getsockopt,
    listen as listen_on, socket, sockopt,
};

use crate::socket_path::SocketPath;

/// Why init could not be reached or understood.
#[derive(Debug, thiserror::Error)]
pub enum InsideError {
    /// The control socket could not be made.
    #[error("the control socket {path} can't be made")]
    Listen {
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Waiting failed.
    #[error("waiting for init failed")]
    Wait(#[source] Errno),
    /// Init did not speak in time.
    #[error("init said nothing for {0:?}")]
    TimedOut(Duration),
    /// The channel failed.
    #[error("speaking with init failed")]
    Channel(#[from] ChannelError),
    /// Init ended without a word.
    #[error("init is gone")]
    HungUp,
    /// A step of init failed.
    #[error("init failed at {:?}: {}", .0.step, .0.message)]
    Failed(Failed),
    /// Init said something that does not belong there.
    #[error("init answered out of turn: {0}")]
    OutOfTurn(String),
}

/// Who may connect as init.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its user, as the keeper sees it (on the host).
    pub uid: u32,
    /// Its process, as the keeper sees it; any process if absent.
    pub pid: Option<u32>,
}

/// A control socket on which nobody has connected yet. Its name goes with it.
#[derive(Debug)]
pub struct Listener {
    socket: OwnedFd,
    path: PathBuf,
}

/// Makes [`CONTROL_SOCKET`] in `directory`, which the sandbox sees. Its path may have any length.
///
/// # Errors
/// [`InsideError::Listen`].
pub fn listen(directory: &Path) -> Result<Listener, InsideError> {
    let path = directory.join(CONTROL_SOCKET);
    let make = || -> io::Result<OwnedFd> {
        let socket =
            socket(AddressFamily::Unix, SockType::SeqPacket, SockFlag::SOCK_CLOEXEC, None)?;
        let reach = SocketPath::of(&path)?;
        bind(socket.as_raw_fd(), &UnixAddr::new(reach.path())?)?;
        // The agent's user has to connect; who it is is checked at accept.
        std::fs::set_permissions(&path, Permissions::from_mode(0o666))?;
        listen_on(&socket, Backlog::new(4)?)?;
        Ok(socket)
    };
    match make() {
        Ok(socket) => Ok(Listener { socket, path }),
        Err(source) => Err(InsideError::Listen { path, source }),
    }
}

impl Listener {
    /// The first connection of `peer`; others are closed. The socket's name is gone then, so nobody else connects.
    ///
    /// # Errors
    /// [`InsideError::TimedOut`] and those of the socket.
    pub fn accept(self, peer: Peer, timeout: Duration) -> Result<Inside, InsideError> {
        let deadline = Instant::now() + timeout;
        loop {
            if !readable(self.socket.as_fd(), Some(deadline))? {
                return Err(InsideError::TimedOut(timeout));
            }
            let raw = match accept4(self.socket.as_raw_fd(), SockFlag::SOCK_CLOEXEC) {
                Ok(raw) => raw,
                Err(Errno::EINTR | Errno::ECONNABORTED) => continue,
                Err(errno) => return Err(InsideError::Wait(errno)),
            };
            // SAFETY: accept4 has just made this descriptor; nobody else owns it.
            let connection = unsafe { OwnedFd::from_raw_fd(raw) };
            let who =
                getsockopt(&connection, sockopt::PeerCredentials).map_err(InsideError::Wait)?;
            let pid = u32::try_from(who.pid()).unwrap_or(0);
            if who.uid() == peer.uid && pid != 0 && peer.pid.is_none_or(|p| p == pid) {
                return Ok(Inside { channel: Channel::new(connection)?, pid });
            }
            tracing::warn!(uid = who.uid(), pid, "somebody else than init connected");
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.path) {
            tracing::warn!(%error, path = %self.path.display(), "the control socket stays");
        }
    }
}

/// A connected init. Shared by threads: one waits for [`Inside::next_event`], all may send.
#[derive(Debug)]
pub struct Inside {
    channel: Channel,
    pid: u32,
}

/// The command's standard streams, the keeper's ends.
#[derive(Debug)]
pub enum Streams {
    /// The master side of its terminal.
    Terminal(OwnedFd),
    /// A pipe for each.
    Pipes {
        /// Write end; absent when it reads `/dev/null`.
        stdin: Option<OwnedFd>,
        /// Read end.
        stdout: OwnedFd,
        /// Read end.
        stderr: OwnedFd,
    },
}

/// What init made.
#[derive(Debug)]
pub struct Ready {
    /// The command's streams.
    pub streams: Streams,
    /// For [`super::Notices::serve`].
    pub notices: OwnedFd,
    /// For [`super::Relay`]: the proxy's listening socket, if it was asked for.
    pub proxy: Option<OwnedFd>,
    /// The name server's UDP socket, if it could be made.
    pub names_udp: Option<OwnedFd>,
    /// The name server's TCP socket, if it could be made.
    pub names_tcp: Option<OwnedFd>,
    /// Name of a protection → how it took.
    pub protections: BTreeMap<String, String>,
}

/// What init tells while the command runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The command ended; wait for [`Event::HungUp`]: then nothing of it is left.
    Exited(ExitStatus),
    /// The command could not be run.
    Failed(Failed),
    /// Init is gone, and with it every process of the sandbox.
    HungUp,
}

impl Inside {
    /// Init's pid, as the keeper sees it.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Has init prepare everything. Nothing of the command has run when it returns.
    ///
    /// # Errors
    /// [`InsideError::Failed`] tells the step; [`InsideError::TimedOut`].
    pub fn start(&self, start: Start, timeout: Duration) -> Result<Ready, InsideError> {
        custody_init::start::send(&self.channel, start)?;
        if !readable(self.channel.as_fd(), Some(Instant::now() + timeout))? {
            return Err(InsideError::TimedOut(timeout));
        }
        match self.channel.receive()? {
            Some((FromInit::Ready(ready), descriptors)) => sort(ready, descriptors),
            Some((FromInit::Failed(failed), _)) => Err(InsideError::Failed(failed)),
            Some((FromInit::Exited(status), _)) => {
                Err(InsideError::OutOfTurn(format!("{status:?}")))
            }
            None => Err(InsideError::HungUp),
        }
    }

    /// Runs the command. Serve the notices before: its first `execve` waits for the answer.
    ///
    /// # Errors
    /// Those of the channel.
    pub fn go(&self) -> Result<(), InsideError> {
        Ok(self.channel.send(&ToInit::Go, &[])?)
    }

    /// Sends `signal` (Linux number) to the terminal's foreground group or the command's process group.
    ///
    /// # Errors
    /// Those of the channel.
    pub fn signal(&self, signal: i32) -> Result<(), InsideError> {
        Ok(self.channel.send(&ToInit::Signal(signal), &[])?)
    }

    /// Gives the terminal another size.
    ///
    /// # Errors
    /// Those of the channel.
    pub fn resize(&self, window: Window) -> Result<(), InsideError> {
        Ok(self.channel.send(&ToInit::Resize(window), &[])?)
    }

    /// SIGTERM to every process inside, SIGKILL to the rest after `grace`.
    ///
    /// # Errors
    /// Those of the channel.
    pub fn stop(&self, grace: Duration) -> Result<(), InsideError> {
        let grace_ms = u64::try_from(grace.as_millis()).unwrap_or(u64::MAX);
        Ok(self.channel.send(&ToInit::Stop { grace_ms }, &[])?)
    }

    /// The next event; `None` when there was none for `timeout` (absent: waits for ever).
    ///
    /// # Errors
    /// Those of the channel; [`InsideError::OutOfTurn`].
    pub fn next_event(&self, timeout: Option<Duration>) -> Result<Option<Event>, InsideError> {
        if !readable(self.channel.as_fd(), timeout.map(|t| Instant::now() + t))? {
            return Ok(None);
        }
        Ok(Some(match self.channel.receive()? {
            Some((FromInit::Exited(status), _)) => Event::Exited(status),
            Some((FromInit::Failed(failed), _)) => Event::Failed(failed),
            Some((FromInit::Ready(_), _)) => return Err(InsideError::OutOfTurn("ready".into())),
            None => Event::HungUp,
        }))
    }
}

impl AsFd for Inside {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.channel.as_fd()
    }
}

fn sort(
    ready: custody_init::protocol::Ready,
    descriptors: Vec<OwnedFd>,
) -> Result<Ready, InsideError> {
    if ready.descriptors.len() != descriptors.len() {
        return Err(InsideError::OutOfTurn(format!(
            "{} descriptors where {} were announced",
            descriptors.len(),
            ready.descriptors.len()
        )));
    }
    let mut named: BTreeMap<Descriptor, OwnedFd> =
        ready.descriptors.into_iter().zip(descriptors).collect();
    let missing = |what: &str| InsideError::OutOfTurn(format!("no descriptor for {what}"));
    let streams = match named.remove(&Descriptor::Terminal) {
        Some(master) => Streams::Terminal(master),
        None => Streams::Pipes {
            stdin: named.remove(&Descriptor::Stdin),
            stdout: named.remove(&Descriptor::Stdout).ok_or_else(|| missing("standard output"))?,
            stderr: named.remove(&Descriptor::Stderr).ok_or_else(|| missing("standard error"))?,
        },
    };
    Ok(Ready {
        streams,
        notices: named.remove(&Descriptor::Notices).ok_or_else(|| missing("the notices"))?,
        proxy: named.remove(&Descriptor::Proxy),
        names_udp: named.remove(&Descriptor::NamesUdp),
        names_tcp: named.remove(&Descriptor::NamesTcp),
        protections: ready.protections,
    })
}

/// Waits until `fd` can be read (or its other end is gone); false after `deadline`.
pub(super) fn readable(fd: BorrowedFd<'_>, deadline: Option<Instant>) -> Result<bool, InsideError> {
    loop {
        let wait = match deadline {
            None => PollTimeout::NONE,
            Some(at) => {
                let left = at.saturating_duration_since(Instant::now());
                // Rounded up, so that the last millisecond is waited for and not spun through.
                PollTimeout::try_from(left + Duration::from_micros(999)).unwrap_or(PollTimeout::MAX)
            }
        };
        match poll(&mut [PollFd::new(fd, PollFlags::POLLIN)], wait) {
            Ok(0) if deadline.is_some_and(|at| Instant::now() < at) => {}
            Ok(0) => return Ok(false),
            Ok(_) => return Ok(true),
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(InsideError::Wait(errno)),
        }
    }
}
