//! Credentials of every kind that the redaction guide names, in every place of a session where one may stand: nothing of what is
//! kept or given out has one in clear.
//!
//! Outside by design, as the guide says: what the session made is its product and stays as it is. That is the content and the
//! names of the files that it published, the messages of its own commits and the names of its own branches, in git's objects
//! and refs of the mirror, which the formats about commits (git-ai, Agent Trace) name as git does; and what somebody who is
//! attached sees.

#[path = "../../runtime/record/tests/samples/credentials.rs"]
mod planted;

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use custody_tests::{Installation, Repository};
use planted::{Draw, named, named_text, tokens};

use crate::canaries::{Search, held, search};

type Needles = Vec<(&'static str, Vec<u8>)>;

/// Nearly all of a token is as bad as all of it.
fn most(token: &str) -> Vec<u8> {
    token.as_bytes()[token.len() / 3..].to_vec()
}

/// What of the state directory is the record and not the session's product: the mirror has that.
fn search_records(state: &Path, needles: &Needles) -> Search {
    let mut all = Search::default();
    for entry in std::fs::read_dir(state).expect("a state directory") {
        let entry = entry.expect("readable");
        if entry.file_name() != "repositories" && entry.path().is_dir() {
            let one = search(&entry.path(), needles);
            all.files += one.files;
            all.bytes += one.bytes;
            all.found.extend(one.found);
        } else if entry.path().is_file() {
            let content = std::fs::read(entry.path()).expect("readable");
            all.files += 1;
            all.bytes += content.len() as u64;
            let found = held(&content, needles);
            all.found.extend(found.into_iter().map(|number| (needles[number].0, entry.path())));
        }
    }
    all
}

const POLICY: &str = r"
version: custody/policy/v1
name: planted
requesters:
  users: ['*']
images: [host]
commands:
  - allow: ['*']
paths:
  - deny: secrets/**
";

/// Quotes a text for a POSIX shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// What a shell does with a token, for each place where the record would name it.
fn uses(number: usize, token: &str) -> String {
    let mut script = String::new();
    let mut line = |text: String| {
        script.push_str(&text);
        script.push('\n');
    };
    // An argument, one of an environment, one that is a part of another, and the terminal.
    line(format!("/bin/true {token}"));
    line(format!("env NAME{number}={token} /bin/true"));
    line(format!("VALUE={token} /bin/sh -c true"));
    line(format!("/bin/true --value={token},x -H 'X-Value: {token}'"));
    line(format!("echo 'see {token}.'"));
    // A path that is not there, one that is denied, a program that is not there.
    line(format!("cat '/tmp/none-{number}-{token}' 'secrets/{token}'"));
    line(format!("'./no-{token}'"));
    if token.contains('/') {
        return script;
    }
    // Names of files and directories, of links, and of a program that is run.
    line(format!("echo {number} >'{token}.txt'; mkdir 'in-{token}'; echo x >'in-{token}/x'"));
    line(format!("mv '{token}.txt' 'was-{token}.txt'; ln -s 'in-{token}' 'to-{token}'"));
    line(format!("printf '#!/bin/sh\\n' >'run-{token}.sh'; chmod +x 'run-{token}.sh'"));
    line(format!("'./run-{token}.sh'; rm 'run-{token}.sh'"));
    // A branch, a commit of its own, and a host.
    if token.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)) {
        line(format!("git branch 'b-{token}'; git tag 't-{token}'"));
        if token.len() < 60 {
            line(format!("curl -s --max-time 5 http://{token}.example.com/ -o got"));
            line(format!("getent hosts {token}.example.com"));
        }
    }
    script
}

/// Programs whose arguments give a secret away, as links to one that does nothing.
const PROGRAMS: &[&str] = &[
    "curl",
    "deploy",
    "mysql",
    "sshpass",
    "docker",
    "redis-cli",
    "openssl",
    "psql",
    "http",
    "npm",
    "aws",
];

#[test]
fn no_credential_that_a_session_meets_is_kept_or_given_out_in_clear() {
    let (installation, repository) = (Installation::new(), Repository::with_secrets());
    let policy = installation.policy(POLICY);
    let mut draw = Draw(15);
    let tokens = tokens(&mut draw);
    let named = named(&mut draw);
    let mut needles: Needles = tokens.iter().map(|(name, token)| (*name, most(token))).collect();
    let mut script = "git checkout -q -b work\n".to_owned();
    for (number, (_, token)) in tokens.iter().enumerate() {
        script.push_str(&uses(number, token));
    }
    script.push_str("mkdir bin; printf '#!/bin/sh\\n' >bin/nothing; chmod +x bin/nothing\n");
    for program in PROGRAMS {
        script.push_str(&format!("ln -s nothing bin/{program}\n"));
    }
    script.push_str("PATH=$PWD/bin:$PATH\n");
    for (name, text, secret) in &named {
        let line = named_text(text, secret);
        needles.push((name, secret.as_bytes().to_vec()));
        script.push_str(&format!("echo {0}; echo {0} >>lines.txt; /bin/true {0}\n", quoted(&line)));
        if PROGRAMS.iter().any(|program| line.starts_with(&format!("{program} "))) {
            script.push_str(&format!("{line}\n"));
        }
    }
    // What is typed is echoed.
    script.push_str("cat; echo the-end\n");
    let typed: String = tokens.iter().map(|(_, token)| format!("typed {token}\n")).collect();
    let mut child = installation
        .command(repository.path(), &["run", "--policy", &policy, "--", "sh", "-c", &script])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("custody starts");
    child.stdin.take().expect("a pipe").write_all(typed.as_bytes()).expect("taken");
    let output = child.wait_with_output().expect("it ends");
    let shown = output.stdout;
    // The control: the one who is attached sees each of them, and the search finds it there.
    let seen = held(&shown, &needles);
    let (said, error) = (String::from_utf8_lossy(&shown), String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("the-end"), "{error}");
    for (number, (name, _)) in needles.iter().enumerate() {
        assert!(seen.contains(&number), "{name} was not shown");
    }

    let searched = search_records(installation.state(), &needles);
    println!("{} needles, {} files, {} bytes", needles.len(), searched.files, searched.bytes);
    assert!(searched.files > 20 && searched.bytes > 100_000);
    assert!(searched.found.is_empty(), "{:#?}", searched.found);

    let session = installation.session();
    assert_eq!(installation.verify(session).code, Some(0));
    given_out(&installation, &repository, &needles, tokens.len());
    its_own_commit(&installation, &needles);
}

/// Formats that say of the files of a commit which lines a session wrote: they name them as git does.
const ABOUT_COMMITS: [&str; 2] = ["git-ai", "agent-trace"];

/// Whatever Custody gives out of a session. The first `named` needles are in names of the files that it published.
fn given_out(
    installation: &Installation,
    repository: &Repository,
    needles: &Needles,
    named: usize,
) {
    let out = tempfile::tempdir().expect("a directory");
    let file = |name: &str| out.path().join(name).to_str().expect("UTF-8").to_owned();
    let mut given: Vec<(Vec<String>, Vec<u8>)> = Vec::new();
    let mut words: Vec<Vec<String>> = Vec::new();
    let mut add = |line: &str| words.push(line.split(' ').map(str::to_owned).collect());
    for line in [
        "session events last -o json",
        "session events last",
        "session show last",
        "session show last -o json",
        "session files last",
        "session files last -o json",
        "session diff last",
        "session list",
        "session list -o json",
        "session play last --speed 1000",
        "control events -o json",
        "verify last -o json",
        "session outputs last",
        "session outputs last -o json",
    ] {
        add(line);
    }
    for format in
        ["json-lines", "ocsf", "cloud-events", "otlp", "asciicast", "agent-trace", "git-ai"]
    {
        add(&format!("export --format {format} --file {} last", file(format)));
    }
    add(&format!("session export last --file {}", file("record.tar")));
    add(&format!("evidence export last --file {}", file("evidence.tar")));
    for words in words {
        let output = installation.custody(repository.path(), &words);
        assert!(matches!(output.code, Some(0)), "{words:?}: {}", output.text());
        given.push((words, output.stdout.into_bytes()));
    }
    for entry in std::fs::read_dir(out.path()).expect("readable") {
        let path = entry.expect("readable").path();
        given.push((vec![path.display().to_string()], std::fs::read(&path).expect("readable")));
    }
    for (what, content) in &given {
        assert!(!content.is_empty(), "{what:?} is empty");
        let about_commits = ABOUT_COMMITS.iter().any(|format| what[0].ends_with(format));
        let from = if about_commits { named } else { 0 };
        let found = held(content, needles).into_iter().filter(|number| *number >= from);
        let found: Vec<_> = found
            .map(|number| (needles[number].0, String::from_utf8_lossy(&needles[number].1)))
            .collect();
        assert!(found.is_empty(), "{what:?} has {found:?}");
    }
    println!("{} answers and files", given.len());
}

/// The messages of the commits that Custody made in the mirror.
fn its_own_commit(installation: &Installation, needles: &Needles) {
    let mirrors = std::fs::read_dir(installation.state().join("repositories")).expect("mirrors");
    let mut messages = Vec::new();
    for mirror in mirrors.map(|entry| entry.expect("readable").path()).filter(|path| path.is_dir())
    {
        let output = Command::new("git")
            .arg("--git-dir")
            .arg(&mirror)
            .args(["log", "--all", "--committer=Custody", "--format=%B"])
            .output()
            .expect("git starts");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        messages.extend(output.stdout);
    }
    let text = String::from_utf8_lossy(&messages);
    assert!(text.contains("Custody-Session"), "{text}");
    let found: Vec<_> = held(&messages, needles).iter().map(|at| needles[*at].0).collect();
    assert!(found.is_empty(), "{found:?}: {text}");
}

#[test]
fn the_subject_of_a_sessions_commit_has_nothing_of_a_token_that_its_cut_straddles() {
    let (installation, repository) = (Installation::new(), Repository::example());
    let (_, token) = tokens(&mut Draw(3)).swap_remove(2);
    assert!(token.starts_with("ghp_") || token.len() > 30);
    for before in [20, 40, 50, 60, 64, 68, 71] {
        let filler = "x".repeat(before);
        let words = ["run", "-q", "--", "sh", "-c", "date +%N >made", &format!("{filler} {token}")];
        let _ = installation.custody(repository.path(), &words).succeeded();
    }
    let beginnings: Needles = vec![("a token's beginning", token.as_bytes()[..12].to_vec())];
    its_own_commit(&installation, &beginnings);
    assert!(search_records(installation.state(), &beginnings).found.is_empty());
}
