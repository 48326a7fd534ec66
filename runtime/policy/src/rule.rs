//! The rule behind a decision, so that whoever reads it finds the place in the document.

use std::fmt;

use serde::Serialize;

use crate::version::PolicyVersion;

/// A rule of a policy, or one that is built in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RuleRef {
    /// As the policy spells it, as in `deny: *.pem`; `built in: …` for what holds whatever a document says.
    pub text: String,
    /// Its place in the document as a JSON pointer (RFC 6901); empty if it is built in.
    pub pointer: String,
    /// Its line in the text that the policy was read from, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
}

impl RuleRef {
    pub(crate) fn at(policy: &PolicyVersion, pointer: String, text: impl Into<String>) -> Self {
        let line = policy.line(&pointer);
        Self { text: text.into(), pointer, line }
    }

    pub(crate) fn built_in(text: &str) -> Self {
        Self { text: format!("built in: {text}"), pointer: String::new(), line: None }
    }
}

impl fmt::Display for RuleRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)?;
        match (self.pointer.as_str(), self.line) {
            ("", _) => Ok(()),
            (pointer, Some(line)) => write!(f, " (line {line}, {pointer})"),
            (pointer, None) => write!(f, " ({pointer})"),
        }
    }
}
