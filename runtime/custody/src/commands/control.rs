//! `custody control`: the control log.

use std::process::ExitCode;

use custody_api_types::control::ControlQuery;
use custody_model::{Actor, ErrorCode};
use custody_record::control::{ControlEvent, ControlReport};
use serde_json::Value;

use crate::cli::{ControlCommand, Format};
use crate::connect::Connection;
use crate::failure::{Explain, Failure};
use crate::wire::Wire;
use crate::{output, render};

/// `custody control events|verify`.
pub fn run(wire: &Wire, command: ControlCommand) -> Result<ExitCode, Failure> {
    let server = Connection::open(wire)?;
    match command {
        ControlCommand::Events { from, limit } => {
            events(wire, &server, from, limit)?;
            Ok(ExitCode::SUCCESS)
        }
        ControlCommand::Verify => {
            let report = server.wait(server.client().control_verify())?;
            output::result(wire.format, &report, || verdict(&report))?;
            Ok(match report.findings.is_empty() {
                true => ExitCode::SUCCESS,
                false => ExitCode::from(ErrorCode::VerificationFailed.exit_code()),
            })
        }
    }
}

fn events(
    wire: &Wire,
    server: &Connection,
    from: u64,
    limit: Option<usize>,
) -> Result<(), Failure> {
    let (mut next, mut left) = (Some(from), limit.unwrap_or(usize::MAX));
    while let Some(from) = next {
        let query = ControlQuery { from: Some(from), limit: None };
        let page = server.wait(server.client().control_events(&query))?;
        for event in page.items.iter().take(left) {
            let text = match wire.format {
                Format::Json => serde_json::to_string(event)
                    .explain(ErrorCode::Internal, "an event has no JSON form")?,
                Format::Text => line(event),
            };
            output::raw(format!("{text}\n").as_bytes())?;
        }
        left = left.saturating_sub(page.items.len());
        next = page.next.filter(|_| left > 0 && !page.items.is_empty());
    }
    Ok(())
}

fn verdict(report: &ControlReport) -> String {
    let mut text = format!("{} events, {} of them signed\n", report.events, report.signed);
    text.push_str(&format!("{}\n", render::tame(&report.witnesses.statement)));
    for finding in &report.findings {
        text.push_str(&format!("{}\n", render::tame(finding)));
    }
    text.push_str(if report.findings.is_empty() { "the control log holds\n" } else { "BROKEN\n" });
    text
}

fn line(event: &ControlEvent) -> String {
    let actor = match &event.actor {
        Actor::User { name } => name.to_string(),
        Actor::Server | Actor::Keeper | Actor::Process(_) => "server".to_owned(),
    };
    let via = event.via.as_ref().map(|via| via.origin.address.clone()).unwrap_or_default();
    let value = serde_json::to_value(&event.body).unwrap_or(Value::Null);
    let kind = value.get("type").and_then(Value::as_str).unwrap_or_default();
    let data = value.get("data").map(render::events::flat).unwrap_or_default();
    let time = event.time.to_string();
    let text = format!(
        "{:>6} {} {actor:<12} {via:<22} {kind:<20} {}",
        event.seq,
        time.get(..19).unwrap_or(&time),
        render::tame(&data)
    );
    render::cut(&text, render::events::WIDTH)
}
