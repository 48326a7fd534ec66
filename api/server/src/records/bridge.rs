//! Between a client's WebSocket and a keeper's socket, frame by frame.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, WebSocket, close_code};
use custody_api_types::attach as wire;
use custody_control::Author;
use custody_identity::Verified;
use custody_model::SessionId;
use custody_session::attach::{Window, frame};
use custody_session::{AttachError, Attachment, Orchestrator, attach};
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::error::{ApiError, chain};
use crate::identity::still_valid;
use crate::lifecycle::Lifecycle;

/// The shortest wait between two looks for a keeper that is yet to be started: it mostly takes no longer.
const KEEPER_POLL: Duration = Duration::from_millis(2);

/// The longest.
const KEEPER_POLL_MAX: Duration = Duration::from_millis(100);

/// How long the store may take to show that a session is over, before its client is told.
const SETTLE: Duration = Duration::from_secs(10);

/// Frames that wait for a slow client.
const WAITING: usize = 64;

/// One attached client.
pub(super) struct Bridge {
    pub(super) session: SessionId,
    /// What the client types reaches the session.
    pub(super) input: bool,
    pub(super) author: Author,
    pub(super) verified: Option<Verified>,
    pub(super) orchestrator: Arc<Orchestrator>,
    pub(super) lifecycle: Lifecycle,
    pub(super) heartbeat: Duration,
}

/// Why a bridge ends.
enum End {
    /// The session is over; this is told.
    Over(wire::Ended),
    /// The client is gone.
    Gone,
    /// For this reason (RFC 6455, section 7.4.1).
    Close(u16, &'static str),
}

/// A connected keeper: a thread reads from it, and one writes to it.
struct Keeper {
    from: mpsc::Receiver<frame::Frame>,
    to: mpsc::Sender<frame::Frame>,
    attachment: Attachment,
}

impl Drop for Keeper {
    fn drop(&mut self) {
        // Both threads end with the connection.
        self.attachment.close();
    }
}

impl Bridge {
    /// Carries frames until the session is over, the client is gone, or may not listen any more.
    pub(super) async fn run(mut self, mut socket: WebSocket) {
        let end = match self.connect(&mut socket).await {
            Ok(keeper) => self.carry(keeper, &mut socket).await,
            Err(end) => end,
        };
        let close = match end {
            End::Gone => return,
            End::Over(ended) => {
                if !send(&mut socket, &wire::Frame::Ended(ended)).await {
                    return;
                }
                (close_code::NORMAL, "the session is over")
            }
            End::Close(code, reason) => (code, reason),
        };
        let frame = CloseFrame { code: close.0, reason: close.1.into() };
        // The client may be gone: then nobody has to be told.
        let _ = socket.send(Message::Close(Some(frame))).await;
    }

    /// The keeper, once there is one.
    async fn connect(&self, socket: &mut WebSocket) -> Result<Keeper, End> {
        let (mut told, mut pause) = (None, KEEPER_POLL);
        loop {
            let (state, session) = (self.orchestrator.state().clone(), self.session);
            match tokio::task::spawn_blocking(move || attach(&state, session)).await {
                Ok(Ok(attachment)) => {
                    return self.threads(attachment).map_err(|error| self.failed(&error));
                }
                Ok(Err(AttachError::NotRunning(_))) => {}
                Ok(Err(error @ AttachError::Io { .. })) => return Err(self.failed(&error)),
                Err(error) => return Err(self.failed(&error)),
            }
            if let Some(ended) = self.ended().await {
                return Err(End::Over(ended));
            }
            let step = self.waiting().await;
            if step.is_some() && step != told {
                let progress = wire::Progress {
                    step: step.clone().unwrap_or_default(),
                    done: None,
                    total: None,
                };
                if !send(socket, &wire::Frame::Progress(progress)).await {
                    return Err(End::Gone);
                }
                told = step;
            }
            tokio::select! {
                () = tokio::time::sleep(pause) => pause = (pause * 2).min(KEEPER_POLL_MAX),
                () = self.lifecycle.drained() => return Err(draining()),
                message = socket.recv() => match message {
                    // Whatever is typed before there is a session is lost, as before a shell.
                    Some(Ok(Message::Close(_)) | Err(_)) | None => return Err(End::Gone),
                    Some(Ok(Message::Text(_) | Message::Binary(_) | Message::Ping(_) | Message::Pong(_))) => {}
                },
            }
        }
    }

    /// What a session waits for, in words.
    async fn waiting(&self) -> Option<String> {
        let row = self.orchestrator.row(self.session).await.ok()?;
        Some(format!("the session is {}", row.state.name().replace('_', " ")))
    }

    fn threads(&self, attachment: Attachment) -> std::io::Result<Keeper> {
        let (mut reader, mut writer) = (attachment.split()?, attachment.split()?);
        let (from_keeper, from) = mpsc::channel(WAITING);
        let (to, mut to_keeper) = mpsc::channel::<frame::Frame>(WAITING);
        let thread =
            |name: &str| std::thread::Builder::new().name(format!("{name}-{}", self.session));
        thread("from").spawn(move || {
            while let Ok(Some(frame)) = reader.receive() {
                if from_keeper.blocking_send(frame).is_err() {
                    break;
                }
            }
        })?;
        thread("to").spawn(move || {
            while let Some(frame) = to_keeper.blocking_recv() {
                if writer.send(&frame).is_err() {
                    break;
                }
            }
        })?;
        Ok(Keeper { from, to, attachment })
    }

    async fn carry(&mut self, mut keeper: Keeper, socket: &mut WebSocket) -> End {
        let mut beat = Instant::now() + self.heartbeat;
        let mut gone = false;
        loop {
            tokio::select! {
                frame = keeper.from.recv() => match frame {
                    Some(frame::Frame::Ended(ended)) => {
                        // Whoever asks after it is told the same by the store.
                        self.orchestrator.settle(self.session, SETTLE).await;
                        return End::Over(shown(ended));
                    }
                    Some(frame) => {
                        if let Some(frame) = to_client(frame) && !send(socket, &frame).await {
                            return End::Gone;
                        }
                    }
                    None => {
                        self.orchestrator.settle(self.session, SETTLE).await;
                        return match self.ended().await {
                            Some(ended) => End::Over(ended),
                            None => End::Close(close_code::ERROR, "the keeper is gone"),
                        };
                    }
                },
                // A keeper that takes no more for now: what the client sends stays in its connection, and what the session
                // says reaches it all the same.
                room = keeper.to.reserve(), if !gone && keeper.to.capacity() == 0 => {
                    if room.is_err() {
                        // The keeper is gone, which the other direction says.
                        gone = true;
                    }
                }
                message = socket.recv(), if gone || keeper.to.capacity() > 0 => match message {
                    Some(Ok(Message::Binary(bytes))) => {
                        if let Err(end) = self.take_from_client(&bytes, &keeper).await {
                            return end;
                        }
                    }
                    Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                    Some(Ok(Message::Text(_))) => {
                        return End::Close(close_code::UNSUPPORTED, "frames are binary messages");
                    }
                    Some(Ok(Message::Close(_)) | Err(_)) | None => return End::Gone,
                },
                () = tokio::time::sleep_until(beat) => {
                    beat = Instant::now() + self.heartbeat;
                    if let Some(verified) = &self.verified
                        && !still_valid(self.orchestrator.plane(), verified).await
                    {
                        return End::Close(close_code::POLICY, "the token is not valid any more");
                    }
                    if socket.send(Message::Ping(Default::default())).await.is_err() {
                        return End::Gone;
                    }
                }
                () = self.lifecycle.drained() => return draining(),
            }
        }
    }

    /// Passes on what a client sends; what is asked of the session is on record first, like every other call.
    async fn take_from_client(&self, bytes: &[u8], keeper: &Keeper) -> Result<(), End> {
        let frame = wire::Frame::from_message(bytes)
            .map_err(|_| End::Close(close_code::INVALID, "the message is no frame"))?;
        if !self.input {
            return Ok(());
        }
        let passed = match frame {
            wire::Frame::Input(bytes) => frame::Frame::Input(bytes),
            wire::Frame::Resize(wire::Window { rows, columns }) => {
                frame::Frame::Resize(Window { rows, columns })
            }
            wire::Frame::Signal(asked) => {
                let sent = self.orchestrator.signal(&self.author, self.session, asked.signal).await;
                return self.asked(sent.map(drop));
            }
            wire::Frame::Stop(asked) => {
                let stopped =
                    self.orchestrator.stop(&self.author, self.session, &asked.reason).await;
                return self.asked(stopped.map(drop));
            }
            wire::Frame::Progress(_)
            | wire::Frame::Position(_)
            | wire::Frame::Output(_)
            | wire::Frame::ErrorOutput(_)
            | wire::Frame::Taken(_)
            | wire::Frame::Ended(_) => {
                return Err(End::Close(close_code::INVALID, "that is for clients"));
            }
        };
        // A keeper that is gone says so in the other direction.
        let _ = keeper.to.send(passed).await;
        Ok(())
    }

    /// A session that is over by now takes no signal: its end is on its way. Anything else ends the bridge.
    fn asked(&self, done: Result<(), custody_session::SessionError>) -> Result<(), End> {
        let Err(error) = done else { return Ok(()) };
        let error = ApiError::from(error);
        if error.code.kind().status < 500 {
            tracing::debug!(session = %self.session, detail = &*error.detail, "not done");
            return Ok(());
        }
        tracing::error!(session = %self.session, detail = &*error.detail, "what a client asked for can't be done");
        Err(End::Close(close_code::ERROR, "it can't be done"))
    }

    /// How the session ended, if it did.
    async fn ended(&self) -> Option<wire::Ended> {
        let row = self.orchestrator.row(self.session).await.ok()?;
        if !row.state.is_final() {
            return None;
        }
        let outcome = row.outcome.unwrap_or(match row.state.name() {
            "refused" => custody_record::event::Outcome::Refused,
            "interrupted" => custody_record::event::Outcome::Interrupted,
            _ => custody_record::event::Outcome::Failed,
        });
        let limit = row.state.limit();
        let code = limit.map(|_| custody_record::event::ClosingCode::LimitReached);
        let reason = row.reason.unwrap_or_default();
        Some(wire::Ended { outcome, code, limit, reason, exit: row.exit })
    }

    fn failed(&self, error: &(dyn std::error::Error + 'static)) -> End {
        tracing::error!(session = %self.session, error = %chain(error), "a client can't be attached");
        End::Close(close_code::ERROR, "the keeper can't be reached")
    }
}

fn draining() -> End {
    End::Close(close_code::RESTART, "the server is draining; come back")
}

async fn send(socket: &mut WebSocket, frame: &wire::Frame) -> bool {
    match frame.to_message() {
        Ok(message) => socket.send(Message::Binary(message.into())).await.is_ok(),
        // The keeper's frames have the same limit.
        Err(_) => true,
    }
}

fn shown(ended: frame::Ended) -> wire::Ended {
    let frame::Ended { outcome, code, limit, reason, exit } = ended;
    wire::Ended { outcome, code, limit, reason, exit }
}

/// What the keeper says to clients; the end is not passed on before the store shows it.
fn to_client(frame: frame::Frame) -> Option<wire::Frame> {
    match frame {
        frame::Frame::Progress(frame::Progress { step, done, total }) => {
            Some(wire::Frame::Progress(wire::Progress { step, done, total }))
        }
        frame::Frame::Position(frame::Position { output, input_window }) => {
            Some(wire::Frame::Position(wire::Position { output, input_window }))
        }
        frame::Frame::Taken(frame::Taken { input }) => {
            Some(wire::Frame::Taken(wire::Taken { input }))
        }
        frame::Frame::Output(bytes) => Some(wire::Frame::Output(bytes)),
        frame::Frame::ErrorOutput(bytes) => Some(wire::Frame::ErrorOutput(bytes)),
        frame::Frame::Ended(ended) => Some(wire::Frame::Ended(shown(ended))),
        frame::Frame::Input(_)
        | frame::Frame::Resize(_)
        | frame::Frame::Signal(_)
        | frame::Frame::Stop(_) => None,
    }
}
