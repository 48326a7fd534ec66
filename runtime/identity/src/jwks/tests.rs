//! What key sets are taken and refused.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn ed(kid: &str) -> Value {
    json!({ "kty": "OKP", "crv": "Ed25519", "kid": kid, "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo" })
}

fn rsa(kid: &str, bytes: usize) -> Value {
    let n = URL_SAFE_NO_PAD.encode(vec![0xff; bytes]);
    json!({ "kty": "RSA", "kid": kid, "n": n, "e": "AQAB", "use": "sig", "alg": "RS256" })
}

fn parse(keys: &[Value]) -> Result<KeySet, KeySetError> {
    KeySet::parse(json!({ "keys": keys }).to_string().as_bytes())
}

fn with(mut key: Value, member: &str, value: impl Into<Value>) -> Value {
    key[member] = value.into();
    key
}

fn ids(set: &KeySet) -> Vec<&str> {
    set.ids().map(KeyId::as_str).collect()
}

#[test]
fn keys_for_something_else_are_passed_over() {
    let others = [
        json!({ "kty": "EC", "crv": "P-256", "kid": "ec", "x": "AA", "y": "AA" }),
        json!({ "kty": "oct", "kid": "oct", "k": "c2VjcmV0" }),
        json!({ "kty": "new", "n": "not even base64url" }),
        with(ed("x25519"), "crv", "X25519"),
        with(ed("enc"), "use", "enc"),
        with(ed("sign-only"), "key_ops", json!(["sign"])),
        with(rsa("ps"), "alg", "PS256"),
        with(rsa("hs"), "alg", "HS256"),
        with(ed("rs"), "alg", "RS256"),
    ];
    fn rsa(kid: &str) -> Value {
        super::tests::rsa(kid, 256)
    }
    let all = [others.to_vec(), vec![ed("b"), rsa("a")]].concat();
    assert_eq!(ids(&parse(&all).unwrap()), ["a", "b"]);
    assert!(matches!(parse(&others), Err(KeySetError::NoKeys)));
    assert!(matches!(parse(&[]), Err(KeySetError::NoKeys)));
}

#[test]
fn a_keys_algorithm_is_that_of_its_type() {
    let set = parse(&[ed("ed"), rsa("rsa", 256)]).unwrap();
    let now = Timestamp::from_micros(0);
    for (kid, algorithm) in [("ed", "EdDSA"), ("rsa", "RS256")] {
        assert_eq!(set.key(&kid.parse().unwrap(), now).unwrap().algorithm(), algorithm);
    }
}

#[test]
fn a_set_with_a_bad_key_is_refused_as_a_whole() {
    type Is = fn(&KeySetError) -> bool;
    let without_kid = json!({ "kty": "OKP", "crv": "Ed25519", "x": ed("")["x"] });
    let cases: [(Value, Is); 11] = [
        (ed("good"), |e| matches!(e, KeySetError::Duplicate { index: 1, .. })),
        (with(ed("good"), "use", "enc"), |e| matches!(e, KeySetError::Duplicate { .. })),
        (ed(""), |e| matches!(e, KeySetError::KeyId { source: InvalidKeyId::Empty, .. })),
        (ed("../key"), |e| matches!(e, KeySetError::KeyId { source: InvalidKeyId::Path, .. })),
        (without_kid, |e| matches!(e, KeySetError::KeyId { source: InvalidKeyId::Missing, .. })),
        (with(ed("a"), "d", "AA"), |e| matches!(e, KeySetError::Private { index: 1 })),
        (with(ed("a"), "x", "AA"), |e| matches!(e, KeySetError::Key { index: 1 })),
        (with(ed("a"), "x", "AA=="), |e| matches!(e, KeySetError::Key { index: 1 })),
        (with(ed("a"), "x", Value::Null), |e| matches!(e, KeySetError::Key { index: 1 })),
        (with(ed("a"), "x", 1), |e| matches!(e, KeySetError::Malformed(_))),
        (rsa("a", 128), |e| matches!(e, KeySetError::Strength { index: 1 })),
    ];
    for (key, is) in cases {
        let error = parse(&[ed("good"), key.clone()]).unwrap_err();
        assert!(is(&error), "{key}: {error:?}");
    }
}

#[test]
fn limits_hold_at_their_edges() {
    let keys = |count| (0..count).map(|i| ed(&i.to_string())).collect::<Vec<_>>();
    assert_eq!(parse(&keys(MAX_KEYS)).unwrap().ids().count(), MAX_KEYS);
    assert!(matches!(parse(&keys(MAX_KEYS + 1)), Err(KeySetError::TooMany)));
    let mut bytes = json!({ "keys": keys(1) }).to_string().into_bytes();
    bytes.resize(MAX_KEY_SET_BYTES, b' ');
    assert!(KeySet::parse(&bytes).is_ok());
    bytes.push(b' ');
    assert!(matches!(KeySet::parse(&bytes), Err(KeySetError::TooLong)));
}

proptest! {
    #[test]
    fn no_bytes_make_the_reading_of_a_key_set_panic(bytes: Vec<u8>) {
        let _ = KeySet::parse(&bytes);
    }

    #[test]
    fn no_key_of_any_bytes_makes_reading_or_checking_panic(
        x in proptest::collection::vec(any::<u8>(), 0..40),
        n in proptest::collection::vec(any::<u8>(), 0..520),
        e in proptest::collection::vec(any::<u8>(), 0..6),
        signature in "[A-Za-z0-9_-]{0,700}",
    ) {
        let [x, n, e] = [x, n, e].map(|bytes| URL_SAFE_NO_PAD.encode(bytes));
        let keys = [
            json!({ "kty": "OKP", "crv": "Ed25519", "kid": "k", "x": x }),
            json!({ "kty": "RSA", "kid": "k", "n": n, "e": e }),
        ];
        for set in keys.iter().filter_map(|key| parse(std::slice::from_ref(key)).ok()) {
            let kid = "k".parse().unwrap();
            let key = set.key(&kid, Timestamp::from_micros(0)).unwrap();
            prop_assert!(!key.verify("a.b", &signature).unwrap_or(false));
        }
    }
}
