//! The command's standard streams: a terminal of the sandbox's own devpts, or pipes.

use std::fs::File;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use custody_init::protocol::{Descriptor, Step, Window};
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::unistd::pipe2;

use crate::failure::{Failure, Try};

/// Both ends.
pub(crate) struct Streams {
    /// Standard input, output and error of the command.
    pub(crate) inside: [OwnedFd; 3],
    /// For the keeper.
    pub(crate) outside: Vec<(Descriptor, OwnedFd)>,
}

impl Streams {
    /// A handle of the terminal's master side, to signal and resize by.
    pub(crate) fn terminal(&self) -> Option<OwnedFd> {
        let (_, master) = self.outside.iter().find(|(d, _)| *d == Descriptor::Terminal)?;
        master.try_clone().ok()
    }
}

/// Opens them.
pub(crate) fn open(terminal: Option<Window>, stdin: bool) -> Result<Streams, Failure> {
    if let Some(window) = terminal {
        return open_terminal(window);
    }
    let pipe = || pipe2(OFlag::O_CLOEXEC).or_fail(Step::Streams, "pipe");
    let (stdout, out) = pipe()?;
    let (stderr, err) = pipe()?;
    let mut outside = vec![(Descriptor::Stdout, stdout), (Descriptor::Stderr, stderr)];
    let input = if stdin {
        let (input, write) = pipe()?;
        outside.push((Descriptor::Stdin, write));
        input
    } else {
        File::open("/dev/null").or_fail(Step::Streams, "/dev/null")?.into()
    };
    Ok(Streams { inside: [input, out, err], outside })
}

fn open_terminal(window: Window) -> Result<Streams, Failure> {
    let path = ["/dev/ptmx", "/dev/pts/ptmx"];
    let open = |p: &&str| File::options().read(true).write(true).open(p);
    let master = match open(&path[0]) {
        Ok(master) => master,
        Err(_) => open(&path[1]).or_fail(Step::Streams, "/dev/ptmx")?,
    };
    let unlocked: libc::c_int = 0;
    // SAFETY: the ioctl reads one int, which outlives the call.
    let done = unsafe { libc::ioctl(master.as_raw_fd(), libc::TIOCSPTLCK, &raw const unlocked) };
    Errno::result(done).or_fail(Step::Streams, "TIOCSPTLCK")?;
    resize(&master.as_raw_fd(), window).or_fail(Step::Streams, "TIOCSWINSZ")?;
    let flags = libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC;
    // By descriptor: no path that could name another terminal.
    // SAFETY: the ioctl takes its flags by value.
    let raw = unsafe { libc::ioctl(master.as_raw_fd(), libc::TIOCGPTPEER, flags) };
    let raw = Errno::result(raw).or_fail(Step::Streams, "TIOCGPTPEER")?;
    // SAFETY: the ioctl has just made this descriptor; nobody else owns it.
    let side = unsafe { OwnedFd::from_raw_fd(raw) };
    let again = || side.try_clone().or_fail(Step::Streams, "dup");
    let inside = [again()?, again()?, again()?];
    Ok(Streams { inside, outside: vec![(Descriptor::Terminal, master.into())] })
}

/// Gives the terminal another size.
pub(crate) fn resize(master: &impl AsRawFd, window: Window) -> nix::Result<()> {
    let size =
        libc::winsize { ws_row: window.rows, ws_col: window.cols, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: the ioctl reads one winsize, which outlives the call.
    let done = unsafe { libc::ioctl(master.as_raw_fd(), libc::TIOCSWINSZ, &raw const size) };
    Errno::result(done).map(drop)
}

/// The terminal's foreground process group.
pub(crate) fn foreground(master: &impl AsRawFd) -> nix::Result<libc::pid_t> {
    let mut group: libc::pid_t = 0;
    // SAFETY: the ioctl writes one pid_t, which outlives the call.
    let done = unsafe { libc::ioctl(master.as_raw_fd(), libc::TIOCGPGRP, &raw mut group) };
    Errno::result(done).map(|_| group)
}
