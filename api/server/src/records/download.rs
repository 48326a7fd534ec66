//! Hands out the whole record of a session: a tar archive (POSIX.1-2001), streamed.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufWriter, Read as _, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::extract::State;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use custody_api_types::endpoint::TAR;
use custody_model::{Digest, SessionId};
use custody_record::control::{ControlBody, EvidenceExported};
use custody_record::living::LIVING_CHECKPOINT;
use custody_record::{Blobs, Event, Reader, Scope};
use custody_session::Orchestrator;
use custody_store::SessionRow;

use super::sending::Sending;
use crate::error::{ApiError, no_record};
use crate::gate::{Admitted, Found};

/// Bytes that are handed over at once.
const CHUNK: usize = 64 << 10;

pub(crate) async fn download(
    admitted: Admitted,
    Found(row): Found<SessionRow>,
    State(orchestrator): State<Arc<Orchestrator>>,
) -> Result<impl IntoResponse, ApiError> {
    let session = row.id;
    let record = orchestrator.record(session);
    let there = record.clone();
    if !tokio::task::spawn_blocking(move || there.exists()).await? {
        return Err(no_record());
    }
    let exported = ControlBody::EvidenceExported(EvidenceExported { session, pack: None });
    orchestrator.plane().record(&admitted.author, vec![exported]).await?;
    let vault = orchestrator.plane().vault().clone();
    Ok(handed_out(session, &format!("custody-{session}.tar"), move |mut out| {
        let blobs = vault.blobs(Scope::Session(session), &record).map_err(io::Error::other)?;
        pack(&record, &blobs, &session.to_string(), &mut out)
    }))
}

/// An archive as it is made. What breaks off is a broken transfer for the client, not a short archive.
pub(super) fn handed_out(
    session: SessionId,
    name: &str,
    make: impl FnOnce(&mut dyn Write) -> io::Result<()> + Send + 'static,
) -> Response {
    let (sending, body) = Sending::new();
    tokio::task::spawn_blocking(move || {
        let mut out = BufWriter::with_capacity(CHUNK, sending.clone());
        let packed = make(&mut out).and_then(|()| out.flush());
        if let Err(error) = packed {
            tracing::warn!(%session, %error, "a record could not be handed out whole");
            sending.broken(error);
        }
    });
    let name = format!("attachment; filename=\"{name}\"");
    let headers = [(CONTENT_TYPE, TAR.to_owned()), (CONTENT_DISPOSITION, name)];
    (headers, body).into_response()
}

/// Packs the directory under this name, its files in a fixed order, and what is sealed as it is in the clear.
fn pack(dir: &Path, blobs: &Blobs, name: &str, out: &mut impl Write) -> io::Result<()> {
    // What lies beside a seal is no part of the record.
    let sealed_record = Reader::open(dir).is_ok_and(|reader| reader.is_sealed());
    let beside = |path: &Path| {
        let unsealed = ["journal", LIVING_CHECKPOINT, "living.place.json"].map(Path::new);
        sealed_record && unsealed.contains(&path)
    };
    let mut archive = tar::Builder::new(out);
    let mut left = vec![PathBuf::new()];
    while let Some(relative) = left.pop() {
        let mut entries: Vec<_> =
            std::fs::read_dir(dir.join(&relative))?.collect::<Result<_, _>>()?;
        // The journal last: so it has what the signed head says that was packed before it.
        entries.sort_by_key(|entry| (entry.file_name() == "journal", entry.file_name()));
        for entry in entries {
            let path = relative.join(entry.file_name());
            if beside(&path) {
                continue;
            }
            let kind = entry.file_type()?;
            if kind.is_dir() {
                if path != Path::new(SEALED) {
                    left.push(path);
                }
            } else if kind.is_file() {
                add(&mut archive, &dir.join(&path), &Path::new(name).join(&path))?;
            }
        }
    }
    for digest in sealed(dir, blobs)? {
        let bytes = blobs.clear_form(&digest).map_err(io::Error::other)?;
        let hex = digest.hex();
        let path = format!("{name}/blobs/sha256/{}/{hex}.zst", &hex[..2]);
        let mut header = tar::Header::new_ustar();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        archive.append_data(&mut header, path, bytes.as_slice())?;
    }
    archive.finish()
}

/// What the events name and is sealed here; nothing, once it is erased.
fn sealed(dir: &Path, blobs: &Blobs) -> io::Result<BTreeSet<Digest>> {
    let mut found = BTreeSet::new();
    for entry in Reader::open(dir).and_then(|reader| reader.entries()).map_err(io::Error::other)? {
        let entry = entry.map_err(io::Error::other)?;
        // Most events name no content: they are not parsed.
        if !entry.windows(ROLE.len()).any(|window| window == ROLE) {
            continue;
        }
        let event = Event::from_canonical(&entry).map_err(io::Error::other)?;
        found.extend(event.blobs.iter().map(|blob| blob.digest).filter(|digest| {
            let path = blobs.path(digest);
            path.starts_with(dir.join(SEALED)) && path.is_file()
        }));
    }
    Ok(found)
}

/// The directory of what is sealed, in a record's.
const SEALED: &str = "blobs/sealed";

/// What an event has that names content.
const ROLE: &[u8] = br#""role":""#;

/// Adds a file as long as it is now: a journal grows while it is read, and is gone once the record is sealed.
fn add<W: Write>(archive: &mut tar::Builder<W>, from: &Path, name: &Path) -> io::Result<()> {
    let file = match File::open(from) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    let mut header = tar::Header::new_ustar();
    let size = file.metadata()?.len();
    header.set_size(size);
    header.set_mode(0o644);
    archive.append_data(&mut header, name, file.take(size))
}
