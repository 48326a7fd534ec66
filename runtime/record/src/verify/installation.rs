//! Comparison of a record with the installation log.

use std::io;

use custody_model::SessionId;

use super::{Check, Code, Finding};
use crate::installation::{InstallationLeaves, LogError};
use crate::living::LIVING_PLACE;
use crate::standing::session_of;
use crate::witness::{WitnessAssurance, WitnessLevel};

impl Check<'_> {
    /// Reads the installation log before the journal, which goes on meanwhile: so it has every event of which the log knows. The
    /// first head of a session that has just begun is on its way to the log, and may be the installation's first one, too.
    pub(super) fn read_leaves(&mut self) {
        let (Some(dir), Some(verifier)) = (&self.options.installation_log, &self.verifier) else {
            return;
        };
        let awaited = !self.dir.join(LIVING_PLACE).exists();
        self.leaves = Some((InstallationLeaves::read(dir, verifier, &[]), awaited));
    }

    pub(super) fn check_installation_log(&mut self, session: Option<SessionId>, live: bool) {
        let Some(dir) = &self.options.installation_log else {
            self.add(
                Code::InstallationLogNotGiven,
                "the record was not compared with an installation log",
            );
            return;
        };
        // A journal that is torn in its header does not say whose it is; where it lies may.
        let session = session.or_else(|| session_of(self.dir));
        if self.verifier.is_some() && session.is_none() && live {
            self.add(
                Code::InstallationLogNotGiven,
                "the record does not say yet whose it is: it was not compared with the installation log",
            );
            return;
        }
        let (Some(verifier), Some(session)) = (&self.verifier, session) else {
            self.add(
                Code::InstallationLogBroken,
                "without key and session the installation log says nothing",
            );
            return;
        };
        let wanted: Vec<u64> = self.position.iter().map(|p| p.size).collect();
        let (read, awaited) = match self.leaves.take() {
            Some(read) => read,
            None => (InstallationLeaves::read(dir, verifier, &wanted), false),
        };
        if awaited
            && matches!(&read, Err(LogError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound)
        {
            let what = "the installation log has no head yet";
            self.add(Code::InstallationLogNotGiven, what);
            return;
        }
        let log = match read {
            Ok(log) => log,
            Err(error) => {
                let mut text = error.to_string();
                if let Some(cause) = std::error::Error::source(&error) {
                    text = format!("{text}: {cause}");
                }
                self.add(Code::InstallationLogBroken, text);
                return;
            }
        };
        // The newest head of the session: witnesses who saw it saw all before it.
        let newest = (1_u64..).zip(&log.leaves).filter(|(_, leaf)| leaf.session == session);
        if let Some((needed, _)) = newest.last() {
            let (origin, policy) = (verifier.log_origin(), self.options.witnesses.as_ref());
            self.witnesses = WitnessAssurance::of(dir, &origin, verifier, policy, needed);
            if self.witnesses.level == WitnessLevel::InvalidCosignature {
                let finding = Finding::new(Code::CosignatureInvalid, &*self.witnesses.statement);
                self.findings.push(finding);
            }
        }
        let total = self.scan.entries();
        let mut findings = Vec::new();
        let mut known = false;
        let mut sealed = false;
        for leaf in log.leaves.iter().filter(|leaf| leaf.session == session) {
            known = true;
            if leaf.size > total {
                let what = format!(
                    "the installation log knows {} events, and {total} are there",
                    leaf.size
                );
                findings.push(Finding::new(Code::OlderThanInstallationLog, what).seq(total));
            } else if self.scan.root_at(leaf.size) != Some(leaf.root) {
                let what = format!(
                    "the installation log has another root for the first {} events",
                    leaf.size
                );
                findings.push(Finding::new(Code::InstallationLogDiffers, what));
            } else {
                sealed |= leaf.sealed && leaf.size == total;
            }
        }
        if !known && awaited {
            let what = "the installation log has no head of the session yet";
            findings.push(Finding::new(Code::InstallationLogNotGiven, what));
        } else if !known {
            findings.push(Finding::new(
                Code::NotInInstallationLog,
                "the installation log does not know the session",
            ));
        } else if !live {
            let placed = self.position.as_ref().is_none_or(|p| {
                let leaf = usize::try_from(p.index).ok().and_then(|i| log.leaves.get(i));
                log.root_at(p.size) == Some(p.root)
                    && p.size == p.index + 1
                    && leaf.is_some_and(|l| l.session == session && l.sealed && l.size == total)
            });
            if !sealed || !placed {
                let what =
                    "the sealed head is not in the installation log, or not where the seal says";
                findings.push(Finding::new(Code::SealNotInInstallationLog, what));
            }
        }
        self.findings.append(&mut findings);
    }
}
