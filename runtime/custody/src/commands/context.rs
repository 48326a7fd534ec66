//! `custody context` and `custody logout`: the servers that this user has logged in to.

use std::process::ExitCode;

use custody_model::ErrorCode;
use serde_json::json;

use crate::cli::{ContextCommand, LogoutArgs};
use crate::connect::contexts::Contexts;
use crate::failure::Failure;
use crate::wire::Wire;
use crate::{output, render};

/// `custody context list|use|remove`.
pub fn run(wire: &Wire, command: ContextCommand) -> Result<ExitCode, Failure> {
    let mut contexts = Contexts::read(&wire.environment)?;
    match command {
        ContextCommand::List => list(wire, &contexts)?,
        ContextCommand::Use { name } => {
            if !contexts.servers.contains_key(&name) {
                return Err(unknown(&name));
            }
            contexts.current = Some(name.clone());
            contexts.write(&wire.environment)?;
            let value = json!({ "current": name });
            output::result(wire.format, &value, || format!("{name} is the current one"))?;
        }
        ContextCommand::Remove { name } => remove(wire, contexts, &name)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// `custody logout`.
pub fn logout(wire: &Wire, args: &LogoutArgs) -> Result<ExitCode, Failure> {
    let contexts = Contexts::read(&wire.environment)?;
    let name = args.name.clone().or_else(|| contexts.current.clone()).ok_or_else(|| {
        Failure::new(ErrorCode::NotFound, "there is no current server to log out from")
    })?;
    remove(wire, contexts, &name)?;
    Ok(ExitCode::SUCCESS)
}

fn unknown(name: &str) -> Failure {
    Failure::new(ErrorCode::NotFound, format!("there is no server called {name}"))
        .hint("`custody context list` shows those that are known")
}

fn remove(wire: &Wire, mut contexts: Contexts, name: &str) -> Result<(), Failure> {
    if contexts.servers.remove(name).is_none() {
        return Err(unknown(name));
    }
    if contexts.current.as_deref() == Some(name) {
        contexts.current = None;
    }
    contexts.write(&wire.environment)?;
    let value = json!({ "removed": name });
    output::result(wire.format, &value, || {
        format!(
            "{name} and its token are forgotten here; `custody token revoke` ends the token itself"
        )
    })
}

fn list(wire: &Wire, contexts: &Contexts) -> Result<(), Failure> {
    let is_current = |name: &String| contexts.current.as_ref() == Some(name);
    let value: Vec<_> = contexts
        .servers
        .iter()
        .map(|(name, server)| {
            json!({ "name": name, "url": server.url, "user": server.user, "current": is_current(name) })
        })
        .collect();
    output::result(wire.format, &value, || {
        if contexts.servers.is_empty() {
            return "no servers yet; `custody login URL` adds one".to_owned();
        }
        let rows: Vec<_> = contexts
            .servers
            .iter()
            .map(|(name, server)| {
                let mark = if is_current(name) { "*" } else { "" };
                [mark.to_owned(), name.clone(), server.url.clone(), server.user.clone()]
            })
            .collect();
        render::table(["", "NAME", "URL", "USER"], &rows)
    })
}
