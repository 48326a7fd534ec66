//! The contents that a record's events name.

use std::sync::Arc;

use custody_model::SessionId;
use custody_record::{Event, Reader, Scope};
use custody_session::Orchestrator;

use crate::error::ApiError;

/// The last content of this role in a record; `None` if no event names one.
pub(super) async fn last(
    orchestrator: &Arc<Orchestrator>,
    session: SessionId,
    role: &'static str,
) -> Result<Option<Vec<u8>>, ApiError> {
    let (record, vault) = (orchestrator.record(session), orchestrator.plane().vault().clone());
    let found = tokio::task::spawn_blocking(move || {
        let reader = Reader::open(&record)?;
        let named = format!("\"role\":\"{role}\"");
        let mut digest = None;
        for (seq, entry) in (0..).zip(reader.entries()?) {
            let entry = entry?;
            // Most events name no content: they are not parsed.
            if !contains(&entry, named.as_bytes()) {
                continue;
            }
            let event = Event::from_canonical(&entry)
                .map_err(|source| custody_record::ReadError::Event { seq, source })?;
            let blob = event.blobs.into_iter().find(|blob| blob.role == role);
            digest = blob.map(|blob| blob.digest).or(digest);
        }
        let blobs = vault.blobs(Scope::Session(session), &record).map_err(ApiError::internal)?;
        Ok::<_, ApiError>(digest.map(|digest| blobs.get(&digest)).transpose()?)
    });
    found.await?
}

fn contains(text: &[u8], wanted: &[u8]) -> bool {
    text.windows(wanted.len()).any(|window| window == wanted)
}
