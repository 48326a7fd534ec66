//! Tokens: which kind one is, and the access tokens that were made from it, kept for the next command.

use std::fs;
use std::path::PathBuf;

use custody_api_client::Credentials;
use custody_api_types::token::CreatedToken;
use custody_model::Digest;

use super::contexts::private;
use crate::failure::Failure;
use crate::wire::Wire;

/// What calls carry that have this token.
pub(super) fn credentials(
    wire: &Wire,
    token: Option<&str>,
    name: Option<String>,
) -> Result<Credentials, Failure> {
    let Some(token) = token else { return Ok(Credentials::None) };
    if !is_service_token(token) {
        return Ok(Credentials::Access(token.to_owned()));
    }
    // By the token, too: a new login must not be answered with what the old one had.
    let digest = Digest::of(token.as_bytes()).hex();
    let name = name.map(|_| format!("access-{}.json", &digest[..16]));
    let path = name.and_then(|name| Some(wire.environment.cache.as_ref()?.join(name)));
    let current = path.as_ref().and_then(kept);
    let keep = Box::new(move |token: &CreatedToken| {
        let Some(path) = &path else { return };
        let written = serde_json::to_vec(token).map_err(std::io::Error::from);
        if let Err(error) = written.and_then(|bytes| private(path, &bytes)) {
            // The next command makes another one.
            tracing::warn!(%error, path = %path.display(), "an access token can't be kept");
        }
    });
    Ok(Credentials::service(token.to_owned(), current, wire.clock.clone(), keep))
}

fn kept(path: &PathBuf) -> Option<CreatedToken> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

/// Whether a token says that it is one to make access tokens from. Only the server checks it.
pub fn is_service_token(token: &str) -> bool {
    #[derive(serde::Deserialize)]
    struct Claims {
        kind: Option<String>,
    }
    let claims = token.split('.').nth(1).and_then(unpadded);
    let claims = claims.and_then(|bytes| serde_json::from_slice::<Claims>(&bytes).ok());
    claims.is_some_and(|claims| claims.kind.as_deref() == Some("service"))
}

/// base64url without padding (RFC 7515, section 2).
fn unpadded(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() * 3 / 4);
    let (mut held, mut bits) = (0_u32, 0);
    for c in text.bytes() {
        let value = match c {
            b'A'..=b'Z' => c - b'A',
            b'a'..=b'z' => c - b'a' + 26,
            b'0'..=b'9' => c - b'0' + 52,
            b'-' => 62,
            b'_' => 63,
            _ => return None,
        };
        held = (held << 6) | u32::from(value);
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.push(u8::try_from((held >> bits) & 0xff).ok()?);
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_says_what_it_is_for() {
        // {"kind":"service"} and {"kind":"access"}
        assert!(is_service_token("e30.eyJraW5kIjoic2VydmljZSJ9.c2ln"));
        assert!(!is_service_token("e30.eyJraW5kIjoiYWNjZXNzIn0.c2ln"));
        for other in ["", "abc", "a.b.c", "e30.e30.x", "a.!.c"] {
            assert!(!is_service_token(other), "{other}");
        }
    }
}
