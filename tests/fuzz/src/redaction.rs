//! What takes credentials out of texts that anybody wrote.

use std::sync::OnceLock;

use custody_record::Redactor;
use custody_record::redact::Pattern;

/// A value that the session was given.
const GIVEN: &str = "correct horse battery staple";

/// What the pattern of a policy names.
const CASE: &str = "CASE-2026-118277";

fn redactor() -> &'static Redactor {
    static REDACTOR: OnceLock<Redactor> = OnceLock::new();
    REDACTOR.get_or_init(|| {
        let case = Pattern { name: "case".to_owned(), pattern: r"CASE-\d{4}-\d{6}".to_owned() };
        Redactor::new([7; 32], &[GIVEN], &[case]).expect("a redactor")
    })
}

/// Credentials that go wherever they stand between blanks: put together here, so that no scanner takes this file for a leak.
fn planted() -> [String; 5] {
    [
        ["AKIA", "Q3EGPN5XWVYT", "7LKB"].concat(),
        ["ghp", "_", "x4T9bK2mQ7wZ1rV8cN5yH3jL6pD0sF4gAe2u"].concat(),
        ["glpat", "-", "x4T9bK2mQ7wZ1rV8cN5y"].concat(),
        GIVEN.to_owned(),
        CASE.to_owned(),
    ]
}

/// Looks after which nothing more is taken out of a text: beside a marker something may look like what it never was.
const MOST_LOOKS: usize = 4;

/// Redaction of a text and of arguments: it ends, a credential that stands in it between blanks is not in what comes out, and
/// what was redacted comes to rest, with all of its markers.
///
/// # Panics
/// If one of these does not hold.
pub fn redaction(bytes: &[u8]) {
    let Some((&place, bytes)) = bytes.split_first() else { return };
    let text = String::from_utf8_lossy(bytes);
    let redactor = redactor();
    again(redactor, &text);
    let mut at = text.len() * usize::from(place) / 256;
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    let (before, after) = text.split_at(at);
    for secret in &planted() {
        // Where it stands within a word, it may be another word.
        if text.contains(secret.as_str()) {
            continue;
        }
        let clean = again(redactor, &format!("{before} {secret} {after}"));
        assert!(!clean.contains(secret.as_str()), "{secret:?} is left in {clean:?}");
        let mut arguments: Vec<String> = before.split('\n').map(str::to_owned).collect();
        arguments.push(secret.clone());
        arguments.extend(after.split('\n').map(str::to_owned));
        let clean = redactor.clean_list(&arguments);
        assert_eq!(clean.len(), arguments.len(), "an argument is gone or new");
        let left = clean.iter().find(|argument| argument.contains(secret.as_str()));
        assert!(left.is_none(), "{secret:?} is left in {left:?}");
    }
}

/// The text without what has to go, at which further looks come to rest.
fn again(redactor: &Redactor, text: &str) -> String {
    let Some((clean, marks)) = redactor.redact(text) else { return text.to_owned() };
    for mark in &marks {
        let shown = clean.get(mark.range.clone());
        let is_marker =
            shown.is_some_and(|text| text.starts_with("[redacted:") && text.ends_with(']'));
        // A pattern works on bytes: where it cut a character, places after it are off.
        assert!(
            is_marker || clean.contains('\u{fffd}'),
            "no marker stands at {:?} of {clean:?}",
            mark.range
        );
    }
    let mut last = clean.clone();
    for _ in 1..MOST_LOOKS {
        let Some((next, _)) = redactor.redact(&last) else { return clean };
        for mark in marks.iter().filter(|_| !clean.contains('\u{fffd}')) {
            let marker = &clean[mark.range.clone()];
            assert!(next.contains(marker), "{marker} is gone from {clean:?} in {next:?}");
        }
        last = next;
    }
    assert!(redactor.redact(&last).is_none(), "no end of {clean:?}: {last:?}");
    clean
}
