//! The log of a session that lives: its signed head, and its tiles.
//!
//! The journal alone is on disk. What it holds up to the signed head is shown in the form of C2SP tlog-tiles v0.1.0, made when
//! somebody asks, so that nobody who follows a session costs its write path anything.

mod placed;
mod publish;
mod tiles;

pub use placed::{Placed, PlacedError, placed};
pub(crate) use publish::forget;
pub use publish::{PublishError, publish};
pub use tiles::LivingLog;

/// Name of the file with the newest signed head of a session that lives, in its record's directory (C2SP tlog-checkpoint).
pub const LIVING_CHECKPOINT: &str = "living.checkpoint";

/// Name of the file that says where that head stands in the installation log.
pub(crate) const LIVING_PLACE: &str = "living.place.json";
