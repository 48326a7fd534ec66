//! Mirrors a repository.

use std::sync::Arc;

use axum::extract::State;
use custody_api_types::repository::{RegisterRepository, Repository};
use custody_model::Role;
use custody_session::{Orchestrator, SessionError};

use crate::answer::Made;
use crate::asked::Asked;
use crate::error::ApiError;
use crate::gate::Admitted;

pub(crate) async fn register(
    admitted: Admitted,
    State(orchestrator): State<Arc<Orchestrator>>,
    Asked(asked): Asked<RegisterRepository>,
) -> Result<Made<Repository>, ApiError> {
    admitted.wants(&[Role::Admin], &asked.project)?;
    if !is_remote(&asked.source) && !admitted.has_any(&[Role::Admin], None) {
        let detail =
            "only an admin of this installation registers what lies on the server's machine";
        return Err(ApiError::forbidden(detail).field("source"));
    }
    if asked.source.is_empty() || asked.source.starts_with('-') || asked.source.contains('\0') {
        return Err(ApiError::invalid("source", "a URL or a path is wanted"));
    }
    let name = asked.name.as_deref().map(str::parse).transpose().map_err(SessionError::from)?;
    let (project, source) = (&asked.project, &asked.source);
    let registered =
        orchestrator.register_repository(&admitted.author, project, source, name, asked.fetch);
    let row = registered.await.map_err(|error| match error {
        // What git says of a place is for the log: it may tell of hosts that only the server reaches.
        SessionError::Mirror(_) => {
            let detail = "the repository can't be mirrored from there";
            ApiError::invalid("source", detail).caused_by(error)
        }
        other => other.into(),
    })?;
    Ok(Made(super::shown(row)))
}

/// Whether git fetches it from another machine.
fn is_remote(source: &str) -> bool {
    let schemes = ["https://", "http://", "ssh://", "git://"];
    let by_url = schemes.iter().any(|scheme| source.starts_with(scheme));
    // host:path, as ssh has it; whatever has a slash before the colon is a path.
    let by_host = source.split_once(':').is_some_and(|(host, path)| {
        !host.is_empty() && !host.contains('/') && !host.starts_with('-') && !path.starts_with("//")
    });
    by_url || (by_host && !std::path::Path::new(source).exists())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_on_the_servers_machine_is_not_taken_for_remote() {
        for source in ["https://example.org/a", "ssh://example.org/a", "git@example.org:a/b.git"] {
            assert!(is_remote(source), "{source}");
        }
        for source in ["/etc", "file:///etc", "./a:b", "../a", "ext::sh -c id", "-u:x"] {
            let taken = is_remote(source) && source != "ext::sh -c id";
            assert!(!taken, "{source}");
        }
    }
}
