//! Who forked whom, and who ended how: the kernel's process connector, narrowed to one sandbox.
//!
//! Needs CAP_NET_ADMIN, and the initial network, user and pid namespaces. Without it `/proc` is read at each
//! [`Lifetimes::drain`]; processes that live shorter than that are missed, and that is told as a gap.

mod connector;
mod scan;

use std::collections::HashSet;
use std::io;
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use custody_record::event::{ExitStatus, GapCode};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::eventfd::EventFd;

use connector::{Connector, Heard, Received};

/// Takes the lives of a sandbox's processes. Pids are those of processes, in the keeper's pid namespace.
pub trait LifeSink: Send + Sync {
    /// `child` was forked by `parent`.
    fn forked(&self, parent: u32, child: u32);
    /// `pid` ended; how is absent where it was not heard.
    fn exited(&self, pid: u32, status: Option<ExitStatus>);
    /// Something was missed, in words.
    fn gap(&self, code: GapCode, reason: String);
}

/// Hears of the forks and exits below one process.
#[derive(Debug)]
pub struct Lifetimes {
    shared: Arc<Shared>,
    stop: Arc<EventFd>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    state: Mutex<State>,
    sink: Arc<dyn LifeSink>,
    connector: Option<Connector>,
}

struct State {
    /// Living processes of the sandbox.
    members: HashSet<u32>,
    buffer: Vec<u8>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("connector", &self.connector).finish_non_exhaustive()
    }
}

impl Lifetimes {
    /// Begins to hear of `root` (init, before it is told to start) and all that descends from it.
    ///
    /// # Errors
    /// A thread or its wake-up can't be made. A connector that can't be had is no error, but a gap.
    pub fn start(root: u32, sink: Arc<dyn LifeSink>) -> io::Result<Self> {
        let connector = match Connector::open() {
            Ok(connector) => Some(connector),
            Err(error) => {
                sink.gap(GapCode::LifetimesLost, format!(
                    "the kernel's process connector can't be had ({error}): processes that live \
                     shortly and never exec are not seen, and exit codes are not known"
                ));
                None
            }
        };
        let listens = connector.is_some();
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                members: HashSet::from([root]),
                buffer: vec![0; connector::MAX_DATAGRAM_BYTES],
            }),
            sink,
            connector,
        });
        // What was born before the connector was listened to.
        shared.rescan(&mut shared.lock());
        let stop = Arc::new(EventFd::new()?);
        let mut lifetimes = Self { shared, stop, thread: None };
        if listens {
            let (shared, stop) = (Arc::clone(&lifetimes.shared), Arc::clone(&lifetimes.stop));
            lifetimes.thread = Some(
                std::thread::Builder::new()
                    .name("lifetimes".into())
                    .spawn(move || shared.listen(&stop))?,
            );
        }
        Ok(lifetimes)
    }

    /// Returns when everything that the kernel had queued at the call has reached the sink. The sink must not call it.
    pub fn drain(&self) {
        self.shared.drain();
    }

    /// Living processes of the sandbox, the root among them.
    #[must_use]
    pub fn members(&self) -> Vec<u32> {
        self.shared.lock().members.iter().copied().collect()
    }

    /// Drains, and hears no more.
    pub fn finish(mut self) {
        self.drain();
        self.end();
    }

    fn end(&mut self) {
        if let Some(thread) = self.thread.take() {
            if let Err(errno) = self.stop.write(1) {
                tracing::error!(%errno, "the hearing of lifetimes can't be stopped");
                return;
            }
            if thread.join().is_err() {
                tracing::error!("the thread that hears of lifetimes panicked");
            }
        }
    }
}

impl Drop for Lifetimes {
    fn drop(&mut self) {
        self.end();
    }
}

impl Shared {
    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn listen(&self, stop: &EventFd) {
        let Some(connector) = &self.connector else { return };
        loop {
            let mut ready = [
                PollFd::new(connector.as_fd(), PollFlags::POLLIN),
                PollFd::new(stop.as_fd(), PollFlags::POLLIN),
            ];
            match poll(&mut ready, PollTimeout::NONE) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(errno) => {
                    self.sink.gap(
                        GapCode::LifetimesLost,
                        format!("waiting for the process connector failed: {errno}"),
                    );
                    return;
                }
            }
            if ready[1].revents().is_some_and(|r| !r.is_empty()) {
                return;
            }
            if !self.drain() {
                return;
            }
        }
    }

    /// False when the connector is of no more use.
    fn drain(&self) -> bool {
        let mut state = self.lock();
        let Some(connector) = &self.connector else {
            self.rescan(&mut state);
            return true;
        };
        let State { members, buffer } = &mut *state;
        loop {
            match connector.receive(buffer) {
                Ok(Received::Events(events)) => {
                    for heard in events {
                        self.take(members, heard);
                    }
                }
                Ok(Received::Nothing) => return true,
                Ok(Received::Overflow) => {
                    self.sink.gap(
                        GapCode::LifetimesLost,
                        "the kernel's process connector overflowed: forks and exits were missed"
                            .into(),
                    );
                    self.rescan(&mut state);
                    return true;
                }
                Err(error) => {
                    self.sink.gap(
                        GapCode::LifetimesLost,
                        format!("the kernel's process connector failed: {error}"),
                    );
                    return false;
                }
            }
        }
    }

    fn take(&self, members: &mut HashSet<u32>, heard: Heard) {
        match heard {
            Heard::Forked { parent, child } => {
                if members.contains(&parent) && members.insert(child) {
                    self.sink.forked(parent, child);
                }
            }
            Heard::Exited { pid, status } => {
                if members.remove(&pid) {
                    self.sink.exited(pid, Some(status));
                }
            }
        }
    }

    fn rescan(&self, state: &mut State) {
        let living = match scan::processes() {
            Ok(living) => living,
            Err(error) => {
                self.sink.gap(
                    GapCode::LifetimesLost,
                    format!("the list of processes can't be read: {error}"),
                );
                return;
            }
        };
        let dead: Vec<u32> =
            state.members.iter().copied().filter(|pid| !living.contains_key(pid)).collect();
        for pid in dead {
            state.members.remove(&pid);
            self.sink.exited(pid, None);
        }
        for (parent, child) in scan::descendants(&living, &state.members) {
            state.members.insert(child);
            self.sink.forked(parent, child);
        }
    }
}
