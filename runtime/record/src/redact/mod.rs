//! Redaction: credentials are taken out of everything before it is written, and what was taken out is told by its kind, its
//! place and a salted digest.
//!
//! Three sources: [`rules`] (published patterns and Custody's own), exact values that the runtime gave to the session (in any
//! of their [`forms`]), and the policy's own patterns. They are looked for in the text as it is and in its other [`readings`]:
//! without colours, with escapes decoded. A list of arguments is looked at in its parts and as a whole. What is found becomes `[redacted:<kind>:<first 8 digits of its digest>]`. The
//! digest is HMAC-SHA-256 under the session's salt, which comes from the session's key: with it an auditor can tell whether a
//! certain secret was meant, and nobody else can guess.

mod arguments;
mod compiled;
mod forms;
mod list;
mod named;
mod readings;
mod rules;
mod stream;
mod tokens;
mod tree;

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use aho_corasick::{AhoCorasick, MatchKind};
use custody_model::Digest;
use regex::bytes::Regex;
use zeroize::Zeroizing;

use crate::vault::key::keyed;
use compiled::Compiled;
pub use forms::MIN_VALUE_BYTES;
pub(crate) use stream::Redacting;

/// Kind of an exact value that the runtime gave to the session.
pub const INJECTED: &str = "injected-value";

/// Most bytes of a policy's pattern.
pub const MAX_PATTERN_BYTES: usize = 1024;

/// Why a redactor can't be made.
#[derive(Debug, thiserror::Error)]
pub enum RedactorError {
    /// A pattern of the policy.
    #[error("the pattern {name} can't be used")]
    Pattern {
        /// Its name.
        name: String,
        /// Why.
        #[source]
        source: Box<regex::Error>,
    },
    /// The exact values.
    #[error("the values to redact can't be looked for")]
    Values(#[source] Box<aho_corasick::BuildError>),
    /// The kernel gave no random bytes.
    #[error("no random bytes for a salt")]
    Random(#[source] getrandom::Error),
}

/// Secrets that stand side by side without a border between them: each is known once the one before it is, up to so many.
const MAX_NEIGHBOURS: usize = 8;

/// A pattern of a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    /// What it is called in the record.
    pub name: String,
    /// A regular expression (the syntax of the `regex` crate, version 1, on bytes with ASCII classes). Its first group that
    /// takes part is the secret, or else the whole match.
    pub pattern: String,
}

/// Takes credentials out of texts.
#[derive(Debug)]
pub struct Redactor {
    salt: [u8; 32],
    values: Option<AhoCorasick>,
    /// Of each form of a value: the value's digest.
    digests: Vec<Digest>,
    patterns: Arc<[Compiled]>,
    /// It finds nothing at all.
    blind: bool,
}

/// Something that has to go.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) range: Range<usize>,
    pub(crate) kind: Arc<str>,
    pub(crate) digest: Digest,
}

/// Where in a text something has to go.
#[derive(Debug)]
pub struct Places(Vec<Found>);

impl Places {
    /// Whether one of them lies on both sides of an offset.
    #[must_use]
    pub fn cross(&self, offset: usize) -> bool {
        self.0.iter().any(|found| found.range.start < offset && offset < found.range.end)
    }
}

/// What was taken out of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Where the marker stands in the new text, in bytes.
    pub range: Range<usize>,
    /// Which rule, pattern, or [`INJECTED`].
    pub kind: String,
    /// HMAC-SHA-256 of it under the session's salt.
    pub digest: Digest,
}

impl Redactor {
    /// With the published patterns alone, under a salt that nobody keeps.
    ///
    /// # Errors
    /// [`RedactorError::Random`].
    pub fn standard() -> Result<Self, RedactorError> {
        let mut salt = [0; 32];
        getrandom::fill(&mut salt).map_err(RedactorError::Random)?;
        Ok(Self { salt, values: None, digests: Vec::new(), patterns: Arc::default(), blind: false })
    }

    /// One that finds nothing, to measure what the others cost. Nothing but the benchmark may use it, which the house rules
    /// check.
    #[doc(hidden)]
    #[must_use]
    pub fn blind() -> Self {
        Self {
            salt: [0; 32],
            values: None,
            digests: Vec::new(),
            patterns: Arc::default(),
            blind: true,
        }
    }

    /// With exact values and patterns of a policy as well. Values shorter than [`MIN_VALUE_BYTES`] are left out.
    ///
    /// # Errors
    /// [`RedactorError`].
    pub fn new(
        salt: [u8; 32],
        values: &[&str],
        patterns: &[Pattern],
    ) -> Result<Self, RedactorError> {
        let mut digests = Vec::new();
        let mut wanted: Vec<Zeroizing<Vec<u8>>> = Vec::new();
        for value in values.iter().filter(|value| value.len() >= MIN_VALUE_BYTES) {
            let digest = digest(&salt, value.as_bytes());
            for form in forms::of(value).into_iter().filter(|form| form.len() >= MIN_VALUE_BYTES) {
                wanted.push(Zeroizing::new(form));
                digests.push(digest);
            }
        }
        let values = match wanted.is_empty() {
            true => None,
            false => Some(
                AhoCorasick::builder()
                    .match_kind(MatchKind::LeftmostLongest)
                    .build(wanted.iter().map(|form| form.as_slice()))
                    .map_err(|e| RedactorError::Values(Box::new(e)))?,
            ),
        };
        Ok(Self { salt, values, digests, patterns: compiled::of(patterns)?, blind: false })
    }

    /// Everything in a text that has to go, in order and without overlaps.
    pub(crate) fn find(&self, text: &[u8]) -> Vec<Found> {
        if self.blind {
            return Vec::new();
        }
        let mut found = apart(text, self.read(text));
        // A secret that has no border of its own has one once its neighbour is gone.
        for _ in 0..MAX_NEIGHBOURS {
            if found.is_empty() {
                break;
            }
            let bytes = |found: &[Found]| found.iter().map(|one| one.range.len()).sum::<usize>();
            let before = bytes(&found);
            let hidden = hidden(text, &found);
            found.extend(self.read(&hidden));
            found = apart(text, found);
            if bytes(&found) == before {
                break;
            }
        }
        found
    }

    /// Everything that has to go in each reading of a text, in no order.
    fn read(&self, text: &[u8]) -> Vec<Found> {
        let mut found = self.search(text);
        for reading in readings::of(text) {
            found.extend(
                self.search(&reading.bytes)
                    .into_iter()
                    .map(|hit| Found { range: reading.origin(&hit.range, text.len()), ..hit }),
            );
        }
        found
    }

    /// Everything that has to go in one reading of a text, in no order.
    fn search(&self, text: &[u8]) -> Vec<Found> {
        let mut found = Vec::new();
        if let Some(values) = &self.values {
            found.extend(values.find_iter(text).map(|hit| Found {
                range: hit.range(),
                kind: INJECTED.into(),
                digest: self.digests[hit.pattern().as_usize()],
            }));
        }
        for Compiled { name, regex } in &*self.patterns {
            for captures in regex.captures_iter(text) {
                let secret = captures.iter().skip(1).flatten().next().or_else(|| captures.get(0));
                let Some(secret) = secret.filter(|secret| !secret.is_empty()) else { continue };
                let digest = digest(&self.salt, secret.as_bytes());
                found.push(Found { range: secret.range(), kind: name.clone(), digest });
            }
        }
        if let Some(rules) = rules::all() {
            found.extend(rules.find(text).into_iter().map(|hit| Found {
                digest: digest(&self.salt, &text[hit.range.clone()]),
                range: hit.range,
                kind: hit.rule.into(),
            }));
        }
        found
    }

    /// Whether canonical bytes of an event may hold something that has to go. What is escaped in them is not judged here: then a
    /// keyword or a pattern of the policy is enough.
    pub(crate) fn suspects(&self, canonical: &[u8]) -> bool {
        if self.blind {
            return false;
        }
        let Some(rules) = rules::all() else { return true };
        let escaped = canonical.iter().any(|byte| matches!(byte, b'\\' | b'%'));
        if escaped && (!self.patterns.is_empty() || rules.any_keyword(canonical)) {
            return true;
        }
        if self.suspects_text(rules, canonical) {
            return true;
        }
        // The texts of a list are read together, too.
        let Some(start) = canonical.windows(2).position(|two| two == b"[\"") else { return false };
        let mut lists = Vec::with_capacity(canonical.len() - start);
        let mut rest = &canonical[start..];
        while let Some(border) = rest.windows(3).position(|three| three == b"\",\"") {
            lists.extend_from_slice(&rest[..border]);
            lists.push(b' ');
            rest = &rest[border + 3..];
        }
        lists.extend_from_slice(rest);
        self.suspects_text(rules, &lists)
    }

    fn suspects_text(&self, rules: &rules::Rules, text: &[u8]) -> bool {
        self.values.as_ref().is_some_and(|values| values.is_match(text))
            || self.patterns.iter().any(|pattern| pattern.regex.is_match(text))
            || rules.suspect(text)
    }

    /// Where in a text something has to go, for [`Redactor::part`].
    #[must_use]
    pub fn places(&self, text: &str) -> Places {
        Places(self.find(text.as_bytes()))
    }

    /// A part of a text without what has to go, and what that was. `places` are those of the whole text. What begins before the
    /// part and ends in it is left out here, too.
    #[must_use]
    pub fn part(&self, text: &str, places: &Places, part: Range<usize>) -> (String, Vec<Mark>) {
        let mut out = Vec::with_capacity(part.len());
        let marks = replace(text.as_bytes(), &places.0, part, &mut out);
        (String::from_utf8_lossy(&out).into_owned(), marks)
    }

    /// A text without what has to go, and what that was; `None` if nothing has to.
    #[must_use]
    pub fn redact(&self, text: &str) -> Option<(String, Vec<Mark>)> {
        let found = self.find(text.as_bytes());
        if found.is_empty() {
            return None;
        }
        let mut out = Vec::with_capacity(text.len());
        let marks = replace(text.as_bytes(), &found, 0..text.len(), &mut out);
        // A pattern works on bytes and may have cut a character.
        match String::from_utf8(out) {
            Ok(text) => Some((text, marks)),
            Err(error) => Some((String::from_utf8_lossy(error.as_bytes()).into_owned(), marks)),
        }
    }
}

/// In order and without overlaps. What is a marker already stays.
fn apart(text: &[u8], mut found: Vec<Found>) -> Vec<Found> {
    if found.is_empty() {
        return found;
    }
    let markers = markers(text);
    found.retain(|found| !found.range.is_empty());
    if !markers.is_empty() {
        found = found.into_iter().flat_map(|found| beside(&markers, found)).collect();
    }
    // Of two that overlap the one that begins first gives its name, and both go whole.
    found.sort_by_key(|found| found.range.start);
    let mut apart: Vec<Found> = Vec::with_capacity(found.len());
    for next in found {
        match apart.last_mut() {
            Some(last) if next.range.start < last.range.end => {
                last.range.end = last.range.end.max(next.range.end);
            }
            Some(_) | None => apart.push(next),
        }
    }
    apart
}

/// What of a finding is no marker: that goes, and the marker stays.
fn beside(markers: &[Range<usize>], found: Found) -> Vec<Found> {
    let Range { start, end } = found.range;
    let (mut at, mut parts) = (start, Vec::new());
    for marker in markers.iter().filter(|marker| marker.start < end && start < marker.end) {
        if at < marker.start {
            parts.push(Found { range: at..marker.start, ..found.clone() });
        }
        at = marker.end;
    }
    if at < end {
        parts.push(Found { range: at..end, ..found });
    }
    parts
}

/// The text with brackets in place of what has to go, byte for byte: borders, as its markers will be.
fn hidden(text: &[u8], found: &[Found]) -> Vec<u8> {
    let mut hidden = text.to_vec();
    for Found { range, .. } in found {
        hidden[range.clone()].fill(b'.');
        hidden[range.start] = b'[';
        hidden[range.end - 1] = b']';
    }
    hidden
}

/// Where markers stand that a redactor left in a text.
fn markers(text: &[u8]) -> Vec<Range<usize>> {
    static MARKER: OnceLock<Option<Regex>> = OnceLock::new();
    let marker =
        MARKER.get_or_init(|| rules::compile(r"\[redacted:[a-z0-9._-]{1,64}:[0-9a-f]{8}\]").ok());
    let found = marker.iter().flat_map(|marker| marker.find_iter(text));
    found.map(|marker| marker.range()).collect()
}

fn digest(salt: &[u8; 32], secret: &[u8]) -> Digest {
    Digest::from_bytes(keyed(salt, &[secret]))
}

/// Appends `text[part]` with markers for what was found. What begins in `part` goes whole, even if it ends after it.
pub(crate) fn replace(
    text: &[u8],
    found: &[Found],
    part: Range<usize>,
    out: &mut Vec<u8>,
) -> Vec<Mark> {
    let mut marks = Vec::new();
    let earlier = found.iter().filter(|found| found.range.start < part.start);
    let mut at = earlier.map(|found| found.range.end).fold(part.start, usize::max);
    for Found { range, kind, digest } in found {
        if range.start < part.start || range.start >= part.end {
            continue;
        }
        out.extend_from_slice(&text[at..range.start]);
        let start = out.len();
        out.extend_from_slice(format!("[redacted:{kind}:{}]", &digest.hex()[..8]).as_bytes());
        let marked = start..out.len();
        // Lines stay lines, and those of a diff keep their sign.
        let lines = text[range.clone()].split(|byte| *byte == b'\n').skip(1);
        for line in lines {
            out.push(b'\n');
            out.extend(line.first().filter(|sign| matches!(sign, b'+' | b'-' | b' ')));
        }
        marks.push(Mark { range: marked, kind: kind.to_string(), digest: *digest });
        at = range.end;
    }
    out.extend_from_slice(text.get(at..part.end).unwrap_or_default());
    marks
}

#[cfg(test)]
mod tests;

#[cfg(test)]
mod corpus;
