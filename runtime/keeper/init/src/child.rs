//! The command's process, from its fork to its exec.
//!
//! Its filter makes it wait for whoever holds the listener, so it can't hand the listener out by itself (`sendmsg` would wait
//! for the keeper, which has no listener yet). A courier does it: a process that shares its descriptors but not its
//! filter, and ends before anything else happens.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::ffi::{CString, OsStr};
use std::io::{PipeReader, PipeWriter, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use custody_init::channel::Channel;
use custody_init::protocol::{Failed, Start, Step, WatchNames};
use nix::errno::Errno;
use nix::sys::signal::{
    SaFlags, SigAction, SigHandler, SigSet, SigmaskHow, Signal, sigaction, sigprocmask,
};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use nix::sys::stat::{Mode, umask};
use nix::sys::wait::waitpid;
use nix::unistd::{
    AccessFlags, ForkResult, Pid, access, chdir, dup2_stderr, dup2_stdin, dup2_stdout, execve,
    fork, setsid,
};
use serde::{Deserialize, Serialize};

use crate::failure::{Failure, Try};
use crate::{filter, landlock, walls};

/// What the kernel leaves of a process that could not exec.
const EXIT_NOT_RUN: i32 = 127;

/// Where programs are looked for if the environment has no `PATH` (as POSIX systems do).
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Between init and the child, on a channel of their own.
#[derive(Serialize, Deserialize)]
pub(crate) enum Setup {
    /// The filter's listener comes with it.
    Listener,
    /// All walls stand.
    Prepared(BTreeMap<String, String>),
    /// To the child: exec now.
    Go,
    /// A step failed.
    Failed(Failed),
}

/// The command's process.
pub(crate) struct Child {
    pub(crate) pid: Pid,
    pub(crate) setup: Channel,
}

/// What the child made.
pub(crate) struct Prepared {
    pub(crate) notices: OwnedFd,
    pub(crate) protections: BTreeMap<String, String>,
}

fn broken(error: &dyn std::error::Error) -> Failure {
    Failure::new(Step::Fork, None, &format!("init and the command's process: {error}"))
}

impl Child {
    /// Makes it; it prepares itself and waits.
    pub(crate) fn fork(
        start: &Start,
        streams: [OwnedFd; 3],
        control: &Channel,
    ) -> Result<Self, Failure> {
        let (ours, theirs) =
            socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)
                .or_fail(Step::Fork, "socketpair")?;
        let ours = Channel::new(ours).map_err(|e| broken(&e))?;
        let theirs = Channel::new(theirs).map_err(|e| broken(&e))?;
        // Init hears of its end by a signalfd: blocked before there is anything to hear of.
        SigSet::from(Signal::SIGCHLD).thread_block().or_fail(Step::Fork, "sigprocmask")?;
        // SAFETY: init has one thread, so the child may do anything that its parent may.
        match unsafe { fork() }.or_fail(Step::Fork, "fork")? {
            ForkResult::Parent { child } => Ok(Self { pid: child, setup: ours }),
            ForkResult::Child => {
                // Closed here, so that the keeper's hang-up and init's end are seen.
                for fd in [control.as_fd().as_raw_fd(), ours.as_fd().as_raw_fd()] {
                    // SAFETY: nothing in this process uses the two channels any more; `exit` runs no destructor.
                    unsafe { libc::close(fd) };
                }
                let Err(Failure(failed)) = become_command(start, streams, &theirs);
                // A channel that is gone means that init is, and this process with it.
                let _ = theirs.send(&Setup::Failed(failed), &[]);
                exit(EXIT_NOT_RUN)
            }
        }
    }

    /// Waits until its walls stand.
    pub(crate) fn prepared(&self) -> Result<Prepared, Failure> {
        let mut notices = None;
        loop {
            match self.setup.receive::<Setup>().map_err(|e| broken(&e))? {
                Some((Setup::Listener, descriptors)) => notices = descriptors.into_iter().next(),
                Some((Setup::Prepared(protections), _)) => {
                    let notices = notices.ok_or_else(|| {
                        Failure::new(Step::Seccomp, None, "the listener did not arrive")
                    })?;
                    return Ok(Prepared { notices, protections });
                }
                Some((Setup::Failed(failed), _)) => return Err(Failure(failed)),
                Some((Setup::Go, _)) | None => {
                    return Err(Failure::new(
                        Step::Fork,
                        None,
                        "the command's process ended early",
                    ));
                }
            }
        }
    }
}

/// Ends the process at once: what its parent's destructors would do is not its business.
fn exit(code: i32) -> ! {
    // SAFETY: _exit may be called at any time.
    unsafe { libc::_exit(code) }
}

fn become_command(
    start: &Start,
    streams: [OwnedFd; 3],
    setup: &Channel,
) -> Result<Infallible, Failure> {
    restore_signals()?;
    setsid().or_fail(Step::Session, "setsid")?;
    if start.terminal.is_some() {
        // SAFETY: the ioctl takes an integer.
        let done = unsafe { libc::ioctl(streams[0].as_raw_fd(), libc::TIOCSCTTY, 0) };
        Errno::result(done).or_fail(Step::Session, "TIOCSCTTY")?;
    }
    dup2_stdin(&streams[0]).or_fail(Step::Streams, "dup2")?;
    dup2_stdout(&streams[1]).or_fail(Step::Streams, "dup2")?;
    dup2_stderr(&streams[2]).or_fail(Step::Streams, "dup2")?;
    drop(streams);
    chdir(Path::new(&start.cwd)).or_fail(Step::Directory, &start.cwd)?;
    umask(Mode::from_bits_truncate(0o022));

    let command = Command::new(start)?;
    let mut protections = BTreeMap::new();
    protections.insert("rlimits".to_owned(), walls::limit(&start.rlimits)?);
    walls::drop_privileges()?;
    protections.insert("capabilities".into(), "none".into());
    protections.insert("no_new_privs".into(), "set".into());
    protections.insert("landlock".into(), landlock::restrict(&start.landlock)?);
    protections.insert("seccomp".into(), filter_with_courier(setup, start.watch_names)?);
    setup.send(&Setup::Prepared(protections), &[]).map_err(|e| broken(&e))?;
    match setup.receive::<Setup>() {
        Ok(Some((Setup::Go, _))) => command.exec(),
        Ok(_) => exit(EXIT_NOT_RUN),
        Err(error) => Err(broken(&error)),
    }
}

/// Init's dispositions are not the command's: SIGPIPE would be ignored, SIGCHLD blocked.
fn restore_signals() -> Result<(), Failure> {
    let default = SigAction::new(SigHandler::SigDfl, SaFlags::empty(), SigSet::empty());
    for signal in Signal::iterator() {
        if !matches!(signal, Signal::SIGKILL | Signal::SIGSTOP) {
            // SAFETY: the default disposition runs no code of ours.
            unsafe { sigaction(signal, &default) }.or_fail(Step::Session, "sigaction")?;
        }
    }
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None)
        .or_fail(Step::Session, "sigprocmask")
}

fn filter_with_courier(setup: &Channel, names: WatchNames) -> Result<String, Failure> {
    let program = filter::program(names);
    let (mut reader, mut writer) = std::io::pipe().or_fail(Step::Seccomp, "pipe")?;
    let courier = courier(setup, &mut reader)?;
    match filter::install(&program, names) {
        Ok((listener, told)) => {
            say(&mut writer, listener.as_raw_fd())?;
            let done = waitpid(courier, None).or_fail(Step::Seccomp, "the listener's courier")?;
            match done {
                nix::sys::wait::WaitStatus::Exited(_, 0) => Ok(told),
                other => Err(Failure::new(Step::Seccomp, None, &format!("the courier: {other:?}"))),
            }
        }
        Err(errno) => {
            say(&mut writer, -1)?;
            waitpid(courier, None).or_fail(Step::Seccomp, "the listener's courier")?;
            Err(errno).or_fail(Step::Seccomp, "the system call filter")
        }
    }
}

fn say(writer: &mut PipeWriter, fd: i32) -> Result<(), Failure> {
    writer.write_all(&fd.to_ne_bytes()).or_fail(Step::Seccomp, "telling the courier")
}

/// Makes the courier: it waits for a descriptor's number and sends that descriptor to init.
fn courier(setup: &Channel, numbers: &mut PipeReader) -> Result<Pid, Failure> {
    let flags = libc::CLONE_FILES | libc::SIGCHLD;
    // SAFETY: without CLONE_VM and with no stack it is a fork of this process, which has one thread.
    let pid = unsafe { libc::syscall(libc::SYS_clone, flags, 0, 0, 0, 0) };
    let pid = Errno::result(pid).or_fail(Step::Seccomp, "making the courier")?;
    if pid != 0 {
        return Ok(Pid::from_raw(pid as libc::pid_t));
    }
    let mut number = [0; 4];
    let fd = match numbers.read_exact(&mut number) {
        Ok(()) => i32::from_ne_bytes(number),
        Err(_) => exit(1),
    };
    if fd < 0 {
        exit(1);
    }
    // SAFETY: the descriptors are shared; the command's process keeps this one open until the courier has ended.
    let listener = unsafe { BorrowedFd::borrow_raw(fd) };
    // No destructor runs: it would close descriptors of the command's process.
    exit(i32::from(setup.send(&Setup::Listener, &[listener]).is_err()))
}

struct Command {
    program: CString,
    arguments: Vec<CString>,
    environment: Vec<CString>,
}

impl Command {
    fn new(start: &Start) -> Result<Self, Failure> {
        let strings = |list: &[String]| -> Result<Vec<CString>, Failure> {
            list.iter()
                .map(|s| CString::new(s.as_str()))
                .collect::<Result<_, _>>()
                .map_err(|_| Failure::new(Step::Exec, Some(libc::EINVAL), "a NUL in an argument"))
        };
        let name =
            start.argv.first().filter(|name| !name.is_empty()).ok_or_else(|| {
                Failure::new(Step::Exec, Some(libc::EINVAL), "no command is given")
            })?;
        let path = start.env.iter().find_map(|e| e.strip_prefix("PATH=")).unwrap_or(DEFAULT_PATH);
        let program = find(name, path)?;
        let program = CString::new(program.as_os_str().as_bytes())
            .map_err(|_| Failure::new(Step::Exec, Some(libc::EINVAL), "a NUL in the program"))?;
        Ok(Self { program, arguments: strings(&start.argv)?, environment: strings(&start.env)? })
    }

    fn exec(&self) -> Result<Infallible, Failure> {
        let name = OsStr::from_bytes(self.program.as_bytes());
        execve(&self.program, &self.arguments, &self.environment)
            .or_fail(Step::Exec, &name.to_string_lossy())
    }
}

/// Looks for a program as `execvp(3)` does, but without trying: each try would be an exec in the record.
fn find(name: &str, path: &str) -> Result<PathBuf, Failure> {
    if name.contains('/') {
        return Ok(PathBuf::from(name));
    }
    let mut errno = Errno::ENOENT;
    for directory in path.split(':') {
        let candidate = Path::new(if directory.is_empty() { "." } else { directory }).join(name);
        if candidate.is_file() {
            match access(&candidate, AccessFlags::X_OK) {
                Ok(()) => return Ok(candidate),
                Err(found) => errno = found,
            }
        }
    }
    Err(errno).or_fail(Step::Exec, name)
}
