//! The keeper: one process per session, outside of the sandbox, that mediates and records it.
//!
//! It holds the workspace's mounts, the terminal, the exec notices and the one writer of the journal. A fault stays
//! in its session; the death of whoever started it ends no session. Threads, not an async runtime: its work is
//! blocking reads from a handful of kernel queues. All of its mounts are in a mount namespace of its own, so that
//! a keeper that is killed leaves none behind.
//!
//! Invariant: nothing is provisioned before `session.authorized` is durable.
//! Invariant: terminal output leaves only after everything that was seen before it is in the journal.

pub mod asciicast;
pub mod clients;
pub mod frame;
mod held;
pub mod inside;
pub mod layout;
pub mod probe;
pub mod processes;
pub mod recorder;
pub mod redactor;
pub mod run;
pub mod socket_path;
pub mod spec;
pub mod terminal;

pub use run::{KeeperError, Setup, run};
