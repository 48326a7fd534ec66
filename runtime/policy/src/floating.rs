//! Patterns for a name at any depth (`*.pem`, `.env`), indexed so that a name is compared with few of them.
//!
//! They are most of the rules of most policies, and would all be active states of the automaton all the time.

use crate::glob::Name;

#[derive(Debug)]
pub(crate) struct Floating {
    patterns: Vec<(Name, usize)>,
    /// Those that begin with a fixed byte, by this byte.
    by_first: Vec<Vec<usize>>,
    /// Of the others those that end with a fixed byte, by this byte.
    by_last: Vec<Vec<usize>>,
    /// The rest.
    anywhere: Vec<usize>,
}

impl Default for Floating {
    fn default() -> Self {
        Self {
            patterns: Vec::new(),
            by_first: vec![Vec::new(); 256],
            by_last: vec![Vec::new(); 256],
            anywhere: Vec::new(),
        }
    }
}

impl Floating {
    pub(crate) fn add(&mut self, name: Name, rule: usize) {
        let at = self.patterns.len();
        let (first, last) = match &name {
            Name::Literal(bytes) => (bytes.first(), None),
            Name::Star { prefix, suffix } => (prefix.first(), suffix.last()),
            Name::Tokens(_) => (None, None),
        };
        match (first, last) {
            (Some(byte), _) => self.by_first[usize::from(*byte)].push(at),
            (None, Some(byte)) => self.by_last[usize::from(*byte)].push(at),
            (None, None) => self.anywhere.push(at),
        }
        self.patterns.push((name, rule));
    }

    pub(crate) fn len(&self) -> usize {
        self.patterns.len()
    }

    /// The rules of all patterns.
    pub(crate) fn rules(&self) -> impl Iterator<Item = usize> {
        self.patterns.iter().map(|(_, rule)| *rule)
    }

    /// The last rule with a pattern that matches; no name is empty.
    #[inline]
    pub(crate) fn last_match(&self, name: &[u8]) -> Option<usize> {
        let (Some(first), Some(last)) = (name.first(), name.last()) else {
            return None;
        };
        let (first, last) = (usize::from(*first), usize::from(*last));
        let candidates = [&self.by_first[first], &self.by_last[last], &self.anywhere];
        let mut found = None;
        for at in candidates.into_iter().flatten() {
            let (pattern, rule) = &self.patterns[*at];
            if found < Some(*rule) && pattern.matches(name) {
                found = Some(*rule);
            }
        }
        found
    }
}
