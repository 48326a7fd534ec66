//! A server that plays a script: one step for each request, whatever connection it comes on.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use custody_api_client::{Client, Credentials, Patience};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, UnixListener};

/// What is done with a request.
pub(crate) enum Step {
    /// These bytes are sent, and the connection is closed.
    Say(String),
    /// The connection is closed.
    Break,
}

/// A server with a script.
pub(crate) struct Scripted {
    steps: Mutex<std::vec::IntoIter<Step>>,
    requests: Mutex<Vec<String>>,
}

impl Scripted {
    fn new(steps: Vec<Step>) -> Arc<Self> {
        Arc::new(Self { steps: Mutex::new(steps.into_iter()), requests: Mutex::default() })
    }

    /// The heads and bodies of the requests that came.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }

    async fn serve(&self, mut connection: impl AsyncRead + AsyncWrite + Unpin) {
        let mut request = Vec::new();
        let mut chunk = [0; 4096];
        while !complete(&request) {
            match connection.read(&mut chunk).await {
                Ok(length) if length > 0 => request.extend_from_slice(&chunk[..length]),
                Ok(_) | Err(_) => return,
            }
        }
        self.requests.lock().unwrap().push(String::from_utf8(request).unwrap());
        let step = self.steps.lock().unwrap().next();
        if let Some(Step::Say(answer)) = step {
            // The client may be gone.
            let _ = connection.write_all(answer.as_bytes()).await;
            let _ = connection.shutdown().await;
        }
    }
}

fn complete(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request).to_lowercase();
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    body.len() >= length.map_or(0, |length| length.trim().parse().unwrap())
}

/// A server on a port of its own, and a client of it.
pub(crate) async fn over_tcp(
    steps: Vec<Step>,
    credentials: Credentials,
) -> (Arc<Scripted>, Client) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let server = Scripted::new(steps);
    let serving = server.clone();
    tokio::spawn(async move {
        loop {
            let (connection, _) = listener.accept().await.unwrap();
            serving.serve(connection).await;
        }
    });
    (server, client(&address, credentials))
}

/// A server on a Unix socket, and a client of it.
pub(crate) async fn over_unix(steps: Vec<Step>) -> (Arc<Scripted>, Client, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let path: PathBuf = dir.path().join("s.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let server = Scripted::new(steps);
    let serving = server.clone();
    tokio::spawn(async move {
        loop {
            let (connection, _) = listener.accept().await.unwrap();
            serving.serve(connection).await;
        }
    });
    (server, client(&format!("unix:{}", path.display()), Credentials::None), dir)
}

pub(crate) fn client(address: &str, credentials: Credentials) -> Client {
    let patience = Patience { first: Duration::from_secs(5), later: Duration::from_secs(5) };
    Client::new(address.parse().unwrap(), credentials, patience).unwrap()
}

/// An answer with a body, complete.
pub(crate) fn answer(status: &str, media_type: &str, body: &str) -> Step {
    let length = body.len();
    Step::Say(format!(
        "HTTP/1.1 {status}\r\nContent-Type: {media_type}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    ))
}

/// A page of a list without anything on it.
pub(crate) fn empty_page() -> Step {
    answer("200 OK", "application/json", r#"{"items":[]}"#)
}

/// A failure with this code.
pub(crate) fn problem(status: &str, code: &str, more: &str) -> Step {
    let number: u16 = status[..3].parse().unwrap();
    let body = format!(
        r#"{{"type":"urn:custody:error:{code}","title":"t","status":{number},"detail":"it is so","code":"{code}",{more}"request_id":"0197f0a2-0000-7000-8000-000000000001"}}"#
    );
    answer(status, "application/problem+json", &body)
}
