//! Why a session could not be kept.

use std::io;

use custody_model::ErrorCode;
use custody_model::error::chain_without_echo;
use custody_record::SinkError;
use custody_record::disk::is_refusal;
use custody_record::event::ExitStatus;

use super::patience::Spent;

/// Why a session could not be kept.
#[derive(Debug, thiserror::Error)]
pub enum KeeperError {
    /// A file of the session's directory.
    #[error("{doing}")]
    File {
        /// What was being done.
        doing: String,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// The request or its policy is not valid.
    #[error("the session's {what} is not valid")]
    Request {
        /// Which file.
        what: &'static str,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The policy does not allow it.
    #[error("refused by the policy: {reason} (rule {rule})")]
    Refused {
        /// Which rule.
        rule: String,
        /// Why, in words.
        reason: String,
    },
    /// A step of the preparation failed.
    #[error("{step} failed")]
    Step {
        /// Which step.
        step: &'static str,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The command can't be executed.
    #[error("the command could not be run: {reason}")]
    NotRun {
        /// Why, in words.
        reason: String,
        /// As which exit code shells tell it.
        exit: Option<ExitStatus>,
    },
    /// The record can't be written.
    #[error(transparent)]
    Record(#[from] SinkError),
    /// A disk refused it for too long.
    #[error("{what} could not be written: {spent}")]
    Disk {
        /// What.
        what: &'static str,
        /// How long it was waited for.
        spent: Spent,
        /// What was refused last.
        #[source]
        source: Box<KeeperError>,
    },
}

impl KeeperError {
    /// For `map_err`: a step of the preparation.
    pub(super) fn step<E: Into<Box<dyn std::error::Error + Send + Sync>>>(
        step: &'static str,
    ) -> impl FnOnce(E) -> Self {
        move |source| Self::Step { step, source: source.into() }
    }

    pub(super) fn file(doing: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let doing = doing.into();
        move |source| Self::File { doing, source }
    }

    /// The stable code.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::File { .. } => ErrorCode::Io,
            Self::Request { .. } => ErrorCode::Invalid,
            Self::Refused { .. } => ErrorCode::PolicyRefused,
            Self::Step { .. } | Self::NotRun { .. } => ErrorCode::EnvironmentLacks,
            Self::Record(_) | Self::Disk { .. } => ErrorCode::RecordUnwritable,
        }
    }

    /// Whether a disk that is full, read-only or broken led to it.
    pub(super) fn is_of_the_disk(&self) -> bool {
        match self {
            // It shows the journal's error as its own.
            Self::Record(error) => is_refusal(error),
            Self::File { .. }
            | Self::Request { .. }
            | Self::Refused { .. }
            | Self::Step { .. }
            | Self::NotRun { .. }
            | Self::Disk { .. } => is_refusal(self),
        }
    }

    /// The whole chain of causes in one line, for the record and the client.
    #[must_use]
    pub fn chain(&self) -> String {
        chain_without_echo(self)
    }
}
