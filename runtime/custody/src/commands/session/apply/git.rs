//! Git in the user's own checkout: with his configuration, without hooks, and with what to do where it refuses.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use custody_model::ErrorCode;

use crate::failure::{Explain, Failure};

/// A hook would run with the session's files in its hands.
const NO_HOOKS: [&str; 2] = ["-c", "core.hooksPath=/dev/null"];

/// What git says when it refuses, and what to do then. The first that is found counts.
const REFUSALS: [(&str, &str); 17] = [
    (
        "lacks these prerequisite commits",
        "fetch the commit that the session started from first (`custody session show` names it)",
    ),
    (
        "refusing to merge unrelated histories",
        "the session's branch has no commit in common with this checkout's: is it the right repository?",
    ),
    (
        "untracked working tree files would be overwritten",
        "move or remove the untracked files that git names, and apply again",
    ),
    (
        "Untracked working tree file",
        "move or remove the untracked files that git names, and apply again",
    ),
    (
        "you have unmerged files",
        "settle the conflicts that are there already (`git status` names them), and apply again",
    ),
    (
        "Your local changes to the following files would be overwritten",
        "commit or stash your changes (`git stash`), and apply again",
    ),
    (
        "your index file is unmerged",
        "settle the conflicts that are there already (`git status` names them), and apply again",
    ),
    (
        "You have not concluded your merge",
        "another merge is under way: finish it (`git commit`) or give it up (`git merge --abort`), and apply again",
    ),
    (
        "MERGE_HEAD exists",
        "another merge is under way: finish it (`git commit`) or give it up (`git merge --abort`), and apply again",
    ),
    (
        "CHERRY_PICK_HEAD exists",
        "a cherry-pick is under way: finish it (`git cherry-pick --continue`) or give it up (`--abort`), and apply again",
    ),
    ("CONFLICT", "settle the conflicts and `git commit`, or give up with `git merge --abort`"),
    (
        "refusing to fetch into branch",
        "the session's branch is checked out here or in a linked work tree: `git switch` to the branch that is to have it",
    ),
    ("cannot lock ref", "a branch stands where the session's would: rename it (`git branch -m`)"),
    ("index.lock", "another git is at work in this checkout, or one was killed: see what git says"),
    (
        "unable to auto-detect email address",
        "tell git who you are: `git config user.name …; git config user.email …`",
    ),
    (
        "must be run in a work tree",
        "a bare repository has nothing to merge into: use --fetch-only, or apply in a checkout",
    ),
    ("dubious ownership", "apply as the user to whom the checkout belongs"),
];

/// Runs git; its output is shown only if it fails.
pub(super) fn git(words: &[&str]) -> Result<(), Failure> {
    ask(words).map(drop)
}

/// Whether it succeeds.
pub(super) fn asks(words: &[&str]) -> Result<bool, Failure> {
    Ok(run(words)?.status.success())
}

/// What git says, trimmed.
pub(super) fn ask(words: &[&str]) -> Result<String, Failure> {
    let output = run(words)?;
    if !output.status.success() {
        return Err(refused(words[0], &output));
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// As [`ask`], in a submodule's checkout.
pub(super) fn ask_in(place: &Path, words: &[&str]) -> Result<String, Failure> {
    let output = run_in(place, words)?;
    if !output.status.success() {
        return Err(refused(words[0], &output));
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// As [`asks`], in a submodule's checkout.
pub(super) fn asks_in(place: &Path, words: &[&str]) -> Result<bool, Failure> {
    Ok(run_in(place, words)?.status.success())
}

fn run(words: &[&str]) -> Result<Output, Failure> {
    run_in(Path::new("."), words)
}

fn run_in(place: &Path, words: &[&str]) -> Result<Output, Failure> {
    let mut command = Command::new("git");
    // Its words are looked at.
    command.args(NO_HOOKS).args(words).env("LC_ALL", "C").stdin(Stdio::null());
    command.current_dir(place);
    command
        .output()
        .explain(ErrorCode::EnvironmentLacks, format!("git {} could not be run", words[0]))
}

/// Git's own words, and what to do.
fn refused(what: &str, output: &Output) -> Failure {
    let said = [&output.stdout[..], &output.stderr[..]].concat();
    let said = String::from_utf8_lossy(&said);
    let lines: Vec<_> =
        said.lines().map(str::trim).filter(|line| !line.starts_with("hint:")).collect();
    let failure = Failure::new(
        ErrorCode::Conflict,
        format!("git {what} failed: {}", crate::render::tame(&lines.join("; "))),
    );
    match hint(&said) {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}

fn hint(said: &str) -> Option<&'static str> {
    REFUSALS.iter().find(|(words, _)| said.contains(words)).map(|(_, hint)| *hint)
}
