//! Read-only answers from the store and the records: which session wrote a line, what it read, who asked, who
//! approved, and which other sessions worked nearby.
//!
//! Invariant: nothing here can write; every statement names the event that proves it.
//! Invariant: the store says which sessions it is about; of records, only theirs are read.

pub mod attribute;
pub mod blocking;
pub mod history;
pub mod neighbour;
pub mod question;
pub mod report;
pub mod statement;
pub mod summary;

pub use summary::{Summarizer, Summary};
