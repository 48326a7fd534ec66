//! What is opened of git's object store inside of the sandbox: the packs that git reads, and the empty files that stand in
//! the place of withheld objects.
//!
//! A fanotify group of permission events with a mark on the store's mount. Every open waits for its answer, which comes when
//! the open is in the record. A withheld object is refused; everything else is let through.
//!
//! Known limits: git maps its packs, so which objects of a pack it reads is not seen; that it opened the pack is. An object in a file
//! of its own is seen. When the
//! keeper dies, the kernel lets every open through: a withheld object is an empty file then.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::Arc;
use std::thread::JoinHandle;

use custody_model::{Clock, GitOid, WorkspacePath};
use custody_record::event::{
    FileDenied, FileKind, FileOutside, GapCode, HistoryRead, Operation, OutsidePlace,
};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::eventfd::EventFd;

use super::notices::NoticeSink;
use super::opened::{BUFFER_BYTES, Opened, group, mark, opened};
use super::walk::Spot;

/// What a process gets that opens a withheld object (fanotify's denial).
const REFUSED: &str = "EPERM";

/// A withheld object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Withheld {
    /// A path at which it stood.
    pub path: WorkspacePath,
    /// The rule that withholds it, as the policy spells it.
    pub rule: String,
}

/// Watches one sandbox's object store until it is dropped.
#[derive(Debug)]
pub struct Objects {
    thread: Option<JoinHandle<()>>,
    stop: Arc<EventFd>,
}

impl Objects {
    /// Watches the store that process `pid` sees at `point`.
    ///
    /// # Errors
    /// `EPERM` without `CAP_SYS_ADMIN` in the initial user namespace; the mount or a thread can't be had.
    pub fn watch(
        pid: u32,
        point: &str,
        withheld: BTreeMap<GitOid, Withheld>,
        sink: Arc<dyn NoticeSink>,
        clock: Arc<dyn Clock>,
    ) -> io::Result<Self> {
        let group = group(libc::FAN_CLASS_CONTENT)?;
        mark(&group, pid, point.as_bytes(), libc::FAN_OPEN_PERM)?;
        let stop = Arc::new(EventFd::new()?);
        let server = Server { group, withheld, sink, clock, own: std::process::id() };
        let woken = Arc::clone(&stop);
        let thread =
            std::thread::Builder::new().name("objects".into()).spawn(move || server.run(&woken))?;
        Ok(Self { thread: Some(thread), stop })
    }

    fn end(&mut self) {
        let Some(thread) = self.thread.take() else { return };
        if let Err(errno) = self.stop.write(1) {
            tracing::error!(%errno, "the watch of git's objects can't be stopped");
            return;
        }
        if thread.join().is_err() {
            tracing::error!("the thread that watches git's objects panicked");
        }
    }
}

impl Drop for Objects {
    fn drop(&mut self) {
        self.end();
    }
}

struct Server {
    group: OwnedFd,
    withheld: BTreeMap<GitOid, Withheld>,
    sink: Arc<dyn NoticeSink>,
    clock: Arc<dyn Clock>,
    own: u32,
}

impl Server {
    fn run(&self, stop: &EventFd) {
        let mut buffer = [0; BUFFER_BYTES];
        loop {
            let mut ready = [
                PollFd::new(self.group.as_fd(), PollFlags::POLLIN),
                PollFd::new(stop.as_fd(), PollFlags::POLLIN),
            ];
            match poll(&mut ready, PollTimeout::NONE) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(errno) => {
                    self.sink.gap(
                        GapCode::ObjectsUnobserved,
                        format!("waiting for opens of git's objects failed: {errno}"),
                    );
                    return;
                }
            }
            let seen = |fd: &PollFd<'_>| fd.revents().is_some_and(|r| !r.is_empty());
            if seen(&ready[0]) {
                match nix::unistd::read(&self.group, &mut buffer) {
                    Ok(read) => opened(&buffer[..read]).into_iter().for_each(|e| self.answer(e)),
                    Err(Errno::EAGAIN | Errno::EINTR) => {}
                    Err(errno) => {
                        self.sink.gap(
                            GapCode::ObjectsUnobserved,
                            format!("the opens of git's objects can't be received: {errno}"),
                        );
                        return;
                    }
                }
            } else if seen(&ready[1]) {
                return;
            }
        }
    }

    /// Records an open and answers it.
    fn answer(&self, Opened { id: pid, file, .. }: Opened) {
        // Without a descriptor nobody waits for an answer.
        let Ok(file) = file else { return };
        let response = match self.allows(pid, &file) {
            true => libc::FAN_ALLOW,
            false => libc::FAN_DENY,
        };
        let mut bytes = file.as_raw_fd().to_ne_bytes().to_vec();
        bytes.extend(response.to_ne_bytes());
        if let Err(errno) = nix::unistd::write(&self.group, &bytes) {
            self.sink.gap(
                GapCode::ObjectsUnobserved,
                format!("an open of git's objects was not answered: {errno}"),
            );
        }
    }

    fn allows(&self, pid: u32, file: &OwnedFd) -> bool {
        if pid == self.own {
            return true;
        }
        let path = file.try_clone().ok().and_then(|fd| Spot::of(fd).ok());
        let Some(path) = path.and_then(|spot| spot.path()) else {
            self.sink.gap(
                GapCode::ObjectsUnobserved,
                "the path of an opened file of git's objects can't be determined".to_owned(),
            );
            return true;
        };
        let time = self.clock.now();
        let told = match object(&path).and_then(|oid| self.withheld.get_key_value(&oid)) {
            Some((oid, Withheld { path, rule })) => {
                let denied = FileDenied {
                    path: path.clone(),
                    operation: Operation::Read,
                    target: None,
                    object: Some(oid.clone()),
                    rule: rule.clone(),
                    errno: REFUSED.to_owned(),
                    count: 1,
                };
                self.sink.denied(time, pid, denied).map(|()| false)
            }
            None => match outside(&path) {
                Some(outside) => self.sink.outside(time, pid, outside).map(|()| true),
                None => Ok(true),
            },
        };
        told.unwrap_or_else(|error| {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "an open of git's objects can't be recorded, so it is refused"
            );
            false
        })
    }
}

/// What an open of something of the store is: of a pack, or of an object in a file of its own.
fn outside(path: &[u8]) -> Option<FileOutside> {
    let object = object(path);
    let (operation, history) = match object {
        Some(_) => {
            let read = HistoryRead { commit: None, inferred: false, object, path: None };
            (Operation::Read, Some(read))
        }
        None if path.ends_with(b".pack") => (Operation::Open, None),
        None => return None,
    };
    let path = String::from_utf8_lossy(path).into_owned();
    let told = FileOutside::new(OutsidePlace::GitObjects, path, operation, FileKind::File);
    Some(FileOutside { history, ..told })
}

/// The object whose place a path is, as in `…/ab/cdef…`.
fn object(path: &[u8]) -> Option<GitOid> {
    let mut parts = path.rsplit(|b| *b == b'/');
    let (name, directory) = (parts.next()?, parts.next()?);
    let text = [directory, name].concat();
    std::str::from_utf8(&text).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_of_an_object_names_it() {
        let path = b"/custody/objects/c6/31544ba52d7e5ae7eb953edaa6ec51f6aa78d6";
        let expected: GitOid = "c631544ba52d7e5ae7eb953edaa6ec51f6aa78d6".parse().unwrap();
        assert_eq!(object(path), Some(expected));
        assert_eq!(object(b"/custody/objects/pack/pack-1.pack"), None);
        assert_eq!(object(b"custody.json"), None);
    }
}
