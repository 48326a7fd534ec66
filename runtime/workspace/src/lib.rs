//! The controlled workspace: base checkout, view, observer, guard, content, diff and output gate.

pub mod access;
pub mod base;
pub mod checkout;
pub mod compare;
pub mod content;
mod covers;
pub mod descent;
pub mod gate;
pub mod git;
pub mod guard;
mod layer;
mod lock;
pub mod mirror;
mod mount;
pub mod observe;
pub mod outputs;
pub mod overlay;
mod regular;
pub mod spelling;
pub mod view;
mod worktree;

pub use access::AccessSink;
