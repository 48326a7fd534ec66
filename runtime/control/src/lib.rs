//! The control plane: the one writer of the control log, and of the store that is derived from it and from the
//! sessions' records.
//!
//! Invariant: what changes is an event of the control log first; the store follows, by the same projection that
//! `reindex` uses.
//! Invariant: it starts nothing and knows no sandbox, no HTTP and no SQL.

pub mod author;
pub mod error;
pub mod plane;
pub mod policies;
pub mod projection;
pub mod projects;
pub mod record_index;
pub mod reindex;
pub mod retention;
pub mod tokens;
pub mod users;

pub use author::Author;
pub use error::ControlError;
pub use plane::ControlPlane;
pub use record_index::RecordIndexer;
pub use retention::{Hold, Retention};
