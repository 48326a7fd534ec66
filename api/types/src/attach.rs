//! The frames of the attach WebSocket (RFC 6455): one binary message for each frame, its first byte the kind and the rest
//! the payload. Terminal bytes are carried as they are; everything else is JSON.
//!
//! The kinds are those of the keeper's socket.

use custody_model::LimitName;
use custody_record::event::{ClosingCode, ExitStatus, Outcome};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Longest payload, in bytes.
pub const MAX_FRAME_BYTES: usize = 1 << 20;

/// The WebSocket subprotocol that both sides name.
pub const SUBPROTOCOL: &str = "custody.attach.v1";

/// A terminal's size in character cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Window {
    /// Lines.
    pub rows: u16,
    /// Columns.
    pub columns: u16,
}

/// One step of preparation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Progress {
    /// What is being done, in words.
    pub step: String,
    /// So many of …
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub done: Option<u64>,
    /// … so many.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<u64>,
}

/// A place in the output of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Position {
    /// Bytes of output, of both kinds, before it.
    pub output: u64,
    /// Most bytes of input that a client sends before it is told that some of them were taken. More wait in its connection, and
    /// what is sent after them, too. Absent where a keeper of before takes all, or drops it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input_window: Option<u64>,
}

/// How much input was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Taken {
    /// Bytes that this client sent since it attached and that the command was given, or takes no more.
    pub input: u64,
}

/// How the session ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Ended {
    /// How.
    pub outcome: Outcome,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<ClosingCode>,
    /// The limit that was reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<LimitName>,
    /// Why, in words.
    pub reason: String,
    /// How the command ended, if it ran.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit: Option<ExitStatus>,
}

/// A signal for the command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SignalRequest {
    /// Its Linux number.
    pub signal: i32,
}

/// A request to end the session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StopRequest {
    /// Why, in words, for the record.
    pub reason: String,
}

/// What a client and a session say to each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// `p`, to the client: what the keeper is doing while it prepares.
    Progress(Progress),
    /// `n`, to the client, first of all that comes from the session: how much output there was before what follows. By
    /// it, who attaches again tells what they have seen already.
    Position(Position),
    /// `o`, to the client: standard output, or the terminal.
    Output(Vec<u8>),
    /// `e`, to the client: standard error, when there is no terminal.
    ErrorOutput(Vec<u8>),
    /// `t`, to the client: so much of its input was taken.
    Taken(Taken),
    /// `z`, to the client: the session is sealed. The last frame.
    Ended(Ended),
    /// `i`, to the session: input; empty means end of file.
    Input(Vec<u8>),
    /// `r`, to the session: the client's terminal has this size now.
    Resize(Window),
    /// `s`, to the session: a signal for the command, by number.
    Signal(SignalRequest),
    /// `q`, to the session: end it.
    Stop(StopRequest),
}

/// Why a message is no frame.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// It has no byte of kind.
    #[error("the message is empty")]
    Empty,
    /// Its payload is over [`MAX_FRAME_BYTES`].
    #[error("a frame of {0} bytes is longer than {MAX_FRAME_BYTES}")]
    TooLong(usize),
    /// Its kind is not known.
    #[error("no frame is of kind {0:?}")]
    UnknownKind(char),
    /// Its payload is not what its kind wants.
    #[error("frame {kind:?} can't be read")]
    Payload {
        /// Which kind.
        kind: char,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
}

impl Frame {
    /// The message.
    ///
    /// # Errors
    /// [`FrameError::TooLong`].
    pub fn to_message(&self) -> Result<Vec<u8>, FrameError> {
        let json = |kind: u8, value: serde_json::Result<Vec<u8>>| {
            let payload = value;
            payload.map_err(|source| FrameError::Payload { kind: char::from(kind), source })
        };
        let (kind, payload) = match self {
            Self::Progress(value) => (b'p', json(b'p', serde_json::to_vec(value))?),
            Self::Position(value) => (b'n', json(b'n', serde_json::to_vec(value))?),
            Self::Output(bytes) => (b'o', bytes.clone()),
            Self::ErrorOutput(bytes) => (b'e', bytes.clone()),
            Self::Taken(value) => (b't', json(b't', serde_json::to_vec(value))?),
            Self::Ended(value) => (b'z', json(b'z', serde_json::to_vec(value))?),
            Self::Input(bytes) => (b'i', bytes.clone()),
            Self::Resize(value) => (b'r', json(b'r', serde_json::to_vec(value))?),
            Self::Signal(value) => (b's', json(b's', serde_json::to_vec(value))?),
            Self::Stop(value) => (b'q', json(b'q', serde_json::to_vec(value))?),
        };
        if payload.len() > MAX_FRAME_BYTES {
            return Err(FrameError::TooLong(payload.len()));
        }
        let mut message = Vec::with_capacity(1 + payload.len());
        message.push(kind);
        message.extend_from_slice(&payload);
        Ok(message)
    }

    /// The frame that a message is.
    ///
    /// # Errors
    /// [`FrameError`].
    pub fn from_message(message: &[u8]) -> Result<Self, FrameError> {
        let (kind, payload) = message.split_first().ok_or(FrameError::Empty)?;
        if payload.len() > MAX_FRAME_BYTES {
            return Err(FrameError::TooLong(payload.len()));
        }
        let failed = |source| FrameError::Payload { kind: char::from(*kind), source };
        Ok(match kind {
            b'p' => Self::Progress(serde_json::from_slice(payload).map_err(failed)?),
            b'n' => Self::Position(serde_json::from_slice(payload).map_err(failed)?),
            b'o' => Self::Output(payload.to_vec()),
            b'e' => Self::ErrorOutput(payload.to_vec()),
            b't' => Self::Taken(serde_json::from_slice(payload).map_err(failed)?),
            b'z' => Self::Ended(serde_json::from_slice(payload).map_err(failed)?),
            b'i' => Self::Input(payload.to_vec()),
            b'r' => Self::Resize(serde_json::from_slice(payload).map_err(failed)?),
            b's' => Self::Signal(serde_json::from_slice(payload).map_err(failed)?),
            b'q' => Self::Stop(serde_json::from_slice(payload).map_err(failed)?),
            other => return Err(FrameError::UnknownKind(char::from(*other))),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_frame_survives_the_wire() {
        let progress = Progress { step: "checkout".into(), done: Some(1), total: None };
        let exit = Some(ExitStatus::Code(0));
        let (code, limit) = (Some(ClosingCode::CommandEnded), Some(LimitName::MemoryBytes));
        let outcome = Outcome::Completed;
        let ended = Ended { outcome, code, limit, reason: "it ended".into(), exit };
        let frames = [
            Frame::Progress(progress),
            Frame::Position(Position { output: 7, input_window: Some(9) }),
            Frame::Taken(Taken { input: 8 }),
            Frame::Output(vec![0, 255]),
            Frame::ErrorOutput(vec![]),
            Frame::Ended(ended),
            Frame::Input(b"ls\n".to_vec()),
            Frame::Resize(Window { rows: 24, columns: 80 }),
            Frame::Signal(SignalRequest { signal: 2 }),
            Frame::Stop(StopRequest { reason: "enough".into() }),
        ];
        for frame in frames {
            assert_eq!(Frame::from_message(&frame.to_message().unwrap()).unwrap(), frame);
        }
        let long = Frame::Input(vec![0; MAX_FRAME_BYTES + 1]);
        assert!(matches!(long.to_message(), Err(FrameError::TooLong(_))));
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = Frame::from_message(&bytes);
        }
    }
}
