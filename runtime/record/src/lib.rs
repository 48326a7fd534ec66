//! What was done: events in canonical form, the journal, tile logs, checkpoints, seals and `verify()`.
//!
//! Pure but for the one journal writer and the readers of its directory. It depends on `model` alone.

pub mod event;
pub mod sink;

pub use event::{Body, Draft, Event};
pub use sink::{Recorded, Sink, SinkError};
