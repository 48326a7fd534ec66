//! The forms in which an exact value is looked for: as it is, as JSON and URLs spell it, in base64 and in hexadecimal.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

/// Shortest value that is looked for, in bytes: shorter ones occur everywhere by chance.
pub const MIN_VALUE_BYTES: usize = 6;

/// Shortest line of a value with several lines that is looked for by itself, in bytes.
const MIN_LINE_BYTES: usize = 12;

/// Every form of a value.
pub(super) fn of(value: &str) -> BTreeSet<Vec<u8>> {
    let mut forms = BTreeSet::new();
    add(&mut forms, value);
    if value.contains('\n') {
        // A terminal prints other line ends, a tool one line of a key.
        for line in value.lines().filter(|line| line.len() >= MIN_LINE_BYTES) {
            add(&mut forms, line);
        }
    }
    forms
}

fn add(forms: &mut BTreeSet<Vec<u8>>, value: &str) {
    let bytes = value.as_bytes();
    forms.insert(bytes.to_vec());
    if let Ok(json) = serde_json::to_string(value) {
        forms.insert(json.as_bytes()[1..json.len() - 1].to_vec());
    }
    for upper in [true, false] {
        forms.insert(percent(bytes, upper, false));
        forms.insert(percent(bytes, upper, true));
        forms.insert(hex(bytes, upper));
    }
    for engine in [&STANDARD_NO_PAD, &URL_SAFE_NO_PAD] {
        for before in 0..3 {
            forms.insert(inside(bytes, before, engine));
        }
    }
}

/// The base64 characters that depend on the value alone when it stands in a longer text after `before` bytes, modulo 3.
fn inside(value: &[u8], before: usize, engine: &base64::engine::GeneralPurpose) -> Vec<u8> {
    let padded = [&[0; 2][..before], value].concat();
    let encoded = engine.encode(&padded).into_bytes();
    let first = (before * 8).div_ceil(6);
    let last = padded.len() * 8 / 6;
    encoded[first.min(last)..last].to_vec()
}

fn percent(bytes: &[u8], upper: bool, plus: bool) -> Vec<u8> {
    let mut out = Vec::new();
    for byte in bytes {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(*byte),
            b' ' if plus => out.push(b'+'),
            _ => {
                out.push(b'%');
                out.extend(hex(&[*byte], upper));
            }
        }
    }
    out
}

fn hex(bytes: &[u8], upper: bool) -> Vec<u8> {
    let digit = |byte: &u8| if upper { format!("{byte:02X}") } else { format!("{byte:02x}") };
    bytes.iter().map(digit).collect::<String>().into_bytes()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_value_is_found_in_base64_wherever_it_stands(
            before in proptest::collection::vec(any::<u8>(), 0..7),
            value in "\\PC{6,40}",
            after in proptest::collection::vec(any::<u8>(), 0..7),
        ) {
            let text = [before.as_slice(), value.as_bytes(), &after].concat();
            for encoded in [STANDARD_NO_PAD.encode(&text), URL_SAFE_NO_PAD.encode(&text)] {
                let found = of(&value).iter().any(|form| {
                    form.len() >= 6 && encoded.as_bytes().windows(form.len()).any(|w| w == form.as_slice())
                });
                prop_assert!(found, "{:?} in {}", value, encoded);
            }
        }
    }
}
