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

    /// The first `room` bytes of a list, and whether that is not all of it. A secret at the cut is left out whole, and what
    /// is a secret only by what is cut off is redacted here already.
    #[must_use]
    pub fn cut_list(&self, texts: Vec<String>, room: usize) -> (Vec<String>, bool) {
        if texts.iter().map(String::len).sum::<usize>() <= room {
            return (texts, false);
        }
        let found = self.find_in_list(&texts);
        let (mut kept, mut left) = (Vec::new(), room);
        for (text, found) in texts.iter().zip(&found) {
            let mut end = text.floor_char_boundary(left);
            if let Some(cut) = found.iter().find(|hit| hit.range.start < end && end < hit.range.end)
            {
                end = cut.range.start;
            }
            kept.push(text[..text.floor_char_boundary(end)].to_owned());
            if end < text.len() {
                break;
            }
            left -= end;
            if left == 0 {
                break;
            }
        }
        let seen = self.find_in_list(&kept);
        for ((text, found), seen) in kept.iter_mut().zip(found).zip(seen) {
            let lost: Vec<Found> = found
                .into_iter()
                .filter(|hit| hit.range.end <= text.len())
                .filter(|hit| {
                    !seen
                        .iter()
                        .any(|s| s.range.start <= hit.range.start && hit.range.end <= s.range.end)
                })
                .collect();
            if !lost.is_empty() {
                let mut out = Vec::with_capacity(text.len());
                replace(text.as_bytes(), &lost, 0..text.len(), &mut out);
                *text = String::from_utf8_lossy(&out).into_owned();
            }
        }
        (kept, true)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_where_a_list_is_cut_is_left_out_whole() {
        let redactor = Redactor::new([1; 32], &[], &[]).unwrap();
        let token = ["gh", "p_", "x4T9bK2mQ7wZ1rV8cN5yH3jL6pD0sF4gAe2u"].concat();
        let secret = ["wJ4lrXUtnF", "EMIK7MDENGb", "PxRfiCYzQ1p", "mk3yKeY2"].concat();
        let id = ["AK", "IA", "Q3EGPN5XWVYT7LKB"].concat();
        let list = vec!["run".to_owned(), format!("é {token} after"), format!("{secret} {id}")];
        let length: usize = list.iter().map(String::len).sum();
        for room in 0..=length {
            let (kept, cut) = redactor.cut_list(list.clone(), room);
            assert_eq!(cut, room < length);
            let clean = redactor.clean_list(&kept).join(" ");
            assert!(!clean.contains("p_x4"), "{room}: {clean}");
            // What is cut off says that it is one.
            assert!(!clean.contains(&secret[..8]), "{room}: {clean}");
        }
    }
}
