//! What was missed of a session's output, from its recording.

/// What follows the first `seen` bytes of the output in an asciicast v3; `None` if that can't be told: a recording is text,
/// and what is not UTF-8 is replaced in it.
pub(super) fn rest_of(recording: &[u8], seen: u64) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(recording).ok()?;
    let mut output = String::new();
    for line in text.lines().skip(1) {
        let (_, code, data): (f64, String, String) = serde_json::from_str(line).ok()?;
        if code == "o" {
            output.push_str(&data);
        }
    }
    let seen = usize::try_from(seen).ok()?;
    let exact = !output.contains(char::REPLACEMENT_CHARACTER);
    let rest = exact.then(|| output.into_bytes())?;
    (seen <= rest.len()).then(|| rest[seen..].to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_missed_is_found_in_the_recording() {
        let recording = "{\"version\": 3}\n[0.1, \"o\", \"ab\\n\"]\n[0.2, \"r\", \"80x24\"]\n[0.1, \"o\", \"\u{e9}c\"]\n";
        let rest = |seen| rest_of(recording.as_bytes(), seen);
        assert_eq!(rest(0).as_deref(), Some("ab\n\u{e9}c".as_bytes()));
        assert_eq!(rest(5).as_deref(), Some(&b"c"[..]));
        assert_eq!(rest(6).as_deref(), Some(&b""[..]));
        assert_eq!(rest(7), None);
        assert_eq!(rest_of("{}\n[0, \"o\", \"\u{fffd}\"]".as_bytes(), 0), None);
    }
}
