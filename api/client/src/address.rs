//! Where a server is.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// Where a server is: `http://HOST[:PORT]`, `https://HOST[:PORT]`, each with an optional path in front of the API's, or
/// `unix:/PATH`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ServerAddress {
    /// Over TCP, with TLS if it begins with `https`. Without a slash at the end.
    Http(String),
    /// A Unix socket of this machine.
    Unix(PathBuf),
}

/// Why a text is no server's address.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{text:?} is no address of a server: {reason}")]
pub struct InvalidAddress {
    text: String,
    reason: &'static str,
}

impl ServerAddress {
    /// What stands before the API's paths in the URLs of calls. The host of a Unix socket is looked at by nobody.
    pub(crate) fn base(&self) -> &str {
        match self {
            Self::Http(base) => base,
            Self::Unix(_) => "http://localhost",
        }
    }

    /// Whether nobody on the way can read along: with TLS, and on this machine.
    #[must_use]
    pub fn keeps_secrets(&self) -> bool {
        self.is_tls() || self.is_loopback()
    }

    /// Whether it is on this machine.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        match self {
            Self::Unix(_) => true,
            Self::Http(base) => {
                let host = reqwest::Url::parse(base).ok();
                let host = host.as_ref().and_then(reqwest::Url::host_str).unwrap_or_default();
                let address = host.trim_start_matches('[').trim_end_matches(']');
                let address = address.parse::<std::net::IpAddr>();
                host == "localhost" || address.is_ok_and(|address| address.is_loopback())
            }
        }
    }

    /// What is in front of its port and path, to call it by.
    #[must_use]
    pub fn host(&self) -> String {
        match self {
            Self::Unix(path) => path.display().to_string(),
            Self::Http(base) => {
                let url = reqwest::Url::parse(base).ok();
                url.as_ref().and_then(reqwest::Url::host_str).unwrap_or(base).to_owned()
            }
        }
    }

    /// Whether calls are encrypted.
    pub(crate) fn is_tls(&self) -> bool {
        matches!(self, Self::Http(base) if base.starts_with("https:"))
    }
}

impl FromStr for ServerAddress {
    type Err = InvalidAddress;

    fn from_str(text: &str) -> Result<Self, InvalidAddress> {
        let invalid = |reason| InvalidAddress { text: text.to_owned(), reason };
        if let Some(path) = text.strip_prefix("unix:") {
            let path = PathBuf::from(path);
            return match path.is_absolute() {
                true => Ok(Self::Unix(path)),
                false => Err(invalid("after unix: the absolute path of a socket is wanted")),
            };
        }
        let url = reqwest::Url::parse(text)
            .map_err(|_| invalid("http://…, https://… or unix:/PATH is wanted"))?;
        if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
            return Err(invalid("http://…, https://… or unix:/PATH is wanted"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(invalid("it has no place for a user or a password: tokens say who calls"));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(invalid("it has no place for a query or a fragment"));
        }
        Ok(Self::Http(url.as_str().trim_end_matches('/').to_owned()))
    }
}

impl fmt::Display for ServerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http(base) => f.write_str(base),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_safe_under_tls_and_on_this_machine() {
        let safe = |text: &str| text.parse::<ServerAddress>().unwrap().keeps_secrets();
        for text in [
            "https://a.example",
            "http://127.0.0.1:7",
            "http://[::1]:7",
            "http://localhost",
            "unix:/a",
        ] {
            assert!(safe(text), "{text}");
        }
        for text in ["http://a.example", "http://10.0.0.1", "http://localhost.example"] {
            assert!(!safe(text), "{text}");
        }
    }

    #[test]
    fn an_address_has_one_spelling_and_no_secrets() {
        for (text, spelt) in [
            ("http://127.0.0.1:7070/", "http://127.0.0.1:7070"),
            ("https://Custody.Example.org", "https://custody.example.org"),
            ("https://example.org/custody/", "https://example.org/custody"),
            ("unix:/run/custody.sock", "unix:/run/custody.sock"),
        ] {
            assert_eq!(text.parse::<ServerAddress>().unwrap().to_string(), spelt);
        }
        for text in [
            "",
            "localhost:7070",
            "ftp://example.org",
            "unix:run/custody.sock",
            "https://me:secret@example.org",
            "https://example.org/?a=b",
        ] {
            assert!(text.parse::<ServerAddress>().is_err(), "{text:?}");
        }
    }
}
