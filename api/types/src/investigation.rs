//! Investigations: which sessions are behind a line or a commit.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A question.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AskInvestigation {
    /// A commit, `FILE:LINE`, or `FILE:LINE@REVISION`, with files named from the top of the repository.
    #[schemars(length(min = 1, max = 4096))]
    pub question: String,
    /// The repository's name here.
    #[schemars(length(min = 1, max = 100))]
    pub repository: String,
}

/// An answer: every statement names the session and the event that prove it. Its members are those that
/// `custody investigate -o json` prints.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Answer(pub serde_json::Map<String, serde_json::Value>);
