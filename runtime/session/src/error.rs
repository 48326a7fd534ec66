//! Why a verb was not carried out.

use custody_control::ControlError;
use custody_keeper::run::KeeperError;
use custody_model::{ErrorCode, InvalidTransition, SessionId, Timestamp};
use custody_policy::PolicyError;
use custody_policy::quantity::Seconds;
use custody_record::VaultError;
use custody_store::StoreError;
use custody_workspace::checkout::CheckoutError;
use custody_workspace::mirror::{InvalidRepositoryName, MirrorError};

use crate::attach::AttachError;
use crate::start::StartError;

/// Why a verb was not carried out. What its steps had done was undone, but for what is on record.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The control plane.
    #[error(transparent)]
    Control(#[from] ControlError),
    /// There is no such session.
    #[error("there is no session {0}")]
    Unknown(SessionId),
    /// It is in another state.
    #[error("session {session} {source}")]
    State {
        /// Which.
        session: SessionId,
        /// What was asked of which state.
        #[source]
        source: InvalidTransition,
    },
    /// It is not in a state for this.
    #[error("session {session} is {state}: {reason}")]
    Conflict {
        /// Which.
        session: SessionId,
        /// Its state's name.
        state: &'static str,
        /// What would be needed, in words.
        reason: String,
    },
    /// The caller may not.
    #[error("{0}")]
    Forbidden(String),
    /// The same name for another request.
    #[error(
        "the idempotency key {key:?} named another request before, that of session {session}: take a new key"
    )]
    KeyReused {
        /// The key.
        key: String,
        /// What it named.
        session: SessionId,
    },
    /// Too many wait already.
    #[error("{what}: {found} sessions wait already, and {limit} may; wait until some have run")]
    LineFull {
        /// Whose.
        what: String,
        /// How many.
        found: u64,
        /// The limit.
        limit: u64,
    },
    /// A value that can't be taken.
    #[error("{field}: {reason}")]
    Invalid {
        /// Which.
        field: &'static str,
        /// Why.
        reason: String,
    },
    /// Its request, as it is kept for its keeper.
    #[error(transparent)]
    Spec(#[from] custody_keeper::spec::SpecError),
    /// What takes credentials out of the request.
    #[error("the request can't be redacted")]
    Redactor(#[from] custody_record::RedactorError),
    /// What is left of the request without its credentials.
    #[error("the request can't be put on record without the credentials in it")]
    Redacted(#[from] serde_json::Error),
    /// The note of an erasure.
    #[error(transparent)]
    Erasure(#[from] custody_record::ErasureError),
    /// The installation log.
    #[error("no session can begin: the installation log can't be appended to")]
    Log(#[from] custody_record::LogError),
    /// The installation's key.
    #[error(transparent)]
    Key(#[from] custody_record::KeyError),
    /// A key of the vault.
    #[error(transparent)]
    Vault(#[from] custody_record::VaultError),
    /// The repository.
    #[error("repository: it can't be used")]
    Mirror(#[from] MirrorError),
    /// Its name.
    #[error("repository")]
    RepositoryName(#[from] InvalidRepositoryName),
    /// Where it comes from.
    #[error("source: it is no git repository")]
    Source(#[from] CheckoutError),
    /// The commit to start from: its source says which is none.
    #[error("base")]
    Base {
        /// What was given.
        revision: String,
        /// Why.
        #[source]
        source: MirrorError,
    },
    /// The policy document.
    #[error("policy")]
    Policy(#[from] PolicyError),
    /// A file of the session's directory.
    #[error("{doing}")]
    File {
        /// What was being done.
        doing: String,
        /// Why it failed.
        #[source]
        source: std::io::Error,
    },
    /// A refusal could not be recorded, or a request not be read.
    #[error(transparent)]
    Keeper(#[from] KeeperError),
    /// The keeper could not be started.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The keeper can't be reached.
    #[error(transparent)]
    Attach(#[from] AttachError),
    /// The clock is further ahead than time can have gone on.
    #[error(
        "nothing is swept: the clock says {now}, which is more than {lead} after {seen}, the newest moment that is known to have \
         been (retention.clock_lead). If the clock is right, because the installation lay idle for so long, \
         `custody sweep --clock-is-right` says so; if it is wrong, set it"
    )]
    Clock {
        /// What the clock says.
        now: Timestamp,
        /// The newest moment that is known to have been.
        seen: Timestamp,
        /// How far the clock may be ahead of it.
        lead: Seconds,
    },
    /// The server is ending.
    #[error(
        "no new sessions are taken, because the program that starts them is ending; ask again in a moment"
    )]
    Draining,
    /// A fault that a test asked for.
    #[error("the step {0} fails because a test asked for it")]
    Fault(String),
}

impl From<StoreError> for SessionError {
    fn from(error: StoreError) -> Self {
        Self::Control(error.into())
    }
}

impl From<tokio::task::JoinError> for SessionError {
    fn from(error: tokio::task::JoinError) -> Self {
        Self::Control(error.into())
    }
}

impl SessionError {
    /// For `map_err`: what was being done with a file.
    pub(crate) fn file(doing: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let doing = doing.into();
        move |source| Self::File { doing, source }
    }

    /// The stable code.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Control(error) => error.code(),
            Self::Unknown(_) | Self::Base { .. } => ErrorCode::NotFound,
            Self::State { .. }
            | Self::Conflict { .. }
            | Self::KeyReused { .. }
            | Self::Clock { .. } => ErrorCode::Conflict,
            Self::Forbidden(_) => ErrorCode::Forbidden,
            Self::LineFull { .. } => ErrorCode::LimitReached,
            Self::Invalid { .. } | Self::RepositoryName(_) | Self::Source(_) | Self::Policy(_) => {
                ErrorCode::Invalid
            }
            Self::Vault(VaultError::Wrapping { .. }) => ErrorCode::EnvironmentLacks,
            Self::Mirror(MirrorError::Unknown(_)) => ErrorCode::NotFound,
            Self::Mirror(MirrorError::Partial { .. }) => ErrorCode::EnvironmentLacks,
            Self::Mirror(_)
            | Self::File { .. }
            | Self::Spec(_)
            | Self::Vault(_)
            | Self::Erasure(_)
            | Self::Key(_) => ErrorCode::Io,
            Self::Keeper(error) => error.code(),
            Self::Log(_) => ErrorCode::RecordUnwritable,
            Self::Start(_) => ErrorCode::EnvironmentLacks,
            Self::Attach(AttachError::NotRunning(_)) => ErrorCode::Conflict,
            Self::Attach(AttachError::Io { .. }) => ErrorCode::Io,
            Self::Draining => ErrorCode::Unavailable,
            Self::Redacted(_) => ErrorCode::Invalid,
            Self::Redactor(_) | Self::Fault(_) => ErrorCode::Internal,
        }
    }
}
