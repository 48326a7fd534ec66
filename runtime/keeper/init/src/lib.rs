//! What the keeper and process 1 of a sandbox say to each other: the types and the channel that carries them.
//!
//! Lean, because both ends link it: the keeper, and the static binary `custody-init` (`main.rs`).

pub mod channel;
pub mod protocol;
pub mod start;
