//! Paths and link targets as the record spells them: without credentials. Where the workspace is compared with a record that is
//! read back, both sides are spelled like that, so that what was redacted is no difference, and is not told by one.

use custody_model::WorkspacePath;
use custody_record::Redactor;

use crate::content::BaseEntry;

/// How a record spells what has a secret in it.
#[derive(Clone, Copy)]
pub struct Spelling<'a>(Option<&'a Redactor>);

impl<'a> Spelling<'a> {
    /// By the redactor that the record was written with.
    #[must_use]
    pub fn by(redactor: &'a Redactor) -> Self {
        Self(Some(redactor))
    }

    /// Contents that were never read back from a record have every path as it is.
    #[must_use]
    pub fn as_it_is() -> Self {
        Self(None)
    }

    /// A path. One that has nothing to hide stays as it is.
    pub(crate) fn path(self, path: &WorkspacePath) -> WorkspacePath {
        let clean = self.0.and_then(|redactor| redactor.redact(&path.to_text()));
        let clean = clean.and_then(|(clean, _)| clean.parse().ok());
        clean.unwrap_or_else(|| path.clone())
    }

    /// The target of a symbolic link, if the record spells it in another way.
    pub(crate) fn target(self, target: &[u8]) -> Option<Vec<u8>> {
        let text = str::from_utf8(target).ok()?;
        self.0?.redact(text).map(|(clean, _)| clean.into_bytes())
    }

    /// The files of a base commit, for contents that a record is replayed into.
    pub fn base(
        self,
        files: impl IntoIterator<Item = (WorkspacePath, BaseEntry)>,
    ) -> impl Iterator<Item = (WorkspacePath, BaseEntry)> {
        files.into_iter().map(move |(path, entry)| match self.0 {
            Some(_) => (self.path(&path), entry),
            None => (path, entry),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_spelled_as_an_event_spells_it() {
        let redactor = Redactor::new([1; 32], &["held outside"], &[]).unwrap();
        let recorded = Spelling::by(&redactor);
        let path = |text: &str| text.parse::<WorkspacePath>().unwrap();
        let told = recorded.path(&path("a/held outside%0A.txt")).to_string();
        assert!(
            told.starts_with("a/[redacted:injected-value:") && told.ends_with("]%0A.txt"),
            "{told}"
        );
        assert_eq!(recorded.path(&path("a/b")), path("a/b"));
        assert_eq!(Spelling::as_it_is().path(&path("held outside")), path("held outside"));
        assert!(
            recorded.target(b"../held outside").is_some() && recorded.target(b"../x").is_none()
        );
        // What is no text can't have been redacted as one.
        assert_eq!(recorded.target(b"\xff held outside"), None);
    }
}
