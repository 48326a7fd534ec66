//! What a policy says about the content of records: what is taken out of them.

use regex::bytes::RegexBuilder;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::glob::TextPattern;

/// Most patterns of a document.
pub const MAX_PATTERNS: usize = 32;

/// Longest pattern, in bytes.
pub const MAX_PATTERN_BYTES: usize = 1024;

/// Most bytes that a compiled pattern takes.
pub const MAX_COMPILED_BYTES: usize = 1 << 20;

/// Variables about the terminal, the language and the time zone: their values are never secrets.
pub const PLAIN_VARIABLES: [&str; 8] =
    ["TERM", "COLORTERM", "NO_COLOR", "LANG", "LANGUAGE", "LC_ALL", "LC_CTYPE", "TZ"];

/// What is taken out of records, beside the published patterns of credentials.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RedactionRules {
    /// The requester's variables whose values are no secrets. The value of every other variable that is asked for is taken out
    /// of the record wherever it occurs, in clear, URL encoding, base64 or hexadecimal.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub plain: Vec<TextPattern>,
    /// What else is a secret.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = MAX_PATTERNS))]
    pub patterns: Vec<SecretPattern>,
}

impl RedactionRules {
    /// Whether the value of a variable is no secret.
    #[must_use]
    pub fn is_plain(&self, variable: &str) -> bool {
        PLAIN_VARIABLES.contains(&variable)
            || self.plain.iter().any(|pattern| pattern.matches(variable))
    }
}

/// A pattern of secrets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SecretPattern {
    /// What the record calls it: 1 to 64 of a-z, 0-9, `-`, `_` and `.`.
    #[schemars(regex(pattern = "^[a-z0-9._-]{1,64}$"))]
    pub name: String,
    /// A regular expression (the syntax of the Rust crate regex, on bytes, with ASCII classes). Its first group that takes part
    /// is the secret, or else the whole match.
    #[schemars(length(max = MAX_PATTERN_BYTES))]
    pub pattern: String,
}

impl SecretPattern {
    /// What is wrong with it.
    pub(crate) fn fault(&self) -> Option<String> {
        if self.pattern.len() > MAX_PATTERN_BYTES {
            return Some(format!("a pattern has at most {MAX_PATTERN_BYTES} bytes"));
        }
        let compiled =
            RegexBuilder::new(&self.pattern).unicode(false).size_limit(MAX_COMPILED_BYTES).build();
        match compiled {
            Err(error) => Some(format!("it is no regular expression that can be used: {error}")),
            Ok(regex) if regex.is_match(b"") => {
                Some("it matches the empty text, and so everywhere".to_owned())
            }
            Ok(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::PolicyVersion;

    fn with(redaction: &str) -> Result<PolicyVersion, crate::PolicyError> {
        PolicyVersion::parse(&format!(
            "version: custody/policy/v1\nname: p\nrequesters: {{users: ['*']}}\nimages: [host]\n\
             commands:\n  - {{allow: ['*']}}\nredaction: {redaction}\n"
        ))
    }

    #[test]
    fn patterns_are_checked_when_the_policy_is_read() {
        let good =
            with(r"{plain: ['CI_*'], patterns: [{name: case, pattern: 'CASE-\d+'}]}").unwrap();
        let rules = &good.document().redaction;
        assert!(rules.is_plain("CI_JOB") && rules.is_plain("TERM") && !rules.is_plain("APP"));
        let long = format!("{{patterns: [{{name: a, pattern: '{}'}}]}}", "x".repeat(1025));
        let many = format!("{{patterns: [{}]}}", "{name: a, pattern: x}, ".repeat(33));
        for (bad, says) in [
            ("{patterns: [{name: a, pattern: '('}]}", "no regular expression"),
            ("{patterns: [{name: a, pattern: 'x*'}]}", "the empty text"),
            (r"{patterns: [{name: a, pattern: '(\w{100}){100}{100}'}]}", "no regular expression"),
            ("{patterns: [{name: A B, pattern: x}]}", "not a pattern's name"),
            ("{patterns: [{name: a, pattern: x, flags: i}]}", "flags"),
            ("{values: [secret]}", "values"),
            (long.as_str(), "at most 1024 bytes"),
            (many.as_str(), "more than 32 patterns"),
        ] {
            let error = with(bad).expect_err(bad).to_string();
            assert!(error.contains(says), "{bad}: {error}");
        }
    }
}
