//! A record in the formats of others, streamed.

use std::io::{self, BufWriter, Write};
use std::sync::Arc;

use axum::extract::{RawPathParams, State};
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::IntoResponse;
use custody_api_types::endpoint::{ASCIICAST, JSON_LINES};
use custody_export::{Content, ContentError, Format, PATCH_ARGUMENTS, Patch};
use custody_model::Digest;
use custody_record::control::{ControlBody, EvidenceExported};
use custody_record::event::CommitCreated;
use custody_record::{BlobError, Blobs, Event, ReadError, Reader, Scope};
use custody_session::Orchestrator;
use custody_store::SessionRow;

use super::sending::Sending;
use crate::error::{ApiError, chain};
use crate::gate::{Admitted, Found};

/// Bytes that are handed over at once.
const CHUNK: usize = 64 << 10;

pub(crate) async fn export(
    admitted: Admitted,
    Found(row): Found<SessionRow>,
    State(orchestrator): State<Arc<Orchestrator>>,
    path: RawPathParams,
) -> Result<impl IntoResponse, ApiError> {
    let text = path.iter().find(|(name, _)| *name == "format").map_or("", |(_, text)| text);
    let format: Format = text.parse().map_err(|_| ApiError::not_found("format", &text))?;
    let session = row.id;
    let record = orchestrator.record(session);
    let vault = orchestrator.plane().vault().clone();
    let opened = tokio::task::spawn_blocking(move || {
        let blobs = vault.blobs(Scope::Session(session), &record).map_err(ApiError::internal)?;
        Ok::<_, ApiError>((Reader::open(&record)?, blobs))
    });
    let (reader, blobs) = opened.await??;
    let exported = ControlBody::EvidenceExported(EvidenceExported { session, pack: None });
    orchestrator.plane().record(&admitted.author, vec![exported]).await?;
    let (sending, body) = Sending::new();
    tokio::task::spawn_blocking(move || {
        let contents = Contents { blobs, repository: row.request.repository.clone(), orchestrator };
        let mut out = BufWriter::with_capacity(CHUNK, sending.clone());
        let written = write(format, &reader, &contents, &mut out).and_then(|()| Ok(out.flush()?));
        if let Err(error) = written {
            tracing::warn!(%session, %format, error = chain(&error), "a record could not be exported whole");
            sending.broken(io::Error::other(error));
        }
    });
    let media_type = match format {
        Format::Asciicast => ASCIICAST,
        Format::JsonLines
        | Format::Ocsf
        | Format::CloudEvents
        | Format::Otlp
        | Format::AgentTrace
        | Format::GitAi => JSON_LINES,
    };
    let name = format!("attachment; filename=\"custody-{session}.{}\"", format.extension());
    Ok(([(CONTENT_TYPE, media_type.to_owned()), (CONTENT_DISPOSITION, name)], body))
}

/// Why an export broke off.
#[derive(Debug, thiserror::Error)]
enum Broken {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Export(#[from] custody_export::ExportError),
    #[error("it can't be sent")]
    Send(#[from] io::Error),
}

fn write(
    format: Format,
    reader: &Reader,
    contents: &Contents,
    out: &mut impl Write,
) -> Result<(), Broken> {
    let mut export = custody_export::export(format, env!("CARGO_PKG_VERSION"));
    let mut bytes = Vec::new();
    for (seq, entry) in (0..).zip(reader.entries()?) {
        let entry = entry?;
        let event =
            Event::from_canonical(&entry).map_err(|source| ReadError::Event { seq, source })?;
        export.event(&event, &entry, contents, &mut bytes)?;
        out.write_all(&bytes)?;
        bytes.clear();
    }
    export.finish(&mut bytes)?;
    out.write_all(&bytes)?;
    Ok(())
}

/// The record's blobs and the mirror's commits.
struct Contents {
    blobs: Blobs,
    repository: String,
    orchestrator: Arc<Orchestrator>,
}

impl Content for Contents {
    fn blob(&self, digest: &Digest) -> Result<Option<Vec<u8>>, ContentError> {
        match self.blobs.get(digest) {
            Ok(content) => Ok(Some(content)),
            Err(BlobError::Missing(_) | BlobError::Erased { .. }) => Ok(None),
            Err(error) => {
                Err(ContentError { what: format!("blob {digest}"), source: Box::new(error) })
            }
        }
    }

    fn patch(&self, commit: &CommitCreated) -> Result<Patch, ContentError> {
        let commit = &commit.commit;
        let patch = self.orchestrator.patch(&self.repository, PATCH_ARGUMENTS, commit);
        match patch {
            Ok(custody_session::Patch::Changes(bytes)) => Ok(Patch::Changes(bytes)),
            Ok(custody_session::Patch::Absent) => Ok(Patch::Absent),
            Ok(custody_session::Patch::TooLong) => Ok(Patch::TooLong),
            Err(error) => {
                Err(ContentError { what: format!("commit {commit}"), source: Box::new(error) })
            }
        }
    }
}
