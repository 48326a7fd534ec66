//! Issuers outside: which users they can name, and what happens when they rotate their keys.

use std::collections::BTreeSet;

use custody_identity::{
    ExternalIssuer, ExternalScopes, IssuerAlias, IssuerConflict, KeySet, TokenError, Verifier,
};
use custody_model::{Scope, TokenKind};
use ed25519_dalek::SigningKey;
use serde_json::json;

use crate::maker::{
    Draft, Local, NOW, encode, external, external_draft, external_jwk, external_key, key_set,
    verifier,
};

fn user(issuer: ExternalIssuer, draft: &Draft) -> Result<String, TokenError> {
    let mut verifier = Verifier::new();
    verifier.trust_external(issuer, key_set(&[external_jwk()])).unwrap();
    let verified = verifier.verify(&draft.signed(&external_key()), NOW)?;
    Ok(verified.user.as_str().to_owned())
}

#[test]
fn a_token_from_outside_names_a_user_of_that_issuer() {
    let local = Local::new();
    let token = external_draft().claim("jti", local.draft().claims["jti"].clone());
    let token = token.claim("kind", "service").signed(&external_key());
    let verified = verifier(&local, &[]).verify(&token, NOW).unwrap();
    assert_eq!(verified.user.as_str(), "corp:grace");
    assert_eq!(verified.issuer.as_str(), "corp");
    assert_eq!(verified.scopes, BTreeSet::from([Scope::SessionsRead]));
    // It can't pass for a token of ours, or for one of a program.
    assert_eq!((verified.token, verified.kind), (None, TokenKind::Access));
}

#[test]
fn which_claim_names_the_user_and_how_is_configured() {
    let draft = external_draft();
    let with = |claim: &str, prefix: Option<&str>| ExternalIssuer {
        user_claim: claim.to_owned(),
        prefix: prefix.map(str::to_owned),
        ..external()
    };
    assert_eq!(user(with("sub", None), &draft).unwrap(), "corp:grace");
    assert_eq!(user(with("sub", Some("")), &draft).unwrap(), "grace");
    assert_eq!(user(with("sub", Some("x-")), &draft).unwrap(), "x-grace");
    assert_eq!(user(with("email", None), &draft).unwrap(), "corp:grace@corp.example");
    for (draft, claim) in [
        (draft.clone().no_claim("sub"), "sub"),
        (draft.clone().claim("sub", ""), "sub"),
        (draft.clone().claim("sub", 7), "sub"),
        (draft.clone().claim("sub", "a\tb"), "sub"),
        (draft.clone().claim("sub", "a".repeat(253)), "sub"),
        (draft.clone(), "name"),
        (draft.clone().claim("email_verified", false), "email"),
        (draft.clone().claim("email_verified", "true"), "email"),
    ] {
        assert_eq!(user(with(claim, None), &draft), Err(TokenError::InvalidUser), "{draft:?}");
    }
    assert!(user(with("email", None), &draft.claim("email_verified", true)).is_ok());
}

#[test]
fn scopes_are_those_claimed_or_those_configured() {
    let scopes = |scopes, draft: Draft| {
        let mut verifier = Verifier::new();
        let issuer = ExternalIssuer { scopes, ..external() };
        verifier.trust_external(issuer, key_set(&[external_jwk()])).unwrap();
        verifier.verify(&draft.signed(&external_key()), NOW).unwrap().scopes
    };
    assert!(scopes(ExternalScopes::Claimed, external_draft().no_claim("scope")).is_empty());
    let fixed = BTreeSet::from([Scope::SessionsWrite]);
    assert_eq!(scopes(ExternalScopes::Fixed(fixed.clone()), external_draft()), fixed);
}

#[test]
fn what_an_issuer_signs_for_other_ends_is_no_access_token() {
    let issuer = || external();
    for typ in ["JWT", "jwt", "at+jwt", "application/at+jwt"] {
        assert!(user(issuer(), &external_draft().header("typ", typ)).is_ok(), "{typ}");
    }
    for typ in ["logout+jwt", "dpop+jwt", "secevent+jwt", "", "application/json"] {
        let refused = user(issuer(), &external_draft().header("typ", typ));
        assert_eq!(refused, Err(TokenError::WrongType), "{typ}");
    }
}

#[test]
fn an_issuer_can_not_speak_for_another() {
    let local = Local::new();
    let verifier = verifier(&local, &[]);
    // The outside issuer's key under the local issuer's name, with the key's id or the local one's.
    for kid in ["ed-1", local.kid.as_str()] {
        let forged = local.draft().header("kid", kid).signed(&external_key());
        assert!(verifier.verify(&forged, NOW).is_err(), "{kid}");
    }
    let local_as_external = external_draft().header("typ", "at+jwt").signed(&local.key);
    assert_eq!(verifier.verify(&local_as_external, NOW), Err(TokenError::WrongSignature));
}

#[test]
fn issuers_that_can_not_be_told_apart_are_refused() {
    let local = Local::new();
    let mut verifier = verifier(&local, &[]);
    let keys = || key_set(&[external_jwk()]);
    let again = ExternalIssuer { alias: "other".parse().unwrap(), ..external() };
    let conflict = IssuerConflict::Issuer(external().issuer);
    assert_eq!(verifier.trust_external(again, keys()), Err(conflict));
    let elsewhere = "https://elsewhere.example".to_owned();
    for alias in [external().alias, IssuerAlias::local()] {
        let issuer =
            ExternalIssuer { alias: alias.clone(), issuer: elsewhere.clone(), ..external() };
        let conflict = IssuerConflict::Alias(alias);
        assert_eq!(verifier.trust_external(issuer, keys()), Err(conflict));
    }
    let as_local = ExternalIssuer {
        alias: "evil".parse().unwrap(),
        issuer: local.issuer.issuer().to_owned(),
        ..external()
    };
    assert!(verifier.trust_external(as_local, keys()).is_err());
}

#[test]
fn tokens_of_a_new_key_are_taken_once_the_keys_were_fetched_again() {
    let mut verifier = Verifier::new();
    let alias = external().alias;
    // Not fetched yet: every token asks for it.
    verifier.trust_external(external(), KeySet::default()).unwrap();
    let old = external_draft().signed(&external_key());
    assert_eq!(verifier.verify(&old, NOW).unwrap_err().refresh(), Some(&alias));
    verifier.replace_keys(&alias, key_set(&[external_jwk()])).unwrap();
    assert!(verifier.verify(&old, NOW).is_ok());

    let key = SigningKey::from_bytes(&[43; 32]);
    let x = encode(key.verifying_key().as_bytes());
    let jwk = json!({ "kty": "OKP", "crv": "Ed25519", "kid": "ed-2", "x": x });
    let new = external_draft().header("kid", "ed-2").signed(&key);
    assert_eq!(verifier.verify(&new, NOW).unwrap_err().refresh(), Some(&alias));
    verifier.replace_keys(&alias, key_set(&[external_jwk(), jwk.clone()])).unwrap();
    assert!(verifier.verify(&new, NOW).is_ok() && verifier.verify(&old, NOW).is_ok());
    verifier.replace_keys(&alias, key_set(&[jwk])).unwrap();
    assert_eq!(verifier.verify(&old, NOW).unwrap_err().reason(), "unknown_key");
    assert!(verifier.replace_keys(&"other".parse().unwrap(), KeySet::default()).is_err());
}
