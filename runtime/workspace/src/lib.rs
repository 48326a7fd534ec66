//! The controlled workspace: base checkout, view, observer, guard, content, diff and output gate.

pub mod access;
pub mod content;

pub use access::AccessSink;
