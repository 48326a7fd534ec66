//! What is wrong with a request is named, and every answer has what it needs.

use serde_json::json;

use crate::http::Call;
use crate::installation::Installation;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_member_or_parameter_that_is_wrong_is_named() {
    let installation = Installation::start().await;
    let (to, token) = (installation.address, installation.token("everyone"));
    let repository = installation.repository.as_str();
    let create = |body| Call::post("/v1/sessions", &body).token(token);
    let cases = [
        (json!({ "repository": repository }), "command"),
        (json!({ "repository": repository, "command": ["true"], "sudo": true }), "sudo"),
        (json!({ "repository": repository, "command": "true" }), "command"),
        (
            json!({ "repository": repository, "command": ["true"], "limits": { "memory": 1 } }),
            "limits.memory",
        ),
        (json!({ "repository": repository, "command": ["true"], "project": "No" }), "project"),
        (json!({ "repository": repository, "command": [] }), "command"),
        (json!({ "repository": repository, "command": ["true"], "policy": "x: y" }), "policy"),
        (json!({ "repository": repository, "command": ["true"], "base": "a\u{0}b" }), "base"),
        (json!({ "repository": repository, "command": ["true"], "base": "--help" }), "base"),
        (json!({ "repository": repository, "command": ["true"], "base": "" }), "base"),
        (
            json!({ "repository": repository, "command": ["true"], "base": "no-such-branch" }),
            "base",
        ),
    ];
    for (body, field) in cases {
        let answer = create(body.clone()).to(to).await;
        assert_eq!(answer.problem(422, "invalid")["field"], field, "{body}");
    }
    // More than Linux takes in one argument, and in all.
    let longest = "\u{1}".repeat(131_071);
    for (command, says) in [
        (vec![format!("{longest}1")], "argument 0 has 131072 bytes"),
        (vec!["x".repeat(131_071); 8], "take 1048640 bytes, and 1048576 are the most"),
    ] {
        let asked = json!({ "repository": repository, "command": command });
        let problem = create(asked).to(to).await.problem(422, "invalid");
        assert_eq!(problem["field"], "command");
        assert!(problem["detail"].as_str().unwrap().contains(says), "{problem}");
    }
    // The longest, which has six times as many bytes in JSON, is no reason to refuse it.
    let asked = json!({ "repository": repository, "command": [longest] });
    let made = create(asked).to(to).await.ok(201);
    let shown = made["command"].as_array().unwrap();
    assert_eq!(shown.last().unwrap(), "… (cut: 1 arguments of 131072 bytes in all)");
    let huge = json!({
        "repository": repository, "command": ["true"], "limits": { "memory_bytes": 1_u64 << 60 },
    });
    create(huge.clone()).to(to).await.problem(422, "invalid");
    create(huge).header("idempotency-key", "k").to(to).await.problem(422, "invalid");
    create(json!({ "repository": "nothing", "command": ["true"] }))
        .to(to)
        .await
        .problem(404, "not_found");
    let other = json!({ "repository": installation.other_repository, "command": ["true"] });
    assert_eq!(create(other).to(to).await.problem(422, "invalid")["field"], "repository");

    let queries = [
        ("/v1/sessions?colour=red", 400, "malformed", "colour"),
        ("/v1/sessions?state=asleep", 400, "malformed", "state"),
        ("/v1/sessions?since=yesterday", 400, "malformed", "since"),
        ("/v1/sessions?limit=many", 400, "malformed", "limit"),
        ("/v1/sessions?limit=0", 422, "invalid", "limit"),
        ("/v1/sessions?limit=501", 422, "page_too_large", "limit"),
        ("/v1/sessions?prefix=null", 422, "invalid", "prefix"),
        ("/v1/sessions?limit=&state=queued", 400, "malformed", "limit"),
        ("/v1/sessions?after=%20", 422, "invalid", "after"),
        ("/v1/control/events?from=-1", 400, "malformed", "from"),
    ];
    for (target, status, code, field) in queries {
        let problem = Call::get(target).token(token).to(to).await.problem(status, code);
        assert!(problem["field"].as_str().unwrap().starts_with(field), "{target}: {problem}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_json_and_what_is_not_said_to_be_is_told_apart() {
    let installation = Installation::start().await;
    let (to, token) = (installation.address, installation.token("everyone"));
    let post = || Call::new("POST", "/v1/projects").token(token);
    let json = |bytes: &[u8]| post().header("content-type", "application/json").bytes(bytes);
    json(b"{\"name\":").to(to).await.problem(400, "malformed");
    json(b"{}").to(to).await.problem(422, "invalid");
    // An object is no list of its members, at no depth.
    json(b"[\"p\"]").to(to).await.problem(422, "invalid");
    let twice = json!({ "lifetime_seconds": 60, "scopes": ["control:read", "control:read"] });
    let twice = Call::post("/v1/tokens", &twice).token(token).to(to).await;
    assert_eq!(twice.problem(422, "invalid")["field"], "scopes");
    let user =
        Call::post("/v1/users", &json!({ "name": "new", "grants": [["admin"]] })).token(token);
    assert_eq!(user.to(to).await.problem(422, "invalid")["field"], "grants");
    json(b"{\"name\":\"p\"} x").to(to).await.problem(400, "malformed");
    json(b"").to(to).await.problem(400, "malformed");
    json(b"\xff\xfe").to(to).await.problem(400, "malformed");
    let nested = "[".repeat(10_000);
    json(nested.as_bytes()).to(to).await.problem(400, "malformed");
    post().bytes(b"{\"name\":\"p\"}").to(to).await.problem(415, "unsupported_media_type");
    let text = post().header("content-type", "text/plain").bytes(b"{\"name\":\"p\"}");
    text.to(to).await.problem(415, "unsupported_media_type");
    let with_charset = post().header("content-type", "Application/JSON; charset=utf-8");
    assert_eq!(with_charset.bytes(b"{\"name\":\"p\"}").to(to).await.ok(201)["name"], "p");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn paths_methods_and_media_types_that_are_not_there_have_problems_of_their_own() {
    let installation = Installation::start().await;
    let (to, token) = (installation.address, installation.token("everyone"));
    for target in ["/", "/v1", "/v1/nothing", "/v1/sessions/", "/v2/sessions"] {
        Call::get(target).token(token).to(to).await.problem(404, "not_found");
    }
    for target in
        ["/v1/sessions/%ff", "/v1/sessions/..%2f", "/v1/users/a%00b", "/v1/projects/%2e%2e"]
    {
        Call::get(target).token(token).to(to).await.problem(404, "not_found");
    }
    let answer = Call::new("PATCH", "/v1/sessions").token(token).to(to).await;
    answer.problem(405, "method_not_allowed");
    let mut allow: Vec<&str> = answer.header("allow").unwrap().split(',').map(str::trim).collect();
    allow.sort_unstable();
    assert_eq!(allow, ["GET", "HEAD", "POST"]);
    let answer = Call::get("/v1/me").token(token).header("accept", "text/html").to(to).await;
    answer.problem(406, "not_acceptable");
    for accept in ["*/*", "application/json", "text/html, application/*;q=0.5"] {
        Call::get("/v1/me").token(token).header("accept", accept).to(to).await.ok(200);
    }
    let head = Call::new("HEAD", "/v1/me").token(token).to(to).await;
    assert_eq!((head.status, head.body.len()), (200, 0));
    let options = Call::new("OPTIONS", "/v1/me").header("origin", "https://evil.example");
    let options = options.header("access-control-request-method", "GET").to(to).await;
    assert_eq!(options.status, 405);
    assert!(options.headers.iter().all(|(name, _)| !name.starts_with("access-control")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_answer_names_its_call_and_keeps_browsers_out() {
    let installation = Installation::start().await;
    let (to, token) = (installation.address, installation.token("dev"));
    let id = "0197f0a2-5c1e-7d3a-9b21-3f6f0c9e1a44";
    let answer = Call::get("/v1/me").token(token).header("x-request-id", id).to(to).await;
    assert_eq!(answer.header("x-request-id"), Some(id));
    for header in [
        ("x-content-type-options", "nosniff"),
        ("cache-control", "no-store"),
        ("referrer-policy", "no-referrer"),
    ] {
        assert_eq!(answer.header(header.0), Some(header.1));
    }
    for bad in ["x", "0197F0A2-5C1E-7D3A-9B21-3F6F0C9E1A44", "a b"] {
        let answer = Call::get("/v1/me").token(token).header("x-request-id", bad).to(to).await;
        let own = answer.header("x-request-id").unwrap();
        assert!(own != bad && own.len() == 36);
    }
    let problem = Call::get("/v1/nothing").header("x-request-id", id).to(to).await;
    assert_eq!(problem.problem(404, "not_found")["request_id"], id);
    let docs = Call::get("/docs").to(to).await;
    let policy = docs.header("content-security-policy").unwrap();
    assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_local_operator_needs_no_token_and_a_proxy_is_believed_only_if_it_is_trusted() {
    let installation = Installation::start().await;
    let me = Call::get("/v1/me").to_socket(&installation.socket).await.ok(200);
    assert_eq!((&me["user"], &me["transport"]), (&json!("operator"), &json!("unix")));
    assert_eq!(me["grants"]["installation"], json!(["developer", "admin", "auditor"]));
    let me = Call::get("/v1/me").token(installation.token("dev"));
    let me = me.to_socket(&installation.socket).await.ok(200);
    assert_eq!((&me["user"], &me["transport"]), (&json!("dev"), &json!("unix")));

    // The operator's look-ups are none of an auditor; what they change is on record.
    let before = installation.log_size();
    Call::get("/v1/users").to_socket(&installation.socket).await.ok(200);
    assert_eq!(installation.log_size(), before);
    let made = Call::post("/v1/projects", &json!({ "name": "new" }));
    made.to_socket(&installation.socket).await.ok(201);
    let call = &installation.log(before)[0];
    let via = call.via.as_ref().unwrap();
    let own = format!("uid:{},pid:", nix::unistd::Uid::effective());
    assert!(via.token.is_none() && via.origin.address.starts_with(&own), "{via:?}");

    // 127.0.0.1 is no trusted proxy here.
    let before = installation.log_size();
    let forged = Call::post("/v1/projects", &json!({ "name": "other-new" }));
    let forged = forged.token(installation.token("admin")).header("x-forwarded-for", "203.0.113.9");
    forged.to(installation.address).await.ok(201);
    let via = installation.log(before)[0].via.clone().unwrap();
    assert!(via.origin.address.starts_with("127.0.0.1:"), "{via:?}");
}
