//! Which environment variables enter a sandbox.

use std::collections::BTreeMap;

use crate::document::EnvironmentRules;

/// A word of a variable's name (words are separated by `_`) that ends in one of these tells a credential.
pub const CREDENTIAL_ENDINGS: [&str; 10] = [
    "TOKEN",
    "SECRET",
    "SECRETS",
    "PASSWORD",
    "PASSWD",
    "PASSPHRASE",
    "CREDENTIAL",
    "CREDENTIALS",
    "APIKEY",
    "COOKIE",
];
/// A word of a variable's name that is one of these tells a credential, or the way to one.
pub const CREDENTIAL_WORDS: [&str; 6] = ["KEY", "AUTH", "PASS", "PWD", "DSN", "PAT"];
/// Names that have such a word and are no credentials.
pub const NO_CREDENTIALS: [&str; 2] = ["PWD", "OLDPWD"];

/// The environment that a permit grants.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EnvironmentGrant {
    /// Names of the requester's variables that enter, as far as they are asked for; in the order of the request.
    pub enter: Vec<String>,
    /// Names that were asked for and do not enter.
    pub withheld: Vec<String>,
    /// Variables with a fixed value; they win over what enters.
    pub set: BTreeMap<String, String>,
}

/// Whether a variable of this name probably holds a credential.
#[must_use]
pub fn looks_like_credential(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    !NO_CREDENTIALS.contains(&name.as_str())
        && name.split('_').any(|word| {
            CREDENTIAL_WORDS.contains(&word)
                || CREDENTIAL_ENDINGS.iter().any(|ending| word.ends_with(ending))
        })
}

/// Whether a text is a variable's name: letters, digits and `_`, not a digit first, at most 256 bytes.
#[must_use]
pub fn is_variable_name(name: &str) -> bool {
    (1..=256).contains(&name.len())
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

impl EnvironmentRules {
    /// The place, among `enter`, of the pattern that lets this variable enter.
    #[must_use]
    pub fn entry(&self, name: &str) -> Option<usize> {
        if looks_like_credential(name) || !is_variable_name(name) {
            return None;
        }
        self.enter.iter().position(|pattern| pattern.matches(name))
    }

    pub(crate) fn grant(&self, asked: &[String]) -> EnvironmentGrant {
        let may_enter =
            |name: &&String| self.entry(name).is_some() && !self.set.contains_key(*name);
        let (enter, withheld): (Vec<_>, Vec<_>) = asked.iter().partition(may_enter);
        EnvironmentGrant {
            enter: enter.into_iter().cloned().collect(),
            withheld: withheld.into_iter().cloned().collect(),
            set: self.set.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_credentials_are_known() {
        for name in [
            "GITHUB_TOKEN",
            "AWS_ACCESS_KEY_ID",
            "AWS_SECRET_ACCESS_KEY",
            "OPENAI_API_KEY",
            "pgpassword",
            "SSH_AUTH_SOCK",
            "MYSQL_PWD",
            "NPM_AUTH",
            "SENTRY_DSN",
        ] {
            assert!(looks_like_credential(name), "{name}");
        }
        for name in ["TERM", "LC_ALL", "PWD", "TOKENIZERS_PARALLELISM", "PATH", "KEYBOARD", "CI"] {
            assert!(!looks_like_credential(name), "{name}");
        }
    }

    #[test]
    fn a_name_is_one_that_a_shell_could_set() {
        for name in ["", "1A", "A-B", "A=B", "Ä", "A B"] {
            assert!(!is_variable_name(name), "{name}");
        }
        assert!(is_variable_name("_a1"));
    }
}
