//! `custody session apply`: a session's branch, in this checkout, and merged.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use custody_api_types::output::Outputs;
use custody_api_types::session::Session;
use custody_model::ErrorCode;
use custody_workspace::outputs::Identity;
use serde_json::json;

use super::MAX_DOWNLOAD_BYTES;
use crate::connect::Connection;
use crate::failure::{Explain, Failure};
use crate::output;
use crate::wire::Wire;

/// Fetches with plain git, as anybody could, where the mirror is on this machine; otherwise the branch is made anew from
/// the diff, and only if it gives the very tree that is on record. The user's own git merges, with his configuration and
/// hooks.
pub(super) fn apply(
    wire: &Wire,
    server: &Connection,
    session: &Session,
    fetch_only: bool,
) -> Result<(), Failure> {
    let outputs = server.wait(server.client().outputs(session.id))?;
    let Some(branch) = outputs.branch.clone() else {
        let message = format!("session {} left no changes", session.id);
        return Err(Failure::new(ErrorCode::NotFound, message));
    };
    if server.target().is_here() && Path::new(&outputs.mirror).exists() {
        let refspec = format!("+refs/heads/{branch}:refs/heads/{branch}");
        git(&["fetch", "--no-tags", &outputs.mirror, &refspec])?;
    } else {
        rebuild(server, session, &outputs, &branch)?;
    }
    if !fetch_only {
        git(&["merge", "--no-edit", &branch]).map_err(|failure| {
            failure.hint(format!(
                "the branch {branch} is here; settle the conflict, or `git merge --abort`"
            ))
        })?;
    }
    let commit = outputs.commits.last().map(|last| last.commit.clone());
    let value = json!({
        "session": session.id, "branch": branch, "commit": commit, "merged": !fetch_only,
    });
    output::result(wire.format, &value, || match fetch_only {
        true => format!("fetched {branch}"),
        false => format!("merged {branch}"),
    })
}

/// The session's changes as one commit on its base, with the tree that is on record.
fn rebuild(
    server: &Connection,
    session: &Session,
    outputs: &Outputs,
    branch: &str,
) -> Result<(), Failure> {
    let Some(last) = outputs.commits.last() else {
        return Err(Failure::new(
            ErrorCode::RecordIncomplete,
            "the session's commits are not on record yet",
        ));
    };
    let base = session.base_commit.to_string();
    git(&["cat-file", "-e", &format!("{base}^{{commit}}")]).map_err(|failure| {
        failure.hint(format!("fetch {base} first: the session started from it"))
    })?;
    let diff = server
        .wait(async { server.client().diff(session.id).await?.bytes(MAX_DOWNLOAD_BYTES).await })?;
    let dir = tempfile::tempdir().explain(ErrorCode::Io, "there is no room for an index")?;
    let index = dir.path().join("index");
    let with = |words: &[&str], input: &[u8]| ask(words, Some(&index), input);
    with(&["read-tree", &base], b"")?;
    with(&["apply", "--cached", "--binary", "--whitespace=nowarn", "-"], &diff)?;
    let tree = with(&["write-tree"], b"")?;
    if tree != last.tree.to_string() {
        let message = "the diff does not give the tree that is on record";
        return Err(Failure::new(ErrorCode::VerificationFailed, message).hint(format!(
            "it may have been too large to be kept whole: fetch {branch} from {} on the server's machine",
            outputs.mirror
        )));
    }
    let message = format!(
        "{}\n\nThe commits of the session as one, made from its diff.\n\nCustody-Session: {}\n",
        crate::render::command_line(&session.command),
        session.id
    );
    let commit = ask(&["commit-tree", &tree, "-p", &base], None, message.as_bytes())?;
    git(&["update-ref", &format!("refs/heads/{branch}"), &commit])
}

fn git(words: &[&str]) -> Result<(), Failure> {
    let status = Command::new("git")
        .args(words)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status()
        .explain(ErrorCode::EnvironmentLacks, "git could not be run")?;
    match status.success() {
        true => Ok(()),
        false => Err(Failure::new(ErrorCode::Conflict, format!("git {} failed", words[0]))),
    }
}

/// What git says to this input, trimmed.
fn ask(words: &[&str], index: Option<&Path>, input: &[u8]) -> Result<String, Failure> {
    let failed = format!("git {} could not be run", words[0]);
    let mut command = Command::new("git");
    command.args(words).stdin(Stdio::piped()).stdout(Stdio::piped());
    if let Some(index) = index {
        command.env("GIT_INDEX_FILE", index);
    }
    // What is committed here is a session's work, as its record has it, and not that of whoever applies it.
    let Identity { name, email } = Identity::custody();
    for who in ["AUTHOR", "COMMITTER"] {
        command.env(format!("GIT_{who}_NAME"), &name).env(format!("GIT_{who}_EMAIL"), &email);
    }
    let mut child = command.spawn().explain(ErrorCode::EnvironmentLacks, failed.clone())?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(input).explain(ErrorCode::Io, failed.clone())?;
    }
    let output = child.wait_with_output().explain(ErrorCode::Io, failed)?;
    if !output.status.success() {
        return Err(Failure::new(ErrorCode::Conflict, format!("git {} failed", words[0])));
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
