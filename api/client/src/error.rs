//! Why a call gave no answer, or one that says no.

use custody_api_types::attach::FrameError;
use custody_api_types::{ApiCode, Problem};
use custody_model::ErrorCode;

use crate::address::ServerAddress;

/// Why a call gave no answer, or one that says no.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The server said no.
    #[error("{}", .0.detail)]
    Problem(Box<Problem>),
    /// Nothing was sent: nobody answers there.
    #[error("the server at {address} can't be reached")]
    Unreachable {
        /// Where.
        address: ServerAddress,
        /// Why.
        #[source]
        source: reqwest::Error,
    },
    /// The connection broke before the answer was there. What was asked may have been done.
    #[error("the connection to the server at {address} broke; what was asked may have been done")]
    Broken {
        /// Which.
        address: ServerAddress,
        /// Why.
        #[source]
        source: reqwest::Error,
    },
    /// Something answered that is no Custody, or a much newer one.
    #[error("{address} gives no answer of Custody's API: HTTP status {status}{what}")]
    Foreign {
        /// Where.
        address: ServerAddress,
        /// Its status.
        status: u16,
        /// What else it said, in words; empty if nothing.
        what: String,
    },
    /// An answer that is not what the operation gives.
    #[error("the answer of {operation} can't be read; the server may be of another version")]
    Answer {
        /// Which operation.
        operation: &'static str,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// An answer that is longer than any may be.
    #[error("the answer of {0} is longer than 64 MiB")]
    TooLong(&'static str),
    /// What was to be sent has no JSON form.
    #[error("the request has no JSON form")]
    Request(#[source] serde_json::Error),
    /// TLS can't be used.
    #[error("TLS can't be used")]
    Tls(#[source] rustls::Error),
    /// The HTTP client can't be made, or the request not be sent: of this machine.
    #[error("the HTTP client can't be used")]
    Http(#[source] reqwest::Error),
    /// A stream of events that skips one, or ends too early.
    #[error("the stream of events is not whole: {0}")]
    Stream(String),
    /// The WebSocket.
    #[error("the connection to the session broke")]
    Socket(#[source] Box<tokio_tungstenite::tungstenite::Error>),
    /// The server did not take the connection over as a WebSocket.
    #[error("the server gave no WebSocket: {0}")]
    Handshake(String),
    /// A message that is no frame.
    #[error("the session sent what is no frame")]
    Frame(#[from] FrameError),
    /// A file that a download goes to.
    #[error("what is downloaded can't be written")]
    Write(#[source] std::io::Error),
}

impl ClientError {
    /// The code of the problem, if the server said no.
    #[must_use]
    pub fn api_code(&self) -> Option<ApiCode> {
        match self {
            Self::Problem(problem) => Some(problem.code),
            Self::Unreachable { .. }
            | Self::Broken { .. }
            | Self::Foreign { .. }
            | Self::Answer { .. }
            | Self::TooLong(_)
            | Self::Request(_)
            | Self::Tls(_)
            | Self::Http(_)
            | Self::Stream(_)
            | Self::Socket(_)
            | Self::Handshake(_)
            | Self::Frame(_)
            | Self::Write(_) => None,
        }
    }

    /// The stable code, by which the command line exits.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Problem(problem) => problem.code.error_code(),
            Self::Unreachable { .. } | Self::Broken { .. } | Self::Socket(_) => {
                ErrorCode::Unavailable
            }
            Self::Foreign { .. } | Self::Handshake(_) => ErrorCode::Unavailable,
            Self::Answer { .. } | Self::TooLong(_) | Self::Request(_) | Self::Frame(_) => {
                ErrorCode::Internal
            }
            Self::Tls(_) | Self::Http(_) => ErrorCode::EnvironmentLacks,
            Self::Stream(_) => ErrorCode::VerificationFailed,
            Self::Write(_) => ErrorCode::Io,
        }
    }

    /// Whether the connection is what failed, so that it may be made anew.
    #[must_use]
    pub fn is_lost_connection(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Broken { .. } | Self::Socket(_) => true,
            Self::Problem(problem) => problem.code == ApiCode::Unavailable,
            Self::Foreign { .. }
            | Self::Answer { .. }
            | Self::TooLong(_)
            | Self::Request(_)
            | Self::Tls(_)
            | Self::Http(_)
            | Self::Stream(_)
            | Self::Handshake(_)
            | Self::Frame(_)
            | Self::Write(_) => false,
        }
    }
}
