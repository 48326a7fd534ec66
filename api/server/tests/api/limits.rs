//! Limits: each is an error of its own, and says when to come again.

use std::time::Duration;

use custody_api_server::Limits;
use serde_json::json;

use crate::http::Call;
use crate::installation::Installation;

fn generous() -> Limits {
    Limits { requests_per_minute: 1_000_000, burst: 100_000, ..Limits::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_over_the_limit_is_not_read() {
    let installation = Installation::with(Limits { body: 1000, ..generous() }).await;
    let (to, token) = (installation.address, installation.token("admin"));
    let body = json!({ "name": "p", "description": "x".repeat(1000) });
    let before = installation.log_size();
    let answer = Call::post("/v1/projects", &body).token(token).to(to).await;
    assert!(answer.problem(413, "body_too_large")["detail"].as_str().unwrap().contains("1000"));
    // The call is on record all the same, and what became of it.
    assert_eq!(installation.log_size(), before + 2);
    // Chunked, nobody says before how much it is.
    let chunk = format!("{:x}\r\n{}\r\n0\r\n\r\n", 2000, " ".repeat(2000));
    let chunked = Call::new("POST", "/v1/projects").token(token);
    let chunked =
        chunked.header("content-type", "application/json").header("transfer-encoding", "chunked");
    chunked.bytes(chunk.as_bytes()).unsized_body().to(to).await.problem(413, "body_too_large");
    let fits = json!({ "name": "p", "description": "x".repeat(900) });
    Call::post("/v1/projects", &fits).token(token).to(to).await.ok(201);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_does_not_come_and_an_address_that_is_too_long_are_refused() {
    let limits = Limits { request_time: Duration::from_millis(300), ..generous() };
    let installation = Installation::with(limits).await;
    let (to, token) = (installation.address, installation.token("admin"));
    let stalled = Call::new("POST", "/v1/projects").token(token);
    let stalled = stalled.header("content-type", "application/json").header("content-length", "10");
    stalled.bytes(b"{").to(to).await.problem(408, "timeout");
    let long = format!("/v1/sessions?prefix={}", "a".repeat(9000));
    Call::get(&long).token(token).to(to).await.problem(400, "malformed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_calls_too_often_is_told_when_to_come_back_and_others_are_not() {
    let limits = Limits { requests_per_minute: 6, burst: 3, ..Limits::default() };
    let installation = Installation::with(limits).await;
    let to = installation.address;
    let me = |name: &str| Call::get("/v1/me").token(installation.token(name));
    for _ in 0..3 {
        me("dev").to(to).await.ok(200);
    }
    let before = installation.log_size();
    let answer = me("dev").to(to).await;
    answer.problem(429, "rate_limited");
    let wait: u64 = answer.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=10).contains(&wait), "{wait}");
    let change = Call::post("/v1/tokens", &json!({ "lifetime_seconds": 60 }));
    change.token(installation.token("dev")).to(to).await.problem(429, "rate_limited");
    assert_eq!(installation.log_size(), before, "a flood does not fill the log");
    me("colleague").to(to).await.ok(200);
    // Whoever guesses tokens is counted by address.
    for _ in 0..3 {
        Call::get("/v1/me").token("x.y.z").to(to).await.problem(401, "unauthenticated");
    }
    Call::get("/v1/me").token("x.y.z").to(to).await.problem(429, "rate_limited");
    me("colleague").to(to).await.ok(200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_are_counted_while_they_are_open() {
    let limits = Limits { streams_per_caller: 2, streams: 3, ..generous() };
    let installation = Installation::with(limits).await;
    let to = installation.address;
    let session = installation.session(None).await.id;
    let watch = |name: &str| {
        Call::get(&format!("/v1/sessions/{session}/events/stream")).token(installation.token(name))
    };
    let first = watch("dev").begin(to).await;
    let second = watch("dev").begin(to).await;
    assert_eq!((first.status, second.status), (200, 200));
    let refused = watch("dev").to(to).await;
    refused.problem(429, "too_many_streams");
    assert!(refused.header("retry-after").is_some());
    let third = watch("admin").begin(to).await;
    assert_eq!(third.status, 200);
    watch("projectadmin").to(to).await.problem(429, "too_many_streams");
    drop((first, second));
    // The server learns of it with the next thing that it writes: its sign of life.
    let deadline = tokio::time::Instant::now() + crate::http::PATIENCE;
    while watch("dev").begin(to).await.status != 200 {
        assert!(tokio::time::Instant::now() < deadline, "closed streams are counted for ever");
        tokio::task::yield_now().await;
    }
    drop(third);
}
