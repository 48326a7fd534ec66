//! The rules that know a credential: the published ones (`rules.tsv`: their source, version and licence stand in its first
//! lines) and Custody's own, by a token's form ([`tokens`]) and by what stands before a secret ([`named`]).
//!
//! One pass over a text finds the keywords; only the rules of those that are there are tried, each is compiled when it is
//! tried for the first time, and in a long text it is tried near its keywords alone.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::OnceLock;

use aho_corasick::{AhoCorasick, AhoCorasickKind};
use regex::bytes::{Captures, Regex, RegexBuilder};

use super::{arguments, named, tokens};

/// The data file.
const TABLE: &str = include_str!("rules.tsv");

/// Most bytes that one compiled pattern takes.
pub(super) const MAX_COMPILED_BYTES: usize = 16 << 20;

/// What may follow a token by the published rules. A token ends where its alphabet does, whatever follows: a comma, a tag, an
/// end of a sentence.
const PUBLISHED_END: &str = r#"(?:[\x60'"\s;]|\\[nr]|$)"#;

/// Published rules that know nothing of a token but its length: those need the end that they ask for.
const KEEP_THEIR_END: [&str; 3] =
    ["facebook-access-token", "sourcegraph-access-token", "vault-service-token"];

/// Bytes before a keyword in which a rule's match may begin.
const BEFORE_KEYWORD: usize = 512;

/// Bytes after a keyword in which a rule's match ends, unless it goes on at their end.
const AFTER_KEYWORD: usize = 4 << 10;

/// Bytes after a keyword in which the longest match ends.
const LONGEST_AFTER: usize = 64 << 10;

/// The rule for arguments that stand beside each other; see [`arguments`].
const ARGUMENTS: &str = "argument";

/// Where a secret may begin and end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bounds {
    /// Where its pattern says.
    Pattern,
    /// Nothing of the alphabet follows; where it begins its pattern says.
    End,
    /// It is no part of a longer word.
    Word,
    /// Nothing of the alphabet stands before it; what follows belongs to it.
    Start,
}

/// What a rule's pattern found, to be judged.
pub(super) struct Seen<'t> {
    pub(super) text: &'t [u8],
    pub(super) captures: Captures<'t>,
    pub(super) secret: Range<usize>,
}

impl Seen<'_> {
    pub(super) fn secret(&self) -> &[u8] {
        &self.text[self.secret.clone()]
    }
}

/// A rule of Custody's own.
#[derive(Clone, Copy, Debug)]
pub(super) struct Own {
    pub(super) id: &'static str,
    /// One of them is in each match, whatever its case.
    pub(super) keywords: &'static [&'static str],
    /// Its first group that takes part, after [`Own::skipped`], is the secret, or else the whole match.
    pub(super) pattern: &'static str,
    pub(super) bounds: Bounds,
    /// Groups before the secret, for the judge.
    pub(super) skipped: usize,
    /// Whether it is one.
    pub(super) judge: fn(&Seen<'_>) -> bool,
}

/// A rule.
struct Rule {
    id: &'static str,
    /// Bits per byte below which a match is no secret.
    entropy: f64,
    /// The capture group that is the secret; 0: the first that takes part, or the whole match.
    group: usize,
    /// Groups before the secret.
    skipped: usize,
    pattern: Cow<'static, str>,
    bounds: Bounds,
    judge: fn(&Seen<'_>) -> bool,
    /// Its matches hold one of its keywords.
    near: bool,
    /// `None` if it does not compile, which a test rules out.
    compiled: OnceLock<Option<Regex>>,
}

/// All rules.
pub(super) struct Rules {
    rules: Vec<Rule>,
    keywords: AhoCorasick,
    /// Of each keyword: the rules that it belongs to.
    owners: Vec<Vec<usize>>,
}

/// A secret that a rule found.
pub(super) struct Hit {
    pub(super) range: Range<usize>,
    pub(super) rule: &'static str,
}

/// The rules, made at first use. `None` if the keywords can't be compiled, which a test rules out.
pub(super) fn all() -> Option<&'static Rules> {
    static ALL: OnceLock<Option<Rules>> = OnceLock::new();
    ALL.get_or_init(Rules::read).as_ref()
}

/// Compiles a pattern as the rules are meant: bytes, ASCII classes.
pub(super) fn compile(pattern: &str) -> Result<Regex, regex::Error> {
    RegexBuilder::new(pattern).unicode(false).size_limit(MAX_COMPILED_BYTES).build()
}

impl Rules {
    fn read() -> Option<Self> {
        let mut rules: Vec<(Rule, Vec<&'static str>)> = Vec::new();
        for line in TABLE.lines().filter(|line| !line.starts_with('#')) {
            rules.push(published(line)?);
        }
        for own in tokens::RULES.iter().chain(named::RULES) {
            let rule = Rule {
                id: own.id,
                entropy: 0.0,
                group: 0,
                skipped: own.skipped,
                pattern: own.pattern.into(),
                bounds: own.bounds,
                judge: own.judge,
                near: true,
                compiled: OnceLock::new(),
            };
            rules.push((rule, own.keywords.to_vec()));
        }
        // It has no pattern: what it finds stands in several words.
        let beside = Rule {
            id: ARGUMENTS,
            entropy: 0.0,
            group: 0,
            skipped: 0,
            pattern: "".into(),
            bounds: Bounds::Pattern,
            judge: |_| true,
            near: true,
            compiled: OnceLock::from(None),
        };
        rules.push((beside, arguments::KEYWORDS.to_vec()));
        let mut owners: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (index, (_, words)) in rules.iter().enumerate() {
            for word in words {
                owners.entry(word).or_default().push(index);
            }
        }
        let keywords = AhoCorasick::builder()
            .ascii_case_insensitive(true)
            .kind(Some(AhoCorasickKind::DFA))
            .build(owners.keys())
            .ok()?;
        let rules = rules.into_iter().map(|(rule, _)| rule).collect();
        Some(Self { rules, keywords, owners: owners.into_values().collect() })
    }

    /// Which rules may find something in a text, and where: in order and without overlaps.
    fn candidates(&self, text: &[u8]) -> BTreeMap<usize, Vec<Range<usize>>> {
        let mut candidates: BTreeMap<usize, Vec<Range<usize>>> = BTreeMap::new();
        for hit in self.keywords.find_overlapping_iter(text) {
            for rule in &self.owners[hit.pattern().as_usize()] {
                let places = candidates.entry(*rule).or_default();
                let near = match self.rules[*rule].near {
                    true => around(text, &hit.range()),
                    false => 0..text.len(),
                };
                match places.last_mut() {
                    Some(last) if near.start <= last.end => last.end = last.end.max(near.end),
                    Some(_) | None => places.push(near),
                }
            }
        }
        candidates
    }

    /// Whether a text has any keyword.
    pub(super) fn any_keyword(&self, text: &[u8]) -> bool {
        self.keywords.is_match(text)
    }

    /// Whether a rule matches anywhere in a text. Cheaper than [`Rules::find`], which also looks at what matched.
    pub(super) fn suspect(&self, text: &[u8]) -> bool {
        self.candidates(text).into_iter().any(|(index, _)| {
            let rule = &self.rules[index];
            rule.id == ARGUMENTS || rule.compiled().is_some_and(|regex| regex.is_match(text))
        })
    }

    /// Every secret in a text.
    pub(super) fn find(&self, text: &[u8]) -> Vec<Hit> {
        let mut hits = Vec::new();
        for (index, places) in self.candidates(text) {
            let rule = &self.rules[index];
            for place in places {
                if rule.id == ARGUMENTS {
                    let secrets = arguments::in_text(text, place);
                    hits.extend(secrets.into_iter().map(|range| Hit { range, rule: ARGUMENTS }));
                } else {
                    rule.find(text, place, &mut hits);
                }
            }
        }
        hits
    }
}

/// Reads a line of the table.
fn published(line: &'static str) -> Option<(Rule, Vec<&'static str>)> {
    let mut columns = line.splitn(5, '\t');
    let id = columns.next()?;
    let entropy = columns.next()?.parse().ok()?;
    let group = columns.next()?.parse().ok()?;
    let keywords: Vec<&str> = columns.next()?.split(' ').collect();
    let given = columns.next()?;
    let open = given.strip_suffix(PUBLISHED_END).filter(|_| !KEEP_THEIR_END.contains(&id));
    let (pattern, bounds) = match open {
        Some(open) => (Cow::Owned(open.replace(PUBLISHED_END, "")), Bounds::End),
        None => (Cow::Borrowed(given), Bounds::Pattern),
    };
    let spelled = pattern.to_ascii_lowercase().replace('\\', "");
    let near = keywords.iter().all(|word| spelled.contains(word));
    let judge = |_: &Seen<'_>| true;
    let compiled = OnceLock::new();
    let skipped = 0;
    Some((Rule { id, entropy, group, skipped, pattern, bounds, judge, near, compiled }, keywords))
}

/// The part of a text in which what a keyword belongs to begins and, if it is not long, ends.
fn around(text: &[u8], keyword: &Range<usize>) -> Range<usize> {
    let end = keyword.end.saturating_add(AFTER_KEYWORD).min(text.len());
    keyword.start.saturating_sub(BEFORE_KEYWORD)..end
}

impl Rule {
    fn compiled(&self) -> Option<&Regex> {
        self.compiled.get_or_init(|| compile(&self.pattern).ok()).as_ref()
    }

    /// Every secret that it knows in a part of a text.
    fn find(&self, text: &[u8], place: Range<usize>, hits: &mut Vec<Hit>) {
        let Some(regex) = self.compiled() else { return };
        let mut part = &text[..place.end];
        let mut at = place.start;
        while at <= part.len() {
            // Most of those whose keyword is there match nothing: that is cheaper to learn without groups.
            let Some(matched) = regex.find_at(part, at) else {
                // What is longer than most does not end in this part.
                let longer = place.end.saturating_add(LONGEST_AFTER).min(text.len());
                if !self.is_long() || part.len() == longer {
                    return;
                }
                part = &text[..longer];
                continue;
            };
            if matched.end() == part.len() && part.len() < text.len() {
                // The text goes on, and so may the secret.
                let longer = part.len().saturating_add(LONGEST_AFTER).min(text.len());
                part = &text[..longer];
                continue;
            }
            at = matched.end().max(at + 1);
            let Some(captures) = regex.captures_at(part, matched.start()) else { continue };
            let secret = match self.group {
                0 => {
                    let mut groups = captures.iter().skip(1 + self.skipped).flatten();
                    groups.next().or_else(|| captures.get(0))
                }
                group => captures.get(group),
            };
            let Some(secret) = secret.map(|secret| secret.range()) else { continue };
            if secret.is_empty() || !self.bounds.hold(text, matched.start(), &secret) {
                // Another may begin inside of what is none.
                at = matched.start() + 1;
                continue;
            }
            let enough = self.entropy == 0.0 || entropy(&text[secret.clone()]) > self.entropy;
            let seen = Seen { text, captures, secret };
            if enough && (self.judge)(&seen) {
                // What stands after the secret may be before the next one.
                at = seen.secret.end;
                hits.push(Hit { range: seen.secret, rule: self.id });
            }
        }
    }

    /// Its matches may be longer than [`AFTER_KEYWORD`].
    fn is_long(&self) -> bool {
        self.id == "private-key"
    }
}

impl Bounds {
    fn hold(self, text: &[u8], match_start: usize, secret: &Range<usize>) -> bool {
        let alphanumeric = |at: Option<&u8>| at.is_some_and(u8::is_ascii_alphanumeric);
        let starts = || match_start == 0 || !alphanumeric(text.get(match_start - 1));
        let ends = || !alphanumeric(text.get(secret.end));
        match self {
            Self::Pattern => true,
            Self::End => ends(),
            Self::Word => starts() && ends(),
            Self::Start => starts(),
        }
    }
}

/// Shannon entropy in bits per byte.
pub(super) fn entropy(bytes: &[u8]) -> f64 {
    let mut counts = [0_u32; 256];
    for byte in bytes {
        counts[usize::from(*byte)] += 1;
    }
    let total = bytes.len() as f64;
    let shares = counts.iter().filter(|count| **count > 0).map(|count| f64::from(*count) / total);
    -shares.map(|share| share * share.log2()).sum::<f64>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_compiles() {
        let rules = all().unwrap();
        for rule in rules.rules.iter().filter(|rule| rule.id != ARGUMENTS) {
            let compiled = compile(&rule.pattern);
            assert!(compiled.is_ok(), "{}: {compiled:?}", rule.id);
        }
        println!("{} rules, {} keywords", rules.rules.len(), rules.owners.len());
        assert!(rules.rules.len() > 200);
    }

    #[test]
    fn no_published_rule_asks_for_what_may_follow_a_token_but_those_that_know_nothing_else() {
        let rules = all().unwrap();
        let asks: Vec<&str> = rules
            .rules
            .iter()
            .filter(|rule| rule.pattern.contains(PUBLISHED_END))
            .map(|rule| rule.id)
            .collect();
        assert_eq!(asks, KEEP_THEIR_END);
    }

    #[test]
    fn entropy_is_shannons() {
        assert!(entropy(b"aaaa").abs() < 1e-9);
        assert!((entropy(b"abcd") - 2.0).abs() < 1e-9);
    }
}
