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
    /// nothing that it is configured to run. Git does not hand its caller's configuration on, so it is said here. A file of grafts
    /// would have it leave out what the commits themselves name; there is none below a device.
    pub(super) fn upload_pack(&self) -> Option<String> {
        match self {
            Self::Url(_) => None,
            Self::Checkout(_) => Some(
                "--upload-pack=GIT_GRAFT_FILE=/dev/null/none git -c 'safe.directory=*' -c core.hooksPath=/dev/null upload-pack"
                    .to_owned(),
            ),
        }
    }

    pub(super) fn has_head(&self) -> Result<bool, GitError> {
        Ok(!self.listed("HEAD")?.is_empty())
    }

    /// Whether its history is cut off. For a URL that is unknown before it is fetched.
    #[must_use]
    pub fn is_shallow(&self) -> bool {
        match self {
            Self::Url(_) => false,
            Self::Checkout(checkout) => checkout
                .common_dir()
                .join("shallow")
                .symlink_metadata()
                .is_ok_and(|found| found.len() > 0),
        }
    }

    /// From where a partial clone fetches what it lacks; `None` if it is none.
    pub(super) fn promisor(&self) -> Option<Promisor> {
        let Self::Checkout(checkout) = self else { return None };
        let listed =
            checkout.configured("^(extensions[.]partialclone|remote[.].*[.](promisor|url))$");
        let name = listed.iter().find_map(|(key, value)| {
            let promises =
                key.strip_prefix("remote.").and_then(|key| key.strip_suffix(".promisor"));
            match promises {
                Some(name) => (value != "false").then(|| name.to_owned()),
                None => (key == "extensions.partialclone").then(|| value.clone()),
            }
        })?;
        let key = format!("remote.{name}.url");
        let url = listed.into_iter().find(|(found, _)| *found == key).map(|(_, url)| url);
        let url = url.map(|url| match url.starts_with(['.', '/']) {
            // As git has it: from the root of the working tree.
            true => checkout.root().join(url).to_string_lossy().into_owned(),
            false => url,
        });
        Some(Promisor { name, url })
    }

    /// `sha1` or `sha256`, by the length of its object ids. While it has no commit: as its configuration says, where that can
    /// be read, otherwise `sha1`.
    pub(super) fn object_format(&self) -> Result<&'static str, GitError> {
        if let Self::Checkout(checkout) = self {
            let format = checkout.configured("^extensions[.]objectformat$");
            let sha256 = format.iter().any(|(_, format)| format == "sha256");
            return Ok(if sha256 { "sha256" } else { "sha1" });
        }
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

/// The remote of a partial clone that has what the clone lacks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Promisor {
    name: String,
    url: Option<String>,
}

impl Promisor {
    /// Its name and place, for people, without a password.
    pub(super) fn shown(&self) -> String {
        match &self.url {
            Some(url) => format!("{} ({})", self.name, one_spelling(url)),
            None => self.name.clone(),
        }
    }

    /// Its URL, if it is of a kind that git fetches from without running what it says.
    pub(super) fn url(&self) -> Option<&str> {
        let url = self.url.as_deref()?;
        let kinds = ["https://", "http://", "ssh://", "git://", "file://", "/"];
        let is_scp = url.split_once(':').is_some_and(|(host, path)| {
            !host.is_empty()
                && !host.contains('/')
                && !host.starts_with('-')
                && !path.starts_with(':')
        });
        (kinds.iter().any(|kind| url.starts_with(kind)) || is_scp).then_some(url)
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
