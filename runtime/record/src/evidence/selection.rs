//! Which part of a record is disclosed.

use std::fmt;
use std::str::FromStr;

use crate::event::{Body, Event};

/// Most ranges of one text.
const MAX_RANGES: usize = 10_000;

/// Why a text names no events.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "{0:?} names no events: numbers and ranges are wanted, each above the one before, as in 0-9,15"
)]
pub struct InvalidSequences(String);

/// Numbers of events, as inclusive ranges in ascending order. Text form: `0-9,15`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sequences(Vec<(u64, u64)>);

impl Sequences {
    /// These numbers, in any order.
    #[must_use]
    pub fn of(numbers: impl IntoIterator<Item = u64>) -> Self {
        let mut numbers: Vec<u64> = numbers.into_iter().collect();
        numbers.sort_unstable();
        let mut ranges: Vec<(u64, u64)> = Vec::new();
        for number in numbers {
            match ranges.last_mut() {
                Some((_, last)) if number <= last.saturating_add(1) => *last = number,
                Some(_) | None => ranges.push((number, number)),
            }
        }
        Self(ranges)
    }

    /// Those of either.
    #[must_use]
    pub fn and(mut self, other: &Self) -> Self {
        self.0.extend(&other.0);
        self.0.sort_unstable();
        let mut ranges: Vec<(u64, u64)> = Vec::new();
        for (first, end) in self.0 {
            match ranges.last_mut() {
                Some((_, last)) if first <= last.saturating_add(1) => *last = end.max(*last),
                Some(_) | None => ranges.push((first, end)),
            }
        }
        Self(ranges)
    }

    /// Whether the event of this number is one of them.
    #[must_use]
    pub fn contains(&self, seq: u64) -> bool {
        let after = self.0.partition_point(|(first, _)| *first <= seq);
        after > 0 && seq <= self.0[after - 1].1
    }
}

impl FromStr for Sequences {
    type Err = InvalidSequences;

    fn from_str(text: &str) -> Result<Self, InvalidSequences> {
        let invalid = || InvalidSequences(text.chars().take(80).collect());
        let mut ranges: Vec<(u64, u64)> = Vec::new();
        for part in text.split(',') {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let number = |digits: &str| {
                let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
                digits.parse::<u64>().ok().filter(|_| plain).ok_or_else(invalid)
            };
            let (first, last) = (number(first)?, number(last)?);
            if first > last
                || ranges.last().is_some_and(|(_, before)| first <= *before)
                || ranges.len() == MAX_RANGES
            {
                return Err(invalid());
            }
            ranges.push((first, last));
        }
        Ok(Self(ranges))
    }
}

impl fmt::Display for Sequences {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (first, last)) in self.0.iter().enumerate() {
            let comma = if at > 0 { "," } else { "" };
            match first == last {
                true => write!(f, "{comma}{first}")?,
                false => write!(f, "{comma}{first}-{last}")?,
            }
        }
        Ok(())
    }
}

/// What is disclosed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// These events, and those that the attestation repeats; all of them without it.
    pub events: Option<Sequences>,
    /// Contents stay out: each is named by its digest and size.
    pub withhold_content: bool,
}

impl Selection {
    pub(super) fn shows(&self, event: &Event) -> bool {
        self.events.as_ref().is_none_or(|events| events.contains(event.seq))
            || is_always_shown(&event.body)
    }
}

/// The events without which neither the attestation nor the completeness of the record could be checked.
fn is_always_shown(body: &Body) -> bool {
    matches!(
        body,
        Body::SessionAuthorized(_)
            | Body::SessionClosed(_)
            | Body::CommitCreated(_)
            | Body::RecorderGap(_)
            | Body::WorkspaceCompared(_)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_events_have_one_text() {
        for text in ["0", "0-9,15", "3,5,7-8", "18446744073709551615"] {
            assert_eq!(text.parse::<Sequences>().unwrap().to_string(), text);
        }
        for text in ["", "a", "-1", "1-", "5,3", "3,3", "9-2", "1,,2", " 1", "+1", "1-2-3", "0x1"] {
            assert!(text.parse::<Sequences>().is_err(), "{text:?}");
        }
        let some = Sequences::of([7, 3, 4, 5, 9, 4]);
        assert_eq!(some.to_string(), "3-5,7,9");
        for seq in 0..12 {
            assert_eq!(some.contains(seq), [3, 4, 5, 7, 9].contains(&seq), "{seq}");
        }
        assert_eq!(some.and(&Sequences::of([6, 20])).to_string(), "3-7,9,20");
    }
}
