//! Secrets that a program prints: it runs without a shell and without input, for a limited time.

use std::io::Read;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::Duration;
use std::{io, thread};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use super::secret::{Reason, SECRET_BYTES};

/// What the program prints, if it ends within `limit`. What it says on standard error is for whoever runs this.
pub(super) fn output(words: &[String], limit: Duration) -> Result<Vec<u8>, Reason> {
    let (program, arguments) = words
        .split_first()
        .ok_or_else(|| Reason::Program(io::Error::from(io::ErrorKind::InvalidInput)))?;
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        // A group of its own, so that what it starts ends with it.
        .process_group(0)
        .spawn()
        .map_err(Reason::Program)?;
    let group = i32::try_from(child.id()).map(Pid::from_raw).map_err(|_| Reason::Late(limit))?;
    let (sender, receiver) = mpsc::channel();
    let reader = thread::spawn(move || {
        let mut bytes = Vec::new();
        let read = match child.stdout.take() {
            Some(stdout) => stdout.take(SECRET_BYTES as u64 + 1).read_to_end(&mut bytes),
            None => Ok(0),
        };
        let done: io::Result<(ExitStatus, Vec<u8>)> =
            child.wait().and_then(|status| read.map(|_| (status, bytes)));
        // Nobody listens any more when it comes too late.
        let _ = sender.send(done);
    });
    let done = receiver.recv_timeout(limit);
    if done.is_err() {
        // It is not reaped before the reader ends, so the number is still its own. Gone already is as good.
        let _ = killpg(group, Signal::SIGKILL);
    }
    let ended = reader.join().is_ok();
    match done {
        Ok(Ok((status, bytes))) if status.success() || bytes.len() > SECRET_BYTES => Ok(bytes),
        Ok(Ok((status, _))) => Err(Reason::Failed(status)),
        Ok(Err(error)) => Err(Reason::Program(error)),
        Err(_) if ended => Err(Reason::Late(limit)),
        Err(_) => Err(Reason::Program(io::Error::other("the thread that read it died"))),
    }
}
