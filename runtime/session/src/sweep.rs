//! Sweep: the content of sessions whose retention class has ended is erased, by the same verb as an admin's, in the name of the
//! installation.
//!
//! A pass is bounded, and goes on past what fails. It may end anywhere: what it had begun is completed at the next start, and
//! the rest is due in the next pass.

use std::sync::Arc;

use custody_control::Author;
use custody_model::error::chain;
use custody_model::{SessionId, Timestamp};
use custody_policy::quantity::Seconds;
use custody_store::{KeptFilter, MAX_PAGE, PageRequest};

use crate::erase::Because;
use crate::error::SessionError;
use crate::orchestrator::Orchestrator;

/// Most sessions that may fail in one pass: where so many do, it is not about the sessions.
pub const MAX_FAILED: usize = 1_000;

/// How a pass is bounded.
#[derive(Clone, Copy, Debug)]
pub struct Sweeping {
    /// Most sessions that one pass erases, those first whose class ended first.
    pub batch: usize,
    /// How far the clock may be ahead of the newest moment that is known to have been.
    pub clock_lead: Seconds,
}

impl Default for Sweeping {
    fn default() -> Self {
        Self { batch: 100, clock_lead: Seconds(7 * 86_400) }
    }
}

/// What a pass did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Swept {
    /// The moment at which it was looked what is due.
    pub at: Timestamp,
    /// What was erased; in a dry run what would be.
    pub erased: Vec<SessionId>,
    /// What could not be, and why.
    pub failed: Vec<(SessionId, String)>,
    /// More is due: the next pass goes on.
    pub more: bool,
}

impl Orchestrator {
    /// Erases what is due, as much as a pass takes; with `dry_run` it only says what.
    ///
    /// # Errors
    /// [`SessionError::Clock`] if the clock is further ahead than time can have gone on, and those of the store. A session that
    /// can't be erased is no error: it is among those that failed.
    pub async fn sweep(
        self: &Arc<Self>,
        author: &Author,
        dry_run: bool,
    ) -> Result<Swept, SessionError> {
        let _turn = self.sweeping.lock().await;
        self.plane().follow().await?;
        let at = self.plane().now();
        let mut doubt = self.doubt_clock(at).await?;
        let Sweeping { batch, .. } = self.options().sweep;
        let filter = KeptFilter { ends_by: Some(at), free: true, project: None };
        let mut swept = Swept { at, erased: Vec::new(), failed: Vec::new(), more: false };
        let mut page = PageRequest::first(batch.clamp(1, MAX_PAGE));
        loop {
            let part = self.plane().store().kept(&filter, &page).await?;
            for row in part.items {
                // Where nothing is due, a wrong clock does no harm.
                if let Some(doubt) = doubt.take() {
                    return Err(doubt);
                }
                let full = swept.erased.len() >= batch || swept.failed.len() >= MAX_FAILED;
                if full || self.ending.is_cancelled() {
                    swept.more = true;
                    return Ok(swept);
                }
                let id = row.session.id;
                if dry_run {
                    swept.erased.push(id);
                    continue;
                }
                match self.erase_because(author, id, Because::Ended).await {
                    Ok(_) => swept.erased.push(id),
                    Err(error) => {
                        let reason = chain(&error);
                        tracing::error!(session = %id, error = reason, "a session whose retention class ended can't be erased");
                        swept.failed.push((id, reason));
                    }
                }
            }
            match part.next {
                Some(next) => page.after = Some(next),
                None => return Ok(swept),
            }
        }
    }
}
