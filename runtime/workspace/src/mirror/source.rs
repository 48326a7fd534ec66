//! Where a mirror gets its history: a checkout on this machine, or a URL.

use std::path::PathBuf;

use crate::checkout::{Checkout, CheckoutError};
use crate::git::{FOREIGN_PATIENCE, Git, GitError};

/// Where history comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A checkout on this machine.
    Checkout(Checkout),
    /// A URL that git can fetch: `https://`, `ssh://`, `git://` or `file://`, or `host:path`.
    Url(String),
}

impl Source {
    /// A URL if it looks like one, otherwise the checkout that the path is in.
    ///
    /// # Errors
    /// [`CheckoutError`]: it is neither.
    pub fn parse(text: &str) -> Result<Self, CheckoutError> {
        let scheme = ["https://", "http://", "ssh://", "git://", "file://"];
        let is_url = scheme.iter().any(|scheme| text.starts_with(scheme));
        let is_scp = text.split_once(':').is_some_and(|(host, path)| {
            !host.is_empty()
                && !host.contains('/')
                && !host.starts_with('-')
                && !path.starts_with(':')
        });
        if is_url || (is_scp && !PathBuf::from(text).exists()) {
            Ok(Self::Url(text.to_owned()))
        } else {
            Checkout::find(&PathBuf::from(text)).map(Self::Checkout)
        }
    }

    /// What names the repository, in one spelling: the URL that it was cloned from, without user, password, `.git`
    /// and trailing slashes; the path of its git directory if there is none.
    #[must_use]
    pub fn identity(&self) -> String {
        match self {
            Self::Url(url) => one_spelling(url),
            Self::Checkout(checkout) => match checkout.origin() {
                Some(url) => one_spelling(&url),
                None => one_spelling(&checkout.common_dir().to_string_lossy()),
            },
        }
    }

    pub(super) fn location(&self) -> String {
        match self {
            Self::Url(url) => url.clone(),
            // The git directory of this very work tree: its HEAD is the one that is meant.
            Self::Checkout(checkout) => checkout.git_dir().to_string_lossy().into_owned(),
        }
    }

    /// A checkout may belong to another user than Custody's: reading it is what is wanted, and upload-pack runs
    /// nothing that it is configured to run. Git does not hand its caller's configuration on, so it is said here.
    pub(super) fn upload_pack(&self) -> Option<String> {
        match self {
            Self::Url(_) => None,
            Self::Checkout(_) => Some(
                "--upload-pack=git -c 'safe.directory=*' -c core.hooksPath=/dev/null upload-pack"
                    .to_owned(),
            ),
        }
    }

    pub(super) fn has_head(&self) -> Result<bool, GitError> {
        Ok(!self.listed("HEAD")?.is_empty())
    }

    /// `sha1` or `sha256`, by the length of its object ids; `sha1` while it has no commit.
    pub(super) fn object_format(&self) -> Result<&'static str, GitError> {
        let listed = self.listed("*")?;
        let digits = listed.iter().take_while(|b| b.is_ascii_hexdigit()).count();
        Ok(if digits == 64 { "sha256" } else { "sha1" })
    }

    fn listed(&self, pattern: &str) -> Result<Vec<u8>, GitError> {
        let location = self.location();
        let mut words = vec!["ls-remote".to_owned(), "--quiet".to_owned()];
        words.extend(self.upload_pack());
        words.extend(["--".to_owned(), location, pattern.to_owned()]);
        match self {
            Self::Url(_) => Git::nowhere().run(&words),
            Self::Checkout(_) => Git::nowhere().with_patience(FOREIGN_PATIENCE).run(&words),
        }
    }
}

/// One spelling for the places that mean the same repository.
fn one_spelling(place: &str) -> String {
    let place = place.trim().trim_end_matches('/');
    let place = place.strip_suffix("/.git").or_else(|| place.strip_suffix(".git")).unwrap_or(place);
    let place = place.trim_end_matches('/');
    let Some((scheme, rest)) = place.split_once("://") else {
        return match place.split_once('@') {
            // user@host:path
            Some((user, rest)) if !user.contains('/') && rest.contains(':') => rest.to_owned(),
            Some(_) | None => place.to_owned(),
        };
    };
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    format!("{}://{}/{path}", scheme.to_ascii_lowercase(), host.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_has_one_spelling_and_no_password() {
        for url in [
            "https://example.org/team/app",
            "https://example.org/team/app.git",
            "https://me:secret@Example.ORG/team/app.git/",
        ] {
            let source = Source::Url(url.to_owned());
            assert_eq!(source.identity(), "https://example.org/team/app");
        }
        let source = Source::parse("git@example.org:team/app.git").unwrap();
        assert_eq!(source.identity(), "example.org:team/app");
    }
}
