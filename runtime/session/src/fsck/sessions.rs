//! Sessions: their records against the logs, what lies beside a seal, and what became of those that were launched.

use std::sync::Arc;

use custody_keeper::layout::StateDir;
use custody_model::SessionId;
use custody_model::error::chain;
use custody_record::verify::{Code, Concern};
use custody_record::{KeyChoice, Vault, Verifier, VerifyOptions, verify};

use super::known::{Course, KnownSessions};
use super::{Checked, Damage, below};
use crate::lost::{Beginning, beginning};
use crate::reconcile::{has_record, locked};

/// Compares the launched sessions of the control log with their directories.
pub(super) fn check_launched(state: &StateDir, known: &KnownSessions, checked: &mut Checked) {
    for (session, course) in known.courses() {
        let recorded = has_record(&state.session(session));
        let (code, what) = match course {
            // A launch that failed left no record.
            Course::Waiting | Course::Abandoned | Course::Over => continue,
            Course::Lost if recorded => (
                "session_returned",
                "the control log says that it is lost, and its record is there: its state stays lost".to_owned(),
            ),
            Course::Lost => ("session_lost", "it is lost: its record is gone".to_owned()),
            Course::Launched if recorded => continue,
            Course::Launched => match beginning(state, session) {
                Ok(Beginning::Begun | Beginning::Never) => continue,
                Ok(Beginning::Lost(reason)) => {
                    checked.lost.push((session, reason.clone()));
                    ("session_lost", reason)
                }
                // Whether it is lost is not known, so nobody may be told that it is.
                Err(error) => ("session_unchecked", chain(&error)),
            },
        };
        checked.damage.push(Damage::kept(&session.to_string(), code, what, None));
    }
}

pub(super) fn check_session(
    state: &StateDir,
    vault: &Arc<Vault>,
    session: SessionId,
    verifier: &Verifier,
    log_is_good: bool,
    checked: &mut Checked,
) {
    let record = state.session(session).record();
    if !has_record(&state.session(session)) {
        return;
    }
    let options = VerifyOptions::new(KeyChoice::Installation(verifier.clone()));
    let options = options.with_vault(vault.clone()).of_session(session);
    let report = verify(
        &record,
        &match log_is_good {
            true => options.with_installation_log(&state.log()),
            false => options,
        },
    );
    if report.sealed {
        check_beside(state, session, checked);
    }
    checked.sessions += 1;
    checked.open += u64::from(!report.sealed);
    checked.events += report.events;
    checked.blobs += report.blobs;
    let root_is_right = !report.findings.iter().any(|finding| finding.code == Code::RootMismatch);
    for finding in &report.findings {
        let counts = match finding.concern {
            Concern::Integrity => true,
            // What the record says of itself is no damage; that less is there than was logged is.
            Concern::Completeness => {
                matches!(
                    finding.code,
                    Code::OlderThanInstallationLog
                        | Code::SealNotInInstallationLog
                        | Code::SealMissing
                        | Code::ClosingMissing
                ) || (report.sealed && finding.code == Code::NotInInstallationLog)
            }
            // Nothing that is told changes by it, and it is nobody's.
            Concern::Note => {
                matches!(finding.code, Code::UnsealedBesideSeal | Code::ForeignSeal)
            }
            Concern::Open => false,
        };
        if !counts || (finding.code == Code::SealMissing && !report.sealed) {
            continue;
        }
        let file = finding.file.as_ref().map(|file| below(state, &record.join(file)));
        let there = file.as_ref().is_some_and(|f| state.path().join(f).symlink_metadata().is_ok());
        let place = session.to_string();
        let (code, what) = (finding.code.to_string(), finding.what.clone());
        checked.damage.push(match file {
            Some(file)
                if (report.sealed || finding.code == Code::ForeignSeal)
                    && there
                    && is_damaged(finding.code, root_is_right) =>
            {
                Damage::movable(&place, &code, what, file)
            }
            file => Damage::kept(&place, &code, what, file),
        });
    }
}

/// Names what only a living session has, beside a sealed record. Nobody goes on with it.
fn check_beside(state: &StateDir, session: SessionId, checked: &mut Checked) {
    let dir = state.session(session);
    // A keeper that is just ending takes it away itself.
    if dir.run().exists() && !locked(&dir).unwrap_or(true) {
        let what = "the session is over: what only a keeper needs lies beside its sealed record";
        let file = below(state, &dir.run());
        checked.damage.push(Damage::movable(&session.to_string(), "run_beside_seal", what, file));
    }
}

/// Whether the file that a finding names is itself what is damaged. Where the events give the signed root, a hash that
/// does not fit them is the tile's fault.
fn is_damaged(code: Code, root_is_right: bool) -> bool {
    match code {
        Code::EventMalformed
        | Code::EventAltered
        | Code::EventMissing
        | Code::EventDuplicated
        | Code::EventOutOfOrder
        | Code::ChainBroken
        | Code::BundleDamaged => !root_is_right,
        Code::TileAltered
        | Code::CheckpointMalformed
        | Code::CheckpointSignature
        | Code::KeyFileDamaged
        | Code::SealMalformed
        | Code::SealSignature
        | Code::SealNamesAnotherRoot
        | Code::SealDiffers
        | Code::BlobSwapped
        | Code::BlobDamaged
        | Code::BlobSize
        | Code::SpecialFile
        | Code::UnsealedBesideSeal
        | Code::ForeignSeal => true,
        Code::NoRecord
        | Code::EventAfterClosing
        | Code::EventForeign
        | Code::LogTruncated
        | Code::TileMissing
        | Code::RootMismatch
        | Code::JournalDamaged
        | Code::JournalTorn
        | Code::CheckpointMissing
        | Code::CheckpointKeyUnknown
        | Code::KeyDiffers
        | Code::KeyOutOfTerm
        | Code::KeyMissing
        | Code::KeyFromRecord
        | Code::BlobMissing
        | Code::ContentLocked
        | Code::ContentUnopened
        | Code::ContentKeyMissing
        | Code::ContentErased
        | Code::ErasureNotGenuine
        | Code::BlobUnreferenced
        | Code::UnexpectedFile
        | Code::SessionDiffers
        | Code::ClockSetBack
        | Code::SessionLost
        | Code::Unreadable
        | Code::SealMissing
        | Code::SealKeyUnknown
        | Code::ClosingMissing
        | Code::ClosingCounts
        | Code::Gap
        | Code::NotClosed
        | Code::InstallationLogNotGiven
        | Code::InstallationLogBroken
        | Code::NotInInstallationLog
        | Code::OlderThanInstallationLog
        | Code::InstallationLogDiffers
        | Code::SealNotInInstallationLog
        | Code::CosignatureInvalid
        | Code::PackMalformed
        | Code::PackTruncated
        | Code::PackAltered
        | Code::ProofBroken
        | Code::PolicyDiffers
        | Code::EventsWithheld
        | Code::BlobWithheld => false,
    }
}
