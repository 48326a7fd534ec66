//! The installation's own two logs: their signatures, anchors and documents, and what witnesses cosigned.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::Path;

use custody_keeper::layout::StateDir;
use custody_model::SessionId;
use custody_model::error::chain;
use custody_record::Verifier;
use custody_record::control::{ControlLog, ControlLogError, verify_control};
use custody_record::installation::{InstallationLeaves, LogError};
use custody_record::tlog::{Anchor, Checkpoint};
use custody_record::verify::DEFAULT_BLOB_LIMIT;
use custody_record::witness::COSIGNED_FILE;

use super::known::KnownSessions;
use super::{CONTROL, Checked, Damage, below};

/// Events of the control log that are read at once.
const BATCH: usize = 1024;

/// The name that the installation log's findings have here.
const INSTALLATION: &str = "installation log";

/// The sessions that the control log knows; `None` if it can't be believed.
pub(super) fn check_control(
    state: &StateDir,
    log: &ControlLog,
    verifier: &Verifier,
    checked: &mut Checked,
) -> Option<KnownSessions> {
    let broken = |what: String| Damage::kept(CONTROL, "control_log_broken", what, None);
    match verify_control(log.dir(), verifier) {
        Ok(report) => {
            checked.control_events = report.events;
            checked.damage.extend(report.findings.into_iter().map(broken));
        }
        Err(error) => checked.damage.push(broken(chain(&error))),
    }
    if checked.damage.is_empty()
        && let Err(error) = log.check()
    {
        checked.damage.push(broken(chain(&error)));
    }
    if !checked.damage.is_empty() {
        return None;
    }
    check_anchor(CONTROL, log.dir(), &verifier.control_origin(), verifier, checked);
    match check_documents(state, log, checked) {
        Ok(known) => Some(known),
        Err(error) => {
            checked.damage.push(broken(chain(&error)));
            None
        }
    }
}

/// An anchor that is gone or damaged holds nothing against its log; the next append writes it again.
fn check_anchor(place: &str, dir: &Path, origin: &str, verifier: &Verifier, checked: &mut Checked) {
    let (code, what) = match Anchor::read(dir, origin, verifier) {
        Ok(Anchor::Head(_)) => return,
        // A log that no version appended to yet that writes anchors.
        Ok(Anchor::Absent) if !checked.damage.is_empty() || !dir.join("checkpoint").exists() => {
            return;
        }
        Ok(Anchor::Absent) => {
            let what = "its anchor is gone, or it was never anchored; the next append writes it";
            ("anchor_missing", what.to_owned())
        }
        Ok(Anchor::Damaged(error)) => ("anchor_damaged", chain(&error)),
        Err(error) => ("anchor_damaged", error.to_string()),
    };
    checked.damage.push(Damage::kept(place, code, what, None));
}

fn check_documents(
    state: &StateDir,
    log: &ControlLog,
    checked: &mut Checked,
) -> Result<KnownSessions, ControlLogError> {
    let (mut named, mut known) = (BTreeSet::new(), KnownSessions::default());
    let mut from = 0;
    loop {
        let events = log.read(from, BATCH)?;
        if events.is_empty() {
            break;
        }
        from += events.len() as u64;
        events.iter().for_each(|event| known.take(event));
        named.extend(events.into_iter().flat_map(|event| event.blobs).map(|blob| blob.digest));
    }
    for digest in named {
        checked.documents += 1;
        if let Err(error) = log.blobs().check(&digest, DEFAULT_BLOB_LIMIT) {
            let path = below(state, &log.blobs().path(&digest));
            let there = state.path().join(&path).exists();
            checked.damage.push(match there {
                true => Damage::movable(CONTROL, "blob_damaged", chain(&error), path),
                false => Damage::kept(CONTROL, "blob_missing", chain(&error), Some(path)),
            });
        }
    }
    Ok(known)
}

/// The sessions that the installation log knows; `None` if it can't be believed.
pub(super) fn check_installation(
    state: &StateDir,
    verifier: &Verifier,
    checked: &mut Checked,
) -> Option<BTreeSet<SessionId>> {
    let (dir, origin) = (state.log(), verifier.log_origin());
    let nothing = |name: &str| !dir.join(name).exists();
    if nothing("checkpoint")
        && nothing("tile")
        && nothing(COSIGNED_FILE)
        && !Anchor::path(&dir).exists()
    {
        return Some(BTreeSet::new());
    }
    let broken = |code, what: String| Damage::kept(INSTALLATION, code, what, None);
    let cosigned = match fs::read(dir.join(COSIGNED_FILE)) {
        Ok(bytes) => Some(Checkpoint::open(&bytes, &origin, verifier)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => {
            let what = format!("{COSIGNED_FILE} can't be read: {error}");
            checked.damage.push(broken("cosigned_damaged", what));
            None
        }
    };
    let wanted: Vec<u64> = cosigned.iter().flatten().map(|head| head.size).collect();
    let log = match InstallationLeaves::read(&dir, verifier, &wanted) {
        Ok(log) => log,
        Err(error) => {
            let code = match error {
                LogError::Anchor { .. } => "installation_log_taken_back",
                LogError::Io { .. } if nothing("checkpoint") => "installation_log_headless",
                LogError::Io { .. }
                | LogError::Extend(_)
                | LogError::Checkpoint(_)
                | LogError::Root
                | LogError::Bundle(_)
                | LogError::Leaf(_)
                | LogError::Encode(_) => "installation_log_broken",
            };
            let what =
                format!("{}; nothing is appended to it: put back its newest copy", chain(&error));
            checked.damage.push(broken(code, what));
            return None;
        }
    };
    checked.heads = log.leaves.len() as u64;
    let tiles = log.damaged_tiles(&dir).unwrap_or_else(|error| vec![error.to_string()]);
    for tile in tiles {
        let what = format!("{tile} does not hold the hashes of the heads");
        checked.damage.push(broken("installation_log_broken", what));
    }
    match cosigned {
        Some(Ok(head)) if head.size > 0 && log.root_at(head.size) != Some(head.root) => {
            let what =
                format!("it does not go on from the {} heads that witnesses cosigned", head.size);
            checked.damage.push(broken("cosigned_differs", what));
        }
        Some(Err(error)) => checked.damage.push(broken("cosigned_damaged", chain(&error))),
        Some(Ok(_)) | None => {}
    }
    check_anchor(INSTALLATION, &dir, &origin, verifier, checked);
    Some(log.leaves.iter().map(|leaf| leaf.session).collect())
}
