//! The keeper's end of what happens inside of the sandbox.
//!
//! `control` speaks with init; `notices` answers the seccomp listener (exec, connect, send); `relay` and `dns` serve the
//! sockets that init made in the sandbox's network, so that no relay runs inside; `lifetimes` hears of forks and exits.
//! All of them tell a [`NoticeSink`] or a [`LifeSink`]; none knows the journal.
//!
//! Invariant: what a process asks for is told to the sink before it is answered; what can't be told is refused.

mod connecting;
pub mod control;
pub mod dns;
mod http;
pub mod image;
pub mod lifetimes;
mod memory;
mod names;
mod network;
pub mod notices;
mod objects;
mod opened;
mod owners;
mod programs;
mod readings;
pub mod relay;
mod seccomp;
mod sockaddr;
mod walk;

pub use control::{Event, Inside, InsideError, Listener, Peer, Ready, Streams, listen};
pub use custody_init::protocol;
pub use image::{init_digest, init_image, write_init};
pub use lifetimes::{LifeSink, Lifetimes};
pub use names::GuardedNames;
pub use notices::{ExecNotice, NoticeLimits, NoticeSink, Notices};
pub use objects::{Objects, Withheld};
pub use owners::PortOwners;
pub use programs::Programs;
pub use readings::{ReadingSinks, Readings, WatchedTrees};
pub use relay::{OwnNetwork, Relay, RelayLimits, RelaySockets};
