//! Answers the seccomp listener: every exec, connect and send of the sandbox waits here until it is in the record.
//!
//! The caller is blocked while its memory is read, and the notification is checked to be alive after the reading, so a
//! pid that was used again can't be mistaken for it. What another thread of the caller rewrites after that is not seen
//! here: for an exec `programs` compares the file with what the kernel opened; for addresses see `network`.
//!
//! Invariant: an exec that the sink could not take is refused with `EIO`.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::thread::JoinHandle;

use custody_model::{Clock, ImageId, Timestamp};
use custody_record::SinkError;
use custody_record::event::{EgressDenied, FileDenied, FileOutside, GapCode};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::eventfd::EventFd;

use super::memory::{Memory, MemoryError, Who};
use super::names::{GuardedNames, Refusal};
use super::network::Network;
use super::owners::PortOwners;
use super::programs::Programs;
use super::seccomp::{Call, Exec, Name, Notification, Received, Reply, SeccompListener};
use super::walk::{Spot, Walk};

/// Longest path that `execve` takes, in bytes (`PATH_MAX`).
const MAX_PATH_BYTES: usize = 4096;

/// Takes what the sandbox asks for, before it is answered.
pub trait NoticeSink: Send + Sync {
    /// A process is about to run another program.
    ///
    /// # Errors
    /// The record can't be written: the exec is refused with `EIO`.
    fn executed(&self, notice: ExecNotice) -> Result<ImageId, SinkError>;

    /// The kernel opened the file `opened` for an exec that was told by [`NoticeSink::executed`] as `image`, with another
    /// file.
    ///
    /// # Errors
    /// The record can't be written.
    fn corrected(
        &self,
        time: Timestamp,
        notice: ExecNotice,
        image: ImageId,
        opened: String,
    ) -> Result<(), SinkError>;

    /// A process tried to reach something outside; it is refused whatever this returns. `pid` is a process (not a
    /// thread) in the keeper's pid namespace, absent where it is not known.
    ///
    /// # Errors
    /// The record can't be written: the caller gets `EIO` in place of the network's error.
    fn refused(
        &self,
        time: Timestamp,
        pid: Option<u32>,
        denied: EgressDenied,
    ) -> Result<(), SinkError>;

    /// A process tried to rename, remove or link something across the border of a guard; it is refused whatever this
    /// returns.
    ///
    /// # Errors
    /// The record can't be written: the caller gets `EIO`.
    fn denied(&self, time: Timestamp, pid: u32, denied: FileDenied) -> Result<(), SinkError>;

    /// A process opened a file outside of the workspace.
    ///
    /// # Errors
    /// The record can't be written: the open is refused.
    fn outside(&self, time: Timestamp, pid: u32, outside: FileOutside) -> Result<(), SinkError>;

    /// Something was missed, in words.
    fn gap(&self, code: GapCode, reason: String);
}

/// One `execve` or `execveat`, before it happens. Texts that are not UTF-8 have U+FFFD in place of what is not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExecNotice {
    /// When it was asked for.
    pub time: Timestamp,
    /// The process, in the keeper's pid namespace.
    pub pid: u32,
    /// The thread that called.
    pub tid: u32,
    /// The parent process, if it is seen from the keeper's pid namespace.
    pub parent: Option<u32>,
    /// The path as it was given; for `execveat` with a descriptor, what that descriptor is open on comes before it.
    pub path: String,
    /// The file that it leads to, if that is another path.
    pub file: Option<String>,
    /// Type and permission bits of that file; none if nothing was found.
    pub mode: Option<u32>,
    /// The arguments.
    pub argv: Vec<String>,
    /// The arguments are longer than [`NoticeLimits::argv_bytes`]; the rest is missing.
    pub argv_cut: bool,
    /// The working directory, as the sandbox sees it.
    pub cwd: Option<String>,
}

/// How much is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoticeLimits {
    /// Arguments of one exec, in bytes with their ends.
    pub argv_bytes: usize,
    /// Connects to loopback on blocking sockets that wait at one time; one more gets `EAGAIN`.
    pub waiting_connects: usize,
}

impl NoticeLimits {
    /// Most bytes of arguments by default: more than 6 MiB, pointers included, Linux takes from nobody (`fs/exec.c`, three
    /// quarters of `_STK_LIM`).
    pub const MAX_ARGV_BYTES: usize = 6 << 20;
    /// Most waiting connects by default.
    pub const MAX_WAITING_CONNECTS: usize = 64;
}

impl Default for NoticeLimits {
    fn default() -> Self {
        Self { argv_bytes: Self::MAX_ARGV_BYTES, waiting_connects: Self::MAX_WAITING_CONNECTS }
    }
}

/// The thread that serves one listener.
#[derive(Debug)]
pub struct Notices {
    thread: Option<JoinHandle<()>>,
    stop: Arc<EventFd>,
}

impl Notices {
    /// Serves `listener` (from [`super::Ready::notices`]) until the last process of the sandbox is gone.
    ///
    /// # Errors
    /// The thread or its wake-up can't be made.
    pub fn serve(
        listener: OwnedFd,
        sink: Arc<dyn NoticeSink>,
        clock: Arc<dyn Clock>,
        owners: Arc<PortOwners>,
        names: GuardedNames,
        programs: Option<Arc<Programs>>,
        limits: NoticeLimits,
    ) -> io::Result<Self> {
        let stop = Arc::new(EventFd::new()?);
        let listener = Arc::new(SeccompListener::new(listener));
        let server = Server {
            network: Network::new(
                Arc::clone(&listener),
                Arc::clone(&sink),
                owners,
                limits.waiting_connects,
            ),
            listener,
            sink,
            clock,
            names,
            programs,
            limits,
        };
        let woken = Arc::clone(&stop);
        let thread =
            std::thread::Builder::new().name("notices".into()).spawn(move || server.run(&woken))?;
        Ok(Self { thread: Some(thread), stop })
    }

    /// Returns when every notice that came before the end of the sandbox is answered. Call it after
    /// [`super::Event::HungUp`]; what still waits then is refused by the kernel.
    pub fn finish(mut self) {
        self.end();
    }

    fn end(&mut self) {
        if let Some(thread) = self.thread.take() {
            if let Err(errno) = self.stop.write(1) {
                tracing::error!(%errno, "the notices can't be stopped");
                return;
            }
            if thread.join().is_err() {
                tracing::error!("the thread that answers notices panicked");
            }
        }
    }
}

impl Drop for Notices {
    fn drop(&mut self) {
        self.end();
    }
}

struct Server {
    listener: Arc<SeccompListener>,
    sink: Arc<dyn NoticeSink>,
    clock: Arc<dyn Clock>,
    network: Network,
    names: GuardedNames,
    programs: Option<Arc<Programs>>,
    limits: NoticeLimits,
}

impl Server {
    fn run(&self, stop: &EventFd) {
        loop {
            let mut ready = [
                PollFd::new(self.listener.as_fd(), PollFlags::POLLIN),
                PollFd::new(stop.as_fd(), PollFlags::POLLIN),
            ];
            match poll(&mut ready, PollTimeout::NONE) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(errno) => {
                    self.sink
                        .gap(GapCode::NoticesLost, format!("waiting for notices failed: {errno}"));
                    return;
                }
            }
            let seen = |fd: &PollFd<'_>, flag| fd.revents().is_some_and(|r| r.contains(flag));
            if seen(&ready[0], PollFlags::POLLIN) {
                match self.listener.receive() {
                    Ok(Received::Notification(notification)) => self.answer(notification),
                    Ok(Received::Gone) => {}
                    Err(error) => {
                        self.sink.gap(
                            GapCode::NoticesLost,
                            format!("receiving a notice failed: {error}"),
                        );
                        return;
                    }
                }
            } else if seen(&ready[0], PollFlags::POLLHUP) || seen(&ready[1], PollFlags::POLLIN) {
                return;
            }
        }
    }

    fn answer(&self, notification: Notification) {
        let time = self.clock.now();
        let reply = match &notification.call {
            Call::Exec(exec) => self.exec(time, &notification, exec),
            Call::Connect(connect) => match self.network.connect(time, &notification, *connect) {
                Some(reply) => reply,
                // A thread of its own answers.
                None => return,
            },
            Call::Send(send) => self.network.send(time, &notification, *send),
            Call::Name(name) => self.name(time, &notification, name),
            Call::Unknown(number) => {
                self.sink.gap(
                    GapCode::NoticesLost,
                    format!("an unexpected notice of system call {number}"),
                );
                Reply::Errno(Errno::ENOSYS)
            }
        };
        if let Err(error) = self.listener.reply(notification.id, reply) {
            self.sink.gap(GapCode::NoticesLost, format!("answering a notice failed: {error}"));
        }
    }

    fn name(&self, time: Timestamp, notification: &Notification, name: &Name) -> Reply {
        let refusal = match self.names.refused(notification.tid, name) {
            Ok(Some(refusal)) if self.listener.alive(notification.id) => refusal,
            // It is only for the record: the kernel refuses by itself what has to be refused.
            Ok(Some(_) | None) => return Reply::Continue,
            Err(MemoryError::Unreadable(error)) => {
                self.sink.gap(GapCode::ProcessUnreadable, format!(
                    "a rename, removal or link was not looked at, because its process can't be read: {error}"
                ));
                return Reply::Continue;
            }
            Err(
                MemoryError::Gone
                | MemoryError::Fault
                | MemoryError::PathTooLong
                | MemoryError::Descriptor,
            ) => return Reply::Continue,
        };
        let Refusal { denied, errno } = refusal;
        let told = Who::of(notification.tid).map(|who| self.sink.denied(time, who.pid, denied));
        match told {
            Ok(Ok(())) => Reply::Errno(errno),
            Ok(Err(error)) => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "a refusal is not on record"
                );
                Reply::Errno(Errno::EIO)
            }
            Err(error) => error.reply(&*self.sink, "a rename, removal or link"),
        }
    }

    fn exec(&self, time: Timestamp, notification: &Notification, exec: &Exec) -> Reply {
        match self.read_exec(time, notification, exec) {
            Ok((notice, found)) => match self.tell_exec(notice, found) {
                Ok(()) => Reply::Continue,
                Err(error) => {
                    tracing::error!(error = &error as &dyn std::error::Error, "exec refused");
                    Reply::Errno(Errno::EIO)
                }
            },
            Err(error) => error.reply(&*self.sink, "an exec"),
        }
    }

    /// Tells of the exec, and has it compared with what the kernel opens for it.
    fn tell_exec(&self, notice: ExecNotice, found: Option<Spot>) -> Result<(), SinkError> {
        let Some(programs) = &self.programs else { return self.sink.executed(notice).map(drop) };
        // What this thread ran before is compared before it is taken to have run something else.
        programs.drain()?;
        let image = self.sink.executed(notice.clone())?;
        programs.expect(notice, image, found);
        Ok(())
    }

    fn read_exec(
        &self,
        time: Timestamp,
        notification: &Notification,
        exec: &Exec,
    ) -> Result<(ExecNotice, Option<Spot>), MemoryError> {
        let mut memory = Memory::open(notification.tid)?;
        let who = Who::of(notification.tid)?;
        let given = memory.string(exec.path, MAX_PATH_BYTES)?.ok_or(MemoryError::PathTooLong)?;
        let path = match exec.directory {
            Some(fd) if !given.starts_with(b"/") => {
                let base = who.descriptor(fd)?;
                if given.is_empty() { base } else { format!("{base}/{}", text(&given)) }
            }
            Some(_) | None => text(&given),
        };
        let arguments = memory.strings(exec.argv, self.limits.argv_bytes)?;
        let cwd = who.cwd();
        let found = Walk::of(notification.tid, &|_| true).and_then(|walk| match exec.directory {
            Some(fd) if given.is_empty() => walk.descriptor(fd),
            directory => walk.object(directory, &given, true),
        });
        let file = found.as_ref().and_then(Spot::path).map(|file| text(&file));
        if !self.listener.alive(notification.id) {
            return Err(MemoryError::Gone);
        }
        let notice = ExecNotice {
            time,
            pid: who.pid,
            tid: notification.tid,
            parent: who.parent,
            file: file.filter(|file| *file != path),
            mode: found.as_ref().map(|found| found.mode),
            path,
            argv: arguments.strings.iter().map(|a| text(a)).collect(),
            argv_cut: arguments.cut,
            cwd,
        };
        Ok((notice, found))
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
