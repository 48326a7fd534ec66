//! A client of HTTP/1.1 over a real socket: one call for each connection, so that the tests see every byte.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{
    AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader,
};
use tokio::net::{TcpStream, UnixStream};

/// How long an answer is waited for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Either transport.
pub(crate) trait Connection: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Connection for T {}

/// A call.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    method: String,
    target: String,
    headers: Vec<(String, String)>,
    body: Option<Vec<u8>>,
    sized: bool,
}

impl Call {
    pub(crate) fn new(method: &str, target: &str) -> Self {
        Self {
            method: method.to_owned(),
            target: target.to_owned(),
            headers: Vec::new(),
            body: None,
            sized: true,
        }
    }

    pub(crate) fn get(target: &str) -> Self {
        Self::new("GET", target)
    }

    pub(crate) fn post(target: &str, body: &Value) -> Self {
        Self::new("POST", target).json(body)
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn token(self, token: &str) -> Self {
        self.header("authorization", &format!("Bearer {token}"))
    }

    pub(crate) fn json(self, body: &Value) -> Self {
        self.header("content-type", "application/json").bytes(&serde_json::to_vec(body).unwrap())
    }

    pub(crate) fn bytes(mut self, body: &[u8]) -> Self {
        self.body = Some(body.to_owned());
        self
    }

    /// The body says its own length.
    pub(crate) fn unsized_body(mut self) -> Self {
        self.sized = false;
        self
    }

    /// All of it, as it is sent.
    pub(crate) fn text(&self) -> String {
        let body = String::from_utf8(self.body.clone().unwrap_or_default()).unwrap();
        self.head() + &body
    }

    fn head(&self) -> String {
        let mut head = format!("{} {} HTTP/1.1\r\nhost: custody\r\n", self.method, self.target);
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        let said = self.headers.iter().any(|(name, _)| name == "content-length");
        if let Some(body) = self.body.as_ref().filter(|_| self.sized && !said) {
            head.push_str(&format!("content-length: {}\r\n", body.len()));
        }
        head.push_str("\r\n");
        head
    }

    /// Sends it and returns the connection, on which the answer has begun.
    pub(crate) async fn begin(&self, to: SocketAddr) -> Reading {
        self.over(Box::new(TcpStream::connect(to).await.unwrap())).await
    }

    /// Sends it over the Unix socket and reads the whole answer.
    pub(crate) async fn to_socket(&self, to: &Path) -> Answer {
        self.over(Box::new(UnixStream::connect(to).await.unwrap())).await.rest().await
    }

    async fn over(&self, stream: Box<dyn Connection>) -> Reading {
        let mut stream = BufReader::new(stream);
        stream.write_all(self.head().as_bytes()).await.unwrap();
        stream.write_all(self.body.as_deref().unwrap_or_default()).await.unwrap();
        stream.flush().await.unwrap();
        let head = tokio::time::timeout(PATIENCE, read_head(&mut stream)).await;
        let (status, headers) = head.unwrap_or_else(|_| panic!("no answer to {self:?}"));
        let no_body = self.method == "HEAD" || status == 204 || status == 101;
        Reading { stream, status, headers, no_body }
    }

    /// Sends it and reads the whole answer.
    pub(crate) async fn to(&self, to: SocketAddr) -> Answer {
        self.begin(to).await.rest().await
    }
}

async fn read_head(stream: &mut BufReader<Box<dyn Connection>>) -> (u16, Vec<(String, String)>) {
    let line = read_line(stream).await;
    let status = line.split(' ').nth(1).and_then(|s| s.parse().ok());
    let status = status.unwrap_or_else(|| panic!("no status line: {line:?}"));
    let mut headers = Vec::new();
    loop {
        let line = read_line(stream).await;
        let Some((name, value)) = line.split_once(':') else { return (status, headers) };
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
}

async fn read_line(stream: &mut BufReader<Box<dyn Connection>>) -> String {
    let mut line = String::new();
    stream.read_line(&mut line).await.unwrap();
    line.trim_end().to_owned()
}

/// An answer whose body is still to be read.
pub(crate) struct Reading {
    stream: BufReader<Box<dyn Connection>>,
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    no_body: bool,
}

impl Reading {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The next chunk of the body; `None` at its end, and when the connection breaks off.
    pub(crate) async fn chunk(&mut self) -> Option<Vec<u8>> {
        if self.header("transfer-encoding").is_none() {
            let length = self.header("content-length")?.parse().ok()?;
            self.headers.retain(|(name, _)| name != "content-length");
            let mut body = vec![0; length];
            self.stream.read_exact(&mut body).await.ok()?;
            return Some(body);
        }
        let mut line = String::new();
        self.stream.read_line(&mut line).await.ok()?;
        let length = usize::from_str_radix(line.trim(), 16).ok()?;
        let mut chunk = vec![0; length + 2];
        self.stream.read_exact(&mut chunk).await.ok()?;
        chunk.truncate(length);
        (length > 0).then_some(chunk)
    }

    pub(crate) async fn rest(mut self) -> Answer {
        let headers = self.headers.clone();
        let mut body = Vec::new();
        while let Some(chunk) = match self.no_body {
            true => None,
            false => tokio::time::timeout(PATIENCE, self.chunk()).await.expect("a whole answer"),
        } {
            body.extend(chunk);
        }
        Answer { status: self.status, headers, body }
    }
}

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|_| panic!("{} {}", self.status, String::from_utf8_lossy(&self.body)))
    }

    /// The problem that it is, with this code.
    pub(crate) fn problem(&self, status: u16, code: &str) -> Value {
        let text = String::from_utf8_lossy(&self.body);
        assert_eq!(self.status, status, "{text}");
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{text}");
        let problem = self.json();
        assert_eq!(problem["code"], code, "{problem}");
        assert_eq!(problem["status"], status);
        assert_eq!(problem["type"], format!("urn:custody:error:{code}"));
        assert_eq!(problem["request_id"], self.header("x-request-id").unwrap());
        problem
    }

    /// The JSON of a success.
    pub(crate) fn ok(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", String::from_utf8_lossy(&self.body));
        self.json()
    }
}
