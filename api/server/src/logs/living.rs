//! The logs of sessions that live, made from their journals for whoever follows them.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use custody_model::SessionId;
use custody_record::tlog::{Checkpoint, TilePath};
use custody_record::{LivingLog, ReadError, Reader};

/// Most sessions whose journals are kept open for those who follow them. Any other costs one reading of its journal anew.
const MOST_OPEN: usize = 64;

type Open = Arc<Mutex<LivingLog>>;

/// Those that somebody follows.
#[derive(Clone, Debug, Default)]
pub(crate) struct LivingLogs(Arc<Mutex<BTreeMap<SessionId, Open>>>);

impl LivingLogs {
    /// The newest signed head of a record. Never waits for a disk longer than reading takes.
    pub(crate) fn head(record: &Path) -> Result<Option<Vec<u8>>, ReadError> {
        // Whether it is a record at all.
        let _reader = Reader::open(record)?;
        LivingLog::head(record)
    }

    /// A tile under that head.
    pub(crate) fn tile(
        &self,
        session: SessionId,
        record: &Path,
        tile: &TilePath,
    ) -> Result<Option<Vec<u8>>, ReadError> {
        let sealed = || {
            self.forget(session);
            tile.read(record).map_err(|source| ReadError::Io { path: record.to_owned(), source })
        };
        if Reader::open(record)?.is_sealed() {
            return sealed();
        }
        let Some(head) = LivingLog::head(record)? else { return Ok(None) };
        let size = Checkpoint::peek(&head)?.size;
        if !tile.is_within(size) {
            return Ok(None);
        }
        match self.open(session, record)? {
            Some(log) => log.lock().unwrap_or_else(PoisonError::into_inner).read(tile, size),
            // Since a moment ago.
            None => sealed(),
        }
    }

    fn open(&self, session: SessionId, record: &Path) -> Result<Option<Open>, ReadError> {
        let known = self.lock().get(&session).cloned();
        if let Some(log) = known
            && log.lock().unwrap_or_else(PoisonError::into_inner).is_current()
        {
            return Ok(Some(log));
        }
        let Some(log) = LivingLog::open(record)? else { return Ok(None) };
        let log = Arc::new(Mutex::new(log));
        let mut open = self.lock();
        if open.len() >= MOST_OPEN {
            // Ids begin with the time: the oldest session goes.
            let _closed = open.pop_first();
        }
        open.insert(session, log.clone());
        Ok(Some(log))
    }

    fn forget(&self, session: SessionId) {
        let _closed = self.lock().remove(&session);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<SessionId, Open>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
