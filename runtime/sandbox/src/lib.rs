//! What every sandbox driver promises, and the means to hold it to that.
//!
//! A driver makes sandboxes; a [`Sandbox`] holds one process tree, begun by Custody's init. The contract blocks: it
//! runs in the keeper, a process of its own per session. Nothing here knows any driver but the simulated one, and
//! nothing here touches the network or the record.
//!
//! - [`SandboxSpec`]: what is wanted, checked before anything is made.
//! - [`Driver`], [`Sandbox`]: the contract. What a caller can ask is [`Request`], fewer words than what it may come
//!   to see, [`SandboxState`](custody_model::state::sandbox::SandboxState).
//! - [`Lifecycle`]: the pure life cycle that the real drivers and the simulated one share.
//! - [`SimulatedDriver`]: threads in place of processes; for tests of what stands above a driver.
//! - `suite` (feature `suite`): the one behaviour suite that each driver passes.

pub mod authorization;
pub mod driver;
pub mod error;
pub mod lifecycle;
pub mod simulated;
pub mod spec;
#[cfg(feature = "suite")]
pub mod suite;

pub use authorization::{Authorization, admit};
pub use driver::{Capabilities, Driver, Sandbox, SandboxExit, Usage};
pub use error::SandboxError;
pub use lifecycle::{Lifecycle, Observation, Request, Step};
pub use simulated::SimulatedDriver;
pub use spec::{ExtraBind, Identity, Root, SandboxSpec};
