//! Attributed lines: those that git blames on the session's commits, no more.

use std::collections::{BTreeMap, BTreeSet};

use custody_tests::{Installation, Repository};
use serde_json::Value;

use crate::validator::valid;

/// Lines by their path.
type Lines = BTreeMap<String, BTreeSet<u64>>;

/// What a note attests.
fn attested(note: &str) -> Lines {
    let mut lines = Lines::new();
    let mut path = String::new();
    for line in note.lines().take_while(|line| *line != "---") {
        match line.strip_prefix("  ") {
            None => path = line.trim_matches('"').to_owned(),
            Some(entry) => {
                let (_, ranges) = entry.split_once(' ').expect("a key and ranges");
                for range in ranges.split(',') {
                    let (from, to) = range.split_once('-').unwrap_or((range, range));
                    let (from, to): (u64, u64) = (from.parse().unwrap(), to.parse().unwrap());
                    lines.entry(path.clone()).or_default().extend(from..=to);
                }
            }
        }
    }
    lines
}

/// What git blames on a commit, in the files as they are in it; moved and copied lines are blamed on where they came from.
fn blamed(repository: &Repository, commit: &str) -> Lines {
    let mut lines = Lines::new();
    let files =
        repository.git(&["-c", "core.quotePath=false", "ls-tree", "-r", "--name-only", commit]);
    for file in files.lines().filter(|file| !file.contains("binary")) {
        let blame = repository.git(&[
            "blame",
            "-s",
            "-l",
            "-C",
            "-C",
            "-C",
            "--porcelain",
            commit,
            "--",
            file,
        ]);
        for line in blame.lines().filter(|line| !line.starts_with('\t')) {
            let mut words = line.split(' ');
            if words.next() == Some(commit) {
                let number = words.nth(1).and_then(|n| n.parse().ok()).expect("a line's number");
                lines.entry(file.to_owned()).or_default().insert(number);
            }
        }
    }
    lines
}

const SCRIPT: &str = "set -e
git config user.name A; git config user.email a@example.org
seq 1 40 | sed 's/$/ long enough to be told apart from every other/' >made.txt
sed -i '3s/.*/int more;/' 'with space.c'
git add --all; git commit --quiet --message 'Make'
git mv long.txt moved.txt
sed -i '5s/.*/changed after the move/' moved.txt
{ printf '\\0'; head -c 300 /dev/urandom; } >binary.bin
printf 'no line end' >tail.txt
git add --all; git commit --quiet --message 'Move'
printf '@@ -1 +1 @@\\n+++ b/evil\\n--- a/evil\\n' >evil.txt
sed -i '10d;20a inserted' made.txt
printf 'x\\n' >\"$(printf 'caf\\303\\251.txt')\"";

#[test]
fn lines_are_attributed_exactly_as_git_blames_them_and_moved_ones_are_not() {
    let repository = Repository::new();
    let long: String =
        (1..=60).map(|n| format!("line {n} of the people who were here before\n")).collect();
    repository
        .file("long.txt", &long)
        .file("with space.c", "int a;\nint b;\nint c;\nint d;\n")
        .file("tail.txt", "first\n")
        .commit("Start");
    let installation = Installation::new();
    let output = installation.run(&repository, &["--quiet"], SCRIPT);
    assert_eq!(output.code, Some(0), "{}", output.text());
    let applied = installation.custody(repository.path(), &["session", "apply", "last"]);
    let _ = applied.succeeded();
    let attach = ["--output", "json", "export", "last", "--format", "git-ai", "--write", "."];
    let said = installation.custody(repository.path(), &attach).succeeded().json();
    let notes = said["notes"].as_array().expect("notes");
    assert_eq!(notes.len(), 3, "{said}");
    assert_eq!(said["summary"]["dropped"]["file that is not text"], 1, "{said}");
    let mut total = 0;
    for note in notes {
        assert_eq!(note["note"], "written", "{said}");
        let commit = note["commit"].as_str().expect("a commit");
        let text = repository.git(&["notes", "--ref=refs/notes/ai", "show", commit]);
        let counts = valid("git-ai", text.as_bytes());
        let attested = attested(&text);
        total += attested.values().map(BTreeSet::len).sum::<usize>();
        assert_eq!(attested, blamed(&repository, commit), "{text}");
        assert_eq!(counts["files"], attested.len());
        assert!(!attested.contains_key("moved.txt") || attested["moved.txt"].len() == 1);
    }
    println!("{total} lines of 3 commits are attributed as git blames them");

    // Again it is the same; and a log of others is not replaced.
    let again = installation.custody(repository.path(), &attach).succeeded().json();
    let known =
        |said: &Value| said["notes"].as_array().unwrap().iter().all(|n| n["note"] == "known");
    assert!(known(&again), "{again}");
    let last = notes[2]["commit"].as_str().unwrap();
    repository.git(&["notes", "--ref=refs/notes/ai", "add", "--force", "--message", "mine", last]);
    let taken = installation.custody(repository.path(), &attach).succeeded().json();
    assert_eq!(taken["notes"][2]["note"], "taken", "{taken}");
    let elsewhere = Repository::example();
    let missing = installation.custody(elsewhere.path(), &attach).succeeded().json();
    assert_eq!(missing["notes"][0]["note"], "missing", "{missing}");

    // The same lines as Agent Trace records.
    let traced =
        installation.custody(repository.path(), &["export", "last", "--format", "agent-trace"]);
    let traced = traced.succeeded().stdout;
    assert_eq!(valid("agent-trace", traced.as_bytes())["lines"], total);
}
