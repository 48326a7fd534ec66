//! Tokens: service tokens are exchanged, nothing becomes more than it was, and revocation takes what was made along.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use custody_api_server::{FetchKeys, Identity};
use custody_identity::{
    ExternalIssuer, ExternalScopes, IssuerAlias, KeySet, LocalIssuer, LocalIssuerOptions,
    TokenError, TokenRequest, Verifier,
};
use custody_model::{Scope, Timestamp, TokenId, TokenKind};
use serde_json::json;

use crate::http::Call;
use crate::installation::Installation;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_token_is_good_for_access_tokens_alone_and_takes_them_along_when_it_is_revoked() {
    let installation = Installation::start().await;
    let to = installation.address;
    let asked = json!({
        "kind": "service", "lifetime_seconds": 7200, "label": "ci",
        "scopes": ["sessions:read", "sessions:write"],
    });
    let made =
        Call::post("/v1/tokens", &asked).token(installation.token("dev")).to(to).await.ok(201);
    let (service, id) = (made["text"].as_str().unwrap(), made["token"]["id"].as_str().unwrap());
    assert_eq!(made["token"]["label"], "ci");

    let direct = Call::get("/v1/me").token(service).to(to).await;
    let problem = direct.problem(401, "unauthenticated");
    assert!(problem["detail"].as_str().unwrap().contains("/v1/tokens/exchange"), "{problem}");

    let exchange = |body| Call::post("/v1/tokens/exchange", &body).token(service);
    let access = exchange(json!({ "scopes": ["sessions:read"] })).to(to).await.ok(201);
    assert_eq!(
        (&access["token"]["parent"], &access["token"]["kind"]),
        (&json!(id), &json!("access"))
    );
    let access = access["text"].as_str().unwrap();
    let me = Call::get("/v1/me").token(access).to(to).await.ok(200);
    assert_eq!(me["scopes"], json!(["sessions:read"]));
    // Without a body the defaults hold; but never beyond the service token's scopes.
    let plain = Call::new("POST", "/v1/tokens/exchange").token(service).to(to).await.ok(201);
    assert_eq!(plain["token"]["scopes"], json!(["sessions:read", "sessions:write"]));
    exchange(json!({ "scopes": ["settings:write"] })).to(to).await.problem(403, "forbidden");
    exchange(json!({ "lifetime_seconds": 90_000 })).to(to).await.problem(422, "invalid");

    let revoke = Call::new("DELETE", &format!("/v1/tokens/{id}?reason=lost"));
    revoke.token(installation.token("dev")).to(to).await.ok(200);
    for token in [service, access] {
        let answer = Call::get("/v1/me").token(token).to(to).await;
        assert_eq!(answer.problem(401, "unauthenticated")["hint"], "reason: revoked");
    }
    exchange(json!({})).to(to).await.problem(401, "unauthenticated");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_makes_a_token_that_can_do_more_than_their_own_or_that_is_another_persons() {
    let installation = Installation::start().await;
    let to = installation.address;
    let narrow = [Scope::TokensWrite, Scope::SessionsRead];
    let narrow = installation.mint("dev", TokenKind::Access, narrow.into()).await;
    let more = json!({ "lifetime_seconds": 60, "scopes": ["settings:write"] });
    let answer = Call::post("/v1/tokens", &more).token(&narrow).to(to).await;
    assert_eq!(answer.problem(403, "forbidden")["field"], "scopes");
    let others = json!({ "lifetime_seconds": 60, "user": "admin" });
    let answer = Call::post("/v1/tokens", &others).token(installation.token("dev")).to(to).await;
    assert_eq!(answer.problem(403, "forbidden")["field"], "user");
    let by_admin = json!({ "lifetime_seconds": 60, "user": "dev" });
    let made = Call::post("/v1/tokens", &by_admin).token(installation.token("admin")).to(to).await;
    assert_eq!(made.ok(201)["token"]["user"], "dev");
    let long = json!({ "lifetime_seconds": 31_622_401 });
    let answer = Call::post("/v1/tokens", &long).token(installation.token("dev")).to(to).await;
    assert_eq!(answer.problem(422, "invalid")["field"], "lifetime_seconds");
    // Others' tokens are not listed either.
    let list = Call::get("/v1/tokens?user=admin").token(installation.token("dev")).to(to).await;
    list.problem(403, "forbidden");
    let own = Call::get("/v1/tokens").token(installation.token("dev")).to(to).await.ok(200);
    assert!(own["items"].as_array().unwrap().iter().all(|token| token["user"] == "dev"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_signed_with_a_key_that_another_process_made_is_known_at_the_first_call() {
    let installation = Installation::start().await;
    let to = installation.address;
    let now = installation.plane().now();
    // As another server on the same installation would.
    let options = custody_identity::LocalIssuerOptions {
        dir: installation.state.keys().join("tokens"),
        issuer: "custody".to_owned(),
        audience: "custody".to_owned(),
    };
    let mut other = custody_identity::LocalIssuer::open(options, now).unwrap();
    other.rotate(now).unwrap();
    let wanted = custody_control::tokens::NewToken {
        user: crate::installation::user("dev"),
        kind: TokenKind::Access,
        scopes: Scope::ALL.into(),
        lifetime: std::time::Duration::from_secs(60),
        label: String::new(),
        parent: None,
    };
    let server = custody_control::Author::server();
    let issued = installation.plane().issue_token(&server, &other, wanted).await.unwrap().1;
    let answer = Call::get("/v1/me").token(issued.text.expose()).to(to).await;
    assert_eq!(answer.ok(200)["user"], "dev");
    let keys = Call::get("/.well-known/jwks.json").to(to).await.ok(200);
    assert_eq!(keys["keys"].as_array().unwrap().len(), 2);
}

/// Hands out the keys of an issuer as they are, and counts how often it is asked.
struct Elsewhere {
    keys: Vec<u8>,
    asked: Arc<AtomicU64>,
}

#[async_trait]
impl FetchKeys for Elsewhere {
    async fn fetch(&self, _: &IssuerAlias) -> Result<Vec<u8>, Box<dyn Error + Send + Sync>> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        Ok(self.keys.clone())
    }
}

#[tokio::test]
async fn the_keys_of_another_issuer_are_fetched_when_one_is_not_known_and_not_for_every_guess() {
    let dir = tempfile::tempdir().unwrap();
    let at = |seconds: i64| Timestamp::from_micros(1_795_000_000_000_000 + seconds * 1_000_000);
    let issuer = |name: &str| {
        let options = LocalIssuerOptions {
            dir: dir.path().join(name),
            issuer: format!("https://{name}.example"),
            audience: "custody".to_owned(),
        };
        LocalIssuer::open(options, at(0)).unwrap()
    };
    let (own, other) = (issuer("own"), issuer("other"));
    let alias: IssuerAlias = "idp".parse().unwrap();
    let external = ExternalIssuer {
        alias: alias.clone(),
        issuer: other.issuer().to_owned(),
        audience: "custody".to_owned(),
        user_claim: "sub".to_owned(),
        prefix: None,
        scopes: ExternalScopes::Claimed,
    };
    let mut verifier = Verifier::new();
    verifier.trust_local(&own).unwrap();
    verifier.trust_external(external, KeySet::default()).unwrap();
    let asked = Arc::new(AtomicU64::new(0));
    let keys = serde_json::to_vec(&other.jwks(at(0))).unwrap();
    let elsewhere = Box::new(Elsewhere { keys, asked: asked.clone() });
    let identity = Identity::new(own, verifier, elsewhere, Duration::from_secs(30));
    let request = TokenRequest {
        user: "ada".parse().unwrap(),
        kind: TokenKind::Access,
        scopes: Scope::ALL.into(),
        lifetime: Duration::from_secs(3600),
    };
    let token = |issuer: &LocalIssuer| {
        let issued = issuer.issue(&request, TokenId::new(at(0), [3; 10]), at(0)).unwrap();
        issued.text.expose().to_owned()
    };
    let verified = identity.verify(&token(&other), at(1)).await.unwrap();
    assert_eq!((verified.user.as_str(), &verified.issuer), ("idp:ada", &alias));
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    // Guesses with made-up keys: one look in the interval, whoever asks.
    let header = BASE64.encode(br#"{"typ":"at+jwt","alg":"EdDSA","kid":"made-up"}"#);
    let guess = format!("{header}.{}", token(&other).split_once('.').unwrap().1);
    for seconds in [2, 3, 29, 31, 32] {
        let error = identity.verify(&guess, at(seconds)).await.unwrap_err();
        assert_eq!(error, TokenError::UnknownKey { issuer: alias.clone() });
    }
    assert_eq!(asked.load(Ordering::SeqCst), 2);
}
