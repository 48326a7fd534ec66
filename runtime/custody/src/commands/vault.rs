//! `custody vault`: what wraps the keys that contents are sealed with.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Arc;

use custody_control::{Author, ControlPlane};
use custody_model::{Actor, ErrorCode};
use custody_record::control::{ControlBody, VaultWrapped};
use custody_record::{Rewrapped, Vault};
use serde_json::json;

use crate::cli::VaultCommand;
use crate::failure::{Explain, Failure};
use crate::render::table;
use crate::server::{IndexLock, make_state, open_plane};
use crate::wire::Wire;
use crate::{caller, connect, output};

/// Why nothing, or not everything, was done.
const FAILED: &str = "not all keys were wrapped anew";

/// How often a key that somebody else changes meanwhile is tried.
const TRIES: usize = 5;

/// `custody vault show|rewrap`.
pub fn run(wire: &Wire, command: VaultCommand) -> Result<ExitCode, Failure> {
    let config = wire.config()?;
    make_state(wire.state.path())?;
    match command {
        VaultCommand::Show => {
            let vault = wire.vault(&config.settings.vault)?;
            show(wire, &vault)?;
        }
        VaultCommand::Rewrap => {
            let _lock = IndexLock::shared(&wire.state)?;
            connect::runtime()?.block_on(async {
                let (plane, _) = open_plane(wire, &config.settings).await?;
                rewrap(wire, &plane).await
            })?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn wrappings(vault: &Vault) -> Result<BTreeMap<String, u64>, Failure> {
    vault.wrappings().explain(ErrorCode::Io, "the vault can't be read")
}

fn show(wire: &Wire, vault: &Vault) -> Result<(), Failure> {
    let (wrapping, keys) = (vault.wrapping(), wrappings(vault)?);
    let value = json!({ "wrapping": wrapping, "keys": keys });
    output::result(wire.format, &value, || {
        let mut rows: Vec<[String; 3]> = Vec::new();
        let none = (!keys.contains_key(&wrapping)).then_some((&wrapping, &0));
        for (name, count) in none.into_iter().chain(&keys) {
            let role = if *name == wrapping { "wraps new keys" } else { "" };
            rows.push([name.clone(), count.to_string(), role.to_owned()]);
        }
        table(["WRAPPING", "KEYS", ""], &rows)
    })
}

async fn rewrap(wire: &Wire, plane: &ControlPlane) -> Result<(), Failure> {
    let vault = plane.vault().clone();
    let author = Author { actor: Actor::User { name: caller::user()? }, ..Author::server() };
    let now = |keys| VaultWrapped { wrapping: vault.wrapping(), keys };
    let started = ControlBody::VaultRewrapStarted(now(wrappings(&vault)?));
    let not_said = "that the keys are wrapped anew is not on record";
    let recorded = plane.record(&author, vec![started]).await;
    recorded.explain(ErrorCode::RecordUnwritable, not_said)?;
    let one_by_one = {
        let vault = vault.clone();
        tokio::task::spawn_blocking(move || all(&vault)).await
    };
    let done = one_by_one.explain(ErrorCode::Internal, FAILED)??;
    let ended = ControlBody::VaultRewrapped(now(wrappings(&vault)?));
    let recorded = plane.record(&author, vec![ended]).await;
    recorded.explain(ErrorCode::RecordUnwritable, not_said)?;
    plane
        .integrate()
        .await
        .explain(ErrorCode::RecordUnwritable, "the control log is not signed")?;
    let value = json!({
        "wrapping": vault.wrapping(),
        "rewrapped": done.rewrapped,
        "already": done.already,
        "gone": done.gone,
    });
    output::result(wire.format, &value, || {
        format!(
            "{} keys are wrapped by {} from here on, {} were already\n",
            done.rewrapped,
            vault.wrapping(),
            done.already
        )
    })
}

#[derive(Default)]
struct Done {
    rewrapped: u64,
    already: u64,
    gone: u64,
}

/// Wraps every key anew; the first that can't be is told, those before it are done.
fn all(vault: &Arc<Vault>) -> Result<Done, Failure> {
    let mut done = Done::default();
    for scope in vault.scopes().explain(ErrorCode::Io, FAILED)? {
        let mut tries = 0;
        let one = loop {
            tries += 1;
            match vault.rewrap(scope) {
                Err(custody_record::VaultError::Changed(_)) if tries < TRIES => {}
                other => break other,
            }
        };
        match one.explain(ErrorCode::Io, FAILED)? {
            Rewrapped::From(_) => done.rewrapped += 1,
            Rewrapped::Already => done.already += 1,
            Rewrapped::Gone => done.gone += 1,
        }
    }
    Ok(done)
}
