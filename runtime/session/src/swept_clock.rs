//! Whether the clock may be believed when it says that time is over: a clock that jumped must not erase everything.
//!
//! The newest moment that is known to have been grows by small steps alone: by the passes of the sweeper and by the events of
//! the control log, each of which may be at most [`crate::Sweeping::clock_lead`] after it. Events that a wrong clock dated
//! further ahead do not count, so that neither a restart nor what happens meanwhile makes the wrong time the right one. Kept in
//! `sweeper.json`; without it, it is found again from the whole control log.

use std::fs;
use std::io;
use std::sync::Arc;

use custody_model::Timestamp;
use custody_policy::quantity::Seconds;
use serde::{Deserialize, Serialize};

use crate::error::SessionError;
use crate::orchestrator::Orchestrator;

/// Events of the control log that are read at once.
const BATCH: usize = 512;

/// What is known of the time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Known {
    /// The newest moment that is known to have been.
    seen: Option<Timestamp>,
    /// Events of the control log that were looked at.
    control: u64,
}

impl Known {
    /// Takes a moment that somebody dated; whether it is believed.
    fn take(&mut self, at: Timestamp, lead: Seconds) -> bool {
        let believed = self.seen.is_none_or(|seen| at <= seen.later_by_seconds(lead.0));
        if believed {
            self.seen = self.seen.max(Some(at));
        }
        believed
    }
}

impl Orchestrator {
    /// Why a moment can't be believed, if it is too far ahead.
    pub(crate) async fn doubt_clock(
        self: &Arc<Self>,
        now: Timestamp,
    ) -> Result<Option<SessionError>, SessionError> {
        let lead = self.options().sweep.clock_lead;
        let mut known = self.known_time().await?;
        let believed = known.take(now, lead);
        self.keep_time(known)?;
        let seen = known.seen.filter(|_| !believed);
        Ok(seen.map(|seen| SessionError::Clock { now, seen, lead }))
    }

    /// Somebody who knows says that the clock is right now.
    ///
    /// # Errors
    /// If it can't be kept.
    pub async fn believe_clock(self: &Arc<Self>) -> Result<(), SessionError> {
        let _turn = self.sweeping.lock().await;
        let mut known = self.known_time().await?;
        known.seen = Some(self.plane().now());
        self.keep_time(known)
    }

    /// What is known by the file, and by the events since.
    async fn known_time(&self) -> Result<Known, SessionError> {
        let lead = self.options().sweep.clock_lead;
        let mut known = match fs::read(self.state().sweeper()) {
            // One that is damaged is found again from the log.
            Ok(bytes) => serde_json::from_slice(&bytes).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Known::default(),
            Err(error) => return Err(SessionError::file("reading what the sweeper knows")(error)),
        };
        loop {
            let (log, from) = (self.plane().log().clone(), known.control);
            let read = tokio::task::spawn_blocking(move || log.read(from, BATCH));
            let events = read.await?.map_err(custody_control::ControlError::from)?;
            let Some(last) = events.last() else { return Ok(known) };
            known.control = last.seq + 1;
            for event in &events {
                known.take(event.time, lead);
            }
        }
    }

    fn keep_time(&self, known: Known) -> Result<(), SessionError> {
        let doing = || SessionError::file("keeping what the sweeper knows");
        let json = serde_json::to_vec(&known)?;
        crate::create::durable(&[(self.state().sweeper(), &json)]).map_err(doing())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEAD: Seconds = Seconds(7 * 86_400);

    fn day(n: i64) -> Timestamp {
        Timestamp::from_micros(n * 86_400_000_000)
    }

    #[test]
    fn time_goes_on_by_small_steps_and_a_jump_is_not_believed_however_often_it_is_told() {
        let mut known = Known::default();
        assert!(known.take(day(100), LEAD));
        for n in 101..120 {
            assert!(known.take(day(n), LEAD), "day {n}");
        }
        for _ in 0..3 {
            assert!(!known.take(day(2_000), LEAD));
            assert!(!known.take(day(2_001), LEAD));
        }
        assert_eq!(known.seen, Some(day(119)));
        // The clock is set again; what it says goes on where it was.
        assert!(known.take(day(119), LEAD) && known.take(day(126), LEAD));
        assert!(known.take(day(90), LEAD), "a clock that is behind erases nothing too early");
        assert_eq!(known.seen, Some(day(126)));
        assert!(!known.take(day(134), LEAD));
    }
}
