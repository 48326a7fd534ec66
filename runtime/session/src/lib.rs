//! The orchestrator: what can be done with sessions, one verb per file, and what is done for those whose keeper died.
//!
//! Invariant: it holds no mount and no sandbox; those are a keeper's, and its death ends none.

pub mod attach;
mod base;
pub mod create;
pub mod reconcile;
pub mod records;
pub mod start;
pub mod stop;

pub use attach::{AttachError, Attachment, attach};
pub use create::{CreateError, create};
pub use reconcile::{Reconciled, reconcile};
pub use records::FindError;
pub use start::{KeeperProgram, StartError, start};
pub use stop::stop;
