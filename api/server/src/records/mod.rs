//! The records of sessions: events, what they sum up to, what came out, and evidence.

mod attach;
mod blob;
mod branch;
mod bridge;
mod diff;
mod download;
mod events;
mod evidence;
mod export;
mod files;
mod outputs;
mod sending;
mod stream;
mod summary;
mod terminal;
mod verify;

pub(crate) use attach::attach;
pub(crate) use branch::branch;
pub(crate) use diff::diff;
pub(crate) use download::download;
pub(crate) use events::events;
pub(crate) use evidence::evidence;
pub(crate) use export::export;
pub(crate) use files::files;
pub(crate) use outputs::outputs;
pub(crate) use stream::stream;
pub(crate) use summary::summary;
pub(crate) use terminal::terminal;
pub(crate) use verify::verify;
