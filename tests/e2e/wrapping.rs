//! Keys that a program wraps: a key management service, a token, whatever an organisation has.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use custody_record::{Scope, Vault};
use custody_tests::{Installation, Output, Repository, Server};
use tempfile::TempDir;

const PROGRAM: &str = include_str!("wrapping/kms.py");

/// An argument that nobody but the program is to see printed.
const ARGUMENT: &str = "--tenant=hunter2-hunter2";

/// The service and what it did.
struct Kms {
    dir: TempDir,
}

impl Kms {
    fn new() -> Self {
        let kms = Self { dir: TempDir::with_prefix("custody-kms-").expect("a directory") };
        fs::write(kms.path("kms.py"), PROGRAM).expect("written");
        fs::write(kms.path("seen"), "").expect("written");
        kms.behave("well");
        kms
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn behave(&self, mode: &str) {
        fs::write(self.path("mode"), mode).expect("written");
    }

    /// As the configuration names it.
    fn setting(&self, name: &str) -> String {
        let program = self.path("kms.py").display().to_string();
        format!("{{command: [/usr/bin/python3, {program}, {ARGUMENT}], name: {name}, timeout: 2s}}")
    }

    /// Every form in which a key that it wrapped could be found somewhere.
    fn forms(&self) -> Vec<Vec<u8>> {
        let seen = fs::read_to_string(self.path("seen")).expect("readable");
        let mut forms = Vec::new();
        for line in seen.lines() {
            let hex = line.split(' ').nth(1).expect("scope and key");
            let bytes: Vec<u8> = (0..64)
                .step_by(2)
                .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hexadecimal"))
                .collect();
            // 30 bytes, so that the end of the base64 does not depend on what follows.
            forms.extend([base64(&bytes[..30]).into_bytes(), hex[..64].into(), bytes]);
        }
        forms
    }
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for three in bytes.chunks_exact(3) {
        let number = u32::from_be_bytes([0, three[0], three[1], three[2]]);
        for shift in [18, 12, 6, 0] {
            text.push(char::from(DIGITS[(number >> shift) as usize & 63]));
        }
    }
    text
}

fn installation(kms: &Kms) -> Installation {
    let mut installation = Installation::new();
    installation.set("CUSTODY_VAULT__WRAPPING", &kms.setting("kms/1"));
    installation
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
    let whole = |path: PathBuf| if path.is_dir() { files(&path) } else { vec![path] };
    entries.filter(|path| !path.is_symlink()).flat_map(whole).collect()
}

/// Says where one of the forms is; how many places were looked at.
fn found_in(places: &[PathBuf], forms: &[Vec<u8>]) -> (Vec<PathBuf>, usize) {
    let (mut found, mut looked) = (Vec::new(), 0);
    for place in places {
        let Ok(bytes) = fs::read(place) else { continue };
        looked += 1;
        if forms.iter().any(|form| bytes.windows(form.len()).any(|window| window == *form)) {
            found.push(place.clone());
        }
    }
    (found, looked)
}

/// Command lines and environments of every process of the machine.
fn of_processes() -> Vec<PathBuf> {
    let processes = fs::read_dir("/proc").expect("proc is mounted").flatten();
    processes
        .filter(|entry| entry.file_name().to_string_lossy().parse::<u32>().is_ok())
        .flat_map(|entry| ["cmdline", "environ"].map(|name| entry.path().join(name)))
        .collect()
}

fn wrappings(installation: &Installation) -> serde_json::Value {
    let words = ["vault", "show", "-o", "json"];
    installation.custody(installation.state(), &words).succeeded().json()["keys"].clone()
}

#[test]
fn a_program_wraps_the_keys_of_a_session_and_sees_them_alone() {
    let (kms, repository) = (Kms::new(), Repository::example());
    let installation = installation(&kms);
    let script = "while read -r line; do cat README.md >/dev/null; echo new >>README.md; echo did-$line; done";
    let mut child = installation
        .command(repository.path(), &["run", "--", "sh", "-c", script])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("custody starts");
    let mut input = child.stdin.take().expect("a pipe");
    let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    let mut step = |word: &str| {
        writeln!(input, "{word}").expect("taken");
        assert_eq!(lines.next().expect("a line").expect("text"), format!("did-{word}"));
    };
    step("0");
    let forms = kms.forms();
    assert!(forms.len() >= 6, "the control plane's key and the session's");
    let (found, looked) = found_in(&of_processes(), &forms);
    assert!(found.is_empty() && looked > 10, "{found:?} of {looked}");

    // Without the service the session goes on with the key that it has.
    kms.behave("crash");
    step("1");
    drop(input);
    let output: Output = child.wait_with_output().expect("it ends").into();
    let output = output.succeeded();
    let session = installation.session();
    assert!(installation.directory(session).join("record/seal.dsse.json").exists());
    // Who needs a key anew is told.
    let refused = installation.verify(session);
    assert_ne!(refused.code, Some(0), "{}", refused.text());

    kms.behave("well");
    let verified = installation.verify(session).succeeded();
    assert!(!verified.text().contains("locked"), "{}", verified.text());
    let _ = installation.custody(installation.state(), &["fsck"]).succeeded();
    let words = ["session", "play", &session.to_string()];
    let _ = installation.custody(installation.state(), &words).succeeded();
    assert_eq!(wrappings(&installation), serde_json::json!({ "command/kms/1": 2 }));
    assert!(!installation.state().join("vault/wrapping.key").exists());

    let (found, looked) = found_in(&files(installation.state()), &kms.forms());
    assert!(found.is_empty() && looked > 20, "{found:?} of {looked}");
    let said = output.text() + &refused.text() + &verified.text();
    let shown = installation.custody(installation.state(), &["config", "show"]).succeeded().text();
    assert!(shown.contains("kms/1") && !shown.contains(ARGUMENT), "{shown}");
    for form in kms.forms() {
        assert!(!said.as_bytes().windows(form.len()).any(|window| window == form), "{said}");
    }
    println!("{} forms of keys are in none of {looked} files", kms.forms().len());
}

#[test]
fn a_session_is_refused_before_it_starts_if_its_key_cannot_be_wrapped() {
    let (kms, repository) = (Kms::new(), Repository::example());
    let installation = installation(&kms);
    let server = Server::start(&installation);
    let here = repository.path();
    server.let_anyone_run_sh(&installation, here);
    let dana = server.person("dana", &["developer"]);
    let run = || server.custody(&dana, here, &["run", "--", "sh", "-c", "echo it ran >new"]);
    let _ = run().succeeded();
    let first = installation.session();

    let answers = [
        ("silent", "did not print one line"),
        ("noise", "did not print one line"),
        ("megabyte", "printed more than"),
        ("crash", "ended with exit status: 3 and said: Traceback: KeyError while handling"),
        ("killed", "ended with signal: 9"),
        ("hang", "did not end within 2 s"),
        ("random", "is not the key of session/"),
        ("mixed", "is not the key of session/"),
    ];
    for (mode, answer) in answers {
        kms.behave(mode);
        let refused = run();
        assert_eq!(refused.code, Some(70), "{mode}: {}", refused.text());
        assert!(refused.text().contains("can't be wrapped or unwrapped"), "{}", refused.text());
        assert!(server.log().contains(answer), "{mode}: {}", server.log());
    }
    let begun =
        |id: &&custody_model::SessionId| installation.directory(**id).join("record").exists();
    let sessions = installation.sessions();
    let records: Vec<_> = sessions.iter().filter(begun).collect();
    assert_eq!(records, [&first], "nothing was begun");

    kms.behave("well");
    let _ = run().succeeded();
    let forms = kms.forms();
    let log = server.log();
    for form in &forms {
        assert!(!log.as_bytes().windows(form.len()).any(|window| window == *form), "{log}");
    }
    assert!(!log.contains(ARGUMENT), "{log}");
    let (found, _) = found_in(&files(installation.state()), &forms);
    assert!(found.is_empty(), "{found:?}");
    println!("{} ways of a program to fail, each refuses the session", answers.len());
}

#[test]
fn keys_are_wrapped_anew_and_open_before_in_the_middle_and_after() {
    let (kms, repository) = (Kms::new(), Repository::example());
    let mut installation = Installation::new();
    let _ = installation.run(&repository, &[], "echo one >new").succeeded();
    let session = installation.session();
    let whole = |installation: &Installation| {
        let report = installation.verify(session).succeeded();
        assert!(!report.text().contains("locked"), "{}", report.text());
    };
    let key = |installation: &Installation| {
        let path = installation.state().join(format!("vault/sessions/{session}.json"));
        fs::read_to_string(path).expect("it is there")
    };
    let before = key(&installation);
    // The configuration changes: both are known.
    installation.set("CUSTODY_VAULT__WRAPPING", &kms.setting("kms/1"));
    whole(&installation);
    let rewrap = |installation: &Installation| {
        installation.custody(installation.state(), &["vault", "rewrap", "-o", "json"])
    };
    // It fails in the middle.
    kms.behave("crash");
    let failed = rewrap(&installation);
    assert!(failed.text().contains("exit status: 3"), "{}", failed.text());
    assert_eq!(key(&installation), before);
    kms.behave("well");
    whole(&installation);
    let done = rewrap(&installation).succeeded().json();
    assert_eq!((&done["rewrapped"], &done["already"]), (&2.into(), &0.into()));
    assert_eq!(wrappings(&installation), serde_json::json!({ "command/kms/1": 2 }));
    let vault = installation.state().join("vault");
    fs::rename(vault.join("wrapping.key"), kms.path("wrapping.key")).expect("moved");
    whole(&installation);
    // How it was wrapped is nowhere any more.
    let bytes = before.into_bytes();
    let old = bytes.split(|b| *b == b'"').max_by_key(|part| part.len()).expect("a key").to_vec();
    assert_eq!(found_in(&files(installation.state()), &[old]).0, Vec::<PathBuf>::new());
    // Again changes nothing.
    let again = rewrap(&installation).succeeded().json();
    assert_eq!((&again["rewrapped"], &again["already"]), (&0.into(), &2.into()));

    // And back: the program is named as a former one.
    installation.set("CUSTODY_VAULT__FORMER", &format!("[{}]", kms.setting("kms/1")));
    installation.unset("CUSTODY_VAULT__WRAPPING");
    whole(&installation);
    let _ = rewrap(&installation).succeeded();
    installation.unset("CUSTODY_VAULT__FORMER");
    whole(&installation);
    let own = Vault::open(&vault).expect("it opens");
    assert!(own.key(Scope::Session(session)).expect("it opens").is_some());

    let words = ["control", "events", "-o", "json"];
    let events = installation.custody(installation.state(), &words).succeeded().stdout;
    let count = |kind: &str| events.matches(&format!("\"{kind}\"")).count();
    assert_eq!((count("vault.rewrap_started"), count("vault.rewrapped")), (4, 3), "{events}");
    let _ = installation.custody(installation.state(), &["control", "verify"]).succeeded();
}
