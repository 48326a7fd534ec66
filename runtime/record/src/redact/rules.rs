//! The published credential patterns (`rules.tsv`: their source, version and licence stand in its first lines).
//!
//! One pass over a text finds the keywords; only the rules of those that are there are tried, and each is compiled when it
//! is tried for the first time.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::OnceLock;

use aho_corasick::{AhoCorasick, AhoCorasickKind};
use regex::bytes::{Regex, RegexBuilder};

/// The data file.
const TABLE: &str = include_str!("rules.tsv");

/// Most bytes that one compiled pattern takes.
pub(super) const MAX_COMPILED_BYTES: usize = 16 << 20;

/// A rule of the table.
struct Rule {
    id: &'static str,
    /// Bits per byte below which a match is no secret.
    entropy: f64,
    /// The capture group that is the secret; 0: the first that takes part, or the whole match.
    group: usize,
    pattern: &'static str,
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
        let mut rules = Vec::new();
        let mut words: Vec<&str> = Vec::new();
        let mut owners: Vec<Vec<usize>> = Vec::new();
        for line in TABLE.lines().filter(|line| !line.starts_with('#')) {
            let mut columns = line.splitn(5, '\t');
            let id = columns.next()?;
            let entropy = columns.next()?.parse().ok()?;
            let group = columns.next()?.parse().ok()?;
            for word in columns.next()?.split(' ') {
                match words.iter().position(|known| *known == word) {
                    Some(known) => owners.get_mut(known)?.push(rules.len()),
                    None => {
                        words.push(word);
                        owners.push(vec![rules.len()]);
                    }
                }
            }
            let pattern = columns.next()?;
            rules.push(Rule { id, entropy, group, pattern, compiled: OnceLock::new() });
        }
        let keywords = AhoCorasick::builder()
            .ascii_case_insensitive(true)
            .kind(Some(AhoCorasickKind::DFA))
            .build(words)
            .ok()?;
        Some(Self { rules, keywords, owners })
    }

    /// Which rules may find something in a text.
    fn candidates(&self, text: &[u8]) -> BTreeSet<usize> {
        let hits = self.keywords.find_overlapping_iter(text);
        hits.flat_map(|hit| &self.owners[hit.pattern().as_usize()]).copied().collect()
    }

    /// Whether a text has any keyword.
    pub(super) fn any_keyword(&self, text: &[u8]) -> bool {
        self.keywords.is_match(text)
    }

    /// Whether a rule matches anywhere in a text. Cheaper than [`Rules::find`], which also looks at what matched.
    pub(super) fn suspect(&self, text: &[u8]) -> bool {
        let matches =
            |index: usize| self.rules[index].compiled().is_some_and(|regex| regex.is_match(text));
        self.candidates(text).into_iter().any(matches)
    }

    /// Every secret in a text.
    pub(super) fn find(&self, text: &[u8]) -> Vec<Hit> {
        let mut hits = Vec::new();
        for index in self.candidates(text) {
            let rule = &self.rules[index];
            let Some(regex) = rule.compiled() else { continue };
            // Most of those whose keyword is there match nothing: that is cheaper to learn without groups.
            if !regex.is_match(text) {
                continue;
            }
            for captures in regex.captures_iter(text) {
                let secret = match rule.group {
                    0 => captures.iter().skip(1).flatten().next().or_else(|| captures.get(0)),
                    group => captures.get(group),
                };
                let Some(secret) = secret else { continue };
                if rule.entropy == 0.0 || entropy(secret.as_bytes()) > rule.entropy {
                    hits.push(Hit { range: secret.range(), rule: rule.id });
                }
            }
        }
        hits
    }
}

impl Rule {
    fn compiled(&self) -> Option<&Regex> {
        self.compiled.get_or_init(|| compile(self.pattern).ok()).as_ref()
    }
}

/// Shannon entropy in bits per byte.
fn entropy(bytes: &[u8]) -> f64 {
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
    fn every_rule_of_the_table_compiles() {
        let rules = all().unwrap();
        for rule in &rules.rules {
            assert!(compile(rule.pattern).is_ok(), "{}", rule.id);
        }
        println!("{} rules, {} keywords", rules.rules.len(), rules.owners.len());
        assert!(rules.rules.len() > 200);
    }

    #[test]
    fn entropy_is_shannons() {
        assert!(entropy(b"aaaa").abs() < 1e-9);
        assert!((entropy(b"abcd") - 2.0).abs() < 1e-9);
    }
}
