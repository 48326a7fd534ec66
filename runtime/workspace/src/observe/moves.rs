//! What a batch of events tells of names: which object came to which place or left it. The kernel counts alike events once
//! while they wait, so that an object that came back to a place may have gone on from there without a word: such objects
//! wander, and where they are at the end has to be looked up.

use std::collections::HashMap;

/// A directory's handle and a name in it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Spot {
    pub(super) directory: Box<[u8]>,
    pub(super) name: Box<[u8]>,
}

/// The renames of one object.
#[derive(Debug, Default)]
struct Renames {
    /// Where each stands in the batch; 0 for what is carried over from the batch before.
    at: Vec<usize>,
    /// Every place that they name.
    spots: Vec<Spot>,
}

/// An object that was at a place.
#[derive(Debug)]
pub(super) struct Resident {
    pub(super) object: Box<[u8]>,
    arrived: bool,
    departed: bool,
    /// It stands there, as far as the events that were handled tell.
    pub(super) here: bool,
}

/// What the events that were read together tell of names.
#[derive(Debug, Default)]
pub(super) struct Moves {
    renames: HashMap<Box<[u8]>, Renames>,
    residents: HashMap<Spot, Vec<Resident>>,
    /// The last event that puts something at a place by a rename; 0 for what is carried over.
    arrivals: HashMap<Spot, usize>,
}

impl Moves {
    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        self.renames.clear();
        self.residents.clear();
        self.arrivals.clear();
    }

    /// The events that are handled next were waiting beside those that were handled.
    pub(super) fn carry_over(&mut self) {
        for renames in self.renames.values_mut() {
            renames.at.fill(0);
        }
        self.arrivals.values_mut().for_each(|at| *at = 0);
    }

    /// Event `at` tells of a rename.
    pub(super) fn renamed(&mut self, at: usize, object: &[u8], spots: [Spot; 2]) {
        let renames = self.renames.entry(object.into()).or_default();
        renames.at.push(at);
        self.arrivals.insert(spots[1].clone(), at);
        for spot in spots {
            if !renames.spots.contains(&spot) {
                renames.spots.push(spot);
            }
        }
    }

    /// Whether anything was renamed.
    pub(super) fn any(&self) -> bool {
        !self.renames.is_empty()
    }

    /// Every object that was renamed, with the first event that tells of it.
    pub(super) fn first(&self) -> Vec<(Box<[u8]>, usize)> {
        let all = self.renames.iter();
        all.filter_map(|(object, r)| Some((object.clone(), *r.at.iter().min()?))).collect()
    }

    /// Whether the object may have been anywhere of where it ever was when event `at` happened: its renames don't tell a
    /// way, because it came back to where it had been.
    pub(super) fn wanders(&self, object: &[u8], at: usize) -> bool {
        self.renames.get(object).is_some_and(|renames| {
            // A way without return has one place more than steps.
            renames.spots.len() <= renames.at.len()
                && renames.at.iter().min().is_some_and(|first| *first <= at)
        })
    }

    /// The first event after `at` that renames the object.
    pub(super) fn next(&self, object: &[u8], at: usize) -> Option<usize> {
        self.renames.get(object)?.at.iter().copied().filter(|rename| *rename > at).min()
    }

    /// Whether an event after `at` puts something else at the place.
    pub(super) fn is_replaced_after(&self, spot: &Spot, at: usize) -> bool {
        self.arrivals.get(spot).is_some_and(|arrival| *arrival > at)
    }

    /// Whether something that is said of this place may be true of another object: one wanders through it.
    pub(super) fn is_wandered_through(&self, spot: &Spot) -> bool {
        self.residents.get(spot).is_some_and(|residents| {
            residents.iter().any(|resident| self.wanders(&resident.object, usize::MAX))
        })
    }

    /// Another object that stands at the place, as far as the events that were handled tell.
    pub(super) fn occupant(&self, spot: &Spot, object: &[u8]) -> Option<Box<[u8]>> {
        let all = self.residents.get(spot)?;
        let other = all.iter().find(|resident| resident.here && *resident.object != *object)?;
        Some(other.object.clone())
    }

    /// The object came to a place, and what stood there is gone.
    pub(super) fn arrived(&mut self, object: &[u8], spot: Spot) {
        for other in self.residents.entry(spot.clone()).or_default() {
            other.here = false;
            other.departed = true;
        }
        let resident = self.resident(object, spot);
        resident.arrived = true;
        resident.here = true;
    }

    /// The object left a place.
    pub(super) fn departed(&mut self, object: &[u8], spot: Spot) {
        let resident = self.resident(object, spot);
        resident.departed = true;
        resident.here = false;
    }

    fn resident(&mut self, object: &[u8], spot: Spot) -> &mut Resident {
        let residents = self.residents.entry(spot).or_default();
        let at = match residents.iter().position(|resident| *resident.object == *object) {
            Some(at) => at,
            None => {
                let object = object.into();
                residents.push(Resident { object, arrived: false, departed: false, here: false });
                residents.len() - 1
            }
        };
        &mut residents[at]
    }

    /// Whether the events tell that the object left the place, or that another one stands there now.
    pub(super) fn has_left(&self, object: &[u8], spot: &Spot) -> bool {
        self.residents.get(spot).is_some_and(|all| {
            match all.iter().find(|resident| *resident.object == *object) {
                Some(own) => !own.here,
                None => all.iter().any(|other| other.here),
            }
        })
    }

    /// Where the object is, as far as the events that were handled tell, among the places that its renames name.
    pub(super) fn whereabouts(&self, object: &[u8]) -> Option<Spot> {
        let spots = &self.renames.get(object)?.spots;
        let here = |spot: &&Spot| {
            let residents = self.residents.get(*spot);
            residents.is_some_and(|all| all.iter().any(|r| *r.object == *object && r.here))
        };
        spots.iter().find(here).cloned()
    }

    /// Who came and went: whether it stands there is to be looked up.
    pub(super) fn unsettled(&self) -> impl Iterator<Item = (&Spot, &Resident)> {
        self.residents.iter().flat_map(|(spot, residents)| {
            residents.iter().filter(|r| r.arrived && r.departed).map(move |r| (spot, r))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spot(name: &str) -> Spot {
        Spot { directory: Box::default(), name: name.as_bytes().into() }
    }

    fn of(renames: &[(&str, &str)]) -> Moves {
        let mut moves = Moves::default();
        for (at, (from, to)) in renames.iter().enumerate() {
            moves.renamed(at, b"o", [spot(from), spot(to)]);
        }
        moves
    }

    #[test]
    fn only_who_comes_back_wanders() {
        assert!(!of(&[("a", "b")]).wanders(b"o", usize::MAX));
        assert!(!of(&[("a", "b"), ("b", "c"), ("c", "d")]).wanders(b"o", usize::MAX));
        assert!(of(&[("a", "b"), ("b", "a")]).wanders(b"o", usize::MAX));
        assert!(of(&[("a", "b"), ("b", "c"), ("c", "a")]).wanders(b"o", 0));
        // The same rename by two processes: the object came back in between.
        assert!(of(&[("a", "b"), ("a", "b")]).wanders(b"o", usize::MAX));
        assert!(!of(&[("a", "b"), ("b", "a")]).wanders(b"another", usize::MAX));
    }

    #[test]
    fn who_came_and_went_is_to_be_looked_up() {
        let mut moves = of(&[("a", "b")]);
        moves.arrived(b"o", spot("a"));
        assert_eq!(moves.unsettled().count(), 0);
        moves.departed(b"o", spot("a"));
        moves.arrived(b"o", spot("b"));
        let unsettled: Vec<_> = moves.unsettled().map(|(at, r)| (at.clone(), r.here)).collect();
        assert_eq!(unsettled, [(spot("a"), false)]);
        assert_eq!(moves.whereabouts(b"o"), Some(spot("b")));
        assert!(moves.has_left(b"o", &spot("a")) && !moves.has_left(b"o", &spot("b")));
    }
}
