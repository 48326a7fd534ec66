//! The name of a repository in an installation.

use std::fmt;
use std::str::FromStr;

use custody_model::Digest;

/// Longest name, in bytes.
const MAX_NAME_BYTES: usize = 100;
/// Longest readable part of a derived name, in bytes.
const MAX_STEM_BYTES: usize = 64;

/// A repository's name: 1 to 100 of `a-z 0-9 . _ -`, beginning with a letter or digit.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RepositoryName(String);

/// Why a text is not a repository's name.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "{0:?} is not a repository name: 1 to 100 lower-case letters, digits, dots, underscores and hyphens are \
     wanted, with a letter or digit first, and not .lock or .git at the end"
)]
pub struct InvalidRepositoryName(String);

impl RepositoryName {
    /// The name that a source gets unless somebody gives it one: the last part of its place, and the first eight
    /// digits of the SHA-256 of the whole, because many repositories are called `app`.
    #[must_use]
    pub fn derived(identity: &str) -> Self {
        let last = identity.rsplit(['/', ':']).find(|part| !part.is_empty()).unwrap_or("");
        let mut stem = String::new();
        for c in last.chars().take(MAX_STEM_BYTES) {
            let c = c.to_ascii_lowercase();
            let plain =
                c.is_ascii_alphanumeric() || (matches!(c, '.' | '_' | '-') && !stem.is_empty());
            if plain {
                stem.push(c);
            } else if !stem.is_empty() {
                stem.push('-');
            }
        }
        if stem.is_empty() {
            stem.push_str("repository");
        }
        let digest = Digest::of(identity.as_bytes()).hex();
        Self(format!("{stem}-{}", &digest[..8]))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for RepositoryName {
    type Err = InvalidRepositoryName;

    fn from_str(text: &str) -> Result<Self, InvalidRepositoryName> {
        let allowed = |b: u8| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-');
        let first = text.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric());
        let ending = text.rsplit_once('.').is_some_and(|(_, end)| matches!(end, "git" | "lock"));
        if first && !ending && text.len() <= MAX_NAME_BYTES && text.bytes().all(allowed) {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidRepositoryName(text.to_owned()))
        }
    }
}

impl fmt::Display for RepositoryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_derived_name_is_a_name(identity in ".{0,200}") {
            let name = RepositoryName::derived(&identity);
            prop_assert_eq!(name.as_str().parse(), Ok(name.clone()));
        }
    }

    #[test]
    fn a_name_can_be_no_path() {
        for text in ["", "..", ".git", "a/b", "A", "-a", "a.git", "a.lock", "a b"] {
            assert!(text.parse::<RepositoryName>().is_err(), "{text}");
        }
        let name = RepositoryName::derived("https://example.org/team/App");
        assert!(name.as_str().starts_with("app-"), "{name}");
    }
}
