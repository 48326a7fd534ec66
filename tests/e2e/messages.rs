//! What somebody without a server reads when a command can't be done: each error names what is wrong and says what to do.

use custody_tests::{Installation, Repository};

/// Nobody with a checkout and a sandbox alone has these, or is asked for one.
const OF_OTHERS: [&str; 7] =
    ["server", "admin", "token", "operator", "log in", "custody login", "`field`"];

/// A command that can't be done.
struct Provoked<'a> {
    arguments: &'a [&'a str],
    code: i32,
    /// What is wrong, as its message names it.
    names: &'a str,
    /// What to do about it, in its message or in the line below.
    says: &'a str,
}

const fn provoked<'a>(
    arguments: &'a [&'a str],
    code: i32,
    names: &'a str,
    says: &'a str,
) -> Provoked<'a> {
    Provoked { arguments, code, names, says }
}

#[track_caller]
fn check(installation: &Installation, directory: &std::path::Path, one: &Provoked<'_>) {
    let output = installation.custody(directory, one.arguments);
    let shown: Vec<String> =
        one.arguments.iter().map(|word| word.chars().take(40).collect()).collect();
    let text = &output.stderr;
    assert_eq!(output.code, Some(one.code), "{shown:?}: {}", output.text());
    assert!(text.contains(one.names), "{shown:?} does not name {:?}: {text}", one.names);
    assert!(text.contains(one.says), "{shown:?} does not say {:?}: {text}", one.says);
    for word in OF_OTHERS {
        assert!(!text.contains(word), "{shown:?} speaks of {word:?}: {text}");
    }
}

#[test]
fn an_error_without_a_server_names_what_is_wrong_and_what_to_do() {
    let (installation, repository) = (Installation::new(), Repository::example());
    let _session = installation.run(&repository, &["-q"], "true").succeeded();
    let long = "a".repeat(131_071);
    let many: Vec<&str> = vec![&long; 9];
    let many = [&["run", "--", "sh"], many.as_slice()].concat();
    let bad = installation.policy("version: custody/policy/v1\nname: bad\nrequestors: []\n");
    let closed = tempfile::NamedTempFile::new().expect("a file");
    let refusing = "version: custody/policy/v1\nname: strict\nrequesters: { users: [\"*\"] }\n\
                    images: [host]\ncommands: [{ allow: [make] }]\n";
    std::fs::write(closed.path(), refusing).expect("written");
    let closed = closed.path().to_str().expect("UTF-8");
    let bad = ["run", "--policy", &bad, "--", "true"];
    let closed = ["run", "--policy", closed, "--", "sh", "-c", "true"];
    let table = [
        provoked(&["run", "--", ""], 67, "command: it has no program", "name one"),
        provoked(&many, 67, "command: its arguments take", "standard input"),
        provoked(&["run", "--base", "nope", "--", "true"], 67, "base: \"nope\"", "git log"),
        provoked(&["run", "--repo", "/nonexistent", "--", "true"], 66, "/nonexistent", "--repo"),
        provoked(&["run", "--repo", "unknown", "--", "true"], 66, "unknown", "--repo"),
        provoked(&["run", "--project", "other", "--", "true"], 66, "project other", "project list"),
        provoked(&["run", "--memory", "1kB", "--", "true"], 67, "limits.memory_bytes", "give more"),
        provoked(&["run", "--memory", "much", "--", "true"], 2, "--memory", "as in 2GiB"),
        provoked(&["run", "--processes", "1", "--", "true"], 67, "limits.processes", "give more"),
        provoked(&["run", "--processes", "0", "--", "true"], 67, "limits.processes", "give more"),
        provoked(&["run", "--cpus", "0", "--", "true"], 2, "--cpus", "more than 0"),
        provoked(&["run", "--timeout", "0s", "--", "true"], 2, "--timeout", "as in 30m"),
        provoked(&["run", "--env", "NOT_SET", "--", "true"], 66, "--env NOT_SET", "NOT_SET=VALUE"),
        provoked(&["run", "--env", "A=b", "--", "true"], 66, "--env A=b", "A=VALUE"),
        provoked(&["run", "--policy", "/none", "--", "true"], 66, "/none", "leave --policy out"),
        provoked(&bad, 67, "requestors", "line 3"),
        provoked(&closed, 64, "`commands`", "session show"),
        provoked(&["run", "--image", "debian:12", "--", "true"], 64, "`images`", "session show"),
        provoked(&["run", "--", "no-such-program"], 127, "no-such-program", "session show"),
        provoked(&["run", "--", "/etc/passwd"], 126, "/etc/passwd", "session show"),
        provoked(&["run", "--timeout", "1s", "--", "sleep", "60"], 73, "wall time", "session show"),
        provoked(&["attach", "nope"], 66, "nope", "session list"),
        provoked(&["session", "show", "nope"], 66, "nope", "session list"),
        provoked(&["session", "stop", "last"], 72, "over already", "session list"),
        provoked(&["session", "approve", "last"], 72, "awaits an approval", "session list"),
        provoked(&["session", "signal", "last", "TERM"], 72, "session", "session list"),
        provoked(&["verify", "nope"], 66, "nope", "session list"),
        provoked(&["policy", "show"], 66, "no active policy", "policy create"),
    ];
    for one in &table {
        check(&installation, repository.path(), one);
    }
}

#[test]
fn an_error_where_nothing_is_there_yet_says_what_is_missing() {
    let installation = Installation::new();
    let nowhere = tempfile::TempDir::new().expect("a directory");
    let outside = provoked(&["run", "--", "true"], 66, "not in a git repository", "--repo");
    check(&installation, nowhere.path(), &outside);
    let empty = Repository::new();
    let table = [
        provoked(&["run", "--", "true"], 67, "HEAD", "commit something first"),
        provoked(&["session", "show", "last"], 66, "last", "custody run -- COMMAND"),
        provoked(
            &["run", "--state", "/proc/nothing", "--", "true"],
            74,
            "/proc/nothing can't be made",
            "--state",
        ),
    ];
    for one in &table {
        check(&installation, empty.path(), one);
    }
}

#[test]
fn a_failure_inside_is_told_with_its_cause_where_no_other_log_has_it() {
    let (installation, repository) = (Installation::new(), Repository::example());
    let _session = installation.run(&repository, &["-q"], "true").succeeded();
    // Where a directory has to be stands a file: one that is read before anything is asked for, and one that the request needs.
    for directory in ["sessions", "vault/sessions"] {
        let place = installation.state().join(directory);
        let kept = installation.state().join("kept");
        std::fs::rename(&place, &kept).expect("moved");
        std::fs::write(&place, "no directory").expect("written");
        let one = provoked(&["run", "--", "true"], 74, "Not a directory", "state directory");
        check(&installation, repository.path(), &one);
        std::fs::remove_file(&place).expect("removed");
        std::fs::rename(&kept, &place).expect("moved back");
    }
    let _mended = installation.run(&repository, &["-q"], "true").succeeded();
}
