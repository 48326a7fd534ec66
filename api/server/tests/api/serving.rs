//! The server's life: ready, draining, gone; and who reads how it does.

use std::time::Duration;

use custody_api_server::{Limits, Transparency};
use custody_record::control::ControlBody;
use serde_json::json;

use crate::http::Call;
use crate::installation::Installation;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_draining_server_is_not_ready_and_changes_nothing_more() {
    let installation = Installation::start().await;
    let to = installation.address;
    let ready = Call::get("/readyz").to(to).await.ok(200);
    assert_eq!(ready["applied"], installation.log_size());
    let keep = Call::get("/healthz").header("connection", "keep-alive").to(to).await;
    assert_eq!(keep.status, 200);
    // Connections that are open while it drains.
    let mut open = Vec::new();
    for _ in 0..3 {
        open.push(tokio::net::TcpStream::connect(to).await.unwrap());
    }
    assert!(installation.stop().await, "idle connections do not hold it up");
    assert!(tokio::net::TcpStream::connect(to).await.is_err(), "nobody listens any more");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_came_in_before_is_carried_through() {
    let installation = Installation::start().await;
    let to = installation.address;
    let body = json!({ "repository": installation.repository, "command": ["true"] });
    let call = Call::post("/v1/sessions", &body).token(installation.token("dev"));
    // The client goes away at once, the session is asked for all the same.
    let before = installation.log_size();
    {
        use tokio::io::AsyncWriteExt as _;
        let mut stream = tokio::net::TcpStream::connect(to).await.unwrap();
        stream.write_all(call.text().as_bytes()).await.unwrap();
        let deadline = tokio::time::Instant::now() + crate::http::PATIENCE;
        while installation.log_size() == before {
            assert!(tokio::time::Instant::now() < deadline);
            tokio::task::yield_now().await;
        }
    }
    assert!(installation.stop().await);
    let events = installation.log(before).into_iter();
    let kinds: Vec<String> = events
        .map(|event| serde_json::to_value(event).unwrap()["type"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(kinds, ["call.requested", "session.requested", "call.completed"], "{kinds:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_answer_and_a_panic_are_failures_of_one_call_and_on_record_as_such() {
    // Whatever is asked of the first installation is too slow; the second has all the time that a call may take.
    let request_time = Duration::from_millis(300);
    let limits = Limits { request_time, burst: 1000, ..Limits::default() };
    let (short, long) = (Installation::with(limits).await, Installation::start().await);
    let ask = |installation: &Installation, question: &str| {
        let body = json!({ "repository": installation.repository, "question": question });
        Call::post("/v1/investigations", &body).token(installation.token("auditor"))
    };
    let before = (short.log_size(), long.log_size());
    ask(&short, "slow").to(short.address).await.problem(504, "slow");
    let problem = ask(&long, "panic").to(long.address).await.problem(500, "internal");
    assert!(!problem["detail"].as_str().unwrap().contains("panics"), "it is told to the log alone");
    ask(&long, "README:1").to(long.address).await.ok(200);
    let completed = async |installation: Installation, before: u64| {
        assert!(installation.stop().await);
        let mut results: Vec<u16> = Vec::new();
        for event in installation.log(before) {
            if let ControlBody::CallCompleted(completed) = event.body {
                results.push(completed.status);
            }
        }
        results.sort_unstable();
        results
    };
    // What was too slow for its client was carried through all the same.
    assert_eq!(completed(short, before.0).await, [200]);
    assert_eq!(completed(long, before.1).await, [200, 500]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metrics_are_for_this_machine_or_for_who_has_their_token() {
    let installation = Installation::start().await;
    let text = Call::get("/metrics").to(installation.address).await;
    assert!(text.header("content-type").unwrap().starts_with("text/plain; version=0.0.4"));
    let text = String::from_utf8(text.body).unwrap();
    for name in [
        "custody_sessions_running 0",
        "custody_sessions_waiting 0",
        "# TYPE custody_api_seconds histogram",
    ] {
        assert!(text.contains(name), "{name} is not in {text}");
    }
    let limits = custody_api_server::Limits::default();
    let (token, nothing) = (Some("a-token-of-metrics"), Transparency::default());
    let guarded = Installation::listening(limits, "127.0.0.1:0", token, nothing).await;
    let to = guarded.address;
    Call::get("/metrics").to(to).await.problem(401, "unauthenticated");
    Call::get("/metrics").token("another").to(to).await.problem(401, "unauthenticated");
    // Nobody's token of the API is that of the metrics.
    Call::get("/metrics")
        .token(guarded.token("admin"))
        .to(to)
        .await
        .problem(401, "unauthenticated");
    assert_eq!(Call::get("/metrics").token("a-token-of-metrics").to(to).await.status, 200);
}
