//! The repository that is asked about: commits of sessions, the same rewritten, and the same on another base.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use custody_investigate::history::Repository;
use custody_model::{GitOid, WorkspacePath};

use super::Failed;
use crate::fixture::run;

/// Commits, each of another session.
pub(crate) const COMMITS: usize = 100;

/// Files of the repository.
pub(crate) const FILES: usize = 1_000;

/// Lines of each.
const LINES: usize = 20;

/// Name of the mirror.
pub(crate) const NAME: &str = "shop";

/// A commit of a session.
pub(crate) struct Commit {
    pub(crate) commit: GitOid,
    pub(crate) tree: GitOid,
    pub(crate) parents: Vec<GitOid>,
    pub(crate) files: Vec<(WorkspacePath, GitOid)>,
    /// The line that it changes in its first file.
    pub(crate) line: usize,
}

/// The repository.
pub(crate) struct History {
    pub(crate) repository: Repository,
    /// Those of the branch `main`, the oldest first.
    pub(crate) commits: Vec<Commit>,
}

/// Name of a file.
pub(crate) fn file(number: usize) -> String {
    format!("src/part{:02}/file{:03}.rs", number / 50, number)
}

/// The files that a commit changes: one to five.
fn changed(commit: usize) -> impl Iterator<Item = usize> {
    (0..=commit % 5).map(move |n| (commit * 37 + n * 211) % FILES)
}

fn line(commit: usize) -> usize {
    commit % LINES + 1
}

impl History {
    /// Makes it with one `git fast-import`.
    pub(crate) fn make(path: &Path) -> Result<Self, Failed> {
        run(Command::new("git").args(["init", "--quiet", "--bare"]).arg(path))
            .map_err(|error| error.to_string())?;
        let mut import = Command::new("git")
            .arg("-C")
            .arg(path)
            .args(["fast-import", "--quiet"])
            .stdin(Stdio::piped())
            .spawn()?;
        let stdin = import.stdin.take().ok_or("fast-import has no input")?;
        let mut stdin = std::io::BufWriter::new(stdin);
        for (branch, message, extra) in [
            ("main", "Change", false),
            ("rewritten", "Change again", false),
            ("ported", "Port", true),
        ] {
            stdin.write_all(stream(branch, message, extra)?.as_bytes())?;
        }
        stdin.flush()?;
        drop(stdin);
        if !import.wait()?.success() {
            return Err("git fast-import failed".into());
        }
        let repository = Repository::at(path);
        let mut commits = Vec::new();
        for number in 0..COMMITS {
            let facts = repository.commit(&format!("main~{}", COMMITS - 1 - number))?;
            let files = repository.changed_blobs(&facts.commit)?;
            let (commit, tree, parents) = (facts.commit, facts.tree, facts.parents);
            commits.push(Commit { commit, tree, parents, files, line: line(number) });
        }
        Ok(Self { repository, commits })
    }

    /// What is asked: each commit by its own id, by its tree, by its contents, and by a line of it.
    pub(crate) fn questions(&self) -> Vec<String> {
        let mut questions = Vec::new();
        for (number, commit) in self.commits.iter().enumerate() {
            let back = COMMITS - 1 - number;
            questions.push(commit.commit.to_string());
            questions.push(format!("rewritten~{back}"));
            questions.push(format!("ported~{back}"));
            let path = file(number * 37 % FILES);
            questions.push(format!("{path}:{}@{}", commit.line, commit.commit));
        }
        questions
    }
}

/// One branch: a base with all files, then the commits.
fn stream(branch: &str, message: &str, extra: bool) -> Result<String, std::fmt::Error> {
    let mut text = String::new();
    let mut contents: Vec<Vec<String>> = (0..FILES)
        .map(|number| (1..=LINES).map(|line| format!("line {line} of file {number}")).collect())
        .collect();
    let person = "Dana Developer <dana@example.org>";
    let commit = |text: &mut String, number: usize, message: &str| {
        let at = 1_700_000_000 + number;
        writeln!(text, "commit refs/heads/{branch}\ncommitter {person} {at} +0000")?;
        writeln!(text, "data {}\n{message}", message.len())
    };
    let put = |text: &mut String, path: &str, lines: &[String]| {
        let content = lines.join("\n") + "\n";
        writeln!(text, "M 100644 inline {path}\ndata {}\n{content}", content.len())
    };
    commit(&mut text, 0, "Begin")?;
    for (number, lines) in contents.iter().enumerate() {
        put(&mut text, &file(number), lines)?;
    }
    put(&mut text, "README.md", &["Read me.".to_owned()])?;
    if extra {
        put(&mut text, "elsewhere.txt", &["Another base.".to_owned()])?;
    }
    for number in 0..COMMITS {
        commit(&mut text, number + 1, &format!("{message} {number}"))?;
        for changed in changed(number) {
            contents[changed][line(number) - 1] = format!("changed in {number}");
            put(&mut text, &file(changed), &contents[changed])?;
        }
    }
    Ok(text)
}
