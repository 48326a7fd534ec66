//! Calls: over every transport, repeated where that is safe, and told apart when they fail.

use std::time::Duration;

use custody_api_client::{Client, ClientError, Credentials, Patience};
use custody_api_types::ApiCode;
use custody_api_types::project::CreateProject;
use custody_api_types::session::{CreateSession, SessionQuery, StateName};
use custody_model::ErrorCode;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::script::{Step, answer, empty_page, over_tcp, over_unix, problem};

fn session() -> CreateSession {
    serde_json::from_str(r#"{"repository":"app","command":["true"]}"#).unwrap()
}

fn project() -> CreateProject {
    CreateProject { name: "team".parse().unwrap(), description: String::new() }
}

fn said_no(error: &ClientError) -> ApiCode {
    error.api_code().unwrap_or_else(|| panic!("{error}: {error:?}"))
}

#[tokio::test]
async fn a_call_is_the_same_over_tcp_and_over_a_unix_socket() {
    let query = SessionQuery {
        state: vec![StateName::Queued, StateName::Running],
        requester: Some("Dana D&V".parse().unwrap()),
        ..SessionQuery::default()
    };
    let access = Credentials::Access("abc.def".to_owned());
    let (server, client) = over_tcp(vec![empty_page()], access).await;
    assert_eq!(client.sessions(&query).take(None).await.unwrap(), []);
    let [tcp] = &server.requests()[..] else { panic!() };
    assert!(tcp.to_lowercase().contains("authorization: bearer abc.def\r\n"), "{tcp}");
    let (server, client, _dir) = over_unix(vec![empty_page()]).await;
    assert_eq!(client.sessions(&query).take(None).await.unwrap(), []);
    let [unix] = &server.requests()[..] else { panic!() };
    assert!(!unix.to_lowercase().contains("authorization"), "{unix}");
    let line = "GET /v1/sessions?requester=Dana+D%26V&state=queued&state=running HTTP/1.1\r\n";
    assert!(tcp.starts_with(line) && unix.starts_with(line), "{tcp}\n{unix}");
}

#[tokio::test]
async fn a_list_is_fetched_to_its_end() {
    let page = |items: &str, next: &str| {
        answer("200 OK", "application/json", &format!(r#"{{"items":[{items}]{next}}}"#))
    };
    let steps = vec![
        page(r#"{"name":"host"},{"name":"a"}"#, r#","next":"c/1""#),
        page("", r#","next":"c2""#),
        page(r#"{"name":"b"}"#, ""),
    ];
    let (server, client) = over_tcp(steps, Credentials::None).await;
    let images = client.images().take(None).await.unwrap();
    assert_eq!(images.iter().map(|i| i.name.as_str()).collect::<Vec<_>>(), ["host", "a", "b"]);
    let requests = server.requests();
    assert!(requests[1].starts_with("GET /v1/images?after=c%2F1 "), "{}", requests[1]);
    assert!(requests[2].starts_with("GET /v1/images?after=c2 "), "{}", requests[2]);
}

#[tokio::test]
async fn a_no_is_told_with_its_code_field_hint_and_request() {
    let more = r#""field":"command","hint":"say what to run","#;
    let steps = vec![problem("422 Unprocessable Content", "invalid", more)];
    let (_server, client) = over_tcp(steps, Credentials::None).await;
    let error = client.create_session("k", &session()).await.unwrap_err();
    assert_eq!((said_no(&error), error.code()), (ApiCode::Invalid, ErrorCode::Invalid));
    let ClientError::Problem(problem) = error else { panic!("{error}") };
    assert_eq!(problem.field.as_deref(), Some("command"));
    assert_eq!(problem.hint.as_deref(), Some("say what to run"));
    assert_eq!(problem.request_id.to_string(), "0197f0a2-0000-7000-8000-000000000001");
}

#[tokio::test]
async fn what_is_no_custody_is_said_to_be_none() {
    let steps = vec![answer("404 Not Found", "text/html", "<h1>no</h1>")];
    let (_server, client) = over_tcp(steps, Credentials::None).await;
    let error = client.me().await.unwrap_err();
    assert!(matches!(error, ClientError::Foreign { status: 404, .. }), "{error}");
    let steps = vec![answer("200 OK", "application/json", "[]")];
    let (_server, client) = over_tcp(steps, Credentials::None).await;
    assert!(matches!(client.me().await.unwrap_err(), ClientError::Answer { .. }));
}

#[tokio::test]
async fn what_reads_or_has_a_name_is_sent_again_when_the_connection_breaks() {
    let (server, client) = over_tcp(vec![Step::Break, empty_page()], Credentials::None).await;
    client.images().take(None).await.unwrap();
    assert_eq!(server.requests().len(), 2);
    let steps = vec![
        Step::Break,
        problem("503 Service Unavailable", "unavailable", ""),
        problem("409 Conflict", "conflict", ""),
    ];
    let (server, client) = over_tcp(steps, Credentials::None).await;
    let error = client.create_session("name-7", &session()).await.unwrap_err();
    assert_eq!(said_no(&error), ApiCode::Conflict);
    let requests = server.requests();
    assert_eq!(requests.len(), 3);
    for request in &requests {
        assert!(request.to_lowercase().contains("idempotency-key: name-7\r\n"), "{request}");
    }
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_asked_for_again() {
    let cut =
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 13\r\n\r\n{\"ite";
    let (server, client) =
        over_tcp(vec![Step::Say(cut.to_owned()), empty_page()], Credentials::None).await;
    client.images().take(None).await.unwrap();
    assert_eq!(server.requests().len(), 2);
}

#[tokio::test]
async fn what_changes_something_is_sent_once() {
    let (server, client) = over_tcp(vec![Step::Break, empty_page()], Credentials::None).await;
    let error = client.create_project(&project()).await.unwrap_err();
    assert!(matches!(error, ClientError::Broken { .. }), "{error}");
    assert_eq!((server.requests().len(), error.code()), (1, ErrorCode::Unavailable));
}

#[tokio::test]
async fn who_asks_too_often_comes_again_when_told_to() {
    let limited = Step::Say(match problem("429 Too Many Requests", "rate_limited", "") {
        Step::Say(text) => text.replace("Connection: close", "Retry-After: 1\r\nConnection: close"),
        Step::Break => unreachable!(),
    });
    let project = r#"{"name":"team","description":"","created_at":"2026-11-23T19:12:00.000000Z"}"#;
    let steps = vec![limited, answer("201 Created", "application/json", project)];
    let (server, client) = over_tcp(steps, Credentials::None).await;
    let begun = tokio::time::Instant::now();
    client.create_project(&self::project()).await.unwrap();
    assert!(begun.elapsed() >= Duration::from_secs(1));
    assert_eq!(server.requests().len(), 2);
}

/// Lives for one call.
async fn answer_once(listener: TcpListener) {
    let (mut connection, _) = listener.accept().await.unwrap();
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        request.push(connection.read_u8().await.unwrap());
    }
    let Step::Say(answer) = empty_page() else { panic!("it answers") };
    connection.write_all(answer.as_bytes()).await.unwrap();
}

#[tokio::test]
async fn a_server_that_is_restarted_is_waited_for_and_one_that_never_was_is_not() {
    let place = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = place.local_addr().unwrap();
    drop(place);
    let patience = Patience { first: Duration::from_millis(100), later: Duration::from_secs(30) };
    let url = format!("http://{address}").parse().unwrap();
    let client = Client::new(url, Credentials::None, patience).unwrap();
    let error = client.create_project(&project()).await.unwrap_err();
    assert!(matches!(error, ClientError::Unreachable { .. }), "{error}: {error:?}");
    let (answered, wait) = tokio::sync::oneshot::channel::<()>();
    let listener = TcpListener::bind(address).await.unwrap();
    let serving = tokio::spawn(async move {
        answer_once(listener).await;
        wait.await.unwrap();
        answer_once(TcpListener::bind(address).await.unwrap()).await;
    });
    client.images().take(None).await.unwrap();
    let again = tokio::spawn(async move { client.images().take(None).await });
    // It finds nobody, and tries.
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(!again.is_finished());
    answered.send(()).unwrap();
    again.await.unwrap().unwrap();
    serving.await.unwrap();
}
