//! The transparency logs: heads and tiles.

use custody_api_types::Operation;
use custody_model::SessionId;
use custody_record::tlog::{MAX_NOTE_BYTES, TileKind, TilePath};

use crate::call::Call;
use crate::client::Client;
use crate::download::Download;
use crate::error::ClientError;

/// Longest tile or bundle: 256 entries of 65,535 bytes, each with its length before it.
const MAX_TILE_BYTES: usize = 256 * (65_535 + 2);

/// Which log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogName {
    /// That of the installation.
    Installation,
    /// That of the control plane.
    Control,
    /// That of a sealed session.
    Session(SessionId),
}

impl Client {
    /// The signed head of a log (C2SP tlog-checkpoint).
    ///
    /// # Errors
    /// [`ClientError`]; `not_found` before the first head, and before a session's record is sealed.
    pub async fn checkpoint(&self, log: LogName) -> Result<Vec<u8>, ClientError> {
        let call = match log {
            LogName::Installation => Call::new(Operation::LogCheckpoint, &[]),
            LogName::Control => Call::new(Operation::ControlCheckpoint, &[]),
            LogName::Session(id) => Call::new(Operation::SessionCheckpoint, &[&id.to_string()]),
        };
        let response = self.send(&call, None).await?;
        Download::new(self.address().clone(), response).bytes(MAX_NOTE_BYTES).await
    }

    /// A tile of a log, or a bundle of its entries (C2SP tlog-tiles).
    ///
    /// # Errors
    /// [`ClientError`]; `not_found` if the log has no such tile, or has the full one instead.
    pub async fn tile(&self, log: LogName, tile: &TilePath) -> Result<Vec<u8>, ClientError> {
        let path = tile.path();
        let name = path.strip_prefix("tile/").unwrap_or(&path);
        let call = match (log, tile.kind()) {
            (LogName::Installation, TileKind::Hashes(_)) => Call::new(Operation::LogTile, &[name]),
            (LogName::Installation, TileKind::Entries) => {
                let bundle = name.strip_prefix("entries/").unwrap_or(name);
                Call::new(Operation::LogEntries, &[bundle])
            }
            (LogName::Control, _) => Call::new(Operation::ControlTile, &[name]),
            (LogName::Session(id), _) => {
                Call::new(Operation::SessionTile, &[&id.to_string(), name])
            }
        };
        let response = self.send(&call, None).await?;
        Download::new(self.address().clone(), response).bytes(MAX_TILE_BYTES).await
    }
}
