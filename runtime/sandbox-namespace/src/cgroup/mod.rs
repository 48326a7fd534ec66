//! Control groups: which hierarchies the machine has, and one group per session in each of them.
//!
//! Version 2, version 1 and both at once (a *hybrid* machine has its controllers in version 1 and an empty version 2
//! beside them) are detected controller by controller, never assumed.

mod group;
mod hierarchy;
mod limit;
mod usage;

pub(crate) use group::Group;
pub use hierarchy::{Controller, Hierarchies, Mode};
