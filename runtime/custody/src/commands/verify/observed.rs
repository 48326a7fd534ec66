//! `custody verify --checkpoint A B`: whether several people were shown the same log.

use std::path::PathBuf;
use std::process::ExitCode;

use custody_model::{Digest, ErrorCode};
use custody_record::Verifier;
use custody_record::tlog::root_at;
use serde::Serialize;

use crate::commands::proof::{Head, Source};
use crate::failure::{Explain, Failure};
use crate::output;
use crate::wire::Wire;

/// What comparing came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Verdict {
    /// All heads are of one log that only grew.
    OneLog,
    /// The log showed different people different things.
    Forked,
    /// Heads of different sizes say nothing about each other without the log.
    Undecided,
}

/// A head that somebody was shown.
#[derive(Serialize)]
struct Observed {
    from: String,
    size: u64,
    root: Digest,
}

#[derive(Serialize)]
struct Comparison {
    verdict: Verdict,
    origin: String,
    heads: Vec<Observed>,
    /// What contradicts what, in words.
    contradictions: Vec<String>,
}

pub(super) fn run(
    wire: &Wire,
    files: &[PathBuf],
    log: Option<&str>,
    key: Option<&Verifier>,
) -> Result<ExitCode, Failure> {
    let key = key.ok_or_else(|| {
        // Anybody can write a head that nobody signed: it would accuse the log of what it never said.
        Failure::new(ErrorCode::Usage, "there is no key to check the checkpoints with")
            .hint("give the installation's verifier key with --key")
    })?;
    let mut heads = Vec::new();
    for file in files {
        let name = file.display().to_string();
        let note = std::fs::read(file).explain(ErrorCode::Io, format!("{name} can't be read"))?;
        heads.push((name, Head::signed(note, Some(key))?.checkpoint));
    }
    let source = log.map(|log| Source::open(wire, log)).transpose()?;
    if let Some(source) = &source {
        heads.push(("the log as it is now".to_owned(), source.head(Some(key))?.checkpoint));
    }
    let origin = heads.first().map(|(_, head)| head.origin.clone()).unwrap_or_default();
    if let Some((name, other)) = heads.iter().find(|(_, head)| head.origin != origin) {
        let message = format!("{name} is a head of {}, and the others of {origin}", other.origin);
        return Err(Failure::new(ErrorCode::Invalid, message));
    }
    let mut contradictions = Vec::new();
    for (at, (a, one)) in heads.iter().enumerate() {
        for (b, other) in &heads[at + 1..] {
            if one.size == other.size && one.root != other.root {
                contradictions.push(format!(
                    "{a} and {b} are heads of {} entries with different roots, and both are signed",
                    one.size
                ));
            }
        }
    }
    let mut undecided = false;
    match &source {
        Some(source) => {
            let now = heads.last().map(|(_, head)| head.size).unwrap_or_default();
            let tree = source.tree(now);
            for (name, head) in &heads[..heads.len() - 1] {
                if head.size > now {
                    contradictions.push(format!(
                        "{name} is a head of {} entries, and the log has {now} now: it was rolled back, or forked",
                        head.size
                    ));
                } else if root_at(&tree, head.size)
                    .explain(ErrorCode::Io, "the log's tiles can't be read")?
                    != head.root
                {
                    contradictions.push(format!(
                        "the log as it is now does not go on from {name}, a signed head of {} entries",
                        head.size
                    ));
                }
            }
        }
        None => undecided = heads.windows(2).any(|pair| pair[0].1.size != pair[1].1.size),
    }
    let verdict = match (contradictions.is_empty(), undecided) {
        (false, _) => Verdict::Forked,
        (true, true) => Verdict::Undecided,
        (true, false) => Verdict::OneLog,
    };
    let heads = heads
        .into_iter()
        .map(|(from, head)| Observed { from, size: head.size, root: head.root })
        .collect();
    let comparison = Comparison { verdict, origin, heads, contradictions };
    output::result(wire.format, &comparison, || text(&comparison))?;
    Ok(match verdict {
        Verdict::OneLog => ExitCode::SUCCESS,
        Verdict::Forked => ExitCode::from(ErrorCode::VerificationFailed.exit_code()),
        Verdict::Undecided => ExitCode::from(ErrorCode::RecordIncomplete.exit_code()),
    })
}

fn text(comparison: &Comparison) -> String {
    let mut text = format!("log           {}\n", comparison.origin);
    for head in &comparison.heads {
        text.push_str(&format!(
            "head          {} entries, root {}: {}\n",
            head.size, head.root, head.from
        ));
    }
    for contradiction in &comparison.contradictions {
        text.push_str(&format!("- {contradiction}\n"));
    }
    text.push_str(match comparison.verdict {
        Verdict::OneLog => "one log: everybody was shown the same\n",
        Verdict::Forked => "FORKED: the log showed different people different things\n",
        Verdict::Undecided => {
            "undecided: heads of different sizes say nothing about each other; name the log, too\n"
        }
    });
    text
}
