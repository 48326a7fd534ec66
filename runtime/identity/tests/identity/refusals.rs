//! Each refusal by a token that differs from a valid one in that point alone.

use custody_identity::{
    IssuerAlias, LEEWAY, MAX_KEY_ID_BYTES, MAX_LEEWAY, MAX_TOKEN_BYTES, TokenError, Verifier,
};
use custody_model::Timestamp;
use ed25519_dalek::SigningKey;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::maker::{
    Draft, Local, NOW, encode, external_draft, external_key, now_seconds, verifier,
};

fn reason(verifier: &Verifier, text: &str) -> &'static str {
    match verifier.verify(text, NOW) {
        Ok(_) => "valid",
        Err(error) => error.reason(),
    }
}

#[test]
fn each_wrong_claim_or_header_is_refused_with_its_reason() {
    let local = Local::new();
    let verifier = verifier(&local, &[]);
    let leeway = i64::try_from(LEEWAY.as_secs()).unwrap();
    let (good, now) = (|| local.draft(), now_seconds());
    let cases: Vec<(Draft, &str)> = vec![
        (good(), "valid"),
        // Whom it is from, and for.
        (good().claim("iss", "https://custody.example/"), "wrong_issuer"),
        (good().claim("iss", "https://evil.example"), "wrong_issuer"),
        (good().claim("iss", Value::Null), "missing_issuer"),
        (good().no_claim("iss"), "missing_issuer"),
        (good().claim("iss", json!(["https://custody.example"])), "malformed"),
        (good().claim("aud", json!(["other", "custody"])), "valid"),
        (good().claim("aud", "other"), "wrong_audience"),
        (good().claim("aud", "Custody"), "wrong_audience"),
        (good().claim("aud", json!([])), "wrong_audience"),
        (good().claim("aud", json!(["other"])), "wrong_audience"),
        (good().claim("aud", 1), "malformed"),
        (good().no_claim("aud"), "missing_audience"),
        // When.
        (good().claim("exp", now - leeway + 1), "valid"),
        (good().claim("exp", now - leeway), "expired"),
        (good().claim("exp", 0), "expired"),
        (good().claim("exp", -1e300), "expired"),
        (good().claim("exp", i64::MAX), "valid"),
        (good().claim("exp", (now + 60).to_string()), "malformed"),
        (good().claim("exp", Value::Null), "missing_expiry"),
        (good().no_claim("exp"), "missing_expiry"),
        (good().claim("nbf", now + leeway), "valid"),
        (good().claim("nbf", now + leeway + 1), "not_yet_valid"),
        (good().claim("nbf", u64::MAX), "not_yet_valid"),
        (good().no_claim("nbf"), "valid"),
        (good().claim("iat", now + leeway + 1), "not_yet_valid"),
        // Who.
        (good().claim("sub", ""), "invalid_user"),
        (good().claim("sub", "ada\u{0}"), "invalid_user"),
        (good().claim("sub", "a".repeat(257)), "invalid_user"),
        (good().no_claim("sub"), "invalid_user"),
        (good().claim("jti", "1"), "malformed"),
        (good().no_claim("jti"), "malformed"),
        (good().claim("kind", "admin"), "malformed"),
        (good().no_claim("kind"), "malformed"),
        (good().no_claim("scope"), "malformed"),
        // Headers that bring keys, or ask for what nobody knows.
        (good().header("jwk", json!({ "kty": "OKP" })), "forbidden_header"),
        (good().header("jwk", Value::Null), "forbidden_header"),
        (good().header("jku", "https://evil.example/keys"), "forbidden_header"),
        (good().header("x5u", "https://evil.example/cert"), "forbidden_header"),
        (good().header("x5c", json!(["AA=="])), "forbidden_header"),
        (good().header("crit", json!(["b64"])), "forbidden_header"),
        (good().header("crit", json!([])), "forbidden_header"),
        (good().header("typ", "application/AT+JWT"), "valid"),
        (good().header("typ", "JWT"), "wrong_type"),
        (good().header("typ", "logout+jwt"), "wrong_type"),
        (good().no_header("typ"), "wrong_type"),
        // The algorithm is the key's.
        (good().header("alg", "none"), "unsigned"),
        (good().header("alg", "NoNe"), "unsigned"),
        (good().header("alg", ""), "wrong_algorithm"),
        (good().header("alg", "eddsa"), "wrong_algorithm"),
        (good().header("alg", "HS256"), "wrong_algorithm"),
        (good().header("alg", "RS256"), "wrong_algorithm"),
        (good().header("alg", "ES256"), "wrong_algorithm"),
        (good().header("alg", Value::Null), "malformed"),
        (good().no_header("alg"), "malformed"),
        // The key is one of the issuer's.
        (good().header("kid", "another"), "unknown_key"),
        (good().header("kid", "ed-1"), "unknown_key"),
        (good().header("kid", ""), "invalid_key_id"),
        (good().header("kid", "../../dev/null"), "invalid_key_id"),
        (good().header("kid", "/dev/null"), "invalid_key_id"),
        (good().header("kid", "C:key"), "invalid_key_id"),
        (good().header("kid", r"keys\key"), "invalid_key_id"),
        (good().header("kid", "https://evil.example/key"), "invalid_key_id"),
        (good().header("kid", format!("{}\n", local.kid)), "invalid_key_id"),
        (good().header("kid", "k".repeat(MAX_KEY_ID_BYTES)), "unknown_key"),
        (good().header("kid", "k".repeat(MAX_KEY_ID_BYTES + 1)), "invalid_key_id"),
        (good().no_header("kid"), "invalid_key_id"),
        (good().header("kid", 1), "malformed"),
    ];
    for (draft, expected) in cases {
        let text = draft.signed(&local.key);
        assert_eq!(reason(&verifier, &text), expected, "{draft:?}");
    }
}

#[test]
fn a_signature_of_anything_else_is_refused() {
    let local = Local::new();
    let verifier = verifier(&local, &[]);
    let draft = local.draft();
    let good = draft.signed(&local.key);
    assert_eq!(reason(&verifier, &good), "valid");
    let (message, signature) = good.rsplit_once('.').unwrap();
    // Another key, also that of another issuer that is trusted.
    assert_eq!(
        reason(&verifier, &draft.signed(&SigningKey::from_bytes(&[9; 32]))),
        "wrong_signature"
    );
    assert_eq!(reason(&verifier, &draft.signed(&external_key())), "wrong_signature");
    // Another message.
    let other = draft.clone().claim("sub", "admin").message();
    assert_eq!(reason(&verifier, &format!("{other}.{signature}")), "wrong_signature");
    // None, part of one, more than one.
    for wrong in ["", &signature[..40], &signature.repeat(2)] {
        assert_eq!(reason(&verifier, &format!("{message}.{wrong}")), "wrong_signature", "{wrong}");
    }
    // Spellings of the same signature that are not its one spelling.
    for wrong in
        [format!("{signature}=="), signature.replace('_', "/") + "!", format!("{signature} ")]
    {
        assert_eq!(reason(&verifier, &format!("{message}.{wrong}")), "malformed", "{wrong}");
    }
}

#[test]
fn an_unsigned_token_is_refused_with_and_without_a_signature() {
    let local = Local::new();
    let verifier = verifier(&local, &[]);
    let draft = local.draft().header("alg", "none");
    assert_eq!(reason(&verifier, &format!("{}.", draft.message())), "unsigned");
    assert_eq!(reason(&verifier, &draft.signed(&local.key)), "unsigned");
}

#[test]
fn a_public_key_is_no_secret_of_hs256() {
    let local = Local::new();
    let verifier = verifier(&local, &[]);
    let public = local.key.verifying_key();
    let draft = local.draft().header("alg", "HS256");
    let message = draft.message();
    for secret in [public.as_bytes().to_vec(), encode(public.as_bytes()).into_bytes()] {
        let key = jsonwebtoken::EncodingKey::from_secret(&secret);
        let algorithm = jsonwebtoken::Algorithm::HS256;
        let mac = jsonwebtoken::crypto::sign(message.as_bytes(), &key, algorithm).unwrap();
        assert_eq!(reason(&verifier, &format!("{message}.{mac}")), "wrong_algorithm");
    }
}

#[test]
fn what_is_not_a_token_is_malformed() {
    let local = Local::new();
    let verifier = verifier(&local, &[]);
    let good = local.draft().signed(&local.key);
    let parts: Vec<&str> = good.split('.').collect();
    let [header, claims, signature] = parts[..] else { panic!("three parts") };
    let twice = r#"{"alg":"EdDSA","alg":"none","kid":"k"}"#;
    let cases = [
        String::new(),
        ".".to_owned(),
        "..".to_owned(),
        "...".to_owned(),
        header.to_owned(),
        format!("{header}.{claims}"),
        format!("{good}.{signature}"),
        format!(".{claims}.{signature}"),
        format!("{header}..{signature}"),
        format!("{header}=.{claims}.{signature}"),
        format!(" {good}"),
        format!("{}.{claims}.{signature}", encode(twice)),
        format!("{}.{claims}.{signature}", encode("[\"EdDSA\",\"k\"]")),
        format!("{}.{claims}.{signature}", encode("null")),
        format!("{header}.{}.{signature}", encode("[]")),
        format!("{header}.{}.{signature}", encode(r#"{"iss":"a","iss":"b"}"#)),
        format!("{header}.{}.{signature}", encode("{\"sub\":\"\u{0}")),
        // JSON serialization of the same (RFC 7515, section 7.2).
        json!({ "protected": header, "payload": claims, "signature": signature }).to_string(),
    ];
    for text in cases {
        assert_eq!(reason(&verifier, &text), "malformed", "{text}");
    }
    let message = local.draft().claim("pad", "x".repeat(MAX_TOKEN_BYTES)).signed(&local.key);
    assert_eq!(reason(&verifier, &message), "too_long");
    assert_eq!(reason(&verifier, &"a".repeat(MAX_TOKEN_BYTES)), "malformed");
    assert_eq!(reason(&verifier, &"a".repeat(MAX_TOKEN_BYTES + 1)), "too_long");
}

#[test]
fn no_error_tells_anything_of_the_token() {
    let local = Local::new();
    let verifier = verifier(&local, &[]);
    let marked = "Zq7Zq7";
    let drafts = [
        local.draft().claim("iss", marked),
        local.draft().claim("iss", json!([marked])),
        local.draft().claim("exp", marked),
        local.draft().claim("aud", marked),
        local.draft().claim("sub", format!("{marked}\n")),
        local.draft().claim("jti", marked),
        local.draft().claim("kind", marked),
        local.draft().header("kid", marked),
        local.draft().header("kid", format!("/{marked}")),
        local.draft().header("alg", marked),
        local.draft().header("typ", marked),
        local.draft().header("jku", marked),
    ];
    for draft in drafts {
        let error = verifier.verify(&draft.signed(&local.key), NOW).unwrap_err();
        let source = std::error::Error::source(&error).map(ToString::to_string);
        let all = format!("{error} {error:?} {source:?}");
        assert!(!all.contains(marked), "{all}");
    }
}

#[test]
fn a_key_that_is_not_known_names_the_issuer_whose_keys_to_fetch() {
    let local = Local::new();
    let verifier = verifier(&local, &[]);
    let error = |text: &str| verifier.verify(text, NOW).unwrap_err();
    let unknown = external_draft().header("kid", "ed-2").signed(&external_key());
    let corp: IssuerAlias = "corp".parse().unwrap();
    assert_eq!(error(&unknown), TokenError::UnknownKey { issuer: corp.clone() });
    assert_eq!(error(&unknown).refresh(), Some(&corp));
    let wrong = external_draft().signed(&SigningKey::from_bytes(&[9; 32]));
    assert_eq!(error(&wrong).refresh(), None);
}

#[test]
fn the_leeway_is_what_was_asked_for_within_its_limit() {
    let local = Local::new();
    let text = local.draft().signed(&local.key);
    let end = (now_seconds() - 60 + 3600) * 1_000_000;
    let longer = MAX_LEEWAY + LEEWAY;
    for (asked, given) in [(std::time::Duration::ZERO, 0), (LEEWAY, 30), (longer, 300)] {
        let verifier = verifier(&local, &[]).with_leeway(asked);
        let refused = Timestamp::from_micros(end + given * 1_000_000);
        let last = Timestamp::from_micros(refused.as_micros() - 1);
        assert!(verifier.verify(&text, last).is_ok(), "{asked:?}");
        assert_eq!(verifier.verify(&text, refused), Err(TokenError::Expired), "{asked:?}");
    }
}

/// JSON that looks like what is in tokens.
fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
        proptest::collection::vec(".{0,4}", 0..3).prop_map(Value::from),
    ]
}

proptest! {
    #[test]
    fn no_text_makes_the_check_panic(text in "\\PC{0,200}|[A-Za-z0-9_.-]{0,200}") {
        let local = Local::new();
        prop_assert!(verifier(&local, &[]).verify(&text, NOW).is_err());
    }

    #[test]
    fn no_header_or_claim_makes_the_check_panic(
        header in prop::sample::select(vec!["typ", "alg", "kid", "jwk", "crit", "cty"]),
        claim in prop::sample::select(vec!["iss", "aud", "sub", "exp", "nbf", "iat", "scope", "kind", "jti", "x"]),
        of_header in value(), of_claim in value(), at in i64::MIN..i64::MAX,
    ) {
        let local = Local::new();
        let verifier = verifier(&local, &[]);
        let drafts = [
            local.draft().claim(claim, of_claim.clone()),
            local.draft().header(header, of_header),
        ];
        for draft in drafts {
            let _ = verifier.verify(&draft.signed(&local.key), Timestamp::from_micros(at));
        }
        let _ = verifier.verify(&external_draft().claim(claim, of_claim).signed(&external_key()), NOW);
    }

    #[test]
    fn no_change_of_a_single_byte_leaves_a_token_valid(at: prop::sample::Index, byte in 0x20..0x7f_u8) {
        let local = Local::new();
        let good = local.draft().signed(&local.key);
        let mut bytes = good.clone().into_bytes();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let text = String::from_utf8(bytes).unwrap();
        prop_assert_eq!(verifier(&local, &[]).verify(&text, NOW).is_ok(), text == good);
    }
}
