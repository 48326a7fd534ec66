//! The streams of the session's command: its output to the recording and to the clients, the clients' input to it.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use custody_model::Clock;
use custody_record::event::ExitStatus;
use custody_record::{Redactor, SinkError};

use crate::asciicast::{MAX_RECORDED_BYTES, Recorded, Recording};
use crate::clients::Clients;
use crate::frame::Frame;
use crate::held::Held;
use crate::run::{Patience, RETRY};
use crate::spec::Window;

/// Bytes that are read from the command at once.
const CHUNK_BYTES: usize = 32 << 10;

/// Which stream of the command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Standard output, or the terminal.
    Output,
    /// Standard error.
    Error,
}

/// What must be true before output leaves: everything that was seen before it is in the journal.
pub type BeforeOutput = Arc<dyn Fn() -> Result<(), SinkError> + Send + Sync>;

/// The running streams.
pub struct Terminal {
    recording: Arc<Mutex<Recording<Held>>>,
    clock: Arc<dyn Clock>,
    readers: Vec<JoinHandle<()>>,
    /// The clients keep what waits in it small.
    input: Option<Sender<Vec<u8>>>,
    /// Bytes of input that were written to the command.
    given: Arc<AtomicU64>,
    clients: Clients,
    patience: Arc<Patience>,
}

/// Where the streams go.
pub struct Route {
    /// Called before each chunk is passed on.
    pub before: BeforeOutput,
    /// Who gets it.
    pub clients: Clients,
    /// Called once if the record can't be written; no output is passed on any more.
    pub broken: Arc<dyn Fn(SinkError) + Send + Sync>,
    /// Called for each chunk: a sign of life.
    pub alive: Arc<dyn Fn() + Send + Sync>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// How long it waits for the disk.
    pub(crate) patience: Arc<Patience>,
    /// What takes credentials out of the recording. Who is attached sees the terminal as it is.
    pub redactor: Arc<Redactor>,
}

impl Terminal {
    /// Starts to pass the streams on, and to record them at `path`.
    ///
    /// # Errors
    /// If the recording can't be made or a thread not be started.
    pub fn start(
        path: &Path,
        window: Window,
        command: &[String],
        outputs: Vec<(OwnedFd, Stream)>,
        input: Option<OwnedFd>,
        route: Route,
    ) -> io::Result<Self> {
        let file = File::options().write(true).create_new(true).open(path)?;
        let (redactor, patience) = (route.redactor.clone(), route.patience.clone());
        let (held, now) = (Held::new(file), route.clock.now());
        let recording = Recording::start(held, now, window, command, MAX_RECORDED_BYTES, redactor)?;
        let recording = Arc::new(Mutex::new(recording));
        let route = Arc::new(route);
        let mut readers = Vec::new();
        for (fd, stream) in outputs {
            let (recording, route) = (recording.clone(), route.clone());
            let reader = move || pass_on(File::from(fd), stream, &recording, &route);
            readers.push(thread::Builder::new().name("output".into()).spawn(reader)?);
        }
        let (given, clients) = (Arc::new(AtomicU64::new(0)), route.clients.clone());
        let input = match input {
            Some(fd) => {
                let (sender, chunks) = channel();
                let (given, clients) = (given.clone(), clients.clone());
                // Not joined: it may wait in write(2) for a command that reads nothing.
                thread::Builder::new()
                    .name("input".into())
                    .spawn(move || type_in(fd, &chunks, &given, &clients))?;
                Some(sender)
            }
            None => None,
        };
        let clock = route.clock.clone();
        Ok(Self { recording, clock, readers, input, given, clients, patience })
    }

    /// Input for the command; empty is its end. All of it is written in its order, as the command reads it; once the command
    /// reads no more, it is passed over.
    pub fn input(&mut self, bytes: Vec<u8>) {
        if bytes.is_empty() {
            self.input = None;
            return;
        }
        let queued = self.input.as_ref().is_some_and(|queue| queue.send(bytes).is_ok());
        if !queued {
            // Nobody reads it: its client must not wait for that.
            self.clients.took();
        }
    }

    /// Notes a new size.
    ///
    /// # Errors
    /// If the recording can't be written.
    pub fn resized(&self, window: Window) -> io::Result<()> {
        let now = self.clock.now();
        self.lock().resize(now, window)
    }

    /// Waits until the streams have ended, closes the recording and says what went by. Call it after the sandbox's
    /// last process has ended.
    ///
    /// # Errors
    /// If the recording can't be written, or its disk refused it for too long.
    pub fn finish(mut self, exit: Option<ExitStatus>) -> io::Result<Recorded> {
        self.input = None;
        let given = self.given.load(Ordering::SeqCst);
        for reader in std::mem::take(&mut self.readers) {
            let _panicked = reader.join();
        }
        let now = self.clock.now();
        let mut recording = Arc::try_unwrap(self.recording)
            .map_err(|_| io::Error::other("a reader of the terminal did not end"))?
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner);
        recording.input(usize::try_from(given).unwrap_or(usize::MAX));
        let (mut held, recorded) = recording.finish(now, exit)?;
        while let Err(error) = held.write_all_held() {
            tracing::warn!(%error, "the end of the terminal's recording waits for the disk");
            self.patience.rest(RETRY).map_err(io::Error::other)?;
        }
        self.patience.healed();
        Ok(recorded)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Recording<Held>> {
        self.recording.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn pass_on(mut from: File, stream: Stream, recording: &Mutex<Recording<Held>>, route: &Route) {
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        let length = match from.read(&mut chunk) {
            Ok(0) => return,
            Ok(length) => length,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            // A terminal whose last process has closed it says EIO.
            Err(e) if e.raw_os_error() == Some(libc::EIO) => return,
            Err(error) => {
                tracing::warn!(%error, "the command's output can't be read any more");
                return;
            }
        };
        (route.alive)();
        let recorded = (route.before)().and_then(|()| {
            wait_for_room(recording, &route.patience)?;
            let mut recording = recording.lock().unwrap_or_else(PoisonError::into_inner);
            recording
                .output(route.clock.now(), &chunk[..length])
                .map_err(|e| SinkError::Unwritable(format!("the terminal's recording: {e}")))
        });
        if let Err(error) = recorded {
            (route.broken)(error);
            return;
        }
        let bytes = chunk[..length].to_vec();
        route.clients.send(&match stream {
            Stream::Output => Frame::Output(bytes),
            Stream::Error => Frame::ErrorOutput(bytes),
        });
    }
}

/// Waits while the recording holds too much that its disk does not take. The command waits for us then.
fn wait_for_room(recording: &Mutex<Recording<Held>>, patience: &Patience) -> Result<(), SinkError> {
    loop {
        let mut recording = recording.lock().unwrap_or_else(PoisonError::into_inner);
        let held = recording.writer();
        // What it could not write it still holds.
        let _refused = held.write_held();
        if held.has_room() {
            return Ok(());
        }
        drop(recording);
        patience
            .rest(RETRY)
            .map_err(|spent| SinkError::Unwritable(format!("the terminal's recording: {spent}")))?;
    }
}

fn type_in(to: OwnedFd, chunks: &Receiver<Vec<u8>>, given: &AtomicU64, clients: &Clients) {
    let mut to = Some(File::from(to));
    for chunk in chunks {
        let mut rest = chunk.as_slice();
        while let Some(file) = to.as_mut().filter(|_| !rest.is_empty()) {
            match file.write(rest) {
                Ok(written) => {
                    given.fetch_add(written as u64, Ordering::SeqCst);
                    rest = &rest[written..];
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    tracing::debug!(%error, "the command takes no more input");
                    to = None;
                }
            }
        }
        clients.took();
    }
    // Dropping the pipe's end is the end of file. A terminal's is its end-of-file character, which the client sends.
}
