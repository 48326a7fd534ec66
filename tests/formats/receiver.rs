//! A receiver of pushes: real HTTP over loopback, with answers that a test decides.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

/// One call.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
    /// What it was answered; 0 is nothing.
    pub(crate) status: u16,
}

impl Call {
    pub(crate) fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(found, _)| found == name);
        found.map_or("", |(_, value)| value)
    }
}

/// What the call of this number, from 0, is answered: a status, or 0 for a connection that breaks.
type Answers = dyn Fn(usize) -> u16 + Send + Sync;

/// It ends when dropped.
pub(crate) struct Receiver {
    address: SocketAddr,
    calls: Arc<Mutex<Vec<Call>>>,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Receiver {
    pub(crate) fn start(answers: Arc<Answers>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let (calls, over) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let (kept, ends) = (calls.clone(), over.clone());
        let thread = std::thread::spawn(move || {
            for connection in listener.incoming().map_while(Result::ok) {
                if ends.load(Ordering::SeqCst) {
                    return;
                }
                // A sender that was killed leaves half a request: that is no call.
                let _ = serve(connection, &kept, &*answers);
            }
        });
        Self { address, calls, over, thread: Some(thread) }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) fn calls(&self) -> Vec<Call> {
        self.calls.lock().expect("unpoisoned").clone()
    }

    /// The bodies that were taken.
    pub(crate) fn taken(&self) -> Vec<Call> {
        self.calls().into_iter().filter(|call| call.status == 200).collect()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        // Wakes it up.
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn serve(
    mut connection: TcpStream,
    calls: &Mutex<Vec<Call>>,
    answers: &Answers,
) -> std::io::Result<()> {
    let mut input = BufReader::new(connection.try_clone()?);
    let mut line = String::new();
    input.read_line(&mut line)?;
    let mut headers = Vec::new();
    let mut length = 0;
    loop {
        line.clear();
        if input.read_line(&mut line)? == 0 || line == "\r\n" {
            break;
        }
        let (name, value) = line.trim_end().split_once(": ").unwrap_or_default();
        if name.eq_ignore_ascii_case("content-length") {
            length = value.parse().unwrap_or(0);
        }
        headers.push((name.to_ascii_lowercase(), value.to_owned()));
    }
    let mut body = vec![0; length];
    input.read_exact(&mut body)?;
    let body = String::from_utf8(body).expect("UTF-8");
    let mut calls = calls.lock().expect("unpoisoned");
    let status = answers(calls.len());
    if status > 0 {
        let text = "{}";
        write!(
            connection,
            "HTTP/1.1 {status} x\r\ncontent-length: {}\r\nconnection: close\r\nretry-after: 0\r\n\r\n{text}",
            text.len()
        )?;
    }
    calls.push(Call { headers, body, status });
    Ok(())
}
