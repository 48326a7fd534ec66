//! Frames between a keeper and those who attach to its session.
//!
//! One byte of kind, four bytes of length (big endian), the payload. Terminal bytes are carried as they are;
//! everything else is JSON. The same on both sides, so that one reader and one writer serve both.

use std::io::{self, Read, Write};

use custody_model::LimitName;
use custody_record::event::{ClosingCode, ExitStatus, Outcome};
use serde::{Deserialize, Serialize};

use crate::spec::Window;

/// Longest payload, in bytes.
pub const MAX_FRAME_BYTES: u32 = 1 << 20;

/// What a keeper and a client say to each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// To the client: what the keeper is doing while it prepares.
    Progress(Progress),
    /// To the client, first of all: how much output there was before what follows.
    Position(Position),
    /// To the client: standard output, or the terminal.
    Output(Vec<u8>),
    /// To the client: standard error, when there is no terminal.
    ErrorOutput(Vec<u8>),
    /// To the client: so much of its input was taken.
    Taken(Taken),
    /// To the client: the session is sealed. The last frame.
    Ended(Ended),
    /// To the keeper: input; empty means end of file.
    Input(Vec<u8>),
    /// To the keeper: the client's terminal has this size now.
    Resize(Window),
    /// To the keeper: a signal for the command, by number.
    Signal(SignalRequest),
    /// To the keeper: end the session.
    Stop(StopRequest),
}

/// One step of preparation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// What is being done, in words.
    pub step: String,
    /// So many of …
    #[serde(skip_serializing_if = "Option::is_none")]
    pub done: Option<u64>,
    /// … so many.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total: Option<u64>,
}

/// A place in the output of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// Bytes of output, of both kinds, before it.
    pub output: u64,
    /// Most bytes of input that a client sends before it is told that some of them were taken. More wait in its connection, and
    /// what is sent after them, too. Absent where a keeper of before takes all, or drops it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input_window: Option<u64>,
}

/// How much input was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Taken {
    /// Bytes that this client sent since it attached and that the command was given, or takes no more.
    pub input: u64,
}

/// How the session ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exit: Option<ExitStatus>,
}

/// A signal for the command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignalRequest {
    /// Its Linux number.
    pub signal: i32,
}

/// A request to end the session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StopRequest {
    /// Why, in words, for the record.
    pub reason: String,
}

impl Frame {
    fn kind(&self) -> u8 {
        match self {
            Self::Progress(_) => b'p',
            Self::Position(_) => b'n',
            Self::Output(_) => b'o',
            Self::ErrorOutput(_) => b'e',
            Self::Taken(_) => b't',
            Self::Ended(_) => b'z',
            Self::Input(_) => b'i',
            Self::Resize(_) => b'r',
            Self::Signal(_) => b's',
            Self::Stop(_) => b'q',
        }
    }

    /// Writes the frame.
    ///
    /// # Errors
    /// Those of the writer, and `InvalidInput` for a payload over [`MAX_FRAME_BYTES`].
    pub fn write(&self, to: &mut impl Write) -> io::Result<()> {
        let json;
        let payload: &[u8] = match self {
            Self::Output(bytes) | Self::ErrorOutput(bytes) | Self::Input(bytes) => bytes,
            Self::Progress(value) => {
                json = serde_json::to_vec(value)?;
                &json
            }
            Self::Position(value) => {
                json = serde_json::to_vec(value)?;
                &json
            }
            Self::Taken(value) => {
                json = serde_json::to_vec(value)?;
                &json
            }
            Self::Ended(value) => {
                json = serde_json::to_vec(value)?;
                &json
            }
            Self::Resize(value) => {
                json = serde_json::to_vec(value)?;
                &json
            }
            Self::Signal(value) => {
                json = serde_json::to_vec(value)?;
                &json
            }
            Self::Stop(value) => {
                json = serde_json::to_vec(value)?;
                &json
            }
        };
        let length = u32::try_from(payload.len())
            .ok()
            .filter(|n| *n <= MAX_FRAME_BYTES)
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "the frame is too long"))?;
        // One write, so that a frame is not torn between two threads' writes.
        let mut bytes = Vec::with_capacity(5 + payload.len());
        bytes.push(self.kind());
        bytes.extend_from_slice(&length.to_be_bytes());
        bytes.extend_from_slice(payload);
        to.write_all(&bytes)?;
        to.flush()
    }

    /// Reads the next frame; `None` when the other side has closed between two frames.
    ///
    /// # Errors
    /// Those of the reader, and `InvalidData` for what is not a frame.
    pub fn read(from: &mut impl Read) -> io::Result<Option<Self>> {
        let mut kind = [0];
        if from.read(&mut kind)? == 0 {
            return Ok(None);
        }
        let mut length = [0; 4];
        from.read_exact(&mut length)?;
        let length = u32::from_be_bytes(length);
        if length > MAX_FRAME_BYTES {
            return Err(invalid(format!(
                "a frame of {length} bytes is longer than {MAX_FRAME_BYTES}"
            )));
        }
        let mut payload = vec![0; length as usize];
        from.read_exact(&mut payload)?;
        let json = |e: serde_json::Error| invalid(format!("frame {:?}: {e}", char::from(kind[0])));
        Ok(Some(match kind[0] {
            b'p' => Self::Progress(serde_json::from_slice(&payload).map_err(json)?),
            b'n' => Self::Position(serde_json::from_slice(&payload).map_err(json)?),
            b'o' => Self::Output(payload),
            b'e' => Self::ErrorOutput(payload),
            b't' => Self::Taken(serde_json::from_slice(&payload).map_err(json)?),
            b'z' => Self::Ended(serde_json::from_slice(&payload).map_err(json)?),
            b'i' => Self::Input(payload),
            b'r' => Self::Resize(serde_json::from_slice(&payload).map_err(json)?),
            b's' => Self::Signal(serde_json::from_slice(&payload).map_err(json)?),
            b'q' => Self::Stop(serde_json::from_slice(&payload).map_err(json)?),
            other => {
                return Err(invalid(format!("no frame is of kind {:?}", char::from(other))));
            }
        }))
    }
}

fn invalid(text: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_frame_survives_the_wire() {
        let frames = [
            Frame::Progress(Progress { step: "checkout".into(), done: Some(1), total: Some(2) }),
            Frame::Position(Position { output: 7, input_window: Some(9) }),
            Frame::Taken(Taken { input: 8 }),
            Frame::Output(vec![0, 255]),
            Frame::ErrorOutput(vec![]),
            Frame::Ended(Ended {
                outcome: Outcome::Completed,
                code: Some(ClosingCode::CommandEnded),
                limit: None,
                reason: "it ended".into(),
                exit: Some(ExitStatus::Code(0)),
            }),
            Frame::Input(b"ls\n".to_vec()),
            Frame::Resize(Window { rows: 24, columns: 80 }),
            Frame::Signal(SignalRequest { signal: 2 }),
            Frame::Stop(StopRequest { reason: "enough".into() }),
        ];
        let mut wire = Vec::new();
        for frame in &frames {
            frame.write(&mut wire).unwrap();
        }
        let mut rest = wire.as_slice();
        for frame in frames {
            assert_eq!(Frame::read(&mut rest).unwrap(), Some(frame));
        }
        assert_eq!(Frame::read(&mut rest).unwrap(), None);
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = Frame::read(&mut bytes.as_slice());
        }
    }

    #[test]
    fn a_frame_over_the_limit_is_refused_before_it_is_read() {
        let wire = [b'o', 0xff, 0xff, 0xff, 0xff];
        let error = Frame::read(&mut wire.as_slice()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }
}
