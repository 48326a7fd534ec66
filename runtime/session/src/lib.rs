//! The orchestrator: what can be done with sessions, one verb per file, and what is done for those whose keeper died.
//!
//! Invariant: it holds no mount and no sandbox; those are a keeper's, and its death ends none.
//! Invariant: every verb is on record before its effect, and each of its steps may be repeated.

pub mod approve;
pub mod attach;
mod base;
mod bundle;
pub mod create;
pub mod erase;
pub mod error;
mod follow;
pub mod fsck;
pub mod hold;
mod launch;
pub mod lease;
pub mod lost;
pub mod orchestrator;
mod patch;
pub mod queue;
pub mod reconcile;
pub mod records;
mod refuse;
pub mod repository;
pub mod start;
pub mod steps;
pub mod stop;
pub mod sweep;
mod swept_clock;

pub use attach::{AttachError, Attachment, attach};
pub use create::{Created, NewSession};
pub use error::SessionError;
pub use lease::this_process;
pub use orchestrator::{Options, Orchestrator, Parts};
pub use patch::Patch;
pub use queue::Place;
pub use reconcile::Reconciled;
pub use records::FindError;
pub use start::{KeeperProgram, StartError, start};
pub use steps::{Faults, NoFaults, When};
pub use sweep::{Sweeping, Swept};
