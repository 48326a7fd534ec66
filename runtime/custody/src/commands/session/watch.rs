//! `custody session watch`: a record as it grows, and the state of its session.

use std::process::ExitCode;
use std::time::Duration;

use custody_api_client::Followed;
use custody_api_types::session::Session;
use custody_model::ErrorCode;

use crate::cli::Format;
use crate::connect::Connection;
use crate::failure::{Explain, Failure};
use crate::wire::Wire;
use crate::{output, render};

/// How often the state is looked at while no event comes.
const LOOK: Duration = Duration::from_secs(1);

pub(super) fn watch(
    wire: &Wire,
    server: &Connection,
    session: &Session,
    from: u64,
) -> Result<ExitCode, Failure> {
    let mut standing = String::new();
    let mut tell = |session: &Session| {
        let now = render::session::standing(session);
        if now != standing && wire.format == Format::Text {
            eprint!("{now}");
            standing = now;
        }
    };
    tell(session);
    let mut following = server.client().follow(session.id, from);
    server.block_on(async {
        let mut look = tokio::time::interval_at(tokio::time::Instant::now() + LOOK, LOOK);
        loop {
            tokio::select! {
                followed = following.next() => match followed.map_err(|e| server.explain(e))? {
                    Some(Followed::Event { event, .. }) => {
                        let line = match wire.format {
                            Format::Json => event.as_str().to_owned(),
                            Format::Text => {
                                let event = event.parse();
                                let unreadable = "an event can't be read";
                                render::events::line(
                                    &event.explain(ErrorCode::Internal, unreadable)?,
                                )
                            }
                        };
                        output::raw(format!("{line}\n").as_bytes())?;
                    }
                    Some(Followed::End(_)) | None => break,
                },
                _ = look.tick() => {
                    let id = session.id.to_string();
                    // A server that is just restarted is waited for by the stream.
                    if let Ok(now) = server.client().session(&id).await {
                        tell(&now);
                    }
                }
            }
        }
        Ok::<(), Failure>(())
    })?;
    tell(&server.wait(server.client().session(&session.id.to_string()))?);
    Ok(ExitCode::SUCCESS)
}
