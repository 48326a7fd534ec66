//! Programs that the configuration names: run without a shell, with bounded input, output and time.

use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{ChildStderr, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::Duration;
use std::{io, thread};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use zeroize::Zeroizing;

/// Most bytes of what a program says on standard error that are kept.
const COMPLAINT_BYTES: usize = 1024;

/// Room beyond the limit, so that reading never moves what may be a secret.
const SLACK: usize = 1024;

/// How a program is run.
pub struct Program<'a> {
    /// The program and its arguments.
    pub words: &'a [String],
    /// How long it may take; then it is killed, with all that it started.
    pub limit: Duration,
    /// Most bytes that it may print.
    pub most: usize,
    /// What it reads, if anything: at most 64 KiB, the size of a pipe.
    pub input: Option<&'a [u8]>,
}

/// How it ended.
#[derive(Debug)]
pub struct Ran {
    /// With what status.
    pub status: ExitStatus,
    /// What it printed; one byte more than the most if that was too much.
    pub output: Zeroizing<Vec<u8>>,
    /// What it said on standard error, if it read something: without it, that is for whoever runs this.
    pub complaint: Vec<u8>,
}

/// Why nothing is known of it.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// It can't be started or waited for.
    #[error("the program can't be run")]
    Run(#[from] io::Error),
    /// It took too long.
    #[error("the program did not end within {} s", .0.as_secs())]
    Late(Duration),
}

impl Program<'_> {
    /// Runs it to its end.
    ///
    /// # Errors
    /// [`RunError`]. That it failed is no error here.
    pub fn run(&self) -> Result<Ran, RunError> {
        let (program, arguments) =
            self.words.split_first().ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        let mut command = Command::new(program);
        // A group of its own, so that what it starts ends with it.
        command.args(arguments).process_group(0).stdout(Stdio::piped());
        match self.input {
            Some(_) => command.stdin(Stdio::piped()).stderr(Stdio::piped()),
            None => command.stdin(Stdio::null()),
        };
        let mut child = command.spawn()?;
        let group = i32::try_from(child.id()).map(Pid::from_raw).map_err(io::Error::other)?;
        if let (Some(mut stdin), Some(input)) = (child.stdin.take(), self.input) {
            // It may end without reading; how it ends tells. The pipe holds all of it, so this never waits.
            let _ended = stdin.write_all(input);
        }
        let most = self.most;
        let complaint = child.stderr.take().map(|stderr| thread::spawn(move || complaint(stderr)));
        let (sender, receiver) = mpsc::channel();
        let reader = thread::spawn(move || {
            let mut output = Zeroizing::new(Vec::with_capacity(most + SLACK));
            let read = match child.stdout.take() {
                Some(stdout) => stdout.take(most as u64 + 1).read_to_end(&mut output),
                None => Ok(0),
            };
            let complaint = complaint.map(|thread| thread.join().unwrap_or_default());
            let done = child.wait().and_then(|status| read.map(|_| status));
            let ran =
                done.map(|status| Ran { status, output, complaint: complaint.unwrap_or_default() });
            // Nobody listens any more when it comes too late.
            let _ = sender.send(ran);
        });
        let done = receiver.recv_timeout(self.limit);
        if done.is_err() {
            // It is not reaped before the reader ends, so the number is still its own. Gone already is as good.
            let _ = killpg(group, Signal::SIGKILL);
        }
        let ended = reader.join().is_ok();
        match done {
            Ok(ran) => Ok(ran?),
            Err(_) if ended => Err(RunError::Late(self.limit)),
            Err(_) => Err(io::Error::other("the thread that read it died").into()),
        }
    }
}

/// The beginning of what a program says; the rest is read and dropped, so that it never waits.
fn complaint(mut stderr: ChildStderr) -> Vec<u8> {
    let mut said = Vec::new();
    let mut buffer = Zeroizing::new([0; 4096]);
    while let Ok(count @ 1..) = stderr.read(&mut *buffer) {
        let room = COMPLAINT_BYTES.saturating_sub(said.len());
        said.extend_from_slice(&buffer[..count.min(room)]);
    }
    said
}
