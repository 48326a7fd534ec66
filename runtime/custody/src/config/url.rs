//! Addresses and URLs as the configuration takes them.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, de};

/// Longest URL, in bytes.
const URL_BYTES: usize = 2_048;

/// Reads an address with its port.
pub(super) fn address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SocketAddr, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse().map_err(|_| {
        de::Error::custom(format!(
            "{text:?} is not an address and a port, as in 127.0.0.1:7070 or [::1]:7070"
        ))
    })
}

/// An absolute https URL (RFC 3986), or an http one to a loopback host: no user, no query, no fragment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(transparent)]
#[schemars(extend("pattern" = r"^https?://[^\s@?#]+$"))]
pub struct HttpUrl(String);

impl fmt::Display for HttpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a text is not such a URL. It does not repeat the text: there may be a password in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidUrl {
    /// Another scheme or none, no host, or characters that no URL has.
    #[error("an absolute URL is wanted, as in https://custody.example.org")]
    Shape,
    /// http to somewhere else.
    #[error("https is wanted: http is taken only with a loopback host")]
    Plain,
    /// A user and perhaps a password.
    #[error("a URL with a user or a password in it is refused: it is shown to others")]
    User,
    /// What comes after the path.
    #[error("a query or a fragment has no meaning here")]
    Query,
}

impl FromStr for HttpUrl {
    type Err = InvalidUrl;

    fn from_str(text: &str) -> Result<Self, InvalidUrl> {
        let (scheme, rest) = text.split_once("://").ok_or(InvalidUrl::Shape)?;
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        if authority.contains('@') {
            return Err(InvalidUrl::User);
        }
        if rest.contains(['?', '#']) {
            return Err(InvalidUrl::Query);
        }
        let host = host(authority).ok_or(InvalidUrl::Shape)?;
        if text.len() > URL_BYTES || !text.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(InvalidUrl::Shape);
        }
        match scheme {
            "https" => Ok(Self(text.to_owned())),
            "http" if is_loopback(host) => Ok(Self(text.to_owned())),
            "http" => Err(InvalidUrl::Plain),
            _ => Err(InvalidUrl::Shape),
        }
    }
}

/// The host of `host`, `host:port`, `[address]` or `[address]:port`.
fn host(authority: &str) -> Option<&str> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest.split_once(']')?;
            host.parse::<std::net::Ipv6Addr>().ok()?;
            (host, if rest.is_empty() { None } else { Some(rest.strip_prefix(':')?) })
        }
        None => match authority.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        },
    };
    let named = |b: u8| b.is_ascii_alphanumeric() || b"-._:".contains(&b);
    let port_fits = port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0));
    (!host.is_empty() && host.bytes().all(named) && port_fits).then_some(host)
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

impl<'de> Deserialize<'de> for HttpUrl {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_urls_that_can_be_shown_and_trusted_are_taken() {
        for good in [
            "https://custody.example.org",
            "https://example.org:8443/custody",
            "http://127.0.0.1:7070",
            "http://[::1]:7070/",
            "http://localhost",
        ] {
            assert_eq!(good.parse::<HttpUrl>().map(|url| url.to_string()), Ok(good.to_owned()));
        }
        for (bad, why) in [
            ("custody.example.org", InvalidUrl::Shape),
            ("ftp://example.org", InvalidUrl::Shape),
            ("https://", InvalidUrl::Shape),
            ("https://exa mple.org", InvalidUrl::Shape),
            ("https://example.org/a b", InvalidUrl::Shape),
            ("https://example.org:port", InvalidUrl::Shape),
            ("https://example.org:0", InvalidUrl::Shape),
            ("https://[::1", InvalidUrl::Shape),
            ("https://[::1]x", InvalidUrl::Shape),
            ("http://example.org", InvalidUrl::Plain),
            ("http://127.0.0.1.example.org", InvalidUrl::Plain),
            ("https://root:hunter2@example.org", InvalidUrl::User),
            ("https://example.org/?a", InvalidUrl::Query),
            ("https://example.org#a", InvalidUrl::Query),
        ] {
            assert_eq!(bad.parse::<HttpUrl>(), Err(why), "{bad}");
            assert!(!why.to_string().contains("hunter2"));
        }
    }
}
