//! Why a token is refused: a variant for each reason, none of which tells anything of the token itself.

use std::fmt;

use crate::{InvalidKeyId, IssuerAlias, MAX_TOKEN_BYTES};

/// A part of a token in JWS compact serialization (RFC 7515, section 7.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The three parts themselves.
    Shape,
    /// The JOSE header.
    Header,
    /// The claims.
    Claims,
    /// The signature.
    Signature,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Shape => "shape",
            Self::Header => "header",
            Self::Claims => "claims",
            Self::Signature => "signature",
        })
    }
}

/// A header parameter (RFC 7515, section 4.1) by which a token brings its own key, or asks for what is unknown here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ForbiddenHeader {
    /// A key.
    Jwk,
    /// An address of keys.
    Jku,
    /// An address of a certificate.
    X5u,
    /// A certificate.
    X5c,
    /// Extensions that must be understood.
    Crit,
}

impl fmt::Display for ForbiddenHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Jwk => "jwk",
            Self::Jku => "jku",
            Self::X5u => "x5u",
            Self::X5c => "x5c",
            Self::Crit => "crit",
        })
    }
}

/// Why a token, or whoever it names, is refused.
///
/// Neither the text nor the debug form holds anything of the token: parse errors quote what they could not read, so
/// they are not kept as sources.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Longer than [`MAX_TOKEN_BYTES`].
    #[error("the token is longer than {MAX_TOKEN_BYTES} bytes")]
    TooLong,
    /// It can't be read.
    #[error("the token's {0} can't be read")]
    Malformed(Part),
    /// Its algorithm is `none`.
    #[error("the token is not signed")]
    Unsigned,
    /// Its header has a parameter that no token may have.
    #[error("the token's header has {0}, which no token may have")]
    ForbiddenHeader(ForbiddenHeader),
    /// Its `typ` is that of something else than an access token (RFC 9068, section 4).
    #[error("the token is of another type than an access token")]
    WrongType,
    /// Its `kid` is missing, or no name of a key.
    #[error("the token names no key that could be known")]
    InvalidKeyId(#[source] InvalidKeyId),
    /// No `iss`.
    #[error("the token names no issuer")]
    MissingIssuer,
    /// An `iss` that is not configured.
    #[error("the token's issuer is not one that is trusted here")]
    WrongIssuer,
    /// The issuer's key set has no such key (any more). A newer key set may have it: see [`TokenError::refresh`].
    #[error("the token's key is not among those of issuer {issuer}")]
    UnknownKey {
        /// Whose key set to refresh.
        issuer: IssuerAlias,
    },
    /// The header's `alg` is not the key's.
    #[error("the token's algorithm is not that of its key")]
    WrongAlgorithm,
    /// The signature was not made by the key that the token names.
    #[error("the token's signature is not that of its key")]
    WrongSignature,
    /// No `aud`.
    #[error("the token names no audience")]
    MissingAudience,
    /// An `aud` that does not name this installation.
    #[error("the token is meant for another audience")]
    WrongAudience,
    /// No `exp`.
    #[error("the token has no expiry")]
    MissingExpiry,
    /// `exp` is over.
    #[error("the token has expired")]
    Expired,
    /// `nbf` or `iat` is yet to come.
    #[error("the token is not valid yet")]
    NotYetValid,
    /// The claim that names the user is missing, can't be a user's name, or is an e-mail address that the issuer did
    /// not verify.
    #[error("the token names no user")]
    InvalidUser,
    /// The token was revoked.
    #[error("the token was revoked")]
    Revoked,
    /// The token's user was disabled.
    #[error("the token's user was disabled")]
    UserDisabled,
    /// There is no such user here.
    #[error("the token's user is not known here")]
    UnknownUser,
}

impl TokenError {
    /// The reason, as machines read it. It never changes its meaning.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::TooLong => "too_long",
            Self::Malformed(_) => "malformed",
            Self::Unsigned => "unsigned",
            Self::ForbiddenHeader(_) => "forbidden_header",
            Self::WrongType => "wrong_type",
            Self::InvalidKeyId(_) => "invalid_key_id",
            Self::MissingIssuer => "missing_issuer",
            Self::WrongIssuer => "wrong_issuer",
            Self::UnknownKey { .. } => "unknown_key",
            Self::WrongAlgorithm => "wrong_algorithm",
            Self::WrongSignature => "wrong_signature",
            Self::MissingAudience => "missing_audience",
            Self::WrongAudience => "wrong_audience",
            Self::MissingExpiry => "missing_expiry",
            Self::Expired => "expired",
            Self::NotYetValid => "not_yet_valid",
            Self::InvalidUser => "invalid_user",
            Self::Revoked => "revoked",
            Self::UserDisabled => "user_disabled",
            Self::UnknownUser => "unknown_user",
        }
    }

    /// The issuer whose keys may have been rotated since its key set was read: it is worth one look at a newer one
    /// (not more often than some minimum interval, because anybody can send tokens with made-up key ids).
    #[must_use]
    pub const fn refresh(&self) -> Option<&IssuerAlias> {
        match self {
            Self::UnknownKey { issuer } => Some(issuer),
            Self::TooLong
            | Self::Malformed(_)
            | Self::Unsigned
            | Self::ForbiddenHeader(_)
            | Self::WrongType
            | Self::InvalidKeyId(_)
            | Self::MissingIssuer
            | Self::WrongIssuer
            | Self::WrongAlgorithm
            | Self::WrongSignature
            | Self::MissingAudience
            | Self::WrongAudience
            | Self::MissingExpiry
            | Self::Expired
            | Self::NotYetValid
            | Self::InvalidUser
            | Self::Revoked
            | Self::UserDisabled
            | Self::UnknownUser => None,
        }
    }
}
