//! Those who are attached to the session: each gets the output, each may send input, signals and a stop.
//!
//! No input is dropped. A client is told how much of what it sent was taken, and sends no more than a window ahead; of one that
//! does no more is read until some was taken.

use std::collections::VecDeque;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::frame::{Frame, Position, Taken};
use crate::socket_path::SocketPath;

/// Output that a client gets when it attaches late, in bytes.
pub const SCROLLBACK_BYTES: usize = 64 << 10;

/// Frames that wait for one client.
const QUEUE_FRAMES: usize = 256;

/// Input of one client that waits for the command, in bytes; more stays in its connection.
pub const INPUT_WINDOW_BYTES: u64 = 1 << 20;

/// A client that takes nothing for this long is let go; until then the session waits for it, as for a pipe.
const PATIENCE: Duration = Duration::from_secs(30);

/// Clients at one time.
pub const MAX_CLIENTS: usize = 32;

/// The attached clients of one session.
#[derive(Clone)]
pub struct Clients {
    shared: Arc<Shared>,
}

struct Shared {
    path: PathBuf,
    state: Mutex<State>,
    came: Condvar,
    /// Input was taken, or a client left.
    took: Condvar,
}

#[derive(Default)]
struct State {
    clients: Vec<Client>,
    next: u64,
    /// The last output, in frames as it came …
    recent: VecDeque<Frame>,
    /// … of so many bytes …
    recent_bytes: usize,
    /// … of so many in all.
    output: u64,
    ended: Option<Frame>,
    /// Input that waits for the command, in order: whose, and how many bytes.
    waiting: VecDeque<(u64, u64)>,
}

struct Client {
    number: u64,
    queue: SyncSender<Frame>,
    writer: thread::JoinHandle<()>,
    /// Bytes of its input that were passed on, and that were taken.
    sent: u64,
    taken: u64,
}

impl Clients {
    /// Listens at `path` (mode 0600) and hands what clients send to `requests`.
    ///
    /// # Errors
    /// If the socket can't be made.
    pub fn listen(path: &Path, requests: Sender<Frame>) -> io::Result<Self> {
        let listener = UnixListener::bind(SocketPath::of(path)?.path())?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
        let clients = Self {
            shared: Arc::new(Shared {
                path: path.to_owned(),
                state: Mutex::default(),
                came: Condvar::new(),
                took: Condvar::new(),
            }),
        };
        let accepting = clients.clone();
        // Ends with the process: accept has no other end, and the keeper outlives its clients.
        thread::Builder::new().name("attach".into()).spawn(move || {
            for stream in listener.incoming() {
                match stream {
                    Ok(stream) => {
                        if let Err(error) = accepting.admit(stream, &requests) {
                            tracing::warn!(%error, "a client could not be attached");
                        }
                    }
                    Err(error) => {
                        tracing::warn!(%error, "no more clients can attach");
                        return;
                    }
                }
            }
        })?;
        Ok(clients)
    }

    fn admit(&self, stream: UnixStream, requests: &Sender<Frame>) -> io::Result<()> {
        let mut state = self.lock();
        if state.clients.len() >= MAX_CLIENTS {
            return Err(io::Error::other(format!("{MAX_CLIENTS} clients are attached already")));
        }
        let (queue, frames) = sync_channel(QUEUE_FRAMES);
        let recent = merged(&state.recent);
        let replayed: u64 = recent.iter().map(output_bytes).sum();
        let position =
            Position { output: state.output - replayed, input_window: Some(INPUT_WINDOW_BYTES) };
        let _full = queue.try_send(Frame::Position(position));
        for frame in recent {
            let _full = queue.try_send(frame);
        }
        if let Some(ended) = &state.ended {
            let _full = queue.try_send(ended.clone());
        }
        let number = state.next;
        state.next += 1;
        let to = stream.try_clone()?;
        let writer = thread::Builder::new()
            .name(format!("client-{number}"))
            .spawn(move || write_frames(to, &frames))?;
        if state.ended.is_none() {
            state.clients.push(Client { number, queue, writer, sent: 0, taken: 0 });
        }
        drop(state);
        self.shared.came.notify_all();
        let requests = requests.clone();
        let clients = self.clone();
        thread::Builder::new().name(format!("reader-{number}")).spawn(move || {
            clients.read_frames(number, stream, &requests);
            clients.let_go(number);
        })?;
        Ok(())
    }

    /// Waits until somebody has attached, or the time is over.
    pub fn wait_for_one(&self, patience: Duration) {
        let nobody = |state: &mut State| state.next == 0;
        let _state = self.shared.came.wait_timeout_while(self.lock(), patience, nobody);
    }

    /// Sends a frame to everybody. Waits for a client whose queue is full, up to a limit; then lets it go.
    pub fn send(&self, frame: &Frame) {
        let queues: Vec<(u64, SyncSender<Frame>)> = {
            let mut state = self.lock();
            if let Frame::Output(bytes) | Frame::ErrorOutput(bytes) = frame {
                state.recent.push_back(frame.clone());
                state.recent_bytes += bytes.len();
                state.output += bytes.len() as u64;
                state.forget();
            }
            state.clients.iter().map(|c| (c.number, c.queue.clone())).collect()
        };
        for (number, queue) in queues {
            if !send_patiently(&queue, frame.clone()) {
                tracing::warn!(number, "a client took nothing for too long and was let go");
                self.let_go(number);
            }
        }
    }

    fn let_go(&self, number: u64) {
        self.lock().clients.retain(|c| c.number != number);
        self.shared.took.notify_all();
    }

    /// The command was given what waited longest of the input, or takes no more: its client may send as much.
    pub fn took(&self) {
        let (queue, frame) = {
            let mut state = self.lock();
            let Some((number, bytes)) = state.waiting.pop_front() else { return };
            let client = state.clients.iter_mut().find(|client| client.number == number);
            // It may have left: what it sent is taken all the same.
            let Some(client) = client else { return };
            client.taken += bytes;
            (client.queue.clone(), Frame::Taken(Taken { input: client.taken }))
        };
        self.shared.took.notify_all();
        // One that reads nothing is let go by what sends the output.
        let _slow = send_patiently(&queue, frame);
    }

    /// Passes input on in its order, once there is room for it. Says whether anybody takes it.
    fn pass_on(&self, number: u64, frame: Frame, bytes: u64, requests: &Sender<Frame>) -> bool {
        let full = |state: &mut State| {
            let client = state.clients.iter().find(|client| client.number == number);
            client.is_some_and(|client| {
                let ahead = client.sent - client.taken;
                ahead > 0 && ahead + bytes > INPUT_WINDOW_BYTES
            })
        };
        let waited = self.shared.took.wait_while(self.lock(), full);
        let mut state = waited.unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = state.clients.iter_mut().find(|client| client.number == number) {
            client.sent += bytes;
        }
        state.waiting.push_back((number, bytes));
        // Under the lock: the order of what waits is that of what is passed on.
        requests.send(frame).is_ok()
    }

    fn read_frames(&self, number: u64, mut from: UnixStream, requests: &Sender<Frame>) {
        loop {
            let passed = match Frame::read(&mut from) {
                Ok(Some(Frame::Input(bytes))) if !bytes.is_empty() => {
                    let length = bytes.len() as u64;
                    self.pass_on(number, Frame::Input(bytes), length, requests)
                }
                Ok(Some(frame)) => requests.send(frame).is_ok(),
                Ok(None) => return,
                Err(error) => {
                    tracing::debug!(%error, "a client left");
                    return;
                }
            };
            if !passed {
                return;
            }
        }
    }

    /// Sends the last frame, waits until it is written, and closes the door.
    pub fn end(&self, frame: Frame) {
        self.send(&frame);
        let clients = {
            let mut state = self.lock();
            state.ended = Some(frame);
            std::mem::take(&mut state.clients)
        };
        for client in clients {
            drop(client.queue);
            let _panicked = client.writer.join();
        }
        let _absent = fs::remove_file(&self.shared.path);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Drops the oldest output that is more than late clients get.
    fn forget(&mut self) {
        while let Some(Frame::Output(bytes) | Frame::ErrorOutput(bytes)) = self.recent.front_mut() {
            let surplus = self.recent_bytes.saturating_sub(SCROLLBACK_BYTES);
            if surplus == 0 {
                return;
            }
            let cut = surplus.min(bytes.len());
            bytes.drain(..cut);
            let empty = bytes.is_empty();
            self.recent_bytes -= cut;
            if empty {
                self.recent.pop_front();
            }
        }
    }
}

/// The same output in as few frames as can be: a new client's queue is short.
fn merged(frames: &VecDeque<Frame>) -> Vec<Frame> {
    let mut merged: Vec<Frame> = Vec::new();
    for frame in frames {
        if let (Some(Frame::Output(before)), Frame::Output(bytes))
        | (Some(Frame::ErrorOutput(before)), Frame::ErrorOutput(bytes)) =
            (merged.last_mut(), frame)
        {
            before.extend_from_slice(bytes);
        } else {
            merged.push(frame.clone());
        }
    }
    let surplus = merged.len().saturating_sub(QUEUE_FRAMES / 2);
    merged.drain(..surplus);
    merged
}

fn output_bytes(frame: &Frame) -> u64 {
    if let Frame::Output(bytes) | Frame::ErrorOutput(bytes) = frame {
        bytes.len() as u64
    } else {
        0
    }
}

fn send_patiently(queue: &SyncSender<Frame>, mut frame: Frame) -> bool {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match queue.try_send(frame) {
            Ok(()) => return true,
            Err(TrySendError::Disconnected(_)) => return false,
            Err(TrySendError::Full(back)) => {
                if Instant::now() >= deadline {
                    return false;
                }
                frame = back;
                #[expect(
                    clippy::disallowed_methods,
                    reason = "std's channel has no send with a time-out"
                )]
                thread::sleep(Duration::from_millis(2));
            }
        }
    }
}

fn write_frames(mut to: UnixStream, frames: &Receiver<Frame>) {
    let _unsupported = to.set_write_timeout(Some(PATIENCE));
    for frame in frames {
        if frame.write(&mut to).is_err() {
            break;
        }
    }
    // The reader thread of this client ends by this, and the client knows that nothing follows.
    let _closed = to.shutdown(std::net::Shutdown::Both);
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use custody_record::event::Outcome;

    use super::*;
    use crate::frame::{Ended, StopRequest};

    #[test]
    fn a_late_client_sees_what_came_before_and_the_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("attach.sock");
        let (sender, requests) = channel();
        let clients = Clients::listen(&path, sender).unwrap();
        clients.send(&Frame::Output(vec![b'-'; SCROLLBACK_BYTES]));
        clients.send(&Frame::ErrorOutput(b"bef".to_vec()));
        clients.send(&Frame::ErrorOutput(b"ore".to_vec()));
        let mut stream = UnixStream::connect(&path).unwrap();
        let mut read = || Frame::read(&mut stream).unwrap().unwrap();
        assert_eq!(
            read(),
            Frame::Position(Position { output: 6, input_window: Some(INPUT_WINDOW_BYTES) })
        );
        assert_eq!(read(), Frame::Output(vec![b'-'; SCROLLBACK_BYTES - 6]));
        assert_eq!(read(), Frame::ErrorOutput(b"before".to_vec()));
        clients.wait_for_one(Duration::from_secs(60));
        let stop = Frame::Stop(StopRequest { reason: "enough".into() });
        stop.write(&mut stream).unwrap();
        assert_eq!(requests.recv().unwrap(), stop);
        let ended = Frame::Ended(Ended {
            outcome: Outcome::Stopped,
            code: None,
            limit: None,
            reason: "enough".into(),
            exit: None,
        });
        clients.end(ended.clone());
        assert_eq!(Frame::read(&mut stream).unwrap(), Some(ended));
        assert_eq!(Frame::read(&mut stream).unwrap(), None);
        assert!(!path.exists());
    }

    #[test]
    fn more_input_than_the_window_waits_until_some_was_taken_and_none_is_lost() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("attach.sock");
        let (sender, requests) = channel();
        let clients = Clients::listen(&path, sender).unwrap();
        let mut stream = UnixStream::connect(&path).unwrap();
        assert!(matches!(Frame::read(&mut stream).unwrap(), Some(Frame::Position(_))));
        let chunks: Vec<Vec<u8>> = (0..80).map(|n| vec![n; 64 << 10]).collect();
        let mut to = stream.try_clone().unwrap();
        let sent = chunks.clone();
        let sending = thread::spawn(move || {
            sent.into_iter().for_each(|chunk| Frame::Input(chunk).write(&mut to).unwrap());
        });
        let window = usize::try_from(INPUT_WINDOW_BYTES).unwrap();
        let (mut got, mut taken) = (Vec::new(), 0);
        while got.len() < chunks.len() {
            let Frame::Input(chunk) = requests.recv().unwrap() else { panic!("no input") };
            got.push(chunk);
            let all: usize = got.iter().map(Vec::len).sum();
            assert!(all - taken <= window, "{all} of which {taken} were taken");
            // The command takes some once all that may wait is there.
            if all - taken == window || got.len() == chunks.len() {
                assert!(requests.try_recv().is_err(), "more than the window waits");
                while taken < all {
                    clients.took();
                    let frame = Frame::read(&mut stream).unwrap();
                    taken += 64 << 10;
                    assert_eq!(frame, Some(Frame::Taken(Taken { input: taken as u64 })));
                }
            }
        }
        assert!(got == chunks);
        sending.join().unwrap();
    }
}
