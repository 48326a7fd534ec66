//! Tokens that are refused: each with 401, its reason, and the challenge of RFC 6750.

use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use custody_control::Author;
use custody_identity::{LocalIssuer, LocalIssuerOptions, TokenRequest};
use custody_model::{Scope, Timestamp, TokenId, TokenKind};
use serde_json::{Value, json};

use crate::http::Call;
use crate::installation::{Installation, user};

fn compact(header: &Value, claims: &Value, signature: &str) -> String {
    let part = |value: &Value| BASE64.encode(serde_json::to_vec(value).unwrap());
    format!("{}.{}.{signature}", part(header), part(claims))
}

/// A token of ours, its parts undone: header and claims.
fn parts(token: &str) -> (Value, Value, String) {
    let mut parts = token.split('.');
    let mut part =
        || serde_json::from_slice(&BASE64.decode(parts.next().unwrap()).unwrap()).unwrap();
    let (header, claims) = (part(), part());
    (header, claims, parts.next().unwrap().to_owned())
}

async fn refused(installation: &Installation, token: &str, reason: &str) {
    let before = installation.log_size();
    let answer = Call::get("/v1/me").token(token).to(installation.address).await;
    let problem = answer.problem(401, "unauthenticated");
    assert_eq!(problem["hint"], format!("reason: {reason}"), "{problem}");
    let challenge = answer.header("www-authenticate").unwrap();
    let begin = "Bearer realm=\"custody\", error=\"invalid_token\", error_description=\"";
    assert!(challenge.starts_with(begin), "{challenge}");
    assert!(!String::from_utf8_lossy(&answer.body).contains(token), "a token is never told back");
    assert_eq!(installation.log_size(), before, "of nobody known nothing is on record");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_token_that_is_not_valid_is_refused_with_its_reason() {
    let installation = Installation::start().await;
    let good = installation.token("dev").to_owned();
    let (header, claims, signature) = parts(&good);
    let with = |value: &Value, name: &str, other: Value| {
        let mut value = value.clone();
        value[name] = other;
        value
    };
    let without = |value: &Value, name: &str| {
        let mut value = value.clone();
        value.as_object_mut().unwrap().remove(name);
        value
    };
    let crafted = [
        ("malformed", "abc".to_owned()),
        ("malformed", format!("{good}.x")),
        ("too_long", "x".repeat(9000)),
        ("unsigned", compact(&with(&header, "alg", json!("none")), &claims, "")),
        (
            "forbidden_header",
            compact(&with(&header, "jku", json!("https://evil")), &claims, &signature),
        ),
        ("forbidden_header", compact(&with(&header, "jwk", json!({})), &claims, &signature)),
        (
            "invalid_key_id",
            compact(&with(&header, "kid", json!("../../etc/passwd")), &claims, &signature),
        ),
        (
            "invalid_key_id",
            compact(&with(&header, "kid", json!("https://evil/k")), &claims, &signature),
        ),
        ("unknown_key", compact(&with(&header, "kid", json!("another")), &claims, &signature)),
        ("wrong_algorithm", compact(&with(&header, "alg", json!("RS256")), &claims, &signature)),
        ("missing_issuer", compact(&header, &without(&claims, "iss"), &signature)),
        ("wrong_issuer", compact(&header, &with(&claims, "iss", json!("evil")), &signature)),
        ("wrong_signature", compact(&header, &with(&claims, "sub", json!("admin")), &signature)),
    ];
    for (reason, token) in crafted {
        refused(&installation, &token, reason).await;
    }

    let now = installation.plane().now();
    let at = |seconds: i64| Timestamp::from_micros(now.as_micros() + seconds * 1_000_000);
    let minute = Duration::from_secs(60);
    refused(&installation, &installation.signed("dev", at(-7200), minute).await, "expired").await;
    refused(&installation, &installation.signed("dev", at(7200), minute).await, "not_yet_valid")
        .await;
    // Signed by the right key, and never issued.
    refused(&installation, &installation.signed("dev", now, minute).await, "revoked").await;
    refused(&installation, &installation.signed("nobody", now, minute).await, "unknown_user").await;
    let elsewhere = LocalIssuerOptions {
        dir: installation.state.keys().join("tokens"),
        issuer: "custody".to_owned(),
        audience: "another".to_owned(),
    };
    let request = TokenRequest {
        user: user("dev"),
        kind: TokenKind::Access,
        scopes: Scope::ALL.into(),
        lifetime: minute,
    };
    let id = TokenId::new(now, [9; 10]);
    let issued = LocalIssuer::open(elsewhere, now).unwrap().issue(&request, id, now).unwrap();
    refused(&installation, issued.text.expose(), "wrong_audience").await;

    let (server, plane) = (Author::server(), installation.plane());
    let revoked = installation.mint("dev", TokenKind::Access, Scope::ALL.into()).await;
    let id = installation.identity.verify(&revoked, now).await.unwrap().token.unwrap();
    plane.revoke_token(&server, &id, "lost").await.unwrap();
    refused(&installation, &revoked, "revoked").await;
    plane.switch_user(&server, &user("colleague"), false, "left").await.unwrap();
    refused(&installation, installation.token("colleague"), "user_disabled").await;

    let answer = Call::get("/v1/me").token(&good).to(installation.address).await;
    assert_eq!(answer.ok(200)["user"], "dev");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_bearer_token_is_challenged() {
    let installation = Installation::start().await;
    let to = installation.address;
    let answer = Call::get("/v1/me").to(to).await;
    answer.problem(401, "unauthenticated");
    // Without a token nothing is wrong with it: the challenge names no error (RFC 6750, section 3.1).
    assert_eq!(answer.header("www-authenticate"), Some("Bearer realm=\"custody\""));
    let basic = Call::get("/v1/me").header("authorization", "Basic YTpi").to(to).await;
    basic.problem(401, "unauthenticated");
    let token = installation.token("dev");
    let twice = Call::get("/v1/me").token(token).token(token).to(to).await;
    twice.problem(401, "unauthenticated");
    // Nor is a query a place for a token.
    let query = Call::get(&format!("/v1/me?access_token={token}")).to(to).await;
    query.problem(401, "unauthenticated");
    let metrics = Call::get("/metrics").to(to).await;
    let text = String::from_utf8(metrics.body).unwrap();
    assert!(text.contains("custody_api_unauthenticated_total{reason=\"missing\"} 2"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_without_the_scope_is_told_which_one_it_lacks() {
    let installation = Installation::start().await;
    let narrow = installation.mint("admin", TokenKind::Access, [Scope::SessionsRead].into()).await;
    let answer = Call::get("/v1/users").token(&narrow).to(installation.address).await;
    answer.problem(403, "forbidden");
    let challenge = answer.header("www-authenticate").unwrap();
    assert_eq!(
        challenge,
        "Bearer realm=\"custody\", error=\"insufficient_scope\", scope=\"settings:read\""
    );
}
