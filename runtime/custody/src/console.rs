//! This process's own terminal, lent to a session: raw mode, size, signals, and both directions of its bytes.

use std::io::{self, IsTerminal, Read, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::thread;

use custody_keeper::frame::{Ended, Frame, SignalRequest, StopRequest};
use custody_keeper::spec::Window;
use custody_session::attach::Attachment;
use nix::sys::termios::{SetArg, Termios, cfmakeraw, tcgetattr, tcsetattr};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGWINCH};
use signal_hook::iterator::Signals;

/// Raw mode while it lives.
struct RawMode {
    before: Termios,
}

impl RawMode {
    fn enter() -> io::Result<Self> {
        let before = tcgetattr(io::stdin().as_fd())?;
        let mut raw = before.clone();
        cfmakeraw(&mut raw);
        tcsetattr(io::stdin().as_fd(), SetArg::TCSADRAIN, &raw)?;
        Ok(Self { before })
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        let _closed = tcsetattr(io::stdin().as_fd(), SetArg::TCSADRAIN, &self.before);
    }
}

/// The terminal's size; `None` unless both standard input and output are one.
pub fn window() -> Option<Window> {
    if !io::stdin().is_terminal() || !io::stdout().is_terminal() {
        return None;
    }
    // SAFETY: an all-zero winsize is valid, and the ioctl only writes into it.
    let mut size: libc::winsize = unsafe { std::mem::zeroed() };
    // SAFETY: the descriptor is open, and `size` lives through the call.
    let result = unsafe { libc::ioctl(io::stdout().as_raw_fd(), libc::TIOCGWINSZ, &raw mut size) };
    let known = result == 0 && size.ws_row > 0 && size.ws_col > 0;
    Some(if known {
        Window { rows: size.ws_row, columns: size.ws_col }
    } else {
        Window { rows: 24, columns: 80 }
    })
}

/// Whether somebody may type or pipe something in: not from `/dev/null`. A program that finds a pipe where nothing will
/// ever come may wait for it, or search it in place of the workspace.
pub fn has_input() -> bool {
    use nix::sys::stat::{fstat, major, minor};
    match fstat(io::stdin()) {
        Ok(found) => {
            let character = found.st_mode & libc::S_IFMT == libc::S_IFCHR;
            !(character && (major(found.st_rdev), minor(found.st_rdev)) == (1, 3))
        }
        Err(_) => false,
    }
}

/// How a session that was watched to its end ended.
pub enum Watched {
    /// The keeper said how.
    Ended(Ended),
    /// The keeper is gone without a word.
    Lost,
}

/// Streams a session through this process until it ends. `progress` gets what the keeper does while it prepares.
///
/// # Errors
/// If the connection or standard output breaks.
pub fn watch(
    mut keeper: Attachment,
    terminal: bool,
    mut progress: impl FnMut(&custody_keeper::frame::Progress),
) -> io::Result<Watched> {
    let raw = if terminal { Some(RawMode::enter()?) } else { None };
    forward_signals(keeper.split()?, terminal)?;
    forward_input(keeper.split()?)?;
    let watched = loop {
        match keeper.receive()? {
            Some(Frame::Progress(step)) => progress(&step),
            Some(Frame::Output(bytes)) => {
                let mut out = io::stdout().lock();
                out.write_all(&bytes)?;
                out.flush()?;
            }
            Some(Frame::ErrorOutput(bytes)) => {
                let mut out = io::stderr().lock();
                out.write_all(&bytes)?;
                out.flush()?;
            }
            Some(Frame::Ended(ended)) => break Watched::Ended(ended),
            Some(Frame::Input(_) | Frame::Resize(_) | Frame::Signal(_) | Frame::Stop(_)) => {}
            None => break Watched::Lost,
        }
    };
    drop(raw);
    Ok(watched)
}

fn forward_signals(mut keeper: Attachment, terminal: bool) -> io::Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGWINCH])?;
    thread::Builder::new().name("signals".into()).spawn(move || {
        let mut interrupts = 0;
        for signal in signals.forever() {
            let frame = match signal {
                SIGWINCH => match window() {
                    Some(window) if terminal => Frame::Resize(window),
                    Some(_) | None => continue,
                },
                // The first Ctrl-C is the command's; who insists ends the session.
                SIGINT if interrupts == 0 => {
                    interrupts += 1;
                    Frame::Signal(SignalRequest { signal })
                }
                SIGQUIT => Frame::Signal(SignalRequest { signal }),
                _ => Frame::Stop(StopRequest { reason: format!("the client got signal {signal}") }),
            };
            if keeper.send(&frame).is_err() {
                return;
            }
        }
    })?;
    Ok(())
}

fn forward_input(mut keeper: Attachment) -> io::Result<()> {
    // Ends with the process: a read of standard input can't be interrupted.
    thread::Builder::new().name("input".into()).spawn(move || {
        let mut chunk = [0; 16 << 10];
        loop {
            let length = match io::stdin().lock().read(&mut chunk) {
                Ok(length) => length,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => 0,
            };
            if keeper.send(&Frame::Input(chunk[..length].to_vec())).is_err() || length == 0 {
                return;
            }
        }
    })?;
    Ok(())
}
