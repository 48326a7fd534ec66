//! From a commit or a line to the sessions that wrote it: the exact tier, by git's own ids.
//!
//! Content decides. A trailer is what somebody declares, so it only ever gives a `declared` attribution, and only
//! where nothing exact was found. What is not known stays without an attribution.

use std::path::PathBuf;

use custody_model::{GitOid, SessionId, WorkspacePath};
use custody_record::event::CommitAuthor;
use custody_store::{CommitRow, Store, StoreError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::blocking::Blocking;
use crate::history::{HistoryError, Repository};
use crate::question::Question;
use crate::summary::EventRef;

/// How a session was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Tier {
    /// The session made this very commit.
    Commit,
    /// The session produced this very tree, in another commit.
    Tree,
    /// The session wrote this very content at this path, in another commit.
    Blob,
    /// A trailer names the session; nothing proves it.
    Declared,
}

/// How far a statement can be relied on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Assurance {
    /// The record saw it happen.
    Observed,
    /// Somebody says so.
    SelfReported,
    /// It follows from what was observed.
    Inferred,
    /// Nothing is known.
    Absent,
}

/// A session that wrote what was asked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Attribution {
    /// The session.
    pub session: SessionId,
    /// How it was found.
    pub tier: Tier,
    /// How far that can be relied on.
    pub assurance: Assurance,
    /// The event that names the commit, tree or blob; absent if it is only declared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<EventRef>,
    /// The files that it is about, when it was found by blob.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<WorkspacePath>,
}

/// Who wrote it, as far as ids tell.
#[derive(Clone, Debug, PartialEq)]
pub struct Attributed {
    /// The commit that the answer is about; absent for a line that is not committed.
    pub commit: Option<GitOid>,
    /// The line's file in that commit, for a line.
    pub path: Option<WorkspacePath>,
    /// The line's text, for a line.
    pub text: Option<String>,
    /// The sessions; empty if none is known.
    pub attributions: Vec<Attribution>,
    /// What else is to be known, in words.
    pub notes: Vec<String>,
}

/// Why nobody can say who wrote it.
#[derive(Debug, thiserror::Error)]
pub enum AttributeError {
    /// Git gives no answer.
    #[error(transparent)]
    History(#[from] HistoryError),
    /// The store gives none.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Where the mirrors are, by repository name.
pub type Mirrors<'a> = &'a (dyn Fn(&str) -> PathBuf + Sync);

/// What is looked at.
#[derive(Clone, Copy)]
pub struct Sources<'a, B> {
    /// The repository that is asked about. Its history may have been rewritten since the sessions.
    pub repository: &'a Repository,
    /// What sessions gave back.
    pub store: &'a dyn Store,
    /// The histories in which they did.
    pub mirrors: Mirrors<'a>,
    /// Where git is asked.
    pub blocking: &'a B,
}

/// Attributes what is asked for.
///
/// # Errors
/// If git or the store can't answer.
pub async fn attribute<B: Blocking>(
    question: &Question,
    sources: Sources<'_, B>,
) -> Result<Attributed, AttributeError> {
    match question {
        Question::Commit { rev } => sources.commit(rev.clone()).await,
        Question::Line { path, line, rev } => sources.line(path.clone(), *line, rev.clone()).await,
    }
}

impl<B: Blocking> Sources<'_, B> {
    async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Repository) -> Result<T, HistoryError> + Send + 'static,
    ) -> Result<T, HistoryError> {
        let repository = self.repository.clone();
        self.blocking.run(move || question(&repository)).await
    }

    async fn commit(&self, rev: String) -> Result<Attributed, AttributeError> {
        let facts = self.ask(move |git| git.commit(&rev)).await?;
        let made = self.store.commit(&facts.commit).await?;
        let mut attributions: Vec<Attribution> =
            latest(made).iter().map(|row| exact(row, Tier::Commit)).collect();
        if attributions.is_empty() {
            let mut rows = self.store.tree(&facts.tree).await?;
            // An agent's own intermediate tree is as much its work as the last one; an empty commit is nobody's.
            rows.retain(|row| row.file_count > 0 || row.author == CommitAuthor::Custody);
            attributions = latest(rows).iter().map(|row| exact(row, Tier::Tree)).collect();
        }
        if attributions.is_empty() {
            let commit = facts.commit.clone();
            for (path, blob) in self.ask(move |git| git.changed_blobs(&commit)).await? {
                for row in latest(self.store.written(&path, &blob).await?) {
                    match attributions.iter_mut().find(|known| known.session == row.session) {
                        Some(known) => known.files.push(path.clone()),
                        None => attributions.push(at(&row, &path)),
                    }
                }
            }
        }
        let mut notes = Vec::new();
        if attributions.is_empty() {
            declared(&facts.declared_sessions, &mut attributions, &mut notes);
        }
        Ok(Attributed { commit: Some(facts.commit), path: None, text: None, attributions, notes })
    }

    async fn line(
        &self,
        path: WorkspacePath,
        line: u64,
        rev: Option<String>,
    ) -> Result<Attributed, AttributeError> {
        let origin = self.ask(move |git| git.blame(&path, line, rev.as_deref())).await?;
        let (path, text) = (origin.path, Some(origin.text));
        let Some(commit) = origin.commit else {
            let note = "the line is not committed yet, so no history leads to a session";
            let (attributions, notes) = (Vec::new(), vec![note.to_owned()]);
            return Ok(Attributed { commit: None, path: Some(path), text, attributions, notes });
        };
        let made = self.store.commit(&commit).await?;
        let mut attributions: Vec<Attribution> =
            latest(made).iter().map(|row| exact(row, Tier::Commit)).collect();
        let mut notes = Vec::new();
        if attributions.is_empty() {
            let at = (commit.clone(), path.clone());
            if let Some(blob) = self.ask(move |git| git.blob(&at.0, &at.1)).await? {
                for row in latest(self.store.written(&path, &blob).await?) {
                    self.inside(&row, &path, origin.line, &mut attributions, &mut notes).await?;
                }
            }
        }
        if attributions.is_empty() {
            let rev = commit.clone();
            let facts = self.ask(move |git| git.commit(rev.as_str())).await?;
            declared(&facts.declared_sessions, &mut attributions, &mut notes);
        }
        Ok(Attributed { commit: Some(commit), path: Some(path), text, attributions, notes })
    }

    /// A session wrote this version of the file; whether it wrote this line, its own history tells.
    async fn inside(
        &self,
        row: &CommitRow,
        path: &WorkspacePath,
        line: u64,
        attributions: &mut Vec<Attribution>,
        notes: &mut Vec<String>,
    ) -> Result<(), AttributeError> {
        let mirror = Repository::at((self.mirrors)(&row.repository));
        let (file, commit) = (path.clone(), row.commit.clone());
        let asked =
            self.blocking.run(move || mirror.blame(&file, line, Some(commit.as_str()))).await;
        let wrote = format!("session {} wrote this version of the file, but", row.session);
        let writers = match asked {
            Ok(inside) => match &inside.commit {
                Some(commit) => self.store.commit(commit).await?,
                None => Vec::new(),
            },
            Err(HistoryError::Git { stderr, .. }) => {
                let why = "its history is not here to tell whether it wrote the line";
                notes.push(format!("{wrote} {why}: {stderr}"));
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        };
        if writers.is_empty() {
            notes.push(format!("{wrote} the line was there before"));
        }
        for writer in latest(writers) {
            let attribution = self::at(&writer, path);
            if !attributions.contains(&attribution) {
                attributions.push(attribution);
            }
        }
        Ok(())
    }
}

/// The last of each session's rows, sessions in the order of these.
fn latest(rows: Vec<CommitRow>) -> Vec<CommitRow> {
    let mut found: Vec<CommitRow> = Vec::new();
    for row in rows {
        match found.iter_mut().find(|known| known.session == row.session) {
            Some(known) if known.seq >= row.seq => {}
            Some(known) => *known = row,
            None => found.push(row),
        }
    }
    found.sort_by_key(|row| (row.at, row.session));
    found
}

fn exact(row: &CommitRow, tier: Tier) -> Attribution {
    Attribution {
        session: row.session,
        tier,
        assurance: Assurance::Observed,
        event: Some(EventRef { seq: row.seq, id: row.event }),
        files: Vec::new(),
    }
}

fn at(row: &CommitRow, path: &WorkspacePath) -> Attribution {
    Attribution { files: vec![path.clone()], ..exact(row, Tier::Blob) }
}

fn declared(trailers: &[String], attributions: &mut Vec<Attribution>, notes: &mut Vec<String>) {
    for trailer in trailers {
        match trailer.parse() {
            Ok(session) => attributions.push(Attribution {
                session,
                tier: Tier::Declared,
                assurance: Assurance::SelfReported,
                event: None,
                files: Vec::new(),
            }),
            Err(_) => {
                notes.push(format!("the trailer Custody-Session: {trailer} names no session"))
            }
        }
    }
}
