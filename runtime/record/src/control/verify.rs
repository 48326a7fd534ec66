//! Checking a control log offline: every event, the chain, the tree and the signed head.

use std::fs;
use std::path::Path;

use custody_model::Digest;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::body::ControlBody;
use super::event::ControlEvent;
use super::log::{ControlLog, ControlLogError};
use super::pending;
use crate::tlog::{
    Anchor, ExtendError, Frontier, TlogPolicy, Verifier, damaged_tiles, entries_of, entry_path,
    leaf_hash, root_of, widths,
};
use crate::witness::WitnessAssurance;

/// What was found in a control log.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ControlReport {
    /// Events that were checked.
    pub events: u64,
    /// Events under the signed head. The others are durable and not signed yet.
    pub signed: u64,
    /// What is wrong, in words; empty if nothing is.
    pub findings: Vec<String>,
    /// Who but the installation vouches for the events under the signed head.
    #[serde(default)]
    pub witnesses: WitnessAssurance,
}

impl ControlReport {
    /// And whom of these witnesses the log in `dir` has.
    #[must_use]
    pub fn with_witnesses(self, dir: &Path, verifier: &Verifier, policy: &TlogPolicy) -> Self {
        let (origin, needed) = (verifier.control_origin(), self.signed);
        Self {
            witnesses: WitnessAssurance::of(dir, &origin, verifier, Some(policy), needed),
            ..self
        }
    }
}

/// Checks the log in `dir`. What is wrong with its content is a finding.
///
/// # Errors
/// [`ControlLogError`] if a file can't be read at all.
pub fn verify_control(dir: &Path, verifier: &Verifier) -> Result<ControlReport, ControlLogError> {
    let mut report = ControlReport::default();
    // Before the log, which goes on meanwhile.
    let anchor = Anchor::read(dir, &verifier.control_origin(), verifier)?;
    let head = match ControlLog::verifier_head(dir, verifier) {
        Ok(head) => head,
        Err(error @ ControlLogError::Extend(ExtendError::Checkpoint(_))) => {
            report.findings.push(custody_model::error::chain(&error));
            return Ok(report);
        }
        Err(error) => return Err(error),
    };
    let tiles = head.as_ref().map_or(0, |head| head.size);
    let mut frontier = Frontier::default();
    let mut leaves = Vec::new();
    let mut entries: Vec<Vec<u8>> = Vec::new();
    for (index, width) in widths(0, tiles) {
        let bundle = fs::read(dir.join(entry_path(index, width)))?;
        let (found, whole) = entries_of(&bundle, width);
        if let Err(error) = whole {
            report.findings.push(format!("bundle {index}: {error}"));
        }
        entries.extend(found.into_iter().map(|(_, entry)| entry.to_vec()));
    }
    for entry in &entries {
        frontier.push(leaf_hash(entry));
        leaves.push(leaf_hash(entry));
    }
    if let Some(head) = &head
        && (frontier.root() != head.root || frontier.size() != head.size)
    {
        report.findings.push(format!(
            "the {} events in tiles do not give the root that is signed",
            entries.len()
        ));
    }
    for path in damaged_tiles(dir, leaves) {
        report.findings.push(format!("{path} does not hold the hashes of the events"));
    }
    report.signed = tiles;
    match pending::read(dir) {
        Ok(pending) => {
            let overlap = usize::try_from(tiles.saturating_sub(pending.base.size));
            if pending.base.size > tiles {
                report.findings.push(format!(
                    "events {tiles} to {} are missing",
                    pending.base.size.saturating_sub(1)
                ));
            }
            entries.extend(pending.entries.into_iter().skip(overlap.unwrap_or(usize::MAX)));
        }
        Err(error) => report.findings.push(format!("the end of the log: {error}")),
    }
    chain(&entries, &mut report);
    if let Some(what) = anchored(&entries, anchor) {
        report.findings.push(format!("{what} [{}]", Anchor::path(dir).display()));
    }
    Ok(report)
}

/// How the log differs from what its anchor says; `None` if it goes on from it.
fn anchored(entries: &[Vec<u8>], anchor: Anchor) -> Option<String> {
    let known = match anchor {
        Anchor::Absent => return None,
        Anchor::Damaged(error) => {
            let error = custody_model::error::chain(&error);
            return Some(format!("the log's anchor is damaged: {error}"));
        }
        Anchor::Head(known) => known,
    };
    let size = entries.len() as u64;
    let Some(first) = usize::try_from(known.size).ok().and_then(|size| entries.get(..size)) else {
        return Some(format!(
            "events {size} to {} are lost: the log's anchor says that it had {}",
            known.size.saturating_sub(1),
            known.size
        ));
    };
    let leaves: Vec<Digest> = first.iter().map(|entry| leaf_hash(entry)).collect();
    (root_of(&leaves) != known.root)
        .then(|| format!("the first {} events are others than the log's anchor says", known.size))
}

/// Every event is well formed, in its place, and names the one before; what was redacted is told right before its event.
fn chain(entries: &[Vec<u8>], report: &mut ControlReport) {
    let mut prev = None;
    let mut announced = None;
    for (seq, entry) in (0_u64..).zip(entries) {
        match ControlEvent::from_canonical(entry) {
            Ok(event) => {
                if event.seq != seq {
                    report.findings.push(format!("event {} stands at place {seq}", event.seq));
                }
                if event.prev != prev {
                    report.findings.push(format!("event {seq} does not follow the one before it"));
                }
                if let Some(wanted) = announced.take()
                    && wanted != event.id
                {
                    let what = "a redaction is told of another event than the one that follows";
                    report.findings.push(format!("event {}: {what}", seq.saturating_sub(1)));
                }
                if let ControlBody::RedactionApplied(applied) = event.body {
                    announced = applied.event;
                }
            }
            Err(error) => report.findings.push(format!("event {seq}: {error}")),
        }
        prev = Some(leaf_hash(entry));
        report.events += 1;
    }
}
