//! The transparency logs, read-only, as C2SP tlog-tiles v0.1.0 wants them served: of the installation, of the control plane
//! and of each session.
//!
//! The files are what the writers of the logs left on disk; of a session that lives they are made from its journal.

mod assurance;
mod compressed;
mod control;
mod installation;
mod living;
mod session;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use axum::body::Bytes;
use axum::http::header::{CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, VARY};
use axum::http::{HeaderMap, HeaderValue};
use axum::response::{IntoResponse, Response};
use custody_api_types::endpoint::{CHECKPOINT, OCTETS, Part};
use custody_record::tlog::{TileKind, TilePath, TlogPolicy};

use assurance::Published;
use living::LivingLogs;

pub(crate) use control::{checkpoint as control_checkpoint, tile as control_tile};
pub(crate) use installation::{
    checkpoint as installation_checkpoint, entries as installation_entries,
    tile as installation_tile,
};
pub(crate) use session::{checkpoint as session_checkpoint, tile as session_tile};

use crate::error::ApiError;

/// Who may follow the installation's logs, and who witnesses them.
#[derive(Clone, Debug, Default)]
pub struct Transparency {
    /// How much of the installation log everybody may read without a token.
    pub published: Option<Part>,
    /// Whose cosignatures are wanted.
    pub witnesses: Arc<TlogPolicy>,
    living: LivingLogs,
    head: Arc<Published>,
}

impl Transparency {
    /// With this much published, and these witnesses.
    #[must_use]
    pub fn new(published: Option<Part>, witnesses: Arc<TlogPolicy>) -> Self {
        Self { published, witnesses, ..Self::default() }
    }

    /// Whether it covers this part: who publishes entries publishes the hashes.
    #[must_use]
    pub fn covers(&self, part: Part) -> bool {
        self.published.is_some_and(|published| part <= published)
    }
}

/// Heads change by the second: caches ask again.
const FRESH: &str = "no-cache";
/// A tile never becomes another: one year, the longest that RFC 9111 caches are asked for.
const FOR_EVER: &str = "max-age=31536000, immutable";
/// A partial tile does not, either, but goes once the full one is there.
const FOR_A_WHILE: &str = "max-age=3600";

fn no_checkpoint() -> ApiError {
    ApiError::not_found("checkpoint", &"of this log")
}

fn checkpoint_answer(bytes: Vec<u8>) -> Response {
    ([(CONTENT_TYPE, CHECKPOINT), (CACHE_CONTROL, FRESH)], Bytes::from(bytes)).into_response()
}

/// Who may keep a tile.
#[derive(Clone, Copy)]
enum Kept {
    /// Caches that serve several people, too.
    Shared,
    /// Whoever asked.
    Private,
    /// Nobody: the same address may be another log tomorrow.
    Never,
}

impl Kept {
    fn published(yes: bool) -> Self {
        if yes { Self::Shared } else { Self::Private }
    }
}

/// The tile that the rest of a path names, of the log in `dir`.
async fn tile_answer(
    dir: PathBuf,
    path: String,
    kept: Kept,
    asked: &HeaderMap,
) -> Result<Response, ApiError> {
    let unknown = || ApiError::not_found("tile", &path);
    let tile: TilePath = path.parse().map_err(|_| unknown())?;
    let gzip = compressed::is_accepted(asked);
    let read = tokio::task::spawn_blocking(move || match tile.read(&dir)? {
        Some(bytes) => Sent::new(bytes, &tile, gzip).map(Some),
        None => Ok(None),
    });
    let sent = read.await?.map_err(ApiError::internal)?.ok_or_else(unknown)?;
    Ok(sent.response(&tile, kept))
}

/// A tile as it is sent.
struct Sent {
    bytes: Vec<u8>,
    gzip: bool,
}

impl Sent {
    fn new(bytes: Vec<u8>, tile: &TilePath, gzip: bool) -> io::Result<Self> {
        let shorter = match tile.kind() {
            TileKind::Entries if gzip => compressed::gzip(&bytes)?,
            TileKind::Entries | TileKind::Hashes(_) => None,
        };
        Ok(match shorter {
            Some(bytes) => Self { bytes, gzip: true },
            None => Self { bytes, gzip: false },
        })
    }

    fn response(self, tile: &TilePath, kept: Kept) -> Response {
        let how_long = if tile.is_full() { FOR_EVER } else { FOR_A_WHILE };
        let cache = match kept {
            Kept::Shared => format!("public, {how_long}"),
            Kept::Private => format!("private, {how_long}"),
            Kept::Never => FRESH.to_owned(),
        };
        let headers = [(CONTENT_TYPE, OCTETS.to_owned()), (CACHE_CONTROL, cache)];
        let mut response = (headers, Bytes::from(self.bytes)).into_response();
        if tile.kind() == TileKind::Entries {
            response.headers_mut().insert(VARY, HeaderValue::from_static("accept-encoding"));
        }
        if self.gzip {
            response.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        response
    }
}
