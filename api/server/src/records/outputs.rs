//! What a session gave back.

use std::sync::Arc;

use axum::extract::State;
use custody_api_types::output::{Commit, Outputs};
use custody_record::{Body, Event, Reader};
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
    let last = commits.last().map(|last| last.seq);
    let record = orchestrator.record(row.id);
    // A record that was removed tells of none; the commits are known from the index.
    let refs = tokio::task::spawn_blocking(move || match Reader::open(&record).ok()?.get(last?) {
        Ok(Some(Event { body: Body::CommitCreated(commit), .. })) => commit.refs,
        Ok(_) | Err(_) => None,
    });
    let refs = refs.await?.unwrap_or_default();
    Ok(Json(Outputs {
        refs,
        mirror: mirror.display().to_string(),
        repository,
        branch: (!commits.is_empty()).then(|| format!("custody/{}", row.id)),
        commits: commits.into_iter().map(shown).collect(),
    }))
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
