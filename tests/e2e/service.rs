//! The command line against a server: as without one, and across the server's death.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Stdio};

use custody_tests::deadline::until;
use custody_tests::{Census, Installation, Person, Repository, Server};

/// Everybody may run `sh`, and nobody has to approve it.
const OPEN: &str = "version: custody/policy/v1
name: open
requesters:
  users: ['*']
images: [host]
commands:
  - allow: [sh]
";

/// As [`OPEN`], with the admin's approval.
const APPROVED: &str = "version: custody/policy/v1
name: approved
requesters:
  users: ['*']
images: [host]
commands:
  - allow: [sh]
approval:
  required: always
  by: [admin]
";

struct Ground {
    server: Server,
    repository: Repository,
    dana: Person,
    installation: Installation,
}

/// A server with a policy, a repository and a developer.
fn ground(policy: &str) -> Ground {
    let (installation, repository) = (Installation::new(), Repository::example());
    let server = Server::start(&installation);
    let admin = server.admin();
    let file = installation.policy(policy);
    let here = repository.path();
    let _ = server.custody(&admin, here, &["policy", "create", &file, "--activate"]).succeeded();
    let _ = server.custody(&admin, here, &["repo", "add", "."]).succeeded();
    let dana = server.person("dana", &["developer"]);
    Ground { server, repository, dana, installation }
}

impl Ground {
    fn here(&self) -> &Path {
        self.repository.path()
    }

    /// `custody run` of dana's, left running.
    fn start(&self, options: &[&str], script: &str) -> Child {
        let words = [&["run"], options, &["--", "sh", "-c", script]].concat();
        let mut command = self.server.command(&self.dana, self.here(), &words);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("custody starts")
    }

    /// The id that `custody run --detach` prints.
    fn detach(&self, script: &str) -> String {
        let words = ["run", "--detach", "--", "sh", "-c", script];
        let output = self.server.custody(&self.dana, self.here(), &words).succeeded();
        output.stdout.trim().to_owned()
    }

    fn session(&self, id: &str) -> serde_json::Value {
        let words = ["session", "list", "-o", "json"];
        let listed = self.server.custody(&self.dana, self.here(), &words).succeeded().json();
        let all = listed.as_array().expect("a list").clone();
        all.into_iter().find(|session| session["id"] == id || id == "last").expect("it is listed")
    }

    fn state(&self, id: &str) -> String {
        self.session(id)["state"]["state"].as_str().expect("a state").to_owned()
    }
}

/// Reads from a child until it has said `word`.
fn read_until(output: &mut impl BufRead, word: &str) -> String {
    let mut seen = String::new();
    while !seen.contains(word) {
        let read = output.read_line(&mut seen).expect("readable");
        assert!(read > 0, "it ended early: {seen}");
    }
    seen
}

#[test]
fn a_run_on_a_server_is_as_without_one() {
    let ground = ground(OPEN);
    let words = ["run", "--", "sh", "-c", "echo out; echo err >&2; echo new >new.txt; exit 3"];
    let output = ground.server.custody(&ground.dana, ground.here(), &words);
    assert_eq!(output.code, Some(3), "{}", output.text());
    assert_eq!(output.stdout, "out\n");
    assert!(
        output.stderr.contains("err\n") && output.stderr.contains("new.txt"),
        "{}",
        output.stderr
    );
    let apply = ["session", "apply", "last"];
    let _ = ground.server.custody(&ground.dana, ground.here(), &apply).succeeded();
    assert_eq!(ground.repository.git(&["show", "HEAD:new.txt"]), "new");
    for download in [&[] as &[&str], &["--download"]] {
        let words = [&["verify", "last"], download].concat();
        let _ = ground.server.custody(&ground.dana, ground.here(), &words).succeeded();
    }
}

#[test]
fn a_branch_comes_from_a_server_as_it_is_also_where_its_record_is_redacted() {
    let ground = ground(OPEN);
    let token = format!("ghp_{}", &"aB3dE5gH".repeat(5)[..36]);
    let script = format!(
        "set -e; git checkout -q -b beside; git commit -q --allow-empty -m Beside; git checkout -q work
         echo {token} >token.txt; git add token.txt; git commit -qm Token; echo left >left.txt"
    );
    let run = ["run", "--", "sh", "-c", &script];
    let _ = ground.server.custody(&ground.dana, ground.here(), &run).succeeded();
    let diff = ["session", "diff", "last"];
    let diff = ground.server.custody(&ground.dana, ground.here(), &diff).succeeded().stdout;
    assert!(diff.contains("token.txt") && !diff.contains(&token), "{diff}");
    let apply = ["session", "apply", "last"];
    let _ = ground.server.custody(&ground.dana, ground.here(), &apply).succeeded();
    assert_eq!(ground.repository.git(&["show", "HEAD:token.txt"]), token);
    assert_eq!(ground.repository.git(&["log", "-1", "--format=%s", "HEAD~1"]), "Token");
    let beside = ground.repository.git(&[
        "for-each-ref",
        "--format=%(subject)",
        "refs/heads/custody/**/beside",
    ]);
    assert_eq!(beside, "Beside");
}

#[test]
fn input_comes_through_a_server_to_its_end() {
    let ground = ground(OPEN);
    let words = ["run", "--", "sh", "-c", "sha256sum"];
    let mut command = ground.server.command(&ground.dana, ground.here(), &words);
    let input = vec![b'x'; 300_000];
    let mut running = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("custody starts");
    let mut stdin = running.stdin.take().expect("a pipe");
    std::io::Write::write_all(&mut stdin, &input).expect("written");
    drop(stdin);
    let output = running.wait_with_output().expect("it ends");
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    let digest = custody_model::Digest::of(&input);
    assert!(printed.starts_with(&digest.hex()), "{printed}");
}

#[test]
fn a_detached_session_can_be_attached_to_watched_and_stopped() {
    let ground = ground(OPEN);
    let script = "echo begun; while ! test -e stop; do sleep 0.05; done; echo done";
    let id = ground.detach(script);
    let mut attached = ground
        .server
        .command(&ground.dana, ground.here(), &["attach", &id])
        .stdout(Stdio::piped())
        .spawn()
        .expect("custody starts");
    let mut output = BufReader::new(attached.stdout.take().expect("a pipe"));
    read_until(&mut output, "begun");
    let mut watched = ground
        .server
        .command(&ground.dana, ground.here(), &["session", "watch", &id, "-o", "json"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("custody starts");
    let mut events = BufReader::new(watched.stdout.take().expect("a pipe"));
    let mut seen = read_until(&mut events, "session.started");
    let stop = ["session", "stop", &id, "--reason", "seen enough"];
    let _ = ground.server.custody(&ground.dana, ground.here(), &stop).succeeded();
    // Asked to stop by signal 15: that is how the command ended.
    assert_eq!(attached.wait().expect("it ends").code(), Some(128 + 15));
    events.read_to_string(&mut seen).expect("readable");
    assert!(watched.wait().expect("it ends").success());
    let record = custody_tests::Record::parse(&seen);
    assert!(record.closed().reason.contains("seen enough"), "{:?}", record.closed());
}

#[test]
fn who_waits_for_an_approval_goes_on_when_it_is_there() {
    let ground = ground(APPROVED);
    let running = ground.start(&[], "echo approved");
    let id = until("the request", || {
        let words = ["session", "list", "--in", "awaiting_approval", "-o", "json"];
        let listed = ground.server.custody(&ground.dana, ground.here(), &words).succeeded().json();
        listed[0]["id"].as_str().map(str::to_owned)
    });
    let own = ground.server.custody(&ground.dana, ground.here(), &["session", "approve", &id]);
    assert_eq!(own.code, Some(77), "nobody approves their own request: {}", own.text());
    let admin = ground.server.admin();
    let approve = ["session", "approve", &id, "--comment", "as agreed"];
    let _ = ground.server.custody(&admin, ground.here(), &approve).succeeded();
    let output: custody_tests::Output = running.wait_with_output().expect("it ends").into();
    assert_eq!(output.succeeded().stdout, "approved\n");
}

#[test]
fn ctrl_c_takes_back_what_waits() {
    let ground = ground(APPROVED);
    let mut running = ground.start(&[], "echo it ran");
    let id = until("the request", || {
        let words = ["session", "list", "--in", "awaiting_approval", "-o", "json"];
        let listed = ground.server.custody(&ground.dana, ground.here(), &words).succeeded().json();
        listed[0]["id"].as_str().map(str::to_owned)
    });
    let pid = i32::try_from(running.id()).expect("a pid");
    // SAFETY: kill has no preconditions; the child was not waited for, so its pid is still its own.
    assert_eq!(unsafe { libc::kill(pid, libc::SIGINT) }, 0);
    assert_eq!(running.wait().expect("it ends").code(), Some(130));
    assert_eq!(ground.state(&id), "refused");
}

#[test]
fn the_death_of_the_server_ends_no_session_and_no_client() {
    let mut ground = ground(OPEN);
    let script = "trap 'echo last; exit 7' USR1; i=0
while [ $i -lt 2000 ]; do echo line $i; i=$((i+1)); done
sleep 1000 & wait";
    let mut running = ground.start(&["--quiet"], script);
    let mut output = BufReader::new(running.stdout.take().expect("a pipe"));
    let mut seen = read_until(&mut output, "line 1999");
    ground.server.kill9();
    ground.server.restart();
    let id = ground.session("last")["id"].as_str().expect("an id").to_owned();
    let _ = ground
        .server
        .custody(&ground.dana, ground.here(), &["session", "signal", &id, "USR1"])
        .succeeded();
    output.read_to_string(&mut seen).expect("readable");
    assert_eq!(running.wait().expect("it ends").code(), Some(7), "{}", ground.server.log());
    let mut lines: Vec<String> = (0..2000).map(|n| format!("line {n}")).collect();
    lines.push("last".to_owned());
    let printed: Vec<&str> = seen.lines().collect();
    let wrong = printed.iter().zip(&lines).position(|(printed, line)| printed != line);
    assert_eq!((wrong, printed.len()), (None, lines.len()), "no line is lost or doubled: {seen}");
    assert_eq!(ground.state(&id), "sealed");
    let _ = ground.server.custody(&ground.dana, ground.here(), &["verify", &id]).succeeded();
}

#[test]
fn a_server_that_dies_over_a_request_carries_it_out_once() {
    for fault in ["create.record:before", "create.record:after", "launch.keeper:after"] {
        let mut ground = ground(OPEN);
        let _ = ground.server.stop();
        ground.server.restart_with(&["--fault", fault]);
        let running = ground.start(&["--quiet"], "echo once");
        ground.server.died();
        ground.server.restart();
        let output: custody_tests::Output = running.wait_with_output().expect("it ends").into();
        assert_eq!(output.succeeded().stdout, "once\n", "{fault}");
        let list = ["session", "list", "-o", "json"];
        let listed = ground.server.custody(&ground.dana, ground.here(), &list).succeeded();
        assert_eq!(listed.json().as_array().map(Vec::len), Some(1), "{fault}: {}", listed.stdout);
    }
}

#[test]
fn a_server_that_is_asked_to_end_drains_and_leaves_sessions_to_the_next() {
    let mut ground = ground(OPEN);
    let mut running = ground.start(&["--quiet"], "echo begun; exec sleep 1000");
    let mut output = BufReader::new(running.stdout.take().expect("a pipe"));
    read_until(&mut output, "begun");
    assert_eq!(ground.server.stop(), Some(0), "{}", ground.server.log());
    ground.server.restart();
    let stop = ["session", "stop", "last"];
    let _ = ground.server.custody(&ground.dana, ground.here(), &stop).succeeded();
    let _ = running.wait().expect("it ends");
    assert_eq!(ground.state("last"), "sealed");
    assert_eq!(ground.server.stop(), Some(0), "{}", ground.server.log());
    let left = until("nothing to be left", || {
        let census = Census::of(&ground.installation);
        census.is_empty().then_some(census)
    });
    assert!(left.is_empty());
    ground.server.restart();
}

#[test]
fn one_state_has_one_server_and_commands_without_a_url_use_it() {
    let ground = ground(OPEN);
    let second = ground.installation.custody(ground.here(), &["serve", "--listen", "127.0.0.1:0"]);
    assert_eq!(second.code, Some(72), "{}", second.text());
    let reindex = ground.installation.custody(ground.here(), &["reindex"]);
    assert_eq!(reindex.code, Some(72), "{}", reindex.text());
    let id = ground.detach("exit 0");
    let listed = ground.installation.custody(ground.here(), &["session", "list"]).succeeded();
    assert!(listed.stdout.contains(&id), "{}", listed.stdout);
    let me = ground.installation.custody(ground.here(), &["user", "list"]).succeeded();
    assert!(me.stdout.contains("dana"), "the local operator needs no token: {}", me.stdout);
}

#[test]
fn who_is_not_known_is_told_how_to_log_in() {
    let ground = ground(OPEN);
    let mut command = ground.server.command(&ground.dana, ground.here(), &["session", "list"]);
    let output: custody_tests::Output =
        command.env("CUSTODY_TOKEN", "not.a.token").output().expect("custody starts").into();
    assert_eq!(output.code, Some(76), "{}", output.text());
    assert!(output.stderr.contains("custody login"), "{}", output.stderr);
    let mut command = ground.server.command(&ground.dana, ground.here(), &["session", "list"]);
    let nowhere = command.env("CUSTODY_URL", "http://127.0.0.1:1").output();
    let nowhere: custody_tests::Output = nowhere.expect("custody starts").into();
    assert_eq!(nowhere.code, Some(78), "{}", nowhere.text());
}

#[test]
fn a_detached_session_goes_on_without_any_server() {
    let (installation, repository) = (Installation::new(), Repository::example());
    let run = ["run", "--detach", "--", "sh", "-c", "sleep 0.3; echo late >late.txt"];
    let id = installation.custody(repository.path(), &run).succeeded().stdout.trim().to_owned();
    let watch = ["session", "watch", &id];
    let seen = installation.custody(repository.path(), &watch).succeeded();
    assert!(seen.stdout.contains("session.closed"), "{}", seen.text());
    let apply = ["session", "apply", &id];
    let _ = installation.custody(repository.path(), &apply).succeeded();
    assert_eq!(repository.git(&["show", "HEAD:late.txt"]), "late");
}
