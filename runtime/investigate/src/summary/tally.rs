//! A list in the order of first appearance, in which a thing that comes again is found by its key.

use std::collections::BTreeMap;

/// The list, and where each key stands in it.
#[derive(Debug)]
pub(super) struct Tally<K, T> {
    places: BTreeMap<K, usize>,
    list: Vec<T>,
}

impl<K, T> Default for Tally<K, T> {
    fn default() -> Self {
        Self { places: BTreeMap::new(), list: Vec::new() }
    }
}

impl<K: Ord + Clone, T> Tally<K, T> {
    /// What stands for `key`; `first` makes it, at the end of the list, if nothing does yet.
    pub(super) fn entry(&mut self, key: &K, first: impl FnOnce() -> T) -> &mut T {
        let place = match self.places.get(key) {
            Some(place) => *place,
            None => {
                self.places.insert(key.clone(), self.list.len());
                self.list.push(first());
                self.list.len() - 1
            }
        };
        &mut self.list[place]
    }

    /// What stands for `key`, if anything does.
    pub(super) fn get_mut(&mut self, key: &K) -> Option<&mut T> {
        let place = *self.places.get(key)?;
        self.list.get_mut(place)
    }

    /// The list.
    pub(super) fn into_list(self) -> Vec<T> {
        self.list
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_again_is_counted_where_it_stood_first() {
        let mut tally: Tally<&str, (&str, u64)> = Tally::default();
        for key in ["b", "a", "b"] {
            tally.entry(&key, || (key, 0)).1 += 1;
        }
        assert!(tally.get_mut(&"c").is_none());
        tally.get_mut(&"a").unwrap().1 += 5;
        assert_eq!(tally.into_list(), [("b", 2), ("a", 6)]);
    }
}
