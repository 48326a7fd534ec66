//! A session in one page.

use std::sync::Arc;

use axum::extract::State;
use custody_investigate::{Summarizer, Summary};
use custody_record::Reader;
use custody_session::Orchestrator;
use custody_store::SessionRow;

use crate::answer::Json;
use crate::error::{ApiError, no_record};
use crate::gate::Found;
use crate::logs::Transparency;

pub(crate) async fn summary(
    Found(row): Found<SessionRow>,
    State(orchestrator): State<Arc<Orchestrator>>,
    State(transparency): State<Transparency>,
) -> Result<Json<Summary>, ApiError> {
    let (session, record) = (row.id, orchestrator.record(row.id));
    let summary = tokio::task::spawn_blocking(move || {
        let mut summarizer: Option<Summarizer> = None;
        for event in Reader::open(&record)?.events()? {
            let event = event?;
            summarizer.get_or_insert_with(|| Summarizer::new(session, event.policy)).add(&event);
        }
        summarizer.map(Summarizer::finish).ok_or_else(no_record)
    });
    let summary = summary.await??;
    let witnesses = Some(transparency.behind(&orchestrator, session).await?);
    Ok(Json(Summary { witnesses, ..summary }))
}
