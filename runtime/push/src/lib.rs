//! Sends what is recorded to others while it happens: webhooks of CloudEvents, and spans over OTLP/HTTP.
//!
//! The queue of a destination is the records themselves: all that is kept of it is a place in each record, in a file.
//! So it is bounded, nothing is lost by a restart, and everything arrives at least once. A destination that does not answer
//! holds up itself alone; what happens to the records is never held up.

mod backoff;
mod destination;
mod place;
mod position;
mod sender;
mod signature;
mod worker;

use std::collections::BTreeSet;
use std::error::Error;
use std::path::PathBuf;

use async_trait::async_trait;
use custody_model::SessionId;

pub use backoff::Backoff;
pub use destination::{Destination, Kind};
pub use place::{Place, Session};
pub use position::{PositionError, Positions};
pub use signature::{Secret, SecretError, Signed};
pub use worker::{PushError, Pusher, Setup};

/// The records of an installation.
#[async_trait]
pub trait Records: Send + Sync {
    /// Sessions whose records may begin or go on.
    ///
    /// # Errors
    /// If it is not known.
    async fn live(&self) -> Result<BTreeSet<SessionId>, Unknown>;

    /// Every session that has a directory.
    ///
    /// # Errors
    /// If it is not known.
    async fn all(&self) -> Result<BTreeSet<SessionId>, Unknown>;

    /// The directory of a session's record, which need not exist.
    fn record(&self, session: SessionId) -> PathBuf;
}

/// Why it is not known which sessions there are.
#[derive(Debug, thiserror::Error)]
#[error("the sessions can't be listed")]
pub struct Unknown(#[source] pub Box<dyn Error + Send + Sync>);

/// What is counted of a destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Counted {
    /// Events (webhooks) or requests (OTLP) that were taken.
    Delivered,
    /// Attempts that failed and are made again.
    Failed,
    /// Events that the destination's types leave out.
    Filtered,
    /// What can't be delivered any more: records that are gone or can't be read, spans that were rejected.
    Dropped,
    /// Records that are sent anew because they are others than those that were sent.
    Resent,
}

impl Counted {
    /// Its name in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Failed => "failed",
            Self::Filtered => "filtered",
            Self::Dropped => "dropped",
            Self::Resent => "resent",
        }
    }
}

/// Who keeps the counts.
pub trait Counter: Send + Sync {
    /// So many more.
    fn count(&self, destination: &str, what: Counted, more: u64);

    /// Sessions that the destination has not got all of.
    fn pending(&self, destination: &str, sessions: u64);
}
