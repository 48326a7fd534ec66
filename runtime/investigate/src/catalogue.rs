//! What sessions gave back: their commits, trees and files, to be found by git's ids.

use std::collections::HashMap;

use custody_model::{GitOid, SessionId, WorkspacePath};
use custody_record::Event;
use custody_record::event::{Body, ChangedFile, CommitAuthor};

use crate::summary::{CommitSeen, EventRef};

/// The outputs of one session, from the `commit.created` events of its record.
#[derive(Clone, Debug, PartialEq)]
pub struct Outputs {
    /// The session.
    pub session: SessionId,
    /// The name of the repository's mirror.
    pub repository: String,
    /// Its commits, in the order of the branch, each with all of its files.
    pub commits: Vec<(CommitSeen, Vec<ChangedFile>)>,
}

/// How an id was found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Found<'a> {
    /// The outputs.
    pub outputs: &'a Outputs,
    /// The event that names the id.
    pub event: EventRef,
    /// The commit that carries it.
    pub commit: &'a GitOid,
}

/// The outputs of all sessions that were given, by id.
#[derive(Debug, Default)]
pub struct Catalogue {
    outputs: Vec<Outputs>,
    commits: HashMap<GitOid, (usize, usize)>,
    trees: HashMap<GitOid, Vec<(usize, usize)>>,
    files: HashMap<(WorkspacePath, GitOid), Vec<(usize, usize)>>,
}

impl Catalogue {
    /// Adds what one session gave back.
    pub fn add(&mut self, outputs: Outputs) {
        let number = self.outputs.len();
        for (index, (seen, files)) in outputs.commits.iter().enumerate() {
            let at = (number, index);
            self.commits.insert(seen.commit.commit.clone(), at);
            // An agent's own intermediate tree is as much its work as the last one; an empty commit is nobody's.
            if seen.commit.file_count > 0 || seen.commit.author == CommitAuthor::Custody {
                self.trees.entry(seen.commit.tree.clone()).or_default().push(at);
            }
            for file in files {
                if let Some(blob) = &file.blob {
                    let key = (file.path.clone(), blob.clone());
                    self.files.entry(key).or_default().push(at);
                }
            }
        }
        self.outputs.push(outputs);
    }

    /// The session that made this very commit.
    #[must_use]
    pub fn by_commit(&self, commit: &GitOid) -> Option<Found<'_>> {
        self.commits.get(commit).map(|at| self.found(*at))
    }

    /// The sessions that produced this tree: a squash or a cherry-pick on the same base keeps it.
    #[must_use]
    pub fn by_tree(&self, tree: &GitOid) -> Vec<Found<'_>> {
        self.sessions(self.trees.get(tree))
    }

    /// The sessions that wrote this content at this path.
    #[must_use]
    pub fn by_file(&self, path: &WorkspacePath, blob: &GitOid) -> Vec<Found<'_>> {
        self.sessions(self.files.get(&(path.clone(), blob.clone())))
    }

    /// The outputs of one session.
    #[must_use]
    pub fn of(&self, session: SessionId) -> Option<&Outputs> {
        self.outputs.iter().find(|o| o.session == session)
    }

    /// One find for each session, its last commit with that id.
    fn sessions(&self, places: Option<&Vec<(usize, usize)>>) -> Vec<Found<'_>> {
        let mut found: Vec<Found<'_>> = Vec::new();
        for at in places.into_iter().flatten().rev() {
            let next = self.found(*at);
            if found.iter().all(|f| f.outputs.session != next.outputs.session) {
                found.push(next);
            }
        }
        found.reverse();
        found
    }

    fn found(&self, (number, index): (usize, usize)) -> Found<'_> {
        let outputs = &self.outputs[number];
        let (seen, _) = &outputs.commits[index];
        Found { outputs, event: seen.event, commit: &seen.commit.commit }
    }
}

/// Collects the outputs of a session from the end of its record: `newest_first` gives its events backwards. `all_files`
/// gives the files of a commit that has more than its event names.
///
/// # Errors
/// Those of the two sources.
pub fn outputs_of<E>(
    session: SessionId,
    repository: String,
    newest_first: impl IntoIterator<Item = Result<Event, E>>,
    mut all_files: impl FnMut(&Event) -> Result<Vec<ChangedFile>, E>,
) -> Result<Outputs, E> {
    let mut commits = Vec::new();
    for event in newest_first {
        let event = event?;
        match &event.body {
            Body::CommitCreated(commit) => {
                let files = if commit.files.len() as u64 == commit.file_count {
                    commit.files.clone()
                } else {
                    all_files(&event)?
                };
                let proof = EventRef { seq: event.seq, id: event.id };
                commits.push((CommitSeen { commit: commit.clone(), event: proof }, files));
            }
            // What a keeper writes after the commits.
            Body::SessionClosed(_) | Body::PolicyViolated(_) | Body::RecorderGap(_) => {}
            // Everything else comes before them.
            Body::SessionAuthorized(_)
            | Body::SessionProvisioned(_)
            | Body::SessionStarted(_)
            | Body::SessionPaused(_)
            | Body::SessionResumed(_)
            | Body::PolicyDecided(_)
            | Body::ProcessExecuted(_)
            | Body::ProcessExited(_)
            | Body::FileOpened(_)
            | Body::FileReopened(_)
            | Body::FileWritten(_)
            | Body::FileRenamed(_)
            | Body::FileRemoved(_)
            | Body::FileLinked(_)
            | Body::FileSymlinked(_)
            | Body::AttributesChanged(_)
            | Body::FileDenied(_)
            | Body::EgressDenied(_)
            | Body::TerminalRecorded(_)
            | Body::WorkspaceCompared(_) => break,
        }
    }
    commits.reverse();
    Ok(Outputs { session, repository, commits })
}
