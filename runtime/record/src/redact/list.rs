//! Redaction of a list of texts, above all of a command's arguments: in each of them, over all of them together, and by
//! what an argument says of the next.

use super::{Found, Mark, Redactor, apart, arguments, digest, replace};

/// What the record calls a secret that the argument before it gives away.
const ARGUMENT: &str = "argument";

/// What was found in one text: the text without it, and the marks; `None` if nothing was.
pub(super) type Redacted = Option<(String, Vec<Mark>)>;

impl Redactor {
    /// Each of these texts without what has to go. They are read together, too: what the end of one and the beginning of
    /// the next make up goes as well, as does what an option before it gives away.
    #[must_use]
    pub(super) fn redact_list(&self, texts: &[String]) -> Vec<Redacted> {
        let found = self.find_in_list(texts);
        let redacted = |(text, found): (&String, Vec<Found>)| {
            if found.is_empty() {
                return None;
            }
            let mut out = Vec::with_capacity(text.len());
            let marks = replace(text.as_bytes(), &found, 0..text.len(), &mut out);
            Some((String::from_utf8_lossy(&out).into_owned(), marks))
        };
        texts.iter().zip(found).map(redacted).collect()
    }

    /// These texts without what has to go; see [`Redactor::redact_list`].
    #[must_use]
    pub fn clean_list(&self, texts: &[String]) -> Vec<String> {
        let redacted = self.redact_list(texts).into_iter().zip(texts);
        redacted
            .map(|(redacted, text)| redacted.map_or_else(|| text.clone(), |(clean, _)| clean))
            .collect()
    }

    fn find_in_list(&self, texts: &[String]) -> Vec<Vec<Found>> {
        let mut found: Vec<Vec<Found>> =
            texts.iter().map(|text| self.find(text.as_bytes())).collect();
        if self.blind || texts.len() < 2 {
            return found;
        }
        let joined = texts.join(" ");
        let (mut start, mut at) = (0, 0);
        let whole = self.find(joined.as_bytes());
        for (text, found) in texts.iter().zip(&mut found) {
            let end = start + text.len();
            // One that goes on in the next text is looked at there again.
            while whole.get(at).is_some_and(|hit| hit.range.end <= start) {
                at += 1;
            }
            for hit in whole[at..].iter().take_while(|hit| hit.range.start < end) {
                let range = hit.range.start.max(start) - start..hit.range.end.min(end) - start;
                found.push(Found { range, ..hit.clone() });
            }
            start = end + 1;
        }
        let words: Vec<&[u8]> = texts.iter().map(|text| text.as_bytes()).collect();
        for (at, range) in arguments::find(&words, false) {
            let digest = digest(&self.salt, &words[at][range.clone()]);
            found[at].push(Found { range, kind: ARGUMENT.into(), digest });
        }
        found.into_iter().zip(&words).map(|(found, text)| apart(text, found)).collect()
    }
}
