//! How witnesses stand to a log, and what of that belongs on record: each change once, however often they are asked.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use custody_model::error::chain_without_echo;
use custody_record::control::{ControlBody, RefusalReason, WitnessRefused, WitnessRestored};

use crate::ask::AskError;
use crate::collect::{Outcome, Round};

/// Least time between two events about one witness and one log: one that changes its mind each second fills no log.
pub const LEAST_BETWEEN: Duration = Duration::from_secs(10);

/// What a witness said last.
type Refusal = (RefusalReason, Option<u16>);

/// A witness.
#[derive(Debug, Default)]
struct Standing {
    /// As it is on record; `None`: it cosigns, or nothing is known against it.
    told: Option<Refusal>,
    /// When that was written.
    at: Option<Instant>,
}

/// How the witnesses of one log stand to it.
#[derive(Debug)]
pub struct Standings {
    log: String,
    witnesses: BTreeMap<String, Standing>,
}

impl Standings {
    /// For the log of this origin, of which nothing is known.
    #[must_use]
    pub fn new(log: String) -> Self {
        Self { log, witnesses: BTreeMap::new() }
    }

    /// What a round changed, to be recorded. What changed too soon after the last event is told in a later round, if it still
    /// holds then.
    pub fn take(&mut self, round: &Round, now: Instant) -> Vec<ControlBody> {
        let mut changes = Vec::new();
        for name in &round.cosigned {
            if self.changes(name, None, now) {
                changes.push(ControlBody::WitnessRestored(WitnessRestored {
                    log: self.log.clone(),
                    witness: name.clone(),
                    size: round.head.size,
                }));
            }
        }
        for (name, outcome) in &round.missing {
            let Some((reason, status)) = refusal(outcome) else { continue };
            if self.changes(name, Some((reason, status)), now) {
                changes.push(ControlBody::WitnessRefused(WitnessRefused {
                    log: self.log.clone(),
                    witness: name.clone(),
                    reason,
                    status,
                    size: round.head.size,
                    witnessed: round.witnessed.get(name).copied(),
                    detail: chain_without_echo(outcome),
                }));
            }
        }
        changes
    }

    fn changes(&mut self, name: &str, says: Option<Refusal>, now: Instant) -> bool {
        let standing = self.witnesses.entry(name.to_owned()).or_default();
        let soon = standing.at.is_some_and(|at| now.duration_since(at) < LEAST_BETWEEN);
        if standing.told == says || soon {
            return false;
        }
        *standing = Standing { told: says, at: Some(now) };
        true
    }
}

/// What a witness has against a head; `None` if it was not asked, or did not answer.
fn refusal(outcome: &Outcome) -> Option<Refusal> {
    use RefusalReason::{
        BadAnswer, Conflict, Forked, Rejected, RolledBack, UnknownKey, UnknownLog,
    };
    match outcome {
        Outcome::Asked(error) => match error {
            AskError::Unreachable(_) => None,
            AskError::Conflict { .. } => Some((Conflict, Some(409))),
            AskError::Forked(_) => Some((Forked, Some(422))),
            AskError::UnknownKey(_) => Some((UnknownKey, Some(403))),
            AskError::UnknownLog(_) => Some((UnknownLog, Some(404))),
            AskError::Refused { status, .. } => Some((Rejected, Some(*status))),
            AskError::Answer(_) | AskError::Size | AskError::TooLong => Some((BadAnswer, None)),
        },
        Outcome::Ahead { .. } => Some((RolledBack, Some(409))),
        Outcome::Cosignature(_) | Outcome::NoCosignature => Some((BadAnswer, Some(200))),
        Outcome::Tiles(_) | Outcome::NoUrl | Outcome::Late | Outcome::Broken(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use custody_model::Digest;
    use custody_record::tlog::Checkpoint;

    use super::*;

    const ORIGIN: &str = "example.com/log";

    fn round(size: u64, says: Option<u16>) -> Round {
        let head = Checkpoint { origin: ORIGIN.to_owned(), size, root: Digest::of(b"root") };
        let name = "north".to_owned();
        let refused = |status| Outcome::Asked(AskError::Refused { status, words: String::new() });
        Round {
            head,
            cosigned: if says.is_none() { vec![name.clone()] } else { Vec::new() },
            quorum: says.is_none(),
            missing: says.map(|status| (name.clone(), refused(status))).into_iter().collect(),
            witnessed: BTreeMap::from([(name, 7)]),
        }
    }

    #[test]
    fn a_witness_that_refuses_each_second_is_told_of_once_and_once_more_when_it_cosigns() {
        let mut standings = Standings::new(ORIGIN.to_owned());
        let begun = Instant::now();
        let mut told = Vec::new();
        let mut second = 0;
        let mut go_on = |seconds: u64, says: Option<u16>, told: &mut Vec<ControlBody>| {
            for _ in 0..seconds {
                let now = begun + Duration::from_secs(second);
                told.extend(standings.take(&round(100 + second, says), now));
                second += 1;
            }
        };
        go_on(5, None, &mut told);
        assert_eq!(told, [], "it cosigns, as ever");
        go_on(100, Some(500), &mut told);
        let [ControlBody::WitnessRefused(refused)] = told.as_slice() else { panic!("{told:?}") };
        assert_eq!((refused.reason, refused.status), (RefusalReason::Rejected, Some(500)));
        assert_eq!((refused.size, refused.witnessed), (105, Some(7)));
        go_on(100, Some(503), &mut told);
        assert_eq!(told.len(), 2, "another reason: {told:?}");
        go_on(100, None, &mut told);
        assert!(matches!(&told[2..], [ControlBody::WitnessRestored(_)]), "{told:?}");
        // One that changes its mind each second.
        told.clear();
        for _ in 0..50 {
            go_on(1, Some(500), &mut told);
            go_on(1, None, &mut told);
        }
        assert!(told.len() <= 11, "{} events in 100 seconds", told.len());
        go_on(30, None, &mut told);
        assert!(matches!(told.last(), Some(ControlBody::WitnessRestored(_))), "{told:?}");
    }
}
