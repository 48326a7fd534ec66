//! What a session gave back.

use std::sync::Arc;

use axum::extract::State;
use custody_api_types::output::{Commit, Outputs};
use custody_model::SessionId;
use custody_record::event::CommitCreated;
use custody_record::{Body, Event, ReadError, Reader};
use custody_session::Orchestrator;
use custody_store::{CommitRow, SessionRow};

use crate::answer::Json;
use crate::error::ApiError;
use crate::gate::Found;

pub(crate) async fn outputs(
    Found(row): Found<SessionRow>,
    State(orchestrator): State<Arc<Orchestrator>>,
) -> Result<Json<Outputs>, ApiError> {
    let commits = orchestrator.plane().store().commits(row.id).await?;
    let repository = row.request.repository;
    let mirror = orchestrator.state().repositories().join(format!("{repository}.git"));
    let last = last_commit(&orchestrator, row.id, commits.last().map(|last| last.seq)).await?;
    let (refs, submodules) = last.map_or((None, None), |last| (last.refs, last.submodules));
    Ok(Json(Outputs {
        refs: refs.unwrap_or_default(),
        submodules: submodules.unwrap_or_default(),
        mirror: mirror.display().to_string(),
        repository,
        branch: (!commits.is_empty()).then(|| format!("custody/{}", row.id)),
        commits: commits.into_iter().map(shown).collect(),
    }))
}

/// The last commit of a session's branch, which stands at `seq`, as its event tells it. A record that was removed tells of none;
/// the commits are known from the index. A record that can't be read is an error: without its last commit, refs would seem to be
/// missing.
pub(super) async fn last_commit(
    orchestrator: &Orchestrator,
    session: SessionId,
    seq: Option<u64>,
) -> Result<Option<CommitCreated>, ApiError> {
    let Some(seq) = seq else { return Ok(None) };
    let record = orchestrator.record(session);
    let last = tokio::task::spawn_blocking(move || {
        let reader = match Reader::open(&record) {
            Ok(reader) => reader,
            Err(ReadError::NoRecord(_)) => return Ok(None),
            Err(error) => return Err(error),
        };
        Ok(match reader.get(seq)? {
            Some(Event { body: Body::CommitCreated(commit), .. }) => Some(commit),
            Some(_) | None => None,
        })
    });
    Ok(last.await??)
}

fn shown(row: CommitRow) -> Commit {
    Commit {
        commit: row.commit,
        tree: row.tree,
        author: row.author,
        file_count: row.file_count,
        at: row.at,
        seq: row.seq,
        event: row.event,
    }
}
