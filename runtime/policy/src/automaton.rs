//! All patterns of the path rules as one automaton that reads a path component by component.
//!
//! A state is a segment of a pattern that the next component may match. The states of a pattern lie one after
//! the other, so that the successor of a state is the next one; the set of active states is a bit set.

use crate::floating::Floating;
use crate::glob::{Name, PathPattern, Segment};
use crate::paths::{MAX_PATH_SEGMENTS, TooManyRules};

const WORDS: usize = MAX_PATH_SEGMENTS / 64;

#[derive(Debug, Default)]
pub(crate) struct Automaton {
    states: Vec<State>,
    /// The states that are active before the first component.
    start: Vec<u64>,
    /// The last rule that matches the root, and so everything.
    everything: Option<usize>,
    /// The patterns of one name at any depth; they have no states.
    floating: Floating,
}

#[derive(Debug)]
struct State {
    segment: Segment,
    rule: usize,
    /// The last segment of its pattern.
    last: bool,
}

/// What a path left of the automaton.
pub(crate) struct Walk<'a> {
    automaton: &'a Automaton,
    active: [u64; WORDS],
    last_match: Option<usize>,
}

impl Automaton {
    pub(crate) fn new<'a>(
        patterns: impl Iterator<Item = &'a PathPattern>,
    ) -> Result<Self, TooManyRules> {
        let mut automaton = Self::default();
        let mut starts = Vec::new();
        for (rule, pattern) in patterns.enumerate() {
            for segments in pattern.alternatives() {
                match segments.as_slice() {
                    [] => {
                        automaton.everything = Some(rule);
                        continue;
                    }
                    [Segment::AnyDepth, Segment::Name(name)] => {
                        automaton.floating.add(name.clone(), rule);
                        continue;
                    }
                    _ => {}
                }
                starts.push(automaton.states.len());
                let last = segments.len() - 1;
                automaton.states.extend(segments.iter().enumerate().map(|(at, segment)| State {
                    segment: segment.clone(),
                    rule,
                    last: at == last,
                }));
            }
        }
        let segments = automaton.states.len() + automaton.floating.len();
        if segments > MAX_PATH_SEGMENTS {
            return Err(TooManyRules::Segments(segments));
        }
        let mut start = [0; WORDS];
        for state in starts {
            automaton.activate(&mut start, state);
        }
        automaton.start = start[..automaton.states.len().div_ceil(64)].to_vec();
        Ok(automaton)
    }

    /// `**` may stand for no component, so its successor is active with it. It is never the last segment.
    #[inline]
    fn activate(&self, set: &mut [u64; WORDS], state: usize) {
        set[state / 64] |= 1 << (state % 64);
        if self.states[state].segment == Segment::AnyDepth {
            set[(state + 1) / 64] |= 1 << ((state + 1) % 64);
        }
    }

    /// Reads a path; stops early at a directory whose last match is a rule for which `stop` holds.
    pub(crate) fn walk(&self, path: &[u8], stop: impl Fn(usize) -> bool) -> Walk<'_> {
        let words = self.start.len();
        let mut walk = Walk { automaton: self, active: [0; WORDS], last_match: self.everything };
        walk.active[..words].copy_from_slice(&self.start);
        let mut components = path.split(|b| *b == b'/').filter(|name| !name.is_empty());
        while !walk.last_match.is_some_and(&stop)
            && let Some(name) = components.next()
        {
            walk.step(words, name);
        }
        walk
    }
}

impl Walk<'_> {
    fn step(&mut self, words: usize, name: &[u8]) {
        self.last_match = self.last_match.max(self.automaton.floating.last_match(name));
        let mut next = [0; WORDS];
        for word in 0..words {
            let mut bits = self.active[word];
            while bits != 0 {
                let at = word * 64 + bits.trailing_zeros() as usize;
                bits &= bits - 1;
                let state = &self.automaton.states[at];
                // An earlier rule can't win any more, here or below.
                if self.last_match.is_some_and(|rule| state.rule < rule) {
                    continue;
                }
                match &state.segment {
                    Segment::AnyDepth => self.automaton.activate(&mut next, at),
                    Segment::Name(pattern) => {
                        if !Name::matches(pattern, name) {
                            continue;
                        }
                        if state.last {
                            self.last_match = self.last_match.max(Some(state.rule));
                        } else {
                            self.automaton.activate(&mut next, at + 1);
                        }
                    }
                }
            }
        }
        self.active = next;
    }

    /// The last rule that matches the path or a directory above it.
    pub(crate) fn last_match(&self) -> Option<usize> {
        self.last_match
    }

    /// The rules that could match something below the path and would win there.
    pub(crate) fn open_rules(&self) -> impl Iterator<Item = usize> {
        let active = |at: &usize| self.active[at / 64] & (1 << (at % 64)) != 0;
        (0..self.automaton.states.len())
            .filter(active)
            .map(|at| self.automaton.states[at].rule)
            .chain(self.automaton.floating.rules())
            .filter(|rule| self.last_match.is_none_or(|last| *rule >= last))
    }
}
