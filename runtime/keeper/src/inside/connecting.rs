//! A blocking connect on a caller's behalf, which the caller's signals interrupt as they would without Custody.
//!
//! The caller waits for the answer where only fatal signals reach it, so the keeper looks for them: a timer of the
//! kernel interrupts its own connect every [`LOOK`], and `/proc` says which signals wait for the caller (proc_pid_status(5)).

use std::fs;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::signal::{SaFlags, SigAction, SigEvent, SigHandler, SigSet, SigevNotify, Signal};
use nix::sys::time::TimeSpec;
use nix::sys::timer::{Expiration, Timer, TimerSetTimeFlags};
use nix::time::ClockId;

/// How often signals for a caller whose connect blocks are looked for.
const LOOK: Duration = Duration::from_millis(10);

/// Interrupts the keeper's own connects. Nothing else in it uses this signal.
const TICK: Signal = Signal::SIGUSR2;

/// How a connect went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Connected {
    /// As the kernel says.
    Ended(Result<(), Errno>),
    /// A signal came for the caller: the kernel begins the call again or not, as the signal's handler wants it.
    Signalled,
    /// The caller is gone.
    Gone,
}

/// Connects `socket`, whose calls block, to the address in `bytes`, for the thread `tid` of the process `pid`.
pub(super) fn connect(socket: &OwnedFd, bytes: &[u8], tid: u32, pid: u32) -> Connected {
    let _ticking = match Ticking::start() {
        Ok(ticking) => ticking,
        Err(errno) => return Connected::Ended(Err(errno)),
    };
    let since = Instant::now();
    let limit = send_timeout(socket);
    // What the kernel says at the end of the time: the first call and those after it differ (connect(2)).
    let late = if began(socket) { Errno::EALREADY } else { Errno::EINPROGRESS };
    loop {
        match once(socket, bytes) {
            Ok(()) => return Connected::Ended(Ok(())),
            Err(Errno::EINTR) => {}
            Err(errno) => return Connected::Ended(Err(errno)),
        }
        match waiting_signals(tid, pid) {
            // A socket with a time limit never begins its call again (signal(7)).
            Some(true) if limit.is_some() => return Connected::Ended(Err(Errno::EINTR)),
            Some(true) => return Connected::Signalled,
            Some(false) => {}
            None => return Connected::Gone,
        }
        if limit.is_some_and(|limit| since.elapsed() >= limit) {
            return Connected::Ended(Err(late));
        }
    }
}

/// One call of connect(2), to the address in `bytes`.
pub(super) fn once(socket: &OwnedFd, bytes: &[u8]) -> Result<(), Errno> {
    let length = libc::socklen_t::try_from(bytes.len()).unwrap_or(0);
    // SAFETY: the kernel reads `length` bytes, all of which are in `bytes`.
    let done = unsafe { libc::connect(socket.as_raw_fd(), bytes.as_ptr().cast(), length) };
    Errno::result(done).map(drop)
}

/// Whether a signal waits for the thread that it does not block; `None` if the thread is gone.
///
/// What is sent to a process as a whole is taken to be its first thread's, to which the kernel gives it unless that
/// thread blocks it.
fn waiting_signals(tid: u32, pid: u32) -> Option<bool> {
    let status = fs::read_to_string(format!("/proc/{pid}/task/{tid}/status")).ok()?;
    let set = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        u64::from_str_radix(line.trim(), 16).ok()
    };
    let shared = if tid == pid { set("ShdPnd:")? } else { 0 };
    Some((set("SigPnd:")? | shared) & !set("SigBlk:")? != 0)
}

/// Whether a connect of this socket goes on already: `tcpi_state` of `TCP_INFO` (tcp(7)) is its first byte.
fn began(socket: &OwnedFd) -> bool {
    const SYN_SENT: u8 = 2;
    let mut state = 0_u8;
    let mut length: libc::socklen_t = 1;
    // SAFETY: state and length outlive the call, and length is that of state.
    let done = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            (&raw mut state).cast(),
            &raw mut length,
        )
    };
    done == 0 && state == SYN_SENT
}

/// `SO_SNDTIMEO` (socket(7)); `None` where there is none.
fn send_timeout(socket: &OwnedFd) -> Option<Duration> {
    use nix::sys::socket::{getsockopt, sockopt::SendTimeout};
    let value = getsockopt(socket, SendTimeout).ok()?;
    let seconds = u64::try_from(value.tv_sec()).ok()?;
    let micros = u64::try_from(value.tv_usec()).ok()?;
    let limit = Duration::from_secs(seconds) + Duration::from_micros(micros);
    (!limit.is_zero()).then_some(limit)
}

/// Interrupts what this thread does, every [`LOOK`], as long as it lives.
struct Ticking(#[expect(dead_code, reason = "the kernel's timer ends with it")] Timer);

impl Ticking {
    fn start() -> Result<Self, Errno> {
        handle()?;
        let thread_id = nix::unistd::gettid().as_raw();
        let notify = SigevNotify::SigevThreadId { signal: TICK, thread_id, si_value: 0 };
        let mut timer = Timer::new(ClockId::CLOCK_MONOTONIC, SigEvent::new(notify))?;
        let every = Expiration::Interval(TimeSpec::from_duration(LOOK));
        timer.set(every, TimerSetTimeFlags::empty())?;
        Ok(Self(timer))
    }
}

/// A handler that does nothing and begins no call again, once for the process.
fn handle() -> Result<(), Errno> {
    extern "C" fn nothing(_: libc::c_int) {}
    static DONE: OnceLock<Result<(), Errno>> = OnceLock::new();
    *DONE.get_or_init(|| {
        let action =
            SigAction::new(SigHandler::Handler(nothing), SaFlags::empty(), SigSet::empty());
        // SAFETY: the handler does nothing, which is safe at any moment, and nobody else handles this signal.
        unsafe { nix::sys::signal::sigaction(TICK, &action) }.map(|_| ())
    })
}
