//! The recorder as those see it who serve the sandbox: exec and network notices, forks and exits, the observer's alarms.

use std::fs::File;
use std::io::Read;
use std::os::fd::AsFd;

use custody_model::{ImageId, Timestamp};
use custody_record::SinkError;
use custody_record::event::{
    Body, EgressDenied, ExitStatus, FileDenied, FileOutside, GapCode, GapSource,
};
use custody_workspace::AccessSink;
use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};
use nix::sys::stat::{SFlag, fstat};

use super::{Exec, Recorder};
use crate::inside::{ExecNotice, LifeSink, NoticeSink};

/// Longest argument that Linux takes, in bytes with its NUL (`MAX_ARG_STRLEN`).
const MAX_ARGUMENT_BYTES: usize = 32 * 4096;

/// Bytes of an environment in which a search path is looked for.
const MAX_ENVIRONMENT_BYTES: u64 = 256 << 10;

impl NoticeSink for Recorder {
    fn executed(&self, notice: ExecNotice) -> Result<ImageId, SinkError> {
        let failed = match notice.mode {
            Some(mode) => (!can_run(mode)).then_some(Errno::EACCES),
            None => fails(notice.pid, &notice.path),
        };
        // The kernel counts the arguments after it has opened the file.
        let too_many = too_many(&notice.argv, notice.argv_cut).then_some(Errno::E2BIG);
        let path = if failed.is_some() { search_path(notice.pid) } else { Vec::new() };
        let failed = failed.or(too_many).map(|errno| format!("{errno:?}"));
        let exec = Exec {
            time: notice.time,
            pid: notice.pid,
            parent: notice.parent,
            exe: notice.path,
            argv: notice.argv,
            argv_cut: notice.argv_cut,
            cwd: notice.cwd,
            failed,
            file: notice.file,
            corrects: None,
            tried: None,
        };
        self.record_exec(exec, &path)
    }

    fn corrected(
        &self,
        time: Timestamp,
        notice: ExecNotice,
        image: ImageId,
        opened: String,
    ) -> Result<(), SinkError> {
        let exec = Exec {
            time,
            pid: notice.pid,
            parent: notice.parent,
            exe: opened,
            argv: notice.argv,
            argv_cut: notice.argv_cut,
            cwd: notice.cwd,
            failed: None,
            file: None,
            corrects: Some(image),
            tried: None,
        };
        self.record_exec(exec, &[]).map(drop)
    }

    fn refused(
        &self,
        time: Timestamp,
        pid: Option<u32>,
        denied: EgressDenied,
    ) -> Result<(), SinkError> {
        self.egress_denied(time, pid, denied)
    }

    fn denied(&self, time: Timestamp, pid: u32, denied: FileDenied) -> Result<(), SinkError> {
        self.access(time, pid, Body::FileDenied(denied))
    }

    fn outside(&self, time: Timestamp, pid: u32, outside: FileOutside) -> Result<(), SinkError> {
        self.access(time, pid, Body::FileOutside(outside))
    }

    fn gap(&self, code: GapCode, reason: String) {
        if let Err(error) = Self::gap(self, GapSource::Processes, code, reason) {
            self.tell_broken(error);
        }
    }
}

impl LifeSink for Recorder {
    fn forked(&self, parent: u32, child: u32) {
        self.lock().processes.forked(parent, child);
    }

    fn exited(&self, pid: u32, status: Option<ExitStatus>) {
        Self::exited(self, pid, status);
    }

    fn gap(&self, code: GapCode, reason: String) {
        if let Err(error) = Self::gap(self, GapSource::Processes, code, reason) {
            self.tell_broken(error);
        }
    }
}

/// The directories in which a process looks for programs, as its environment said when it was executed. It may use others:
/// then its search is over when it does something else.
fn search_path(pid: u32) -> Vec<String> {
    let Ok(file) = File::open(format!("/proc/{pid}/environ")) else { return Vec::new() };
    let mut environment = Vec::new();
    if file.take(MAX_ENVIRONMENT_BYTES).read_to_end(&mut environment).is_err() {
        return Vec::new();
    }
    let path = environment.split(|b| *b == 0).find_map(|entry| entry.strip_prefix(b"PATH="));
    let path = path.unwrap_or_default();
    path.split(|b| *b == b':').map(|p| String::from_utf8_lossy(p).into_owned()).collect()
}

/// Whether the kernel refuses these arguments. What else counts there, the environment and the stack's limit, is not looked at.
fn too_many(argv: &[String], cut: bool) -> bool {
    cut || argv.iter().any(|argument| argument.len() >= MAX_ARGUMENT_BYTES)
}

/// Whether a file with these type and permission bits can be run by anybody.
pub(crate) fn can_run(mode: u32) -> bool {
    let regular = SFlag::from_bits_truncate(mode) & SFlag::S_IFMT == SFlag::S_IFREG;
    regular && mode & 0o111 != 0
}

/// Whether an exec of `path` by `pid` is about to fail because there is nothing that can be executed: a shell tries
/// each directory of its search path. Seen as the process sees it, while it waits.
fn fails(pid: u32, path: &str) -> Option<Errno> {
    let (start, resolve) = if path.starts_with('/') {
        ("root", ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_MAGICLINKS)
    } else {
        ("cwd", ResolveFlag::RESOLVE_NO_MAGICLINKS)
    };
    // What can't be looked at is not known to fail.
    let start = File::open(format!("/proc/{pid}/{start}")).ok()?;
    let how = OpenHow::new().flags(OFlag::O_PATH | OFlag::O_CLOEXEC).resolve(resolve);
    match openat2(start.as_fd(), path, how) {
        Ok(found) => {
            let found = fstat(&found).ok()?;
            (!can_run(found.st_mode)).then_some(Errno::EACCES)
        }
        Err(errno @ (Errno::ENOENT | Errno::ENOTDIR | Errno::ENAMETOOLONG | Errno::EACCES)) => {
            Some(errno)
        }
        Err(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exec_of_nothing_is_known_to_fail() {
        let own = std::process::id();
        assert_eq!(fails(own, "/usr/bin/no-such-program"), Some(Errno::ENOENT));
        assert_eq!(fails(own, "/etc/passwd"), Some(Errno::EACCES));
        assert_eq!(fails(own, "/usr/bin"), Some(Errno::EACCES));
        assert_eq!(fails(own, "/usr/bin/env"), None);
    }
}
