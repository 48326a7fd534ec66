//! Prompts as arguments: as long as Linux takes them they arrive whole, and the record says by their digest what they were.

use custody_record::event::{Body, WholeList};
use custody_tests::{Installation, Record, Repository, Server};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

/// Arguments that repeat nothing at a distance, with what JSON escapes.
fn prompt(bytes: usize) -> String {
    let mut text = String::new();
    let mut line = 0_u32;
    while text.len() < bytes {
        line += 1;
        text.push_str(&format!("{line}: mend \"it\" \\ and say why\n"));
    }
    text.truncate(bytes);
    text
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What the record has to say of a command that it has no room for.
fn whole_of(command: &[&str]) -> (u64, u64, String) {
    let mut hash = Sha256::new();
    for argument in command {
        hash.update(argument);
        hash.update([0]);
    }
    let bytes = command.iter().map(|argument| argument.len() as u64 + 1).sum();
    (bytes, command.len() as u64, format!("sha256:{}", hex(&hash.finalize())))
}

fn told(whole: &WholeList) -> (u64, u64, String) {
    (whole.bytes, whole.count, whole.digest.to_string())
}

fn assert_cut(found: &[String], whole: Option<&WholeList>, command: &[&str], event: &str) {
    let whole = whole.unwrap_or_else(|| panic!("{event} says nothing of the whole"));
    assert_eq!(told(whole), whole_of(command), "{event}");
    let (last, before) = found.split_last().expect("a beginning");
    assert_eq!(before, &command[..before.len()], "{event}");
    assert!(command[before.len()].starts_with(last.as_str()), "{event}");
}

/// Both events of the record have the beginning and the digest of a command that has no room in them.
fn assert_on_record(record: &Record, command: &[&str]) {
    let mut seen = 0;
    for event in record.events() {
        match &event.body {
            Body::SessionAuthorized(data) => {
                let (cut, whole) = (&data.request.command, data.request.command_whole.as_ref());
                assert_cut(cut, whole, command, "session.authorized");
                seen += 1;
            }
            Body::SessionStarted(data) => {
                let (cut, whole) = (&data.command, data.command_whole.as_ref());
                assert_cut(cut, whole, command, "session.started");
                seen += 1;
            }
            _ => {}
        }
    }
    assert_eq!(seen, 2);
}

/// The request in the control log, as JSON lines show it.
fn requested(control: &str) -> Value {
    let mut events = control.lines().map(|line| serde_json::from_str(line).expect("JSON"));
    let asked = events.find(|event: &Value| event["type"] == "session.requested");
    asked.expect("the request")["data"].clone()
}

fn assert_in_control_log(control: &str, command: &[&str]) {
    let data = requested(control);
    let whole: WholeList =
        serde_json::from_value(data["command_whole"].clone()).expect("the whole is named");
    let cut: Vec<String> =
        serde_json::from_value(data["request"]["command"].clone()).expect("a command");
    assert_cut(&cut, Some(&whole), command, "session.requested");
}

/// Prints the SHA-256 of its first argument.
const SUM: &str = "printf %s \"$1\" | sha256sum";

#[test]
fn a_long_prompt_arrives_whole_and_its_digest_is_on_record() {
    // Around the old limit of all arguments, and the one of Linux for a single one.
    for bytes in [32_768, 40_000, 65_536, 131_071] {
        let (installation, repository) = (Installation::new(), Repository::example());
        let prompt = prompt(bytes);
        let command = ["sh", "-c", SUM, "agent", &prompt];
        let run = [&["run", "-q", "--"], command.as_slice()].concat();
        let output = installation.custody(repository.path(), &run).succeeded();
        let wanted = format!("{}  -\n", hex(&Sha256::digest(&prompt)));
        assert_eq!(output.stdout, wanted, "{bytes} bytes");
        let session = installation.session();
        let record = installation.record(session);
        let executed = record.execs("sh").next().expect("the exec is on record");
        assert_cut(&executed.argv, executed.argv_whole.as_ref(), &command, "process.executed");
        let log = ["control", "events", "-o", "json"];
        let control = installation.custody(repository.path(), &log).succeeded();
        assert_in_control_log(&control.stdout, &command);
        let json = ["session", "list", "-o", "json"];
        let list = installation.custody(repository.path(), &json).succeeded();
        let told = format!("… (cut: 5 arguments of {} bytes in all)", whole_of(&command).0);
        assert!(list.stdout.contains(&told), "{told}");
        assert_eq!(installation.verify(session).code, Some(0));
        // Where an event has room for all of it, all of it stands there.
        if bytes > 65_535 {
            assert_on_record(&record, &command);
            let show = installation.custody(repository.path(), &["session", "show", "last"]);
            assert!(show.succeeded().stdout.contains(&told), "{told}");
        }
    }
}

#[test]
fn as_many_arguments_as_a_pattern_of_files_makes_arrive_all() {
    let (installation, repository) = (Installation::new(), Repository::example());
    let numbers: Vec<String> = (0..60_000).map(|number| number.to_string()).collect();
    let mut command = vec!["sh", "-c", "echo $# $60000", "agent"];
    command.extend(numbers.iter().map(String::as_str));
    let run = [&["run", "-q", "--"], command.as_slice()].concat();
    let output = installation.custody(repository.path(), &run).succeeded();
    assert!(output.stdout.starts_with("60000 "), "{}", output.stdout);
    assert_on_record(&installation.record(installation.session()), &command);
}

#[test]
fn a_long_prompt_arrives_at_a_session_on_a_server() {
    let (installation, repository) = (Installation::new(), Repository::example());
    let server = Server::start(&installation);
    let here = repository.path();
    server.let_anyone_run_sh(&installation, here);
    let dana = server.person("dana", &["developer"]);
    let prompt = prompt(130_000);
    let command = ["sh", "-c", SUM, "agent", &prompt, &prompt, &prompt];
    let run = [&["run", "-q", "--"], command.as_slice()].concat();
    let output = server.custody(&dana, here, &run).succeeded();
    assert_eq!(output.stdout, format!("{}  -\n", hex(&Sha256::digest(&prompt))));
    let log = ["control", "events", "-o", "json"];
    let control = server.custody(&server.admin(), here, &log).succeeded();
    assert_in_control_log(&control.stdout, &command);
    assert_on_record(&installation.record(installation.session()), &command);
}
