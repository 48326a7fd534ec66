//! A session, watched through this process until it ends: over broken connections and restarts of the server.

mod known;
mod recording;

use std::io;
use std::time::{Duration, Instant};

use custody_api_client::{Attached, Client};
use custody_api_types::ApiCode;
use custody_api_types::attach::{Ended, Frame, Progress, SignalRequest, StopRequest};
use custody_api_types::session::Session;
use custody_model::{ErrorCode, SessionId};
use custody_record::event::{ClosingCode, Outcome};
use signal_hook::consts::{SIGINT, SIGQUIT};
use tokio::sync::mpsc;

use known::{Known, print};
use recording::rest_of;

use crate::console::{Act, Listening, Mode};
use crate::failure::{Explain, Failure};
use crate::{connect, render};

/// How often a session that waits is looked at.
const LOOK: Duration = Duration::from_millis(500);

/// The wait before a connection that broke is made anew, at first and at most.
const AGAIN: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));

/// Longest recording that is looked through for output that was missed, in bytes.
const MAX_RECORDING_BYTES: usize = 1 << 30;

/// Connections in a row on which nothing comes, before that is an error.
const FRUITLESS: u32 = 60;

/// What is shown besides the output.
pub trait Show {
    /// A step of preparation, or what the session waits for.
    fn progress(&mut self, step: &Progress);
    /// Output follows: what was shown has to go.
    fn output(&mut self);
    /// Something to know.
    fn note(&mut self, text: &str);
}

/// How a session that was watched ended.
pub enum Watched {
    /// It ended like this.
    Ended(Ended),
    /// It was stopped, because nobody read its output any more, and ended like this.
    Unread(Ended),
    /// It was taken back while it waited.
    Cancelled,
}

/// A session that is watched.
pub struct Watch<'a> {
    /// Calls.
    pub client: &'a Client,
    /// Which.
    pub session: SessionId,
    /// The session has a terminal, and this process lends it its own.
    pub terminal: bool,
    /// What happens at the terminal; nothing is sent without it.
    pub listening: Option<Listening>,
    /// Whether it was just asked for: then all output is to be seen.
    pub own: bool,
}

/// The calls about one session.
#[derive(Clone, Copy)]
struct Calls<'a> {
    client: &'a Client,
    session: SessionId,
}

impl Watch<'_> {
    /// Watches to the end.
    ///
    /// # Errors
    /// If the server can't be reached any more, or standard output is broken.
    pub async fn follow(self, show: &mut dyn Show) -> Result<Watched, Failure> {
        let Self { client, session, terminal, listening, own } = self;
        let (mut acts, mut keys) = match listening {
            Some(Listening { acts, typed }) => (Some(acts), Some(typed)),
            None => (None, None),
        };
        let calls = Calls { client, session };
        let mut known = Known { own, ..Known::default() };
        // While it waits, and while the connection is broken, keys such as Ctrl-C are this process's.
        let mut raw = None;
        let mut attached = calls.attach().await?;
        let mut stopped = false;
        let mut look = tokio::time::interval_at(tokio::time::Instant::now() + LOOK, LOOK);
        loop {
            let Some(socket) = &mut attached else {
                // There is nobody to attach to any more.
                let ended = ended(&calls.look().await?);
                calls.rest(&mut known, show).await?;
                return Ok(known.watched(ended));
            };
            if known.unread && known.reached && !stopped {
                if !own {
                    return Err(unread(session));
                }
                stopped = true;
                let reason = "nobody reads its output any more".to_owned();
                // If it is lost, the next look at the connection finds out, and it is sent again.
                let _lost = socket.send(&Frame::Stop(StopRequest { reason })).await;
            }
            tokio::select! {
                frame = socket.receive() => {
                    match frame {
                        Ok(Some(Frame::Ended(ended))) => {
                            if !known.reached {
                                calls.rest(&mut known, show).await?;
                            }
                            return Ok(known.watched(ended));
                        }
                        Ok(Some(frame)) => {
                            known.take(frame, show)?;
                            if terminal && known.reached && raw.is_none() {
                                let broken = "the terminal can't be used";
                                raw = Some(Mode::raw().explain(ErrorCode::Io, broken)?);
                            }
                            continue;
                        }
                        Ok(None) => {}
                        Err(error) if error.is_lost_connection() => {}
                        Err(error) => return Err(connect::failure_of(None, error)),
                    }
                    drop(raw.take());
                    stopped = false;
                    attached = tokio::select! {
                        attached = calls.again(&mut known, show) => attached?,
                        () = left_at(&mut acts) => return Err(left(session)),
                    };
                }
                act = act(&mut acts) => {
                    if !known.reached && is_end(&act) && take_back(client, session, &act).await? {
                        return Ok(Watched::Cancelled);
                    }
                    if known.reached && let Some(frame) = frame_of(&act, &mut known) {
                        // If it is lost, the next look at the connection finds out.
                        let _lost = socket.send(&frame).await;
                    }
                }
                bytes = typed(&mut keys), if known.may_send() => {
                    known.closed = bytes.is_empty();
                    known.sent += bytes.len() as u64;
                    let insists = raw.is_some() && known.insists(&bytes, Instant::now());
                    let _lost = socket.send(&Frame::Input(bytes)).await;
                    if insists {
                        let reason = "Ctrl-C was typed twice".to_owned();
                        let _lost = socket.send(&Frame::Stop(StopRequest { reason })).await;
                    }
                }
                _ = look.tick(), if !known.reached => {
                    if let Some(what) = render::session::waits_for(&calls.look().await?) {
                        show.progress(&step(format!("waiting for {what}")));
                    }
                }
            }
        }
    }
}

impl Calls<'_> {
    /// A connection; `None` if the session is over.
    async fn attach(self) -> Result<Option<Attached>, Failure> {
        match self.client.attach(self.session).await {
            Ok(attached) => Ok(Some(attached)),
            Err(error) if error.api_code() == Some(ApiCode::Conflict) => Ok(None),
            Err(error) => Err(connect::failure_of(None, error)),
        }
    }

    /// The connection, made anew.
    async fn again(
        self,
        known: &mut Known,
        show: &mut dyn Show,
    ) -> Result<Option<Attached>, Failure> {
        known.reached = false;
        known.fruitless += 1;
        if known.fruitless == 1 {
            show.progress(&step("the connection broke; connecting again".to_owned()));
        }
        if known.fruitless > FRUITLESS {
            return Err(left(self.session));
        }
        let wait = AGAIN.0 * 2_u32.saturating_pow(known.fruitless.min(10));
        tokio::time::sleep(wait.min(AGAIN.1)).await;
        self.attach().await
    }

    /// Output that came while nobody was attached, of a session that is over: from its recording.
    async fn rest(self, known: &mut Known, show: &mut dyn Show) -> Result<(), Failure> {
        if !known.own {
            return Ok(());
        }
        let recording =
            async { self.client.terminal(self.session).await?.bytes(MAX_RECORDING_BYTES).await };
        // Where nothing ran there is none.
        let Ok(recording) = recording.await else { return Ok(()) };
        match rest_of(&recording, known.seen) {
            Some(rest) if rest.is_empty() => Ok(()),
            Some(rest) => {
                show.output();
                print(&mut io::stdout().lock(), &rest)
            }
            None => {
                show.note("some output may have been missed; `custody session play` has it");
                Ok(())
            }
        }
    }

    async fn look(self) -> Result<Session, Failure> {
        let session = self.client.session(&self.session.to_string()).await;
        session.map_err(|error| connect::failure_of(None, error))
    }
}

/// Ends a session that waits; `false` if it runs by now, or is over.
///
/// # Errors
/// If the server can't be reached, or refuses.
pub async fn take_back(client: &Client, session: SessionId, act: &Act) -> Result<bool, Failure> {
    let reason = match act {
        Act::Signalled(signal) => format!("the client got signal {signal} while it waited"),
        Act::Resized(_) => return Ok(false),
    };
    match client.stop(session, &reason).await {
        Ok(session) => Ok(session.state.is_final()),
        Err(error) if error.api_code() == Some(ApiCode::Conflict) => Ok(false),
        Err(error) => Err(connect::failure_of(None, error)),
    }
}

/// A client that only watches shows no output.
fn unread(session: SessionId) -> Failure {
    Failure::new(ErrorCode::Io, "nobody reads the output any more; the session goes on")
        .hint(format!("`custody attach {session}` shows it again"))
}

/// The session was left, and goes on.
fn left(session: SessionId) -> Failure {
    let message = format!("the connection to session {session} is lost");
    Failure::new(ErrorCode::Unavailable, message)
        .hint(format!("the session goes on; `custody attach {session}` shows it again"))
}

fn step(step: String) -> Progress {
    Progress { step, done: None, total: None }
}

async fn act(acts: &mut Option<mpsc::UnboundedReceiver<Act>>) -> Act {
    match acts {
        Some(acts) => next(acts).await,
        None => std::future::pending().await,
    }
}

async fn next(acts: &mut mpsc::UnboundedReceiver<Act>) -> Act {
    match acts.recv().await {
        Some(act) => act,
        None => std::future::pending().await,
    }
}

async fn typed(keys: &mut Option<mpsc::Receiver<Vec<u8>>>) -> Vec<u8> {
    let bytes = match keys {
        Some(keys) => keys.recv().await,
        None => None,
    };
    match bytes {
        Some(bytes) => bytes,
        None => std::future::pending().await,
    }
}

async fn left_at(acts: &mut Option<mpsc::UnboundedReceiver<Act>>) {
    match acts {
        Some(acts) => {
            let _act = interrupted(acts).await;
        }
        None => std::future::pending().await,
    }
}

/// Until somebody wants to leave, and how.
pub async fn interrupted(acts: &mut mpsc::UnboundedReceiver<Act>) -> Act {
    loop {
        let act = next(acts).await;
        if is_end(&act) {
            return act;
        }
    }
}

fn is_end(act: &Act) -> bool {
    matches!(act, Act::Signalled(signal) if *signal != SIGQUIT)
}

/// The first Ctrl-C is the command's; who insists ends the session.
fn frame_of(act: &Act, known: &mut Known) -> Option<Frame> {
    Some(match *act {
        Act::Resized(window) => Frame::Resize(window),
        Act::Signalled(SIGINT) if known.interrupts == 0 => {
            known.interrupts += 1;
            Frame::Signal(SignalRequest { signal: SIGINT })
        }
        Act::Signalled(SIGQUIT) => Frame::Signal(SignalRequest { signal: SIGQUIT }),
        Act::Signalled(signal) => {
            Frame::Stop(StopRequest { reason: format!("the client got signal {signal}") })
        }
    })
}

/// How a session that is over ended, as the server shows it.
pub fn ended(session: &Session) -> Ended {
    use custody_model::state::session::SessionState;
    let outcome = session.outcome.unwrap_or(match &session.state {
        SessionState::Refused { .. } => Outcome::Refused,
        SessionState::Interrupted { .. } | SessionState::Lost { .. } => Outcome::Interrupted,
        SessionState::Failed { .. }
        | SessionState::Sealed { .. }
        | SessionState::Requested { .. }
        | SessionState::AwaitingApproval { .. }
        | SessionState::Queued { .. }
        | SessionState::Provisioning { .. }
        | SessionState::Running { .. }
        | SessionState::Paused { .. }
        | SessionState::Stopping { .. } => Outcome::Failed,
    });
    let reason = session.reason.clone().or_else(|| match &session.state {
        SessionState::Refused { reason, .. }
        | SessionState::Failed { reason, .. }
        | SessionState::Interrupted { reason, .. }
        | SessionState::Lost { reason, .. } => Some(reason.clone()),
        SessionState::Sealed { .. }
        | SessionState::Requested { .. }
        | SessionState::AwaitingApproval { .. }
        | SessionState::Queued { .. }
        | SessionState::Provisioning { .. }
        | SessionState::Running { .. }
        | SessionState::Paused { .. }
        | SessionState::Stopping { .. } => None,
    });
    let limit = session.state.limit();
    let code = limit.map(|_| ClosingCode::LimitReached);
    Ended { outcome, code, limit, reason: reason.unwrap_or_default(), exit: session.exit }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_interrupt_is_the_commands_and_the_second_ends_the_session() {
        let mut known = Known::default();
        let mut press = |signal| frame_of(&Act::Signalled(signal), &mut known);
        assert!(matches!(press(SIGINT), Some(Frame::Signal(SignalRequest { signal: SIGINT }))));
        assert!(matches!(press(SIGINT), Some(Frame::Stop(_))));
    }
}
