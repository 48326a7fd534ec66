//! Tokens that are made by hand, so that any part of them can be wrong.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use custody_identity::{
    ExternalIssuer, ExternalScopes, KeySet, LocalIssuer, LocalIssuerOptions, Verifier,
};
use custody_model::{Timestamp, TokenId};
use ed25519_dalek::{Signer as _, SigningKey};
use serde_json::{Value, json};

/// When the tokens are checked; they are made a minute before and live for an hour.
pub(crate) const NOW: Timestamp = Timestamp::from_micros(1_795_461_120_000_000);

pub(crate) fn now_seconds() -> i64 {
    NOW.as_micros() / 1_000_000
}

pub(crate) fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// One token, taken apart.
#[derive(Clone, Debug)]
pub(crate) struct Draft {
    pub(crate) header: Value,
    pub(crate) claims: Value,
}

impl Draft {
    /// What is signed.
    pub(crate) fn message(&self) -> String {
        format!("{}.{}", encode(self.header.to_string()), encode(self.claims.to_string()))
    }

    pub(crate) fn signed(&self, key: &SigningKey) -> String {
        let message = self.message();
        format!("{message}.{}", encode(key.sign(message.as_bytes()).to_bytes()))
    }

    pub(crate) fn claim(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.claims[name] = value.into();
        self
    }

    pub(crate) fn no_claim(mut self, name: &str) -> Self {
        self.claims.as_object_mut().unwrap().remove(name).unwrap();
        self
    }

    pub(crate) fn header(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.header[name] = value.into();
        self
    }

    pub(crate) fn no_header(mut self, name: &str) -> Self {
        self.header.as_object_mut().unwrap().remove(name).unwrap();
        self
    }
}

/// A local issuer in a directory of its own, with its secret key.
pub(crate) struct Local {
    _dir: tempfile::TempDir,
    pub(crate) issuer: LocalIssuer,
    pub(crate) key: SigningKey,
    pub(crate) kid: String,
}

pub(crate) fn options(dir: &Path) -> LocalIssuerOptions {
    LocalIssuerOptions {
        dir: dir.join("keys"),
        issuer: "https://custody.example".to_owned(),
        audience: "custody".to_owned(),
    }
}

impl Local {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let issuer = LocalIssuer::open(options(dir.path()), NOW).unwrap();
        let mut files = std::fs::read_dir(dir.path().join("keys")).unwrap();
        let file = files.find_map(|entry| {
            let path = entry.unwrap().path();
            (path.extension()? == "json").then_some(path)
        });
        let file: Value = serde_json::from_slice(&std::fs::read(file.unwrap()).unwrap()).unwrap();
        let seed = URL_SAFE_NO_PAD.decode(file["d"].as_str().unwrap()).unwrap();
        let key = SigningKey::from_bytes(&seed.try_into().unwrap());
        Self { _dir: dir, issuer, key, kid: file["kid"].as_str().unwrap().to_owned() }
    }

    /// A token that is valid when it is signed with the key.
    pub(crate) fn draft(&self) -> Draft {
        let start = now_seconds() - 60;
        Draft {
            header: json!({ "typ": "at+jwt", "alg": "EdDSA", "kid": self.kid }),
            claims: json!({
                "iss": "https://custody.example",
                "aud": "custody",
                "sub": "ada",
                "jti": TokenId::new(NOW, [3; 10]).to_string(),
                "iat": start,
                "nbf": start,
                "exp": start + 3600,
                "scope": "sessions:read sessions:write",
                "kind": "access",
            }),
        }
    }
}

/// The key of the issuer outside.
pub(crate) fn external_key() -> SigningKey {
    SigningKey::from_bytes(&[42; 32])
}

pub(crate) fn external_jwk() -> Value {
    let x = encode(external_key().verifying_key().as_bytes());
    json!({ "kty": "OKP", "crv": "Ed25519", "kid": "ed-1", "x": x })
}

pub(crate) fn key_set(keys: &[Value]) -> KeySet {
    KeySet::parse(json!({ "keys": keys }).to_string().as_bytes()).unwrap()
}

pub(crate) fn external() -> ExternalIssuer {
    ExternalIssuer {
        alias: "corp".parse().unwrap(),
        issuer: "https://login.corp.example/".to_owned(),
        audience: "custody-at-corp".to_owned(),
        user_claim: "sub".to_owned(),
        prefix: None,
        scopes: ExternalScopes::Claimed,
    }
}

/// A token that is valid when it is signed with [`external_key`].
pub(crate) fn external_draft() -> Draft {
    Draft {
        header: json!({ "alg": "EdDSA", "kid": "ed-1" }),
        claims: json!({
            "iss": "https://login.corp.example/",
            "aud": ["other", "custody-at-corp"],
            "sub": "grace",
            "email": "grace@corp.example",
            "scope": "openid sessions:read",
            "exp": now_seconds() + 60,
        }),
    }
}

/// Trusts the local issuer, and the one outside with its Ed25519 key and `more` keys.
pub(crate) fn verifier(local: &Local, more: &[Value]) -> Verifier {
    let mut verifier = Verifier::new();
    verifier.trust_local(&local.issuer).unwrap();
    let keys = [&[external_jwk()], more].concat();
    verifier.trust_external(external(), key_set(&keys)).unwrap();
    verifier
}
