//! `custody session events`: a record, page by page.

use custody_api_types::event::EventQuery;
use custody_api_types::session::Session;
use custody_model::{ErrorCode, WorkspacePath};

use crate::cli::Format;
use crate::connect::Connection;
use crate::failure::{Explain, Failure};
use crate::wire::Wire;
use crate::{output, render};

/// Which events are wanted.
pub(super) struct Wanted {
    pub(super) types: Vec<String>,
    pub(super) path: Option<String>,
    pub(super) from: u64,
    pub(super) limit: Option<usize>,
}

pub(super) fn events(
    wire: &Wire,
    server: &Connection,
    session: &Session,
    wanted: &Wanted,
) -> Result<(), Failure> {
    let path = wanted.path.as_deref().map(path).transpose()?;
    let (mut next, mut left) = (Some(wanted.from), wanted.limit.unwrap_or(usize::MAX));
    while let Some(from) = next.filter(|_| left > 0) {
        let query = EventQuery {
            from: Some(from),
            limit: None,
            types: wanted.types.clone(),
            path: path.clone(),
        };
        let page = server.wait(server.client().events(session.id, &query))?;
        for event in page.items.iter().take(left) {
            let line = match wire.format {
                // Byte for byte as it was recorded.
                Format::Json => event.as_str().to_owned(),
                Format::Text => {
                    let unreadable = "an event can't be read; the server may be of another version";
                    render::events::line(&event.parse().explain(ErrorCode::Internal, unreadable)?)
                }
            };
            output::raw(format!("{line}\n").as_bytes())?;
        }
        left = left.saturating_sub(page.items.len());
        next = page.next;
    }
    Ok(())
}

fn path(text: &str) -> Result<WorkspacePath, Failure> {
    WorkspacePath::from_bytes(text.trim_end_matches('/').as_bytes())
        .explain(ErrorCode::Usage, "--path")
}
