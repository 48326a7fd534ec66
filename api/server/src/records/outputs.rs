//! What a session gave back.

use std::sync::Arc;

use axum::extract::State;
use custody_api_types::output::{Commit, Outputs};
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
    Ok(Json(Outputs {
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
