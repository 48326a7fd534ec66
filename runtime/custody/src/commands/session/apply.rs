//! `custody session apply`: fetch a session's branch into this checkout and merge it.

use std::process::{Command, Stdio};

use custody_model::{ErrorCode, SessionId};
use custody_session::records;
use serde_json::json;

use crate::failure::{Explain, Failure};
use crate::output;
use crate::wire::Wire;

/// Fetches with plain git, as anybody could; the user's own git merges, with his configuration and hooks.
pub(super) fn apply(wire: &Wire, session: SessionId, fetch_only: bool) -> Result<(), Failure> {
    let spec = records::spec(&wire.state, session)
        .explain(ErrorCode::NotFound, format!("session {session} can't be read"))?;
    let summary = super::summary_of(wire, session)?;
    let Some(last) = summary.commits.last() else {
        return Err(Failure::new(
            ErrorCode::NotFound,
            format!("session {session} left no changes"),
        ));
    };
    let branch = last.commit.branch.clone();
    let mirror = wire.state.repositories().join(format!("{}.git", spec.repository));
    let refspec = format!("+refs/heads/{branch}:refs/heads/{branch}");
    git(&["fetch", "--no-tags", &mirror.display().to_string(), &refspec])?;
    if !fetch_only {
        git(&["merge", "--no-edit", &branch]).map_err(|failure| {
            failure.hint(format!(
                "the branch {branch} is here; settle the conflict, or `git merge --abort`"
            ))
        })?;
    }
    let value = json!({ "session": session, "branch": branch, "commit": last.commit.commit, "merged": !fetch_only });
    output::result(wire.format, &value, || match fetch_only {
        true => format!("fetched {branch}"),
        false => format!("merged {branch}"),
    })
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
