//! Other readings of a text, in which a secret stands as it is: without a terminal's control sequences, and with what is
//! escaped in JSON, in a shell's string or in an URL decoded. Each knows where its bytes are in the text.

use std::ops::Range;

/// One reading of a text.
pub(super) struct Reading {
    pub(super) bytes: Vec<u8>,
    /// From which byte of the reading on the text is how far ahead; in order.
    ahead: Vec<(usize, usize)>,
}

impl Reading {
    fn new() -> Self {
        Self { bytes: Vec::new(), ahead: vec![(0, 0)] }
    }

    /// The next byte of the reading stands at `at` in the text.
    fn push(&mut self, byte: u8, at: usize) {
        let ahead = at - self.bytes.len();
        if self.ahead.last().is_none_or(|(_, last)| *last != ahead) {
            self.ahead.push((self.bytes.len(), ahead));
        }
        self.bytes.push(byte);
    }

    /// Where in the text a part of the reading is. `text` is its length.
    pub(super) fn origin(&self, part: &Range<usize>, text: usize) -> Range<usize> {
        let start = self.at(part.start, text);
        // The last byte's successor may be far away: what was left out there is no part of it.
        let end = match part.end.checked_sub(1) {
            Some(last) if part.end > part.start => {
                let next = self.at(part.end, text);
                (self.at(last, text) + 1).max(start).min(next)
            }
            Some(_) | None => start,
        };
        start..end
    }

    fn at(&self, index: usize, text: usize) -> usize {
        if index >= self.bytes.len() {
            return text;
        }
        let step = self.ahead.partition_point(|(from, _)| *from <= index);
        self.ahead.get(step.wrapping_sub(1)).map_or(index, |(_, ahead)| index + ahead)
    }
}

/// The other readings of a text; none of one that is read as it is.
pub(super) fn of(text: &[u8]) -> Vec<Reading> {
    let colours = text.contains(&0x1b);
    let escapes = text.iter().any(|byte| matches!(byte, b'\\' | b'%'));
    let mut readings = Vec::new();
    if colours {
        readings.push(read(text, None));
    }
    if colours || escapes {
        readings.push(read(text, Some(b' ')));
    }
    readings
}

/// Without control sequences, or with something in their place; then escapes are decoded, too.
fn read(text: &[u8], in_place: Option<u8>) -> Reading {
    let mut reading = Reading::new();
    let mut at = 0;
    while at < text.len() {
        let rest = &text[at..];
        if let Some(length) = control_sequence(rest) {
            if let Some(byte) = in_place {
                reading.push(byte, at);
            }
            at += length;
            continue;
        }
        let decoded = in_place.and_then(|_| decoded(rest));
        let (byte, length) = decoded.unwrap_or((rest[0], 1));
        reading.push(byte, at);
        at += length;
    }
    reading
}

/// Length of a control sequence of ECMA-48 (CSI, and OSC as xterm has it) at the beginning of a text.
fn control_sequence(text: &[u8]) -> Option<usize> {
    match text {
        [0x1b, b'[', rest @ ..] => {
            let end = rest.iter().take(64).position(|byte| (0x40..=0x7e).contains(byte))?;
            Some(end + 3)
        }
        [0x1b, b']', rest @ ..] => {
            let end = rest.iter().take(4096).position(|byte| matches!(byte, 0x07 | 0x1b))?;
            Some(if rest[end] == 0x07 { end + 3 } else { (end + 4).min(text.len()) })
        }
        [0x1b, b'(' | b')', _, ..] => Some(3),
        [0x1b, ..] => Some(1),
        _ => None,
    }
}

/// The byte that an escape at the beginning of a text stands for, and the escape's length. Only bytes of ASCII: a secret has
/// no others.
fn decoded(text: &[u8]) -> Option<(u8, usize)> {
    let hex = |digits: &[u8]| {
        let text = std::str::from_utf8(digits).ok()?;
        u8::from_str_radix(text, 16).ok().filter(u8::is_ascii)
    };
    match text {
        [b'%', a, b, ..] => Some((hex(&[*a, *b])?, 3)),
        [b'\\', b'u', b'0', b'0', a, b, ..] | [b'\\', b'u', b'{', a, b, b'}', ..] => {
            Some((hex(&[*a, *b])?, 6))
        }
        [b'\\', b'x', a, b, ..] => match hex(&[*a, *b])? {
            0x1b => None,
            byte => Some((byte, 4)),
        },
        // A quote in a text that a shell has in quotes.
        [b'\'', b'\\', b'\'', b'\'', ..] => Some((b'\'', 4)),
        [b'\\', b'n', ..] => Some((b'\n', 2)),
        [b'\\', b'r', ..] => Some((b'\r', 2)),
        [b'\\', b't', ..] => Some((b'\t', 2)),
        [b'\\', quoted @ (b'"' | b'\'' | b'/' | b'\\' | b'`'), ..] => Some((*quoted, 2)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_part_of_a_reading_is_found_in_the_text() {
        let text = b"a\x1b[31mkey\x1b[0m=x\\ny%3Dz";
        let readings = of(text);
        assert_eq!(readings[0].bytes, b"akey=x\\ny%3Dz");
        assert_eq!(readings[1].bytes, b"a key =x\ny=z");
        let origin = readings[1].origin(&(2..5), text.len());
        assert_eq!(&text[origin], b"key");
        assert_eq!(readings[1].origin(&(11..12), text.len()), text.len() - 1..text.len());
    }

    proptest! {
        #[test]
        fn every_part_of_a_reading_has_its_place(text in proptest::collection::vec(any::<u8>(), 0..80)) {
            for reading in of(&text) {
                let mut last = 0;
                for at in 0..reading.bytes.len() {
                    let origin = reading.origin(&(at..at + 1), text.len());
                    prop_assert!(origin.start >= last && origin.end <= text.len() && origin.len() == 1);
                    last = origin.end;
                }
            }
        }
    }
}
