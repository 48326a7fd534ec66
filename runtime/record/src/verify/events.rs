//! Checks of single events that say something about the whole record: gaps, the closing event, its counts.

use std::collections::BTreeMap;

use super::{Check, Code, Finding};
use crate::event::{Body, EventType};
use crate::seal::Summary;

impl Check<'_> {
    /// Checks what single events say about the whole.
    pub(super) fn check_events(&mut self, live: bool) {
        let mut counts: BTreeMap<EventType, u64> = BTreeMap::new();
        for chunk in &self.scan.chunks {
            for (kind, count) in &chunk.counts {
                *counts.entry(*kind).or_insert(0) += count;
            }
        }
        let total = self.scan.entries();
        let mut summary = self.scan.shared().map(|s| Summary::new(s.session, s.policy));
        let mut closed_at = None;
        let mut findings = Vec::new();
        for event in self.scan.chunks.iter().flat_map(|c| &c.notable) {
            if let Some(summary) = &mut summary {
                summary.take(event);
            }
            if let Body::RecorderGap(gap) = &event.body {
                findings.push(Finding::new(Code::Gap, gap.reason.clone()).seq(event.seq));
            }
            if let Body::WorkspaceCompared(compared) = &event.body
                && let Some(what) = compared.gap()
            {
                findings.push(Finding::new(Code::Gap, what).seq(event.seq));
            }
            if let Body::SessionClosed(closed) = &event.body {
                closed_at = Some(event.seq);
                let said: BTreeMap<&str, u64> =
                    closed.counts.iter().map(|(k, v)| (k.as_str(), *v)).collect();
                let found: BTreeMap<&str, u64> =
                    counts.iter().map(|(k, v)| (k.as_str(), *v)).collect();
                if said != found {
                    let what = "it counts other events than are there";
                    findings.push(Finding::new(Code::ClosingCounts, what).seq(event.seq));
                }
            }
        }
        match closed_at {
            Some(seq) if seq + 1 < total => {
                let what = format!("{} events stand after the closing event", total - seq - 1);
                findings.push(Finding::new(Code::EventAfterClosing, what).seq(seq + 1));
            }
            Some(_) if live => {
                findings.push(Finding::new(
                    Code::SealMissing,
                    "the record is closed and was not sealed",
                ));
            }
            Some(_) => {}
            None if live => {
                let what =
                    "the record has no closing event yet: the session lives, or its keeper died";
                findings.push(Finding::new(Code::NotClosed, what));
            }
            None => {
                findings.push(Finding::new(Code::ClosingMissing, "the record has no closing event"))
            }
        }
        self.findings.append(&mut findings);
        self.summary = summary;
    }
}
