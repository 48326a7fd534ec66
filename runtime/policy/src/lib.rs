//! What may be done: policy documents, `evaluate()` and the only `Permit`, `explain()`.
//!
//! Pure: no files, no sockets, no clock. It depends on `custody-model` alone.
//!
//! Invariant: nothing but [`evaluate`] makes a [`Permit`].
//! Invariant: what a document does not allow is refused; only paths that no rule matches are open.

mod act;
mod action_text;
mod automaton;
mod builtin;
mod check;
pub mod command;
mod decide;
pub mod document;
pub mod environment;
mod error;
mod evaluate;
mod explain;
mod floating;
pub mod glob;
mod location;
mod parse;
pub mod paths;
mod permit;
pub mod privacy;
pub mod quantity;
pub mod retention;
mod rule;
mod schema;
mod version;
pub mod yaml;

pub use act::{Act, ApproveSession, ReadRecord, SessionTerms, StopSession};
pub use action_text::{InvalidAction, action_from_text};
pub use custody_model::{Action, StartSession};
pub use decide::{Check, Decision};
pub use document::{Document, Mediation};
pub use environment::EnvironmentGrant;
pub use error::PolicyError;
pub use evaluate::{
    Approval, ApprovalNeeded, Discounted, Refusal, Verdict, evaluate, request_digest,
};
pub use explain::{Explanation, explain};
pub use glob::{InvalidPattern, PathPattern, TextPattern};
pub use paths::{DEFAULT_RULE, PathRule, PathRules, Ruling, Treatment};
pub use permit::Permit;
pub use retention::{EarlyErasure, RetentionClass, RetentionRules};
pub use rule::RuleRef;
pub use schema::json_schema;
pub use version::{ParseLimits, PolicyVersion};
