//! The server, put together from its parts: for `custody serve`, and inside of every other command that needs one.
//!
//! What is named only in `wire.rs`, drivers and databases, comes from there.

pub mod embedded;
mod faults;
pub mod first_start;
mod investigator;
mod issuers;
mod keys;
mod locks;
mod notify;
mod parts;
mod pushes;
pub mod serving;
mod sockets;
mod sweeping;
mod visible;
mod whole;
mod witnessing;

pub use embedded::make_state;
pub use locks::IndexLock;
pub use parts::open_plane;
