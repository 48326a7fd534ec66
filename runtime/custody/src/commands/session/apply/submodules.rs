//! What a session made in submodules, in the checkouts of the submodules.

use std::path::{Path, PathBuf};

use custody_api_types::session::Session;
use custody_model::ErrorCode;
use custody_record::event::CreatedSubmodule;
use serde::Serialize;

use super::From;
use super::git::{ask, ask_in, asks_in};
use crate::connect::Connection;
use crate::failure::Failure;
use crate::render::tame;

/// A submodule whose commits were fetched, or could not be.
#[derive(Debug, Serialize)]
pub(super) struct Fetched {
    path: String,
    /// The branch in the submodule's checkout.
    #[serde(skip_serializing_if = "Option::is_none")]
    branch: Option<String>,
    refs: Vec<String>,
    /// Why nothing was fetched.
    #[serde(skip_serializing_if = "Option::is_none")]
    left: Option<&'static str>,
}

impl Fetched {
    /// A line for each thing that there is to know.
    pub(super) fn words(&self, fetch_only: bool) -> String {
        let path = tame(&self.path);
        let mut text = String::new();
        if let Some(left) = self.left {
            text.push_str(&format!("\nleft the changes of submodule {path}: {left}"));
        }
        if let Some(branch) = &self.branch {
            let done = if fetch_only { "fetched" } else { "merged" };
            text.push_str(&format!("\n{done} {branch} in submodule {path}"));
        }
        for name in &self.refs {
            let name = tame(name);
            text.push_str(&format!("\nfetched {name} in submodule {path}; it is not merged"));
        }
        text
    }
}

/// Why nothing is fetched where a submodule is not checked out.
const NOT_HERE: &str = "it is not checked out here: `git submodule update --init` and apply again";

/// Where each of them is checked out; none, where it is not. A merge of the repository around it would leave it at a commit that
/// nobody has, so that it is refused then, before anything is fetched.
pub(super) fn places(
    submodules: &[CreatedSubmodule],
    fetch_only: bool,
) -> Result<Vec<Option<PathBuf>>, Failure> {
    if submodules.is_empty() {
        return Ok(Vec::new());
    }
    let top = PathBuf::from(ask(&["rev-parse", "--show-toplevel"])?);
    let place = |one: &CreatedSubmodule| {
        let place = top.join(one.path.as_path());
        let inside = place.join(".git").exists()
            && asks_in(&place, &["cat-file", "-e", &format!("{}^{{commit}}", one.base)])?;
        if !inside && !fetch_only {
            let path = tame(&one.path.to_text());
            let message = format!(
                "the session changed submodule {path}, and its commit {} is not checked out here",
                one.base.short()
            );
            return Err(Failure::new(ErrorCode::Conflict, message)
                .hint("`git submodule update --init --recursive`, and apply again"));
        }
        Ok(inside.then_some(place))
    };
    submodules.iter().map(place).collect()
}

/// What a ref of a submodule is called in its own checkout: as one of the repository around it would be.
fn own_name(name: &str, session: &Session) -> Option<String> {
    let id = session.id;
    let below = |name: &str, kind: &str| {
        let rest = name.strip_prefix(&format!("refs/{kind}/custody/{id}.submodules/"))?;
        Some(rest.split_once('/')?.1.to_owned())
    };
    if let Some(tag) = below(name, "tags") {
        return Some(format!("refs/tags/custody/{id}/{tag}"));
    }
    match below(name, "heads")?.as_str() {
        "branch" => Some(format!("refs/heads/custody/{id}")),
        other => Some(format!("refs/heads/custody/{id}.refs/{}", other.strip_prefix("refs/")?)),
    }
}

/// Fetches the commits of one into its checkout.
pub(super) fn fetch(
    server: &Connection,
    session: &Session,
    mirror: Option<&str>,
    one: &CreatedSubmodule,
    place: Option<&Path>,
) -> Result<Fetched, Failure> {
    let mut fetched = Fetched {
        path: one.path.to_text().into_owned(),
        branch: None,
        refs: Vec::new(),
        left: None,
    };
    let Some(place) = place else {
        fetched.left = Some(NOT_HERE);
        return Ok(fetched);
    };
    let from = From::of(server, session, mirror, Some(one.path.clone()))?;
    let names = one.branch.iter().chain(one.refs.iter().flatten().map(|one| &one.name));
    let options = ["fetch", "--no-tags", "--no-recurse-submodules"];
    let mut words = options.map(str::to_owned).to_vec();
    words.push(from.name()?.to_owned());
    for name in names {
        let Some(own) = own_name(name, session) else { continue };
        words.push(format!("+{name}:{own}"));
        match one.branch.as_ref() == Some(name) {
            true => fetched.branch = Some(own.trim_start_matches("refs/heads/").to_owned()),
            false => fetched.refs.push(own),
        }
    }
    let words: Vec<_> = words.iter().map(String::as_str).collect();
    ask_in(place, &words)?;
    if let Some(branch) = &fetched.branch {
        let name = format!("refs/heads/{branch}");
        let found = ask_in(place, &["rev-parse", "--verify", &name])?;
        if found != one.commit.as_str() {
            ask_in(place, &["update-ref", "-d", &name, &found])?;
            let message = format!(
                "{name} of submodule {} is at {found}, and that is not the commit that is on record",
                fetched.path
            );
            return Err(Failure::new(ErrorCode::VerificationFailed, message));
        }
    }
    Ok(fetched)
}

/// Has the submodule's checkout at what was merged, as `git submodule update --merge` would: a branch that is checked out there
/// takes it, a HEAD on no branch moves on.
pub(super) fn bring_up(one: &CreatedSubmodule, place: &Path) -> Result<(), Failure> {
    if one.branch.is_none() {
        return Ok(());
    }
    let commit = one.commit.as_str();
    if asks_in(place, &["merge-base", "--is-ancestor", commit, "HEAD"])? {
        return Ok(());
    }
    let words = ["merge", "--no-edit", commit];
    ask_in(place, &words).map(drop).map_err(|failure| {
        failure.hint(format!(
            "the repository around it is merged; then `git -C {} merge {commit}`",
            tame(&one.path.to_text())
        ))
    })
}
