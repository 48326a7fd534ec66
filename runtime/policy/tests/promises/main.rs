//! The promises of the policy, each a test.

mod approvals;
mod decisions;
mod digests;
mod documents;
mod errors;
mod paths;
