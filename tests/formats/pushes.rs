//! What a server sends while it happens: signed, again and again until it is taken, and nothing is lost by a kill.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use custody_tests::deadline::until;
use custody_tests::{Installation, Person, Repository, Server};
use serde_json::{Value, json};

use crate::receiver::{Call, Receiver};
use crate::validator::{check, valid};

const POLICY: &str = "version: custody/policy/v1
name: open
requesters:
  users: ['*']
images: [host]
commands:
  - allow: [sh]
paths:
  - deny: secrets/**
";

/// `whsec_` and 32 bytes.
const SECRET: &str = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";

struct Ground {
    server: Server,
    repository: Repository,
    dana: Person,
    installation: Installation,
    configuration: String,
}

/// A server that sends to these destinations.
fn ground(destinations: &Value) -> Ground {
    let (installation, repository) = (Installation::new(), Repository::with_secrets());
    let mut server = Server::start(&installation);
    let policy = installation.policy(POLICY);
    let (admin, here) = (server.admin(), repository.path());
    let _ = server.custody(&admin, here, &["policy", "create", &policy, "--activate"]).succeeded();
    let _ = server.custody(&admin, here, &["repo", "add", "."]).succeeded();
    let dana = server.person("dana", &["developer"]);
    // One that ended before anybody was to be told.
    let _ = server.custody(&dana, here, &["run", "--", "sh", "-c", "true"]).succeeded();
    let place = installation.state().join("for-test");
    std::fs::create_dir_all(&place).expect("made");
    let configuration = place.join("custody.yaml");
    let text = json!({ "push": { "destinations": destinations } }).to_string();
    std::fs::write(&configuration, text).expect("written");
    let configuration = configuration.to_str().expect("UTF-8").to_owned();
    assert_eq!(server.stop(), Some(0), "{}", server.log());
    server.restart_with(&["--config", &configuration]);
    Ground { server, repository, dana, installation, configuration }
}

/// The secret in a file, as configurations name it.
fn secret(place: &tempfile::TempDir) -> Value {
    use std::os::unix::fs::PermissionsExt;
    let path = place.path().join("secret");
    std::fs::write(&path, SECRET).expect("written");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("set");
    json!({ "file": path })
}

impl Ground {
    fn run(&self, script: &str) {
        let words = ["run", "--", "sh", "-c", script];
        let _ = self.server.custody(&self.dana, self.repository.path(), &words).succeeded();
    }

    /// The newest session's events.
    fn events(&self) -> Vec<Value> {
        let words = ["export", "last", "--format", "json-lines"];
        let said = self.server.custody(&self.dana, self.repository.path(), &words).succeeded();
        said.stdout.lines().map(|line| serde_json::from_str(line).expect("an event")).collect()
    }

    /// A value of `/metrics`.
    fn metric(&self, line: &str) -> Option<u64> {
        let mut stream =
            std::net::TcpStream::connect(self.server.url().trim_start_matches("http://")).ok()?;
        use std::io::{Read as _, Write as _};
        write!(stream, "GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").ok()?;
        let mut text = String::new();
        stream.read_to_string(&mut text).ok()?;
        text.lines().find_map(|found| found.strip_prefix(line)?.trim().parse().ok())
    }

    fn nothing_is_pending(&self, destination: &str) {
        let name = format!("custody_push_pending_sessions{{destination=\"{destination}\"}}");
        until(format!("{destination} to have it all"), || {
            (self.metric(&name) == Some(0)).then_some(())
        });
    }
}

/// The CloudEvents of a call.
fn cloud_events(call: &Call) -> Vec<Value> {
    match call.header("content-type") {
        "application/cloudevents+json" => vec![serde_json::from_str(&call.body).expect("one")],
        "application/cloudevents-batch+json" => serde_json::from_str(&call.body).expect("several"),
        other => panic!("{other} is no media type of CloudEvents"),
    }
}

/// Every call of Standard Webhooks is verified by their library, and one that was changed is not.
fn verified(calls: &[Call]) {
    let shown = |call: &Call, body: &str| {
        let headers: BTreeMap<&str, &str> =
            ["webhook-id", "webhook-timestamp", "webhook-signature"]
                .map(|name| (name, call.header(name)))
                .into();
        json!({ "secret": SECRET, "headers": headers, "body": body }).to_string()
    };
    let all: String = calls.iter().map(|call| format!("{}\n", shown(call, &call.body))).collect();
    assert_eq!(valid("webhook", all.as_bytes())["calls"], calls.len());
    let changed = format!("{}\n", shown(&calls[0], &calls[0].body.replacen(':', " :", 1)));
    assert!(check("webhook", changed.as_bytes()).is_err(), "a changed body is verified");
}

#[test]
fn every_event_arrives_signed_though_the_receiver_fails_and_the_server_is_killed() {
    let place = tempfile::tempdir().expect("a directory");
    let opened = Arc::new(AtomicBool::new(false));
    let gate = opened.clone();
    let receiver = Receiver::start(Arc::new(move |n| match n {
        0 => 503,
        1 => 0,
        2 | 3 => 200,
        // Then nothing is taken until the server was killed.
        _ if !gate.load(Ordering::SeqCst) => 500,
        _ => 200,
    }));
    let denials = Receiver::start(Arc::new(|_| 200));
    let mut ground = ground(&json!([
        { "name": "siem", "send": { "webhook": { "url": receiver.url("/hook"), "secret": secret(&place), "batch": 3 } } },
        { "name": "denials", "send": { "webhook": {
            "url": denials.url("/"), "secret": secret(&place), "batch": 1, "types": ["file.denied", "egress"] } } },
    ]));
    ground.run("cat README.md secrets/key.txt; echo more >>README.md; exit 0");
    until("calls that fail", || (receiver.calls().len() > 5).then_some(()));
    ground.server.kill9();
    let before = receiver.calls().len();
    opened.store(true, Ordering::SeqCst);
    let configuration = ground.configuration.clone();
    ground.server.restart_with(&["--config", &configuration]);
    ground.nothing_is_pending("siem");
    ground.nothing_is_pending("denials");

    let events = ground.events();
    let taken = receiver.taken();
    verified(&receiver.calls());
    let mut unique = BTreeMap::new();
    let mut last = BTreeMap::new();
    for event in taken.iter().flat_map(cloud_events) {
        let seq = event["data"]["seq"].as_u64().expect("a number");
        // In order, but that what a kill left open is said again.
        let before = last.insert(event["source"].to_string(), seq);
        assert!(before.is_none_or(|before| seq <= before + 1), "{seq} after {before:?}");
        unique.insert(seq, event);
    }
    let got: Vec<&Value> = unique.values().map(|event| &event["data"]).collect();
    assert_eq!(got, events.iter().collect::<Vec<_>>(), "what arrived is the record, and whole");
    let lines: String = unique.values().map(|event| format!("{event}\n")).collect();
    assert_eq!(valid("cloud-events", lines.as_bytes())["events"], events.len());
    // An attempt that is made again has the id of the first.
    let calls = receiver.calls();
    let ids: BTreeSet<&str> = calls[..3].iter().map(|call| call.header("webhook-id")).collect();
    assert_eq!(ids.len(), 1, "{ids:?}");
    println!("{} calls before the kill, {} in all, {} events", before, calls.len(), events.len());

    let denied: Vec<Value> = denials.taken().iter().flat_map(cloud_events).collect();
    let wanted: Vec<&Value> =
        events.iter().filter(|event| event["type"] == "file.denied").collect();
    assert!(!wanted.is_empty());
    let got: BTreeSet<String> = denied.iter().map(|event| event["data"].to_string()).collect();
    assert_eq!(got, wanted.iter().map(ToString::to_string).collect());
    let filtered = "custody_push_total{destination=\"denials\",outcome=\"filtered\"}";
    assert!(ground.metric(filtered).is_none_or(|n| n > 0));

    // A second session, which nothing disturbs: each event once.
    let calls = receiver.calls().len();
    ground.run("echo again >>README.md");
    let id = ground.events()[0]["session"].clone();
    ground.nothing_is_pending("siem");
    until("the second session", || {
        let taken = receiver.calls()[calls..].iter().flat_map(cloud_events).collect::<Vec<_>>();
        let of = taken.iter().filter(|event| event["data"]["session"] == id).count();
        assert!(of <= ground.events().len(), "an event arrived twice");
        (of == ground.events().len()).then_some(())
    });
    let delivered = "custody_push_total{destination=\"siem\",outcome=\"delivered\"}";
    assert!(ground.metric(delivered).is_some_and(|n| n >= ground.events().len() as u64));
    assert!(!ground.server.log().contains("MDEyMzQ1"), "the secret is in the log");
    assert_eq!(ground.server.stop(), Some(0));
    drop(ground.installation);
}

#[test]
fn the_spans_of_a_session_are_sent_once_it_is_over_and_not_again() {
    let receiver = Receiver::start(Arc::new(|n| if n == 0 { 429 } else { 200 }));
    let mut ground = ground(&json!([
        { "name": "traces", "send": { "otlp": { "url": receiver.url("/v1/traces") } } },
    ]));
    ground.run("cat README.md; cat secrets/key.txt; exit 0");
    until("the spans", || (!receiver.taken().is_empty()).then_some(()));
    ground.nothing_is_pending("traces");
    let configuration = ground.configuration.clone();
    assert_eq!(ground.server.stop(), Some(0));
    ground.server.restart_with(&["--config", &configuration]);
    ground.run("true");
    until("the spans of both", || {
        let of = |call: &Call| call.body.contains("invoke_agent");
        (receiver.taken().iter().filter(|call| of(call)).count() == 2).then_some(())
    });
    ground.nothing_is_pending("traces");
    let taken = receiver.taken();
    assert!(taken.iter().all(|call| call.header("content-type") == "application/json"));
    let mut by_trace: BTreeMap<String, String> = BTreeMap::new();
    for call in &taken {
        let line: Value = serde_json::from_str(&call.body).expect("OTLP/JSON");
        let trace = &line["resourceSpans"][0]["scopeSpans"][0]["spans"][0]["traceId"];
        by_trace.entry(trace.to_string()).or_default().push_str(&format!("{}\n", call.body));
    }
    assert_eq!(by_trace.len(), 2);
    for lines in by_trace.values() {
        // No span id stands twice in either.
        assert_eq!(valid("otlp", lines.as_bytes())["invoke_agent"], 1);
    }
    assert_eq!(ground.server.stop(), Some(0));
    drop(ground.installation);
}
