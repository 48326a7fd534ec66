//! How far a destination is: a place in each record that it has not got all of.

use std::collections::{BTreeMap, BTreeSet};

use custody_model::{Digest, SessionId};
use serde::{Deserialize, Serialize};

/// Version of the form.
const VERSION: u32 = 1;

/// How far it is in one session.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Session {
    /// The next event.
    pub next: u64,
    /// Leaf hash of the event before it: a record in which another one stands there is not the one that was sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<Digest>,
    /// Everything was sent.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub done: bool,
}

/// How far a destination is. Its size is bounded by the sessions that are not done, and those that follow the oldest of
/// them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Place {
    version: u32,
    /// Everything up to this session is done, but for those in `open`.
    settled: Option<SessionId>,
    open: BTreeMap<SessionId, Session>,
}

impl Place {
    /// For a destination that is new: what ended before is not sent; what lives is sent from its beginning.
    #[must_use]
    pub fn beginning(all: &BTreeSet<SessionId>, live: &BTreeSet<SessionId>) -> Self {
        Self {
            version: VERSION,
            settled: all.union(live).max().copied(),
            open: live.iter().map(|id| (*id, Session::default())).collect(),
        }
    }

    /// Whether the form is known.
    pub(crate) fn is_known(&self) -> bool {
        self.version == VERSION
    }

    /// The sessions that are not done, the oldest first.
    #[must_use]
    pub fn pending(&self, all: &BTreeSet<SessionId>, live: &BTreeSet<SessionId>) -> Vec<SessionId> {
        let known = self.open.iter().filter(|(_, session)| !session.done).map(|(id, _)| *id);
        let new = all.union(live).copied().filter(|id| {
            self.settled.is_none_or(|settled| *id > settled) && !self.open.contains_key(id)
        });
        known.chain(new).collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// How far it is in a session.
    #[must_use]
    pub fn of(&self, session: SessionId) -> Session {
        self.open.get(&session).cloned().unwrap_or_default()
    }

    /// It is so far in a session now.
    pub fn set(&mut self, session: SessionId, to: Session) {
        self.open.insert(session, to);
    }

    /// Forgets what is done, as far as no session before it can still begin. Ids sort by time.
    pub fn settle(&mut self, all: &BTreeSet<SessionId>, live: &BTreeSet<SessionId>) {
        let oldest = self.pending(all, live).into_iter().chain(live.iter().copied()).min();
        let done: Vec<SessionId> = self
            .open
            .iter()
            .filter(|(id, session)| session.done && oldest.is_none_or(|oldest| **id < oldest))
            .map(|(id, _)| *id)
            .collect();
        for id in done {
            self.open.remove(&id);
            self.settled = self.settled.max(Some(id));
        }
    }
}

#[cfg(test)]
mod tests {
    use custody_model::Timestamp;
    use proptest::prelude::*;

    use super::*;

    fn id(n: u8) -> SessionId {
        SessionId::new(Timestamp::from_micros(i64::from(n) * 1_000_000), [n; 10])
    }

    fn ids(numbers: impl IntoIterator<Item = u8>) -> BTreeSet<SessionId> {
        numbers.into_iter().map(id).collect()
    }

    fn done(place: &mut Place, n: u8) {
        place.set(id(n), Session { next: 3, last: None, done: true });
    }

    #[test]
    fn what_ended_before_is_not_sent_and_what_lives_is_from_its_beginning() {
        let place = Place::beginning(&ids(1..=4), &ids([3, 5]));
        assert_eq!(place.pending(&ids(1..=7), &ids([3, 5])), [id(3), id(5), id(6), id(7)]);
        assert_eq!(place.of(id(3)).next, 0);
    }

    #[test]
    fn a_session_that_waits_is_not_forgotten_by_those_that_overtake_it() {
        let mut place = Place::beginning(&ids([]), &ids([]));
        let (all, live) = (ids([2, 3, 4]), ids([1, 4]));
        done(&mut place, 2);
        done(&mut place, 3);
        place.settle(&all, &live);
        assert_eq!(place.pending(&all, &live), [id(1), id(4)]);
        done(&mut place, 1);
        place.settle(&ids(1..=4), &ids([4]));
        assert_eq!(place.open.len(), 0);
        assert_eq!(place.pending(&ids(1..=4), &ids([4])), [id(4)]);
    }

    proptest! {
        /// Whatever is done in whatever order, nothing that is not done is forgotten, and what is done stays done.
        #[test]
        fn nothing_is_forgotten_or_sent_again(steps in proptest::collection::vec((0..20_u8, any::<bool>()), 0..60)) {
            let mut place = Place::beginning(&ids([]), &ids([]));
            let (all, mut live) = (ids(0..20), ids(0..20));
            let mut sent = BTreeSet::new();
            for (n, ends) in steps {
                if ends { live.remove(&id(n)); }
                if !live.contains(&id(n)) && !sent.contains(&id(n)) {
                    done(&mut place, n);
                    sent.insert(id(n));
                }
                place.settle(&all, &live);
                let pending: BTreeSet<_> = place.pending(&all, &live).into_iter().collect();
                prop_assert_eq!(&pending | &sent, all.clone());
                prop_assert!((&pending & &sent).is_empty());
            }
        }
    }
}
