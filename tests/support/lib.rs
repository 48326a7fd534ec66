//! The harness of the tests that run the real binary: a state directory of their own, real git repositories, sessions
//! and their records, and a census of what a session could leave behind.
//!
//! Everything here needs root on Linux, as Custody itself does, and says so instead of skipping.

pub mod census;
pub mod deadline;
pub mod installation;
pub mod keeper;
pub mod record;
pub mod repository;
pub mod server;
pub mod toolchain;

pub use census::Census;
pub use installation::{Installation, Output, binary};
pub use record::Record;
pub use repository::Repository;
pub use server::{Person, Server};
