//! `custody session apply`: a session's branch, in this checkout, and merged.

mod git;
mod submodules;

use std::path::Path;

use custody_api_types::output::{BranchQuery, Outputs};
use custody_api_types::session::Session;
use custody_model::{ErrorCode, WorkspacePath};
use custody_workspace::mirror::{RepositoryName, Source};
use serde_json::json;

use self::git::{ask, asks, git};
use crate::connect::Connection;
use crate::failure::{Explain, Failure};
use crate::output;
use crate::wire::Wire;

/// Fetches with plain git, as anybody could, where the mirror is on this machine; otherwise from a bundle that the server
/// hands out. The branch is the commit that is on record, or nothing. The user's own git merges, with his configuration; no
/// hook runs.
pub(super) fn apply(
    wire: &Wire,
    server: &Connection,
    session: &Session,
    fetch_only: bool,
) -> Result<(), Failure> {
    let outputs = server.wait(server.client().outputs(session.id))?;
    let Some(branch) = outputs.branch.clone() else {
        let message = format!("session {} left no changes", session.id);
        return Err(Failure::new(ErrorCode::NotFound, message)
            .hint(format!("`custody session show {}` lists what was not published", session.id)));
    };
    same_repository(server, session)?;
    if !fetch_only {
        ready()?;
    }
    let here = server.target().is_here() && Path::new(&outputs.mirror).exists();
    let places = submodules::places(&outputs.submodules, fetch_only)?;
    let from = From::of(server, session, here.then_some(outputs.mirror.as_str()), None)?;
    let name = format!("refs/heads/{branch}");
    let names = outputs.refs.iter().map(|one| &one.name).chain([&name]);
    let refspecs: Vec<_> = names.map(|name| format!("+{name}:{name}")).collect();
    let mut words = vec!["fetch", "--no-tags", "--no-recurse-submodules", from.name()?];
    words.extend(refspecs.iter().map(String::as_str));
    git(&words)?;
    on_record(&outputs, &name)?;
    let mut fetched = Vec::new();
    for (one, place) in outputs.submodules.iter().zip(&places) {
        let mirror = here.then_some(outputs.mirror.as_str());
        fetched.push(submodules::fetch(server, session, mirror, one, place.as_deref())?);
    }
    if !fetch_only {
        git(&["merge", "--no-edit", &branch])?;
        for (one, place) in outputs.submodules.iter().zip(&places) {
            if let Some(place) = place {
                submodules::bring_up(one, place)?;
            }
        }
    }
    let commit = outputs.commits.last().map(|last| last.commit.clone());
    let refs: Vec<_> = outputs.refs.iter().map(|one| &one.name).collect();
    let value = json!({
        "session": session.id, "branch": branch, "commit": commit, "merged": !fetch_only, "refs": refs,
        "submodules": fetched,
    });
    output::result(wire.format, &value, || {
        let mut text = match fetch_only {
            true => format!("fetched {branch}"),
            false => format!("merged {branch}"),
        };
        for one in &outputs.refs {
            let name = crate::render::tame(&one.name);
            text.push_str(&format!("\nfetched {name}; it is not merged"));
        }
        for one in &fetched {
            text.push_str(&one.words(fetch_only));
        }
        text
    })
}

/// Refuses to put the changes of one repository into another.
fn same_repository(server: &Connection, session: &Session) -> Result<(), Failure> {
    // A fork, a clone of a clone or a checkout that was moved: it has the commit that the session started from.
    if asks(&["cat-file", "-e", &format!("{}^{{commit}}", session.base_commit)])? {
        return Ok(());
    }
    let here = Source::parse(".").map_err(|error| {
        Failure::of(ErrorCode::NotFound, "there is no checkout here to apply to", error)
            .hint(format!("go into a checkout of {}", session.repository))
    })?;
    let identity = here.identity();
    if RepositoryName::derived(&identity).as_str() == session.repository {
        return Ok(());
    }
    let known = server.wait(server.client().repository(&session.repository)).ok();
    let source = known.map(|known| known.source);
    let root = match &here {
        Source::Checkout(checkout) => checkout.root().to_string_lossy().into_owned(),
        Source::Url(url) => url.clone(),
    };
    if source.as_ref().is_some_and(|source| *source == identity || *source == root) {
        return Ok(());
    }
    let of = source.map_or_else(String::new, |source| format!(" ({source})"));
    let message = format!(
        "session {} changed repository {}{of}, and this is a checkout of {identity}",
        session.id, session.repository
    );
    Err(Failure::new(ErrorCode::Conflict, message)
        .hint(format!("apply it in a checkout of {}, or name another session", session.repository)))
}

/// Refuses before anything is fetched where a merge would go astray without git saying so.
fn ready() -> Result<(), Failure> {
    for (state, what, end) in [
        ("rebase-merge", "a rebase", "git rebase"),
        ("rebase-apply", "a rebase", "git rebase"),
        ("MERGE_HEAD", "another merge", "git merge"),
        ("CHERRY_PICK_HEAD", "a cherry-pick", "git cherry-pick"),
        ("REVERT_HEAD", "a revert", "git revert"),
    ] {
        let path = ask(&["rev-parse", "--git-path", state])?;
        if Path::new(&path).exists() {
            let message = format!("{what} is under way in this checkout");
            return Err(Failure::new(ErrorCode::Conflict, message).hint(format!(
                "finish it (`{end} --continue`) or give it up (`{end} --abort`), and apply again"
            )));
        }
    }
    if !asks(&["symbolic-ref", "--quiet", "HEAD"])? {
        let message = "HEAD is detached in this checkout: a merge would be on no branch";
        return Err(Failure::new(ErrorCode::Conflict, message)
            .hint("`git switch` to the branch that is to have the changes, or use --fetch-only"));
    }
    Ok(())
}

/// From where git fetches: the mirror on this machine, or a bundle that the server handed out.
enum From<'a> {
    Mirror(&'a str),
    Bundle(tempfile::NamedTempFile),
}

impl<'a> From<'a> {
    /// `submodule` is the one of which the commits are wanted.
    fn of(
        server: &Connection,
        session: &Session,
        mirror: Option<&'a str>,
        submodule: Option<WorkspacePath>,
    ) -> Result<Self, Failure> {
        if let Some(mirror) = mirror {
            return Ok(Self::Mirror(mirror));
        }
        let no_room = "there is no room for the session's commits";
        let mut file = tempfile::NamedTempFile::new().explain(ErrorCode::Io, no_room)?;
        let query = BranchQuery { submodule };
        server.wait(async {
            let download = server.client().branch(session.id, &query).await?;
            download.write_to(file.as_file_mut()).await
        })?;
        Ok(Self::Bundle(file))
    }

    fn name(&self) -> Result<&str, Failure> {
        match self {
            Self::Mirror(mirror) => Ok(mirror),
            Self::Bundle(file) => file.path().to_str().ok_or_else(|| {
                Failure::new(ErrorCode::Io, "the directory for temporary files is no UTF-8")
            }),
        }
    }
}

/// Refuses a branch that is not what the record says.
fn on_record(outputs: &Outputs, name: &str) -> Result<(), Failure> {
    let found = ask(&["rev-parse", "--verify", name])?;
    match outputs.commits.last() {
        Some(last) if last.commit.as_str() == found => Ok(()),
        Some(_) | None => {
            git(&["update-ref", "-d", name, &found])?;
            let message =
                format!("{name} is at {found}, and that is not the commit that is on record");
            Err(Failure::new(ErrorCode::VerificationFailed, message))
        }
    }
}
