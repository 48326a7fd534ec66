//! `custody fsck`: finds what is damaged in an installation, and moves it aside.

use std::collections::BTreeSet;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use custody_control::{ControlError, ControlPlane};
use custody_model::{Actor, ErrorCode};
use custody_record::{ControlLog, Keys, Vault};
use custody_session::fsck::{CONTROL, Checked, Damage, Mover, check, quarantine, record_lost};
use custody_session::records;

use crate::cli::{Format, FsckArgs};
use crate::failure::{Explain, Failure};
use crate::server::IndexLock;
use crate::wire::Wire;
use crate::{caller, connect, output, render};

/// Sessions between two looks at the progress.
const STEP: u64 = 16;

/// Characters of a row that are shown.
const SHOWN: usize = 240;

/// Checks, and moves.
pub fn run(wire: &Wire, args: &FsckArgs) -> Result<ExitCode, Failure> {
    let config = wire.config()?;
    if !wire.state.path().join("keys").exists() {
        let message = format!("{} is no installation", wire.state.path().display());
        return Err(Failure::new(ErrorCode::NotFound, message));
    }
    let _lock = IndexLock::alone(&wire.state)?;
    let failed = "the check could not be made";
    let keys = Keys::open(&wire.state.keys()).explain(ErrorCode::Io, failed)?;
    let vault = wire.vault(&config.settings.vault)?;
    let log =
        ControlLog::open(&wire.state.control(), &keys, vault).explain(ErrorCode::Io, failed)?;
    let shown = !args.quiet && wire.format == Format::Text && std::io::stderr().is_terminal();
    let mut checked = check(&wire.state, &log, &mut |done| {
        if shown && done.is_multiple_of(STEP) {
            // A step that can't be shown is no reason to fail.
            let _closed = write!(std::io::stderr(), "\r\x1b[Kcustody: {done} sessions …");
        }
    })
    .explain(ErrorCode::Io, failed)?;
    if shown {
        let _closed = write!(std::io::stderr(), "\r\x1b[K");
    }
    let index = config.settings.store.path.clone();
    // Of a control log that can't be read whole no index can be made to compare with.
    let readable = !checked.damage.iter().any(|damage| {
        ["control_log_broken", "blob_missing", "blob_damaged"].contains(&damage.code.as_str())
            && damage.place == CONTROL
    });
    if readable {
        let found = compare_index(wire, (&keys, log.vault()), &index, &checked.damage)?;
        checked.damage.extend(found);
    }
    let sound = !checked.damage.iter().any(|damage| damage.code == "control_log_broken");
    // Nothing is put on a log that is damaged, and what can't be put on record does not happen.
    if !args.dry_run && sound {
        let mover = Mover {
            log: &log,
            actor: Actor::User { name: caller::user()? },
            now: wire.clock.now(),
            random: &|| {
                let mut bytes = [0; 10];
                getrandom::fill(&mut bytes).map_err(std::io::Error::other)?;
                Ok(bytes)
            },
        };
        let failed = "not everything that is damaged could be moved aside";
        quarantine(&wire.state, &mut checked, &mover).explain(ErrorCode::Io, failed)?;
        record_lost(&checked, &mover).explain(
            ErrorCode::RecordUnwritable,
            "that sessions are lost can't be put on record",
        )?;
        log.integrate().explain(ErrorCode::RecordUnwritable, "the control log is not signed")?;
    }
    output::result(wire.format, &checked, || text(&checked, args.dry_run))?;
    Ok(match checked.damage.is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::from(ErrorCode::VerificationFailed.exit_code()),
    })
}

/// Compares the index with one that is made anew. It is derived: a damaged one is moved aside as a whole. Of sessions
/// whose record is damaged it may know more than can still be read: they are left out.
fn compare_index(
    wire: &Wire,
    keys: (&Keys, &Arc<Vault>),
    index: &Path,
    damage: &[Damage],
) -> Result<Vec<Damage>, Failure> {
    if !index.exists() {
        return Ok(Vec::new());
    }
    let failed = "the index could not be compared";
    let room = tempfile::tempdir().explain(ErrorCode::Io, failed)?;
    // Of a copy: a database writes to its file when it is opened, and what is damaged keeps its bytes.
    let copy = room.path().join("copy.sqlite");
    for end in ["", "-wal"] {
        let from = with_end(index, end);
        if from.exists() {
            std::fs::copy(&from, with_end(&copy, end)).explain(ErrorCode::Io, failed)?;
        }
    }
    let (fresh, found) = connect::runtime()?.block_on(async {
        let fresh = dump(wire, keys, &room.path().join("index.sqlite"), true).await?;
        Ok::<_, Failure>((fresh, dump(wire, keys, &copy, false).await))
    })?;
    let compared = |lines: Vec<String>| -> BTreeSet<String> {
        let about = |line: &String| !damage.iter().any(|damage| line.contains(&damage.place));
        lines.into_iter().filter(about).collect()
    };
    let what = match found {
        Ok(found) => {
            let (fresh, found) = (compared(fresh), compared(found));
            if fresh == found {
                return Ok(Vec::new());
            }
            let first = found.symmetric_difference(&fresh).next().map(String::as_str);
            format!(
                "{} rows are not what the logs say, and {} that they say are not there, as {}; \
                 `custody reindex` makes it anew",
                found.difference(&fresh).count(),
                fresh.difference(&found).count(),
                render::cut(first.unwrap_or_default(), SHOWN)
            )
        }
        Err(failure) => format!("{failure}; `custody reindex` makes it anew"),
    };
    let parts = ["", "-wal", "-shm"].map(|end| with_end(index, end));
    let parts = parts.into_iter().filter(|part| part.exists());
    Ok(parts
        .map(|part| match part.strip_prefix(wire.state.path()) {
            Ok(file) => Damage::movable("index", "index_differs", &what, file.to_owned()),
            // Elsewhere it is somebody else's to move.
            Err(_) => Damage::kept("index", "index_differs", &what, Some(part.clone())),
        })
        .collect())
}

/// One of the files of a database.
fn with_end(file: &Path, end: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(end);
    PathBuf::from(name)
}

/// Everything that an index says, once it has followed the logs.
async fn dump(
    wire: &Wire,
    (keys, vault): (&Keys, &Arc<Vault>),
    file: &Path,
    anew: bool,
) -> Result<Vec<String>, Failure> {
    let failed = "the index can't be read";
    let log = ControlLog::open(&wire.state.control(), keys, vault.clone())
        .explain(ErrorCode::Io, failed)?;
    let plane = ControlPlane::new(log, Arc::from(wire.store(file).await?), wire.clock.clone());
    let sessions = records::all(&wire.state).explain(ErrorCode::Io, failed)?;
    let records = |session| wire.state.session(session).record();
    if anew {
        plane.reindex(sessions, &records, &|_| {}).await.explain(ErrorCode::Io, failed)?;
    } else {
        plane.follow().await.explain(ErrorCode::Io, failed)?;
        // What ended with no server to see it is no damage: the next one would follow up on it.
        for session in sessions {
            let row = plane.store().session(session).await.explain(ErrorCode::Io, failed)?;
            if row.is_some_and(|row| !row.state.is_final()) {
                match plane.index(session, records(session)).await {
                    // A record that can't be read is named by itself.
                    Ok(_) | Err(ControlError::Record(_) | ControlError::Blob(_)) => {}
                    Err(error) => return Err(Failure::of(ErrorCode::Io, failed, error)),
                }
            }
        }
    }
    plane.store().dump().await.explain(ErrorCode::Io, failed)
}

fn text(checked: &Checked, dry_run: bool) -> String {
    let mut text = format!(
        "{} sessions ({} open) with {} events and {} contents, {} control events with {} documents, {} heads\n",
        checked.sessions,
        checked.open,
        checked.events,
        checked.blobs,
        checked.control_events,
        checked.documents,
        checked.heads
    );
    for damage in &checked.damage {
        text.push_str(&format!("- {}: {}: {}", damage.place, damage.code, damage.what));
        if let Some(file) = &damage.file {
            text.push_str(&format!(" [{}]", file.display()));
        }
        match &damage.quarantined {
            Some(to) => text.push_str(&format!(" → {}", to.display())),
            None if !dry_run => text.push_str(" (left where it is)"),
            None => {}
        }
        text.push('\n');
    }
    let text = text.lines().map(render::tame).collect::<Vec<_>>().join("\n");
    match checked.damage.len() {
        0 => format!("{text}\nnothing is damaged\n"),
        count => format!("{text}\n{count} findings\n"),
    }
}
