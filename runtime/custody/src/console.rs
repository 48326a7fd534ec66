//! This process's own terminal, lent to a session: raw mode, size, signals, and what is typed.

use std::io::{self, BufRead, IsTerminal, Read, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::thread;

use custody_api_types::attach::Window;
use nix::sys::termios::{LocalFlags, SetArg, Termios, cfmakeraw, tcgetattr, tcsetattr};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGWINCH};
use signal_hook::iterator::Signals;
use tokio::sync::mpsc;

/// Bytes of input that are read and sent at once.
pub const MAX_TYPED_BYTES: usize = 16 << 10;

/// What is typed ahead waits in so many pieces; then the typing itself does.
const TYPED_AHEAD: usize = 16;

/// Another mode of the terminal while it lives.
pub struct Mode {
    before: Termios,
}

impl Mode {
    /// Every byte is the session's: no echo, no lines, no signals from keys.
    pub fn raw() -> io::Result<Self> {
        let before = tcgetattr(io::stdin().as_fd())?;
        let mut raw = before.clone();
        cfmakeraw(&mut raw);
        tcsetattr(io::stdin().as_fd(), SetArg::TCSADRAIN, &raw)?;
        Ok(Self { before })
    }

    fn without_echo() -> io::Result<Self> {
        let before = tcgetattr(io::stdin().as_fd())?;
        let mut silent = before.clone();
        silent.local_flags.remove(LocalFlags::ECHO);
        silent.local_flags.insert(LocalFlags::ECHONL);
        tcsetattr(io::stdin().as_fd(), SetArg::TCSAFLUSH, &silent)?;
        Ok(Self { before })
    }
}

impl Drop for Mode {
    fn drop(&mut self) {
        let _closed = tcsetattr(io::stdin().as_fd(), SetArg::TCSADRAIN, &self.before);
    }
}

/// Asks for a secret: what is typed is not shown.
pub fn secret(prompt: &str) -> io::Result<String> {
    let _silent = Mode::without_echo()?;
    let mut out = io::stderr();
    out.write_all(prompt.as_bytes())?;
    out.flush()?;
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line)?;
    Ok(line)
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

/// What whoever sits at the terminal does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// The terminal has this size now.
    Resized(Window),
    /// A signal came, by its Linux number.
    Signalled(i32),
}

/// What happens at the terminal from now on: acts, and bytes as they are typed (none at the end of the input).
pub struct Listening {
    /// Signals and sizes.
    pub acts: mpsc::UnboundedReceiver<Act>,
    /// Input.
    pub typed: mpsc::Receiver<Vec<u8>>,
}

/// Listens, with threads that end with the process: a read of standard input can't be interrupted.
pub fn listen(input: bool) -> io::Result<Listening> {
    let (act, acts) = mpsc::unbounded_channel();
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGWINCH])?;
    thread::Builder::new().name("signals".into()).spawn(move || {
        for signal in signals.forever() {
            let happened = match signal {
                SIGWINCH => match window() {
                    Some(window) => Act::Resized(window),
                    None => continue,
                },
                _ => Act::Signalled(signal),
            };
            if act.send(happened).is_err() {
                return;
            }
        }
    })?;
    let (key, typed) = mpsc::channel(TYPED_AHEAD);
    if input {
        thread::Builder::new().name("input".into()).spawn(move || {
            let mut chunk = [0; MAX_TYPED_BYTES];
            loop {
                let length = match io::stdin().lock().read(&mut chunk) {
                    Ok(length) => length,
                    Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                    Err(_) => 0,
                };
                if key.blocking_send(chunk[..length].to_vec()).is_err() || length == 0 {
                    return;
                }
            }
        })?;
    }
    Ok(Listening { acts, typed })
}
