//! From a valid token to a caller: the last look, at what is known here of the token and its user.

use custody_model::{Caller, Grants, Origin};

use crate::{TokenError, Verified};

/// What is known here of a token and its user, besides what the token says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Revocation {
    /// Neither was revoked.
    None,
    /// The token was revoked.
    Token,
    /// The user was disabled, and with him all of his tokens.
    UserDisabled,
    /// There is no such user.
    UnknownUser,
}

/// Makes the caller of one call, with the grants that the user has now.
///
/// # Errors
/// [`TokenError::Revoked`], [`TokenError::UserDisabled`], [`TokenError::UnknownUser`].
pub fn caller(
    verified: Verified,
    grants: Grants,
    revoked: Revocation,
    origin: Origin,
) -> Result<Caller, TokenError> {
    match revoked {
        Revocation::None => Ok(Caller {
            user: verified.user,
            token: verified.token,
            grants,
            scopes: verified.scopes,
            origin,
        }),
        Revocation::Token => Err(TokenError::Revoked),
        Revocation::UserDisabled => Err(TokenError::UserDisabled),
        Revocation::UnknownUser => Err(TokenError::UnknownUser),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use custody_model::{RequestId, Scope, Timestamp, TokenId, Transport};

    use super::*;
    use crate::IssuerAlias;
    use custody_model::TokenKind;

    #[test]
    fn only_a_known_user_with_a_token_that_was_not_revoked_calls() {
        let at = Timestamp::from_micros(0);
        let verified = Verified {
            issuer: IssuerAlias::local(),
            user: "ada".parse().unwrap(),
            token: Some(TokenId::new(at, [1; 10])),
            kind: TokenKind::Access,
            scopes: BTreeSet::from([Scope::SessionsRead]),
            expires_at: at,
        };
        let request = RequestId::new(at, [2; 10]);
        let address = "127.0.0.1:9".to_owned();
        let origin = Origin { transport: Transport::Tcp, address, request };
        let call =
            |revoked| caller(verified.clone(), Grants::everything(), revoked, origin.clone());
        let made = call(Revocation::None).unwrap();
        assert_eq!((made.user.as_str(), made.token), ("ada", verified.token));
        assert_eq!((made.scopes, made.origin), (verified.scopes.clone(), origin.clone()));
        assert_eq!(made.grants, Grants::everything());
        let cases = [
            (Revocation::Token, TokenError::Revoked, "revoked"),
            (Revocation::UserDisabled, TokenError::UserDisabled, "user_disabled"),
            (Revocation::UnknownUser, TokenError::UnknownUser, "unknown_user"),
        ];
        for (revoked, error, reason) in cases {
            assert_eq!(call(revoked).unwrap_err(), error);
            assert_eq!(error.reason(), reason);
        }
    }
}
