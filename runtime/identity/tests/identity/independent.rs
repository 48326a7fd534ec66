//! The same signatures by code that we did not write: OpenSSL's command makes RSA tokens, and checks ours.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use custody_identity::{KeySet, KeySetError, TokenRequest};
use custody_model::TokenKind;
use custody_model::{Scope, TokenId};
use serde_json::{Value, json};

use crate::maker::{Draft, Local, NOW, encode, external_draft, external_key, verifier};

fn openssl(dir: &Path, arguments: &[&str]) -> Vec<u8> {
    let output = Command::new("openssl").current_dir(dir).args(arguments).output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "openssl {arguments:?}: {error}");
    output.stdout
}

/// Makes a key in `rsa.pem`; its JWK.
fn rsa(dir: &Path, bits: &str) -> Value {
    openssl(dir, &["genrsa", "-out", "rsa.pem", bits]);
    let modulus = openssl(dir, &["rsa", "-in", "rsa.pem", "-noout", "-modulus"]);
    let modulus = String::from_utf8(modulus).unwrap();
    let n = hex::decode(modulus.trim().strip_prefix("Modulus=").unwrap()).unwrap();
    json!({ "kty": "RSA", "kid": "rsa-1", "n": encode(n), "e": "AQAB", "alg": "RS256", "use": "sig" })
}

fn rsa_signed(dir: &Path, draft: &Draft, options: &[&str]) -> String {
    let message = draft.message();
    std::fs::write(dir.join("message"), &message).unwrap();
    let arguments = [&["dgst", "-sign", "rsa.pem"], options, &["message"]].concat();
    format!("{message}.{}", encode(openssl(dir, &arguments)))
}

#[test]
fn a_token_that_openssl_signed_with_rsa_is_valid_as_rs256_alone() {
    let (dir, local) = (tempfile::tempdir().unwrap(), Local::new());
    let dir = dir.path();
    let jwk = rsa(dir, "2048");
    let verifier = verifier(&local, std::slice::from_ref(&jwk));
    let draft = external_draft().header("kid", "rsa-1").header("alg", "RS256");
    let good = rsa_signed(dir, &draft, &["-sha256"]);
    let verified = verifier.verify(&good, NOW).unwrap();
    assert_eq!(verified.user.as_str(), "corp:grace");

    let reason = |text: &str| verifier.verify(text, NOW).unwrap_err().reason();
    // The other hashes and paddings of RSA, said and not said.
    assert_eq!(reason(&rsa_signed(dir, &draft, &["-sha512"])), "wrong_signature");
    let pss = ["-sha256", "-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:32"];
    assert_eq!(reason(&rsa_signed(dir, &draft, &pss)), "wrong_signature");
    for (algorithm, options) in [("RS512", &["-sha512"][..]), ("PS256", &pss)] {
        let draft = draft.clone().header("alg", algorithm);
        assert_eq!(reason(&rsa_signed(dir, &draft, options)), "wrong_algorithm");
    }
    // A signature of RSA for the key of Ed25519, and one of Ed25519 for the key of RSA.
    let for_ed = draft.clone().header("kid", "ed-1");
    assert_eq!(reason(&rsa_signed(dir, &for_ed, &["-sha256"])), "wrong_algorithm");
    let for_rsa = draft.clone().header("alg", "EdDSA").signed(&external_key());
    assert_eq!(reason(&for_rsa), "wrong_algorithm");
    assert_eq!(reason(&draft.signed(&external_key())), "wrong_signature");
    // HS256 with the public key, as PEM and as its modulus, for a secret.
    let public = openssl(dir, &["rsa", "-in", "rsa.pem", "-pubout"]);
    let modulus = URL_SAFE_NO_PAD.decode(jwk["n"].as_str().unwrap()).unwrap();
    for secret in [public, modulus] {
        let message = draft.clone().header("alg", "HS256").message();
        std::fs::write(dir.join("message"), &message).unwrap();
        let key = format!("hexkey:{}", hex::encode(secret));
        let arguments = ["dgst", "-sha256", "-mac", "HMAC", "-macopt", &key, "-binary", "message"];
        let mac = encode(openssl(dir, &arguments));
        assert_eq!(reason(&format!("{message}.{mac}")), "wrong_algorithm");
    }
}

#[test]
fn an_rsa_key_of_1024_bits_is_no_key() {
    let dir = tempfile::tempdir().unwrap();
    let set = json!({ "keys": [rsa(dir.path(), "1024")] }).to_string();
    let refused = KeySet::parse(set.as_bytes());
    assert!(matches!(refused, Err(KeySetError::Strength { index: 0 })), "{refused:?}");
}

#[test]
fn openssl_checks_a_token_of_ours_with_the_key_that_we_serve() {
    let (dir, local) = (tempfile::tempdir().unwrap(), Local::new());
    let dir = dir.path();
    let request = TokenRequest {
        user: "ada".parse().unwrap(),
        kind: TokenKind::Access,
        scopes: Scope::ALL.into(),
        lifetime: Duration::from_secs(60),
    };
    let token = local.issuer.issue(&request, TokenId::new(NOW, [1; 10]), NOW).unwrap();
    let (message, signature) = token.text.expose().rsplit_once('.').unwrap();
    let served = serde_json::to_value(local.issuer.jwks(NOW)).unwrap();
    let x = URL_SAFE_NO_PAD.decode(served["keys"][0]["x"].as_str().unwrap()).unwrap();
    // SubjectPublicKeyInfo of Ed25519 (RFC 8410, section 4).
    let spki = [&hex::decode("302a300506032b6570032100").unwrap()[..], &x].concat();
    std::fs::write(dir.join("public.der"), spki).unwrap();
    std::fs::write(dir.join("message"), message).unwrap();
    std::fs::write(dir.join("signature"), URL_SAFE_NO_PAD.decode(signature).unwrap()).unwrap();
    let arguments = "pkeyutl -verify -pubin -keyform DER -inkey public.der -rawin -in message -sigfile signature";
    openssl(dir, &arguments.split(' ').collect::<Vec<_>>());

    let header: Value = {
        let header = message.split_once('.').unwrap().0;
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header).unwrap()).unwrap()
    };
    assert_eq!(header, json!({ "typ": "at+jwt", "alg": "EdDSA", "kid": served["keys"][0]["kid"] }));
}
