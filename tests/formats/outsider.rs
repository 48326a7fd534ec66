//! The verifier that was written from `deploy/evidence.md` alone, on what real sessions leave and what a running server hands
//! out: it agrees with Custody's own, and finds what somebody in between changes.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use custody_tests::deadline::until;
use custody_tests::{Installation, Repository, Server, binary, keeper};
use serde_json::Value;

use crate::validator::tool;

const GOOD: i64 = 0;
const BROKEN: i64 = 68;
const INCOMPLETE: i64 = 69;

/// What the other verifier answers.
fn outsider(words: &[&str]) -> Value {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("formats/outsider.py");
    let output = Command::new(tool("formats/bin/python"))
        .arg(script)
        .args(words)
        .stdin(Stdio::null())
        .output()
        .expect("python starts");
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)))
}

fn vkey(installation: &Installation) -> String {
    let file = installation.state().join("keys/installation.vkey");
    std::fs::read_to_string(file).expect("a key").trim().to_owned()
}

/// The exit code on which both agree, for the newest session's record.
#[track_caller]
fn agreed(installation: &Installation, what: &str) -> i64 {
    let session = *installation.sessions().iter().max().expect("a session");
    let record = installation.directory(session).join("record");
    let (record, key) = (record.to_str().expect("text"), vkey(installation));
    let log = installation.state().join("log");
    let words = [record, "--key", &key, "--installation-log", log.to_str().expect("text")];
    let theirs = outsider(&[&["record"], &words[..]].concat());
    let ours = Command::new(binary().with_file_name("custody-verify"))
        .args(words)
        .stdin(Stdio::null())
        .output()
        .expect("custody-verify starts");
    let said = String::from_utf8_lossy(&ours.stdout).into_owned();
    assert_eq!(
        theirs["code"].as_i64(),
        ours.status.code().map(i64::from),
        "{what}: {theirs}\n{said}"
    );
    theirs["code"].as_i64().expect("a number")
}

#[test]
fn an_outsider_agrees_on_the_records_of_real_sessions() {
    let (repository, installation) = (Repository::with_secrets(), Installation::new());
    let policy = installation.policy(include_str!("../support/policy.yaml"));
    let script = "cat README.md secrets/key.txt; echo x >>README.md; git commit -qam one; mv docs moved; cat /etc/hostname
                  echo y >/tmp/y; bash -c 'exec 3<>/dev/tcp/192.0.2.1/80'; exit 0";
    for options in [&["--policy", &policy][..], &["--strict", "--policy", &policy]] {
        let ran = installation.run(&repository, options, script);
        assert_eq!(ran.code, Some(0), "{}", ran.text());
        assert_eq!(agreed(&installation, "a session"), GOOD);
    }
    let ran = installation.run(&repository, &["--timeout", "1s"], "sleep 60");
    assert_ne!(ran.code, Some(0));
    assert_eq!(agreed(&installation, "one that a limit ended"), GOOD);
    // What is under way at the rotation of the key is sealed with the new one.
    let _ = installation.custody(repository.path(), &["keys", "rotate"]).succeeded();
    let ran = installation.run(&repository, &[], "true");
    assert_eq!(ran.code, Some(0), "{}", ran.text());
    assert_eq!(agreed(&installation, "after the key was rotated"), GOOD);
    // A keeper that dies leaves a record that says so.
    let mut child = installation.start(&repository, &[], "echo made >made; sleep 600");
    let session = until("the file to be made", || {
        let session = *installation.sessions().iter().max()?;
        let upper = installation.directory(session).join("workspace/upper/made");
        upper.exists().then_some(session)
    });
    assert!(keeper::kill(session));
    let _ = child.wait().expect("it ends");
    let _ = installation.custody(repository.path(), &["reindex"]).succeeded();
    assert_eq!(agreed(&installation, "whose keeper was killed"), INCOMPLETE);
}

/// What somebody between the server and its reader does.
type Meddling = dyn Fn(&str, &mut Vec<u8>) + Send + Sync;

/// A path, and what the server has there.
type Answer = (String, Vec<u8>);

/// A proxy for reading, which ends when dropped.
struct Between {
    address: SocketAddr,
    answers: Arc<Mutex<Vec<Answer>>>,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Between {
    fn start(server: &str, token: &str, meddling: Arc<Meddling>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let (answers, over) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let (seen, ends) = (answers.clone(), over.clone());
        let (server, token) = (server.trim_start_matches("http://").to_owned(), token.to_owned());
        let thread = std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if ends.load(Ordering::SeqCst) {
                    return;
                }
                let (path, mut body) = fetched(&client, &server, &token);
                seen.lock().expect("unpoisoned").push((path.clone(), body.clone()));
                meddling(&path, &mut body);
                let head = format!("HTTP/1.0 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
                let mut client = client;
                client.write_all(head.as_bytes()).expect("written");
                client.write_all(&body).expect("written");
            }
        });
        Self { address, answers, over, thread: Some(thread) }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }
}

impl Drop for Between {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        drop(TcpStream::connect(self.address));
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// The path that a client asks for, and what the server has there.
fn fetched(client: &TcpStream, server: &str, token: &str) -> (String, Vec<u8>) {
    let mut lines = BufReader::new(client).lines().map_while(Result::ok);
    let first = lines.next().expect("a request");
    let path = first.split(' ').nth(1).expect("a path").to_owned();
    assert!(lines.any(|line| line.is_empty()), "the head ends");
    let mut up = TcpStream::connect(server).expect("the server listens");
    write!(up, "GET {path} HTTP/1.0\r\nHost: {server}\r\nAuthorization: Bearer {token}\r\n\r\n")
        .expect("asked");
    let mut answer = Vec::new();
    up.read_to_end(&mut answer).expect("answered");
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").expect("a head");
    assert!(
        answer.starts_with(b"HTTP/1.0 200"),
        "{path}: {}",
        String::from_utf8_lossy(&answer[..end])
    );
    (path, answer[end + 4..].to_vec())
}

/// A way to change an answer.
type Change = fn(&mut Vec<u8>);

/// Ways to change an answer, by their names.
const WAYS: [(&str, Change); 5] = [
    ("its first byte flipped", |body| body[0] ^= 1),
    ("a byte in its middle flipped", |body| {
        let middle = body.len() / 2;
        body[middle] ^= 1;
    }),
    ("cut", |body| {
        body.pop();
    }),
    ("emptied", Vec::clear),
    ("lengthened", |body| body.push(0)),
];

#[test]
fn an_outsider_reads_the_logs_of_a_running_server_and_finds_what_is_changed_on_the_way() {
    let (repository, installation) = (Repository::example(), Installation::new());
    for script in ["cat README.md", "seq 400 | while read n; do echo $n >n$n; done"] {
        let ran = installation.run(&repository, &[], script);
        assert_eq!(ran.code, Some(0), "{}", ran.text());
    }
    let session = *installation.sessions().iter().max().expect("a session");
    let server = Server::start(&installation);
    let words = ["token", "create", "--kind", "access", "--lifetime", "1h"];
    let made = server.custody(&server.admin(), repository.path(), &words).succeeded();
    let (key, token) = (vkey(&installation), made.stdout.trim().to_owned());
    let name = key.split('+').next().expect("a name").to_owned();
    let logs = [
        ("/v1/log".to_owned(), format!("{name}/log")),
        ("/v1/control/log".to_owned(), format!("{name}/control")),
        (format!("/v1/sessions/{session}/log"), format!("{name}/session/{session}")),
    ];
    for (path, origin) in logs {
        let ask = |meddling: Arc<Meddling>| {
            let between = Between::start(server.url(), &token, meddling);
            let url = between.url(&path);
            let said = outsider(&["log", &url, "--origin", &origin, "--key", &key]);
            let paths = between.answers.lock().expect("unpoisoned").clone();
            (said, paths)
        };
        let (said, paths) = ask(Arc::new(|_, _| {}));
        assert_eq!(said["code"], GOOD, "{path}: {said}");
        assert!(paths.len() >= 3, "{path}: a head, entries and hashes: {paths:?}");
        for (changed, body) in &paths {
            for (way, change) in WAYS {
                let meddled = changed.clone();
                let (said, _) = ask(Arc::new(move |path, body| {
                    if path == meddled {
                        change(body);
                    }
                }));
                assert_eq!(said["code"], BROKEN, "{changed} ({} bytes), {way}: {said}", body.len());
            }
        }
        // Each answer in the place of each other.
        for (at, (one, _)) in paths.iter().enumerate() {
            let other = paths[(at + 1) % paths.len()].1.clone();
            let one = one.clone();
            let (said, _) = ask(Arc::new(move |path, body| {
                if path == one {
                    body.clone_from(&other);
                }
            }));
            assert_eq!(said["code"], BROKEN, "{path}: {said}");
        }
    }
}
