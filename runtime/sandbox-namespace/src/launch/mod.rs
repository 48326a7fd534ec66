//! The launcher: a small process between the keeper and a sandbox, executed anew from the same binary.
//!
//! The keeper has threads, so it must not fork and go on; the launcher has one. It stays as the parent of process 1
//! for as long as the sandbox lives: it writes the id maps, hears of the end, and holds the lifeline. If the keeper
//! dies, the launcher reads the end of its socket and kills process 1; if the launcher dies, the kernel does.

mod device;
mod etc;
mod identity;
mod mount;
mod network;
mod process_one;
mod root;
mod step;
mod verify;

use std::ffi::OsString;
use std::fs;
use std::io::{self, BufRead, BufReader, Read};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;

use custody_model::state::sandbox::SandboxEnd;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};

pub(crate) use self::root::{ADDED_TREES, SYSTEM_TREES};

use self::process_one::{Said, Told, send};
use self::step::{During, Failure};
use crate::plan::{FromLauncher, Plan, ToLauncher};

/// How much of process 1's standard error is kept, in bytes: the last ones.
const MESSAGES_MAX: usize = 16 * 1024;
/// The longest plan, in bytes.
const PLAN_MAX: u64 = 1024 * 1024;

/// The hidden subcommand. `args` are those after it: there are none. Its standard input is the driver's socket.
///
/// It must be called before the process has started any thread.
#[must_use]
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    if args.into_iter().next().is_some() {
        eprintln!("the launcher takes no arguments: only a driver starts it");
        return ExitCode::from(2);
    }
    match serve() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("sandbox launcher: {}: {}", failure.step, failure.reason);
            ExitCode::FAILURE
        }
    }
}

fn serve() -> Result<(), Failure> {
    // SAFETY: the arguments are numbers; this process has opened nothing of its own yet.
    if unsafe { libc::close_range(3, libc::c_uint::MAX, 0) } < 0 {
        return Err(io::Error::last_os_error()).during(|| "close what was inherited".to_owned());
    }
    let mut driver = take_socket()?;
    nix::unistd::chdir("/").during(|| "leave the working directory".to_owned())?;
    // A signal to the keeper's terminal is the keeper's to handle.
    nix::unistd::setsid().during(|| "start a session".to_owned())?;
    let mut lines = BufReader::new(driver.try_clone().during(|| "copy the socket".to_owned())?);
    let mut line = String::new();
    lines.by_ref().take(PLAN_MAX).read_line(&mut line).during(|| "read the plan".to_owned())?;
    let plan: Plan = serde_json::from_str(&line).during(|| "read the plan".to_owned())?;
    let said = Sandbox::prepare(&plan).and_then(|(sandbox, protections)| {
        let pid = sandbox.pid;
        tell(&mut driver, &FromLauncher::Prepared { pid, protections })?;
        sandbox.watch(&mut driver, &mut lines)
    });
    let last = match said {
        Ok(Some(ended)) => ended,
        Ok(None) => return Ok(()),
        Err(Failure { step, reason }) => FromLauncher::Failed { step, reason },
    };
    tell(&mut driver, &last)
}

fn tell(driver: &mut UnixStream, message: &FromLauncher) -> Result<(), Failure> {
    send(driver, message).during(|| "tell the driver".to_owned())
}

/// Takes the driver's socket from standard input and leaves `/dev/null` there.
fn take_socket() -> Result<UnixStream, Failure> {
    let owned = io::stdin()
        .as_fd()
        .try_clone_to_owned()
        .during(|| "take the driver's socket".to_owned())?;
    let null = fs::File::open("/dev/null").during(|| "open /dev/null".to_owned())?;
    // SAFETY: dup2 on an open descriptor; nothing in this process owns 0.
    if unsafe { libc::dup2(null.as_raw_fd(), 0) } < 0 {
        return Err(io::Error::last_os_error()).during(|| "let go of the input".to_owned());
    }
    Ok(UnixStream::from(owned))
}

/// Process 1 as its parent sees it. It is killed and reaped when this is dropped.
struct Sandbox {
    pid: u32,
    handle: OwnedFd,
    stream: UnixStream,
    errors: io::PipeReader,
    messages: Vec<u8>,
    reaped: bool,
}

impl Sandbox {
    /// Makes process 1 and goes with it through everything up to the execution of init.
    fn prepare(plan: &Plan) -> Result<(Self, std::collections::BTreeMap<String, String>), Failure> {
        let (ours, theirs) = UnixStream::pair().during(|| "make a socket pair".to_owned())?;
        let (errors, errors_in) = io::pipe().during(|| "make a pipe".to_owned())?;
        let Some((pid, handle)) = fork_into_namespaces()? else {
            drop((ours, errors));
            let mut report = theirs.try_clone().ok();
            let Err(Failure { step, reason }) = process_one::run(plan, theirs, errors_in.into());
            if let Some(stream) = report.as_mut() {
                // If the launcher is gone there is nobody to tell.
                let _ = send(stream, &Said::Failed { step, reason });
            }
            // SAFETY: ends this copy of the process without running what belongs to the original.
            unsafe { libc::_exit(1) }
        };
        drop((theirs, errors_in));
        let mut sandbox =
            Self { pid, handle, stream: ours, errors, messages: Vec::new(), reaped: false };
        let mut reader =
            BufReader::new(sandbox.stream.try_clone().during(|| "copy the pipe".to_owned())?);
        for procs in &plan.cgroup_procs {
            fs::write(procs, pid.to_string())
                .during(|| format!("put process 1 into {}", procs.display()))?;
        }
        // If process 1 has failed by now, what it said comes first.
        let _ = send(&mut sandbox.stream, &Told::Placed);
        loop {
            match hear(&mut reader)? {
                Said::WantsMaps => {
                    identity::write_maps(pid, plan.spec.identity)?;
                    send(&mut sandbox.stream, &Told::Mapped)
                        .during(|| "answer process 1".to_owned())?;
                }
                Said::Ready(protections) => return Ok((sandbox, protections)),
                Said::Failed { step, reason } => return Err(Failure { step, reason }),
            }
        }
    }

    /// Does what the driver says until process 1 has ended. `None` if the driver is gone.
    fn watch(
        mut self,
        driver: &mut UnixStream,
        orders: &mut BufReader<UnixStream>,
    ) -> Result<Option<FromLauncher>, Failure> {
        let mut executing = false;
        let mut complaining = true;
        loop {
            let [ended, order, said, wrote] = self.events(driver, executing, complaining)?;
            if executing && said {
                executing = false;
                // Execution closes the stream; only a failure says something.
                let mut reader =
                    BufReader::new(self.stream.try_clone().during(|| "copy the pipe".to_owned())?);
                match hear(&mut reader) {
                    Ok(Said::Failed { step, reason }) => return Err(Failure { step, reason }),
                    Ok(Said::WantsMaps | Said::Ready(_)) | Err(_) => {
                        tell(driver, &FromLauncher::Started)?;
                    }
                }
            }
            if wrote {
                complaining = self.keep_messages();
            }
            if ended {
                let end = self.reap()?;
                self.keep_messages();
                let messages = String::from_utf8_lossy(&self.messages).into_owned();
                return Ok(Some(FromLauncher::Ended { end, messages }));
            }
            if order {
                match next_order(orders)? {
                    Some(ToLauncher::Start) => {
                        send(&mut self.stream, &Told::Start)
                            .during(|| "start process 1".to_owned())?;
                        executing = true;
                    }
                    Some(ToLauncher::Kill) => self.kill(),
                    // The driver is gone: so is the sandbox, when this returns.
                    None => {
                        self.kill();
                        self.reap()?;
                        return Ok(None);
                    }
                }
            }
        }
    }

    /// Waits until something happens: process 1 ended, the driver said something, process 1 did, or complained.
    fn events(
        &self,
        driver: &UnixStream,
        executing: bool,
        complaining: bool,
    ) -> Result<[bool; 4], Failure> {
        let read = |fd| PollFd::new(fd, PollFlags::POLLIN);
        // A stream that has ended would be reported for ever, so it is left out.
        let mut waiting = vec![(0, read(self.handle.as_fd())), (1, read(driver.as_fd()))];
        if executing {
            waiting.push((2, read(self.stream.as_fd())));
        }
        if complaining {
            waiting.push((3, read(self.errors.as_fd())));
        }
        let mut ready: Vec<PollFd<'_>> = waiting.iter().map(|(_, fd)| fd.clone()).collect();
        loop {
            match poll(&mut ready, PollTimeout::NONE) {
                Ok(_) => break,
                Err(nix::errno::Errno::EINTR) => {}
                Err(error) => return Err(error).during(|| "wait for events".to_owned()),
            }
        }
        let mut happened = [false; 4];
        for ((which, _), fd) in waiting.iter().zip(&ready) {
            happened[*which] = fd.any() == Some(true);
        }
        Ok(happened)
    }

    fn kill(&self) {
        // SAFETY: the descriptor is a pidfd that is ours; a null pointer stands for no further information.
        unsafe {
            libc::syscall(
                libc::SYS_pidfd_send_signal,
                self.handle.as_raw_fd(),
                libc::SIGKILL,
                std::ptr::null::<libc::siginfo_t>(),
                0,
            );
        }
    }

    /// Waits for the end of process 1. The kernel has ended every other process of its pid namespace by then.
    fn reap(&mut self) -> Result<SandboxEnd, Failure> {
        let status = loop {
            match waitid(Id::PIDFd(self.handle.as_fd()), WaitPidFlag::WEXITED) {
                Err(nix::errno::Errno::EINTR) => {}
                other => break other.during(|| "wait for process 1".to_owned())?,
            }
        };
        self.reaped = true;
        let byte = |number: i32| u8::try_from(number).unwrap_or(u8::MAX);
        match status {
            WaitStatus::Exited(_, code) => Ok(SandboxEnd::Code(byte(code))),
            WaitStatus::Signaled(_, signal, _) => Ok(SandboxEnd::Signal(byte(signal as i32))),
            other => Err(Failure {
                step: "wait for process 1".to_owned(),
                reason: format!("{other:?} is no end"),
            }),
        }
    }

    /// Takes what is in the pipe, without waiting, and keeps the end of it. `false` once nobody writes any more.
    fn keep_messages(&mut self) -> bool {
        let mut chunk = [0_u8; 4096];
        loop {
            let mut ready = [PollFd::new(self.errors.as_fd(), PollFlags::POLLIN)];
            if !poll(&mut ready, PollTimeout::ZERO).is_ok_and(|n| n > 0) {
                return true;
            }
            match self.errors.read(&mut chunk) {
                Ok(0) | Err(_) => return false,
                Ok(n) => self.messages.extend_from_slice(&chunk[..n]),
            }
            let surplus = self.messages.len().saturating_sub(MESSAGES_MAX);
            self.messages.drain(..surplus);
        }
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        if !self.reaped {
            self.kill();
            // Nothing can be done about a failure here, and the kernel ends process 1 with this process anyway.
            let _ = self.reap();
        }
    }
}

fn hear(reader: &mut BufReader<UnixStream>) -> Result<Said, Failure> {
    let mut line = String::new();
    reader.read_line(&mut line).during(|| "listen to process 1".to_owned())?;
    if line.is_empty() {
        return Err(Failure {
            step: "listen to process 1".to_owned(),
            reason: "it ended without a word".to_owned(),
        });
    }
    serde_json::from_str(&line).during(|| "listen to process 1".to_owned())
}

fn next_order(orders: &mut BufReader<UnixStream>) -> Result<Option<ToLauncher>, Failure> {
    let mut line = String::new();
    match orders.read_line(&mut line) {
        Ok(0) => Ok(None),
        Ok(_) => serde_json::from_str(&line).map(Some).during(|| "read an order".to_owned()),
        // A reset connection is a dead driver too.
        Err(_) => Ok(None),
    }
}

/// Clones this process into new pid, mount, network, ipc and uts namespaces. `None` in the copy.
fn fork_into_namespaces() -> Result<Option<(u32, OwnedFd)>, Failure> {
    let spaces = libc::CLONE_NEWPID
        | libc::CLONE_NEWNS
        | libc::CLONE_NEWNET
        | libc::CLONE_NEWIPC
        | libc::CLONE_NEWUTS;
    let mut handle: libc::c_int = -1;
    let flags = u64::from((spaces | libc::CLONE_PIDFD).cast_unsigned());
    // SAFETY: an all-zero clone_args is valid; it asks for a plain copy of the process.
    let mut args: libc::clone_args = unsafe { std::mem::zeroed() };
    args.flags = flags;
    args.pidfd = std::ptr::from_mut(&mut handle) as u64;
    args.exit_signal = u64::from(libc::SIGCHLD.cast_unsigned());
    // SAFETY: this process has one thread, so the copy is as usable as after fork(2); the structure and the integer
    // that receives the pidfd outlive the call.
    let pid = unsafe {
        libc::syscall(
            libc::SYS_clone3,
            std::ptr::from_mut(&mut args),
            size_of::<libc::clone_args>(),
        )
    };
    if pid < 0 {
        return Err(io::Error::last_os_error())
            .during(|| "make process 1 in new namespaces".to_owned());
    }
    let Ok(pid @ 1..) = u32::try_from(pid) else {
        return Ok(None);
    };
    // SAFETY: the kernel put a new descriptor there, which nothing else owns.
    Ok(Some((pid, unsafe { OwnedFd::from_raw_fd(handle) })))
}
