//! Read-only questions to git: what a revision is, where a line came from, what a commit changed.
//!
//! The answers are those of the `git` program, asked in its plumbing formats. It is only ever run on repositories
//! that belong to the person who asks or to Custody, never on an agent's.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use custody_model::{GitOid, WorkspacePath};

/// A repository to ask: a checkout or a bare mirror.
#[derive(Clone, Debug)]
pub struct Repository {
    path: PathBuf,
}

/// Why git gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// The program could not be run.
    #[error("git could not be run; install it or put it on the PATH")]
    Run(#[source] std::io::Error),
    /// It said no.
    #[error("git {command}: {stderr}")]
    Git {
        /// What was asked.
        command: String,
        /// What it said.
        stderr: String,
    },
    /// The program ends, and nobody waits for git any more.
    #[error("the question to git was given up, because the program ends")]
    Ended,
    /// It said something that is not its format.
    #[error("git {command} answered in a form that is not known: {answer:?}")]
    Answer {
        /// What was asked.
        command: String,
        /// What it said.
        answer: String,
    },
}

/// Where a line came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The commit that brought it; `None` for a line that is not committed yet.
    pub commit: Option<GitOid>,
    /// The file's path in that commit.
    pub path: WorkspacePath,
    /// The line's number in that commit, from 1.
    pub line: u64,
    /// The line itself, without its end; bytes that are not UTF-8 are replaced.
    pub text: String,
}

/// What a commit is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommitFacts {
    /// The commit.
    pub commit: GitOid,
    /// Its tree.
    pub tree: GitOid,
    /// Its parents.
    pub parents: Vec<GitOid>,
    /// Values of its `Custody-Session:` trailers: anybody can write them.
    pub declared_sessions: Vec<String>,
}

impl Repository {
    /// The repository at or above `path`.
    #[must_use]
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The commit that `rev` names.
    ///
    /// # Errors
    /// If there is none.
    pub fn commit(&self, rev: &str) -> Result<CommitFacts, HistoryError> {
        let spec = format!("{rev}^{{commit}}");
        let id = self
            .ask(["rev-parse", "--verify", "--quiet", "--end-of-options", &spec])
            .map_err(|e| match e {
                HistoryError::Git { command, .. } => HistoryError::Git {
                    command,
                    stderr: format!("{rev:?} names no commit of {}", self.path.display()),
                },
                other @ (HistoryError::Run(_)
                | HistoryError::Ended
                | HistoryError::Answer { .. }) => other,
            })?;
        let format = "--format=%H%n%T%n%P%n%(trailers:key=Custody-Session,valueonly,unfold)";
        let answer = self.ask(["show", "--no-patch", "--no-show-signature", format, id.trim()])?;
        let unknown = || HistoryError::Answer { command: "show".into(), answer: answer.clone() };
        let mut lines = answer.lines();
        let mut oid = || lines.next().and_then(|l| l.parse::<GitOid>().ok()).ok_or_else(unknown);
        let (commit, tree) = (oid()?, oid()?);
        let parents = lines.next().unwrap_or_default().split_whitespace();
        let parents = parents.map(str::parse).collect::<Result<_, _>>().map_err(|_| unknown())?;
        let declared_sessions =
            lines.map(str::trim).filter(|l| !l.is_empty()).map(str::to_owned).collect();
        Ok(CommitFacts { commit, tree, parents, declared_sessions })
    }

    /// Where line `line` (from 1) of `path` came from, as of `rev`, or of the working tree without it. Follows renames
    /// and copies within commits.
    ///
    /// # Errors
    /// If there is no such file or line.
    pub fn blame(
        &self,
        path: &WorkspacePath,
        line: u64,
        rev: Option<&str>,
    ) -> Result<Origin, HistoryError> {
        let range = format!("-L{line},{line}");
        let mut args = vec!["blame", "--porcelain", "-C", "-M", &range];
        args.extend(rev);
        args.push("--");
        let mut command = self.command(&args);
        command.arg(path.as_path());
        let answer = run(command, "blame")?;
        parse_blame(&answer, path).ok_or(HistoryError::Answer { command: "blame".into(), answer })
    }

    /// The blob at `path` of `commit`; `None` if there is none.
    ///
    /// # Errors
    /// If git can't be asked.
    pub fn blob(
        &self,
        commit: &GitOid,
        path: &WorkspacePath,
    ) -> Result<Option<GitOid>, HistoryError> {
        let mut command = self.command(["ls-tree", "-z", "--full-tree", commit.as_str(), "--"]);
        command.arg(path.as_path());
        let answer = run(command, "ls-tree")?;
        Ok(parse_tree_entry(&answer))
    }

    /// The files that `commit` adds or modifies against its first parent, with their new blobs.
    ///
    /// # Errors
    /// If git can't be asked.
    pub fn changed_blobs(
        &self,
        commit: &GitOid,
    ) -> Result<Vec<(WorkspacePath, GitOid)>, HistoryError> {
        let answer = run_bytes(
            self.command([
                "diff-tree",
                "-r",
                "-z",
                "--root",
                "-m",
                "--first-parent",
                "--no-commit-id",
                "--no-renames",
                "--diff-filter=AMT",
                commit.as_str(),
            ]),
            "diff-tree",
        )?;
        Ok(parse_raw_diff(&answer))
    }

    /// The top of the checkout, if this is one.
    ///
    /// # Errors
    /// If this is no repository.
    pub fn top(&self) -> Result<Option<PathBuf>, HistoryError> {
        let answer = run_bytes(self.command(["rev-parse", "--show-toplevel"]), "rev-parse");
        match answer {
            Ok(bytes) => {
                use std::os::unix::ffi::OsStrExt;
                let line = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
                Ok(Some(PathBuf::from(OsStr::from_bytes(line))))
            }
            Err(HistoryError::Git { stderr, .. }) if stderr.contains("work tree") => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn ask<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> Result<String, HistoryError> {
        let args: Vec<&str> = args.into_iter().collect();
        run(self.command(&args), args[0])
    }

    fn command<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Command {
        let mut command = Command::new("git");
        command
            .arg("-C")
            .arg(&self.path)
            .args(["--no-pager", "--literal-pathspecs", "-c", "core.quotePath=false"])
            .args(["-c", "core.fsmonitor=false", "-c", "blame.markIgnoredLines=false"])
            .args(args)
            .env("LC_ALL", "C")
            .env("GIT_OPTIONAL_LOCKS", "0")
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_NO_LAZY_FETCH", "1")
            .stdin(Stdio::null());
        command
    }
}

fn run(command: Command, name: &str) -> Result<String, HistoryError> {
    run_bytes(command, name).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}

fn run_bytes(mut command: Command, name: &str) -> Result<Vec<u8>, HistoryError> {
    let output = command.output().map_err(HistoryError::Run)?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    let stderr = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(HistoryError::Git { command: name.to_owned(), stderr })
}

/// Reads one entry of `git blame --porcelain`.
fn parse_blame(answer: &str, asked: &WorkspacePath) -> Option<Origin> {
    let mut lines = answer.lines();
    let mut head = lines.next()?.split(' ');
    let commit: GitOid = head.next()?.parse().ok()?;
    let line = head.next()?.parse().ok()?;
    let mut path = asked.clone();
    let mut text = None;
    for line in lines {
        if let Some(name) = line.strip_prefix("filename ") {
            path = WorkspacePath::from_bytes(name.as_bytes()).ok()?;
        } else if let Some(content) = line.strip_prefix('\t') {
            text = Some(content.to_owned());
        }
    }
    let committed = commit.as_str().bytes().any(|b| b != b'0');
    Some(Origin { commit: committed.then_some(commit), path, line, text: text? })
}

/// Reads the one entry of `git ls-tree -z` for a file.
fn parse_tree_entry(answer: &str) -> Option<GitOid> {
    let entry = answer.split('\0').next()?;
    let (facts, _path) = entry.split_once('\t')?;
    let mut facts = facts.split(' ');
    let (_mode, kind, oid) = (facts.next()?, facts.next()?, facts.next()?);
    (kind == "blob").then(|| oid.parse().ok()).flatten()
}

/// Reads `git diff-tree -r -z`: `:mode mode blob blob status NUL path NUL` for each file.
fn parse_raw_diff(answer: &[u8]) -> Vec<(WorkspacePath, GitOid)> {
    let mut fields = answer.split(|b| *b == 0);
    let mut changed = Vec::new();
    while let (Some(facts), Some(path)) = (fields.next(), fields.next()) {
        let facts = String::from_utf8_lossy(facts);
        let blob = facts.split(' ').nth(3).and_then(|oid| oid.parse().ok());
        if let (Some(blob), Ok(path)) = (blob, WorkspacePath::from_bytes(path)) {
            changed.push((path, blob));
        }
    }
    changed
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_answer_makes_a_parser_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), text in "\\PC*") {
            let _ = parse_raw_diff(&bytes);
            let _ = parse_tree_entry(&text);
            let _ = parse_blame(&text, &WorkspacePath::root());
        }
    }

    #[test]
    fn a_line_that_is_not_committed_has_no_origin() {
        let answer = format!("{} 3 3 1\nauthor x\nfilename a b.rs\n\tlet x;\n", "0".repeat(40));
        let origin = parse_blame(&answer, &WorkspacePath::root()).unwrap();
        assert_eq!(origin.commit, None);
        assert_eq!(origin.path.to_string(), "a b.rs");
        assert_eq!((origin.line, origin.text.as_str()), (3, "let x;"));
    }
}
