//! The contents that a record's events name.

use std::path::PathBuf;

use custody_record::{Event, Reader};

use crate::error::ApiError;

/// The last content of this role in a record; `None` if no event names one.
pub(super) async fn last(record: PathBuf, role: &'static str) -> Result<Option<Vec<u8>>, ApiError> {
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
        Ok::<_, ApiError>(digest.map(|digest| reader.blobs().get(&digest)).transpose()?)
    });
    found.await?
}

fn contains(text: &[u8], wanted: &[u8]) -> bool {
    text.windows(wanted.len()).any(|window| window == wanted)
}
