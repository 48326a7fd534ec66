//! Read-only answers from the record: which session wrote a line, what it read, who asked, who approved.
//!
//! Invariant: nothing here can write; every statement names the event that proves it.

pub mod attribute;
pub mod catalogue;
pub mod history;
pub mod report;
pub mod summary;

pub use summary::{Summarizer, Summary};
