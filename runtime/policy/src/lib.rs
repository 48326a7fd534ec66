//! What may be done: policy documents, `evaluate()` and the only `Permit`, `explain()`.
//!
//! Pure: no files, no sockets, no clock. It depends on `custody-model` alone.

mod automaton;
pub mod glob;
pub mod paths;

pub use glob::{InvalidPattern, PathPattern, TextPattern};
pub use paths::{PathRule, PathRules, Ruling, Treatment};
