//! The control log, and questions about the code.

mod events;
mod investigate;
mod verify;

pub(crate) use events::events;
pub(crate) use investigate::investigate;
pub(crate) use verify::verify;
