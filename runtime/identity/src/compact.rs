//! Tokens in JWS compact serialization (RFC 7515, section 7.1), taken apart before anything of them is believed.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::claims::Claims;
use crate::jwks::present;
use crate::{ForbiddenHeader, InvalidKeyId, KeyId, MAX_TOKEN_BYTES, Part, TokenError};

/// A token that could be read, whose header asks for nothing forbidden.
pub(crate) struct Compact<'a> {
    /// What is signed: header and claims in base64url, and the point between.
    pub(crate) message: &'a str,
    /// In base64url.
    pub(crate) signature: &'a str,
    pub(crate) algorithm: String,
    pub(crate) kid: KeyId,
    /// `typ` in lower case, without `application/` (RFC 7515, section 4.1.9).
    pub(crate) media_type: Option<String>,
    pub(crate) claims: Claims,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    typ: Option<String>,
    #[serde(default, deserialize_with = "present")]
    jwk: bool,
    #[serde(default, deserialize_with = "present")]
    jku: bool,
    #[serde(default, deserialize_with = "present")]
    x5u: bool,
    #[serde(default, deserialize_with = "present")]
    x5c: bool,
    #[serde(default, deserialize_with = "present")]
    crit: bool,
}

fn decode<T: DeserializeOwned>(text: &str, part: Part) -> Result<T, TokenError> {
    let malformed = TokenError::Malformed(part);
    let Ok(bytes) = URL_SAFE_NO_PAD.decode(text) else { return Err(malformed) };
    // A struct could be read from an array as well: only an object is a header or a set of claims.
    if bytes.first() != Some(&b'{') {
        return Err(malformed);
    }
    serde_json::from_slice(&bytes).map_err(|_| malformed)
}

impl<'a> Compact<'a> {
    pub(crate) fn parse(text: &'a str) -> Result<Self, TokenError> {
        if text.len() > MAX_TOKEN_BYTES {
            return Err(TokenError::TooLong);
        }
        let shape = TokenError::Malformed(Part::Shape);
        let Some((message, signature)) = text.rsplit_once('.') else { return Err(shape) };
        let Some((header, claims)) = message.split_once('.') else { return Err(shape) };
        if claims.contains('.') {
            return Err(shape);
        }
        let header: Header = decode(header, Part::Header)?;
        if header.alg.eq_ignore_ascii_case("none") {
            return Err(TokenError::Unsigned);
        }
        let forbidden = [
            (header.jwk, ForbiddenHeader::Jwk),
            (header.jku, ForbiddenHeader::Jku),
            (header.x5u, ForbiddenHeader::X5u),
            (header.x5c, ForbiddenHeader::X5c),
            (header.crit, ForbiddenHeader::Crit),
        ];
        if let Some((_, name)) = forbidden.into_iter().find(|(there, _)| *there) {
            return Err(TokenError::ForbiddenHeader(name));
        }
        let kid = header.kid.as_deref().ok_or(InvalidKeyId::Missing).and_then(str::parse);
        let media_type = header.typ.map(|typ| {
            let typ = typ.to_ascii_lowercase();
            typ.strip_prefix("application/").map(str::to_owned).unwrap_or(typ)
        });
        Ok(Self {
            message,
            signature,
            algorithm: header.alg,
            kid: kid.map_err(TokenError::InvalidKeyId)?,
            media_type,
            claims: decode(claims, Part::Claims)?,
        })
    }
}
