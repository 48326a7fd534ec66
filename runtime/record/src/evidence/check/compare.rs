//! The parts of a pack against each other, once all of them were read.

use std::collections::{BTreeMap, BTreeSet};

use custody_model::Digest;

use super::Check;
use super::events::Events;
use crate::canonical;
use crate::event::Coverage;
use crate::evidence::manifest::{MANIFEST, Manifest, PackFile};
use crate::installation::SessionHead;
use crate::seal::LogReference;
use crate::tlog::leaf_hash;
use crate::verify::{Code, Finding};
use crate::witness::{WitnessAssurance, WitnessLevel};

impl Check<'_> {
    /// Compares the parts with each other, once all of them were read.
    pub(super) fn compare(&mut self) {
        let Some(manifest) = self.manifest.clone() else { return };
        let events = std::mem::take(&mut self.events);
        let (total, root) = (events.frontier.size(), events.frontier.root());
        if manifest.events != total || manifest.withheld_events != total - events.shown {
            let what = "the manifest counts other events than are there";
            self.found(Finding::new(Code::PackAltered, what).file(MANIFEST));
        }
        let session = events.shared.as_ref().map(|(session, ..)| *session);
        if session != Some(manifest.session) {
            let what = "the manifest names another session than the events";
            self.found(Finding::new(Code::PackAltered, what).file(MANIFEST));
        }
        if let Some((_, head)) = &self.checkpoint {
            let origin = self.verifier.as_ref().zip(session).map(|(v, s)| v.session_origin(s));
            if origin.is_some_and(|origin| origin != head.origin) {
                let what = format!("it is of the log {}", head.origin);
                self.at(PackFile::Checkpoint, Code::CheckpointMalformed, what);
            } else if head.size != total {
                let code = if total < head.size { Code::LogTruncated } else { Code::RootMismatch };
                let what = format!("it says {} events, and {total} are there", head.size);
                self.at(PackFile::Checkpoint, code, what);
            } else if head.root != root {
                let what = "the events do not give the root that it says";
                self.at(PackFile::Checkpoint, Code::RootMismatch, what);
            }
        }
        self.compare_contents(&manifest, &events);
        self.compare_closing(&events);
        self.compare_statement(&events);
        self.events = events;
    }

    fn compare_contents(&mut self, manifest: &Manifest, events: &Events) {
        for withheld in &manifest.withheld_blobs {
            if events.blobs.get(&withheld.digest) != Some(&withheld.size)
                || self.blobs.contains(&withheld.digest)
            {
                let what = format!("{} is not withheld from the events", withheld.digest);
                self.found(Finding::new(Code::PackAltered, what).file(MANIFEST));
            } else {
                let what = format!(
                    "a content of {} bytes is withheld: {}",
                    withheld.size, withheld.digest
                );
                self.found(Finding::new(Code::BlobWithheld, what));
            }
        }
        let withheld: BTreeSet<Digest> =
            manifest.withheld_blobs.iter().map(|blob| blob.digest).collect();
        for digest in events.blobs.keys() {
            if !self.blobs.contains(digest) && !withheld.contains(digest) {
                let file = PackFile::Blob(*digest);
                self.at(file, Code::BlobMissing, "it is neither there nor said to be withheld");
            }
        }
    }

    fn compare_closing(&mut self, events: &Events) {
        let total = events.frontier.size();
        let Some((seq, closed)) = &events.closed else {
            let what = "the closing event is not there";
            return self.found(Finding::new(Code::ClosingMissing, what));
        };
        if seq + 1 != total {
            let what = format!("{} events stand after the closing event", total - seq - 1);
            self.found(Finding::new(Code::EventAfterClosing, what).seq(seq + 1));
        }
        let withheld = total - events.shown;
        // With events withheld no more can be there of a type than it counts, and the rest has to add up.
        let fits = match withheld {
            0 => events.counts == closed.counts,
            _ => {
                let known = events.counts.iter();
                let sum = closed.counts.values().try_fold(0_u64, |sum, n| sum.checked_add(*n));
                known.clone().all(|(kind, n)| closed.counts.get(kind).is_some_and(|all| n <= all))
                    && sum == Some(total)
            }
        };
        if !fits {
            let what = "it counts other events than are there";
            self.found(Finding::new(Code::ClosingCounts, what).seq(*seq));
        }
        let gaps =
            |counts: &BTreeMap<String, u64>| counts.get("recorder.gap").copied().unwrap_or(0);
        if gaps(&closed.counts) > gaps(&events.counts) {
            let what = "gaps that the closing event counts are withheld";
            self.found(Finding::new(Code::Gap, what).seq(*seq));
        }
        // The first packs could withhold what the comparison of the workspace found; its coverage tells that it did.
        let compared =
            |counts: &BTreeMap<String, u64>| counts.get("workspace.compared").copied().unwrap_or(0);
        let gaps = ["workspace", "files"].iter().any(|place| {
            closed.coverage.get(*place).is_some_and(|coverage| *coverage == Coverage::Gaps)
        });
        if compared(&closed.counts) > compared(&events.counts) && gaps && !self.incomplete {
            let what = "the workspace has gaps, and what tells of them is withheld";
            self.found(Finding::new(Code::Gap, what).seq(*seq));
        }
    }

    fn compare_statement(&mut self, events: &Events) {
        let (Some(statement), Some((bytes, head))) = (&self.statement, &self.checkpoint) else {
            return;
        };
        let log = LogReference {
            origin: head.origin.clone(),
            size: events.frontier.size(),
            root: events.frontier.root(),
        };
        let said = &statement.predicate.log;
        if (said.size, said.root) != (log.size, log.root) {
            let what = format!("the seal names {} events with the root {}", said.size, said.root);
            self.at(PackFile::Seal, Code::SealNamesAnotherRoot, what);
            return;
        }
        let position = statement.predicate.installation_log.clone();
        let says = events
            .summary
            .as_ref()
            .is_some_and(|s| s.is_told_by(statement, &log, position.as_ref(), bytes));
        let differs = !says;
        let policy = self.policy.filter(|found| *found != statement.predicate.policy);
        let head = SessionHead {
            session: statement.predicate.session,
            size: said.size,
            root: said.root,
            time: statement.predicate.closed,
            sealed: true,
        };
        if differs {
            self.at(
                PackFile::Seal,
                Code::SealDiffers,
                "the seal says something else than the events",
            );
        }
        if let Some(found) = policy {
            let what = format!("the document has the digest {found}, which no event names");
            self.at(PackFile::Policy, Code::PolicyDiffers, what);
        }
        let Some(position) = position else {
            let what = "the seal names no place in the installation log";
            return self.at(PackFile::Seal, Code::SealNotInInstallationLog, what);
        };
        if !self.terms.iter().all(|term| term.covers_log(position.size)) {
            let what = "the key that signed it was not in force when the record was sealed";
            self.at(PackFile::Seal, Code::KeyOutOfTerm, what);
        }
        self.compare_installation(&head, position.index);
    }

    fn compare_installation(&mut self, head: &SessionHead, index: u64) {
        let (Some(proof), Some(verifier)) = (&self.installation, &self.verifier) else { return };
        let origin = verifier.log_origin();
        let leaf = canonical::to_vec(head).map(|leaf| leaf_hash(&leaf));
        let shown = leaf.ok().filter(|_| proof.index == index).map(|leaf| {
            let shown = proof.verify(leaf, &origin, verifier);
            shown.map_err(|error| {
                let cause = std::error::Error::source(&error).map(ToString::to_string);
                cause.map_or_else(|| error.to_string(), |cause| format!("{error}: {cause}"))
            })
        });
        match shown {
            Some(Ok(checkpoint)) => {
                let policy = self.options.witnesses.as_ref();
                let judged =
                    WitnessAssurance::of_head(&proof.checkpoint, &origin, verifier, policy);
                self.installation_log = Some(checkpoint.size);
                if judged.level == WitnessLevel::InvalidCosignature {
                    self.at(PackFile::Installation, Code::CosignatureInvalid, &*judged.statement);
                }
                self.witnesses = judged;
            }
            Some(Err(what)) => self.at(PackFile::Installation, Code::ProofBroken, what),
            None => {
                let what = "it is of another place than the seal names";
                self.at(PackFile::Installation, Code::ProofBroken, what);
            }
        }
    }
}
