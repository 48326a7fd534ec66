//! Tokens: service tokens are exchanged, nothing becomes more than it was, and revocation takes what was made along.

use custody_model::{Scope, TokenKind};
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
