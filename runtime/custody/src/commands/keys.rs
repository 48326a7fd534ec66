//! `custody keys`: the key that the installation signs its records with, and those before it.

use std::process::ExitCode;

use custody_control::{Author, ControlPlane};
use custody_model::{Actor, ErrorCode};
use custody_record::control::{ControlBody, KeyRotated};
use custody_record::{InstallationLog, KeyHistory, Keys, rotate};
use serde::Serialize;

use crate::cli::KeysCommand;
use crate::failure::{Explain, Failure};
use crate::render::table;
use crate::server::{IndexLock, make_state, open_plane};
use crate::wire::Wire;
use crate::{caller, connect, output};

/// Events of the control log that are read at once.
const BATCH: usize = 1024;

/// A key as it is shown.
#[derive(Serialize)]
struct Shown {
    /// Name and hash.
    key: String,
    /// The verifier key.
    vkey: String,
    /// Since when it signs; absent for the first.
    since: Option<String>,
    /// Until when it did; absent for the one in force.
    until: Option<String>,
    /// The sizes of the installation log whose heads it may have signed, as `first..last`.
    log: String,
    /// That it came is an event of the control log; the first key needs none.
    recorded: bool,
}

/// `custody keys list|rotate`.
pub fn run(wire: &Wire, command: KeysCommand) -> Result<ExitCode, Failure> {
    let config = wire.config()?;
    make_state(wire.state.path())?;
    let _lock = IndexLock::shared(&wire.state)?;
    connect::runtime()?.block_on(async {
        let (plane, _) = open_plane(wire, &config.settings).await?;
        match command {
            KeysCommand::List => list(wire, &plane),
            KeysCommand::Rotate => turn(wire, &plane).await,
        }
    })?;
    Ok(ExitCode::SUCCESS)
}

/// The keys of the control log's rotation events.
fn recorded(plane: &ControlPlane) -> Result<Vec<String>, Failure> {
    let (mut keys, mut from) = (Vec::new(), 0);
    loop {
        let events = plane.log().read(from, BATCH);
        let events = events.explain(ErrorCode::Io, "the control log can't be read")?;
        if events.is_empty() {
            return Ok(keys);
        }
        from += events.len() as u64;
        for event in events {
            if let ControlBody::KeyRotated(KeyRotated { key, rotation: Some(_) }) = event.body {
                keys.push(key);
            }
        }
    }
}

fn history(wire: &Wire) -> Result<KeyHistory, Failure> {
    KeyHistory::read(&wire.state.keys()).explain(ErrorCode::Io, "the keys can't be read")
}

fn list(wire: &Wire, plane: &ControlPlane) -> Result<(), Failure> {
    let recorded = recorded(plane)?;
    let history = history(wire)?;
    let keys: Vec<Shown> = history
        .keys()
        .map(|(key, term)| Shown {
            key: key.id(),
            vkey: key.to_string(),
            since: term.since.map(|turn| turn.time.to_string()),
            until: term.until.map(|turn| turn.time.to_string()),
            log: format!(
                "{}..{}",
                term.since.map_or(0, |turn| turn.log),
                term.until.map_or_else(String::new, |turn| turn.log.to_string())
            ),
            recorded: term.since.is_none() || recorded.contains(&key.id()),
        })
        .collect();
    output::result(wire.format, &keys, || {
        let short = |time: &Option<String>, without: &str| {
            time.as_deref().map_or_else(|| without.to_owned(), |text| text[..19].to_owned())
        };
        let rows: Vec<[String; 5]> = keys
            .iter()
            .map(|key| {
                [
                    short(&key.since, "the beginning"),
                    short(&key.until, "in force"),
                    key.log.clone(),
                    if key.recorded { "yes" } else { "NO" }.to_owned(),
                    key.vkey.clone(),
                ]
            })
            .collect();
        table(["SINCE", "UNTIL", "HEADS", "ON RECORD", "KEY"], &rows)
    })
}

async fn turn(wire: &Wire, plane: &ControlPlane) -> Result<(), Failure> {
    let failed = "the key was not rotated";
    let keys = Keys::open(&wire.state.keys()).explain(ErrorCode::Io, failed)?;
    let log = InstallationLog::open(&wire.state.log(), &keys).explain(ErrorCode::Io, failed)?;
    let done = rotate(&wire.state.keys(), &log, plane.log(), plane.now())
        .explain(ErrorCode::RecordUnwritable, failed)?;
    // With those that somebody died at between the turn and its event.
    let known = recorded(plane)?;
    let history = history(wire)?;
    let missing = history.rotations().iter().filter(|r| !known.contains(&r.to.id()));
    let events = missing.map(|rotation| {
        ControlBody::KeyRotated(KeyRotated {
            key: rotation.to.id(),
            rotation: Some(rotation.note().to_owned()),
        })
    });
    let author = Author { actor: Actor::User { name: caller::user()? }, ..Author::server() };
    plane.record(&author, events.collect()).await.explain(
        ErrorCode::RecordUnwritable,
        "the key was rotated, but that is not on record yet: the next `custody keys rotate` says it",
    )?;
    plane
        .integrate()
        .await
        .explain(ErrorCode::RecordUnwritable, "the control log is not signed")?;
    let value = serde_json::json!({
        "from": done.from.id(),
        "to": done.to.id(),
        "vkey": done.to.to_string(),
        "log_size": done.turn.log,
        "control_size": done.turn.control,
        "time": done.turn.time,
    });
    output::result(wire.format, &value, || {
        format!(
            "{} signs from here on, in the place of {}\n\
             give whoever verifies the new key {} and keys/history.json\n",
            done.to.id(),
            done.from.id(),
            done.to
        )
    })
}
