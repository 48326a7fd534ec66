//! `custody evidence export`: what is disclosed of a record, as one file for somebody else to check.

use std::process::ExitCode;

use custody_api_types::evidence::EvidenceQuery;
use custody_record::Sequences;

use super::session;
use crate::cli::EvidenceCommand;
use crate::connect::Connection;
use crate::failure::Failure;
use crate::wire::Wire;

/// Exports.
pub fn run(wire: &Wire, command: EvidenceCommand) -> Result<ExitCode, Failure> {
    let EvidenceCommand::Export { session, file, events, withhold_content } = command;
    let server = Connection::open(wire)?;
    let found = session::named(&server, &session.session)?;
    let events = events.into_iter().reduce(|all, more| Sequences::and(all, &more));
    let query = EvidenceQuery {
        events: events.map(|events| events.to_string()),
        withhold_content: withhold_content.then_some(true),
    };
    let name = format!("{}-evidence.tar", found.id);
    session::save(wire, &found, file.as_deref(), &name, "`custody-verify` checks it", |out| {
        server.wait(async { server.client().evidence(found.id, &query).await?.write_to(out).await })
    })?;
    Ok(ExitCode::SUCCESS)
}
