//! Who calls: tokens (JWT, RFC 7519), the local issuer and its keys, and external issuers.
//!
//! It touches the directory of the local issuer's keys and nothing else: documents of external issuers are handed in
//! as bytes, the time is a parameter, and users, grants and revocations are looked up by whoever calls.

mod caller;
mod claims;
mod compact;
mod error;
mod issuer;
mod jwks;
mod keys;
mod kid;
mod public;
mod token;
mod verify;

pub use caller::{Revocation, caller};
pub use error::{ForbiddenHeader, Part, TokenError};
pub use issuer::{ExternalIssuer, ExternalScopes, InvalidAlias, IssuerAlias};
pub use jwks::{KeySet, KeySetError, MAX_KEY_SET_BYTES, MAX_KEYS};
pub use keys::{KeyError, LocalIssuer, LocalIssuerOptions, RETIRE_MARGIN};
pub use kid::{InvalidKeyId, KeyId, MAX_KEY_ID_BYTES};
pub use public::{MAX_RSA_BITS, MIN_RSA_BITS, PublicJwk, PublicJwks};
pub use token::{
    IssueError, IssuedToken, MAX_ACCESS_LIFETIME, MAX_SERVICE_LIFETIME, TokenRequest, TokenText,
    max_lifetime,
};
pub use verify::{
    IssuerConflict, LEEWAY, MAX_LEEWAY, MAX_TOKEN_BYTES, UnknownIssuer, Verified, Verifier,
};
