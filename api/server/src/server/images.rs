//! What sessions can run in.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;

use axum::extract::State;
use custody_api_types::image::Image;
use custody_api_types::{Page, PageQuery};
use custody_session::Orchestrator;

use crate::answer::{self, Json};
use crate::asked::Query;
use crate::error::ApiError;
use crate::limits::Limits;

/// The image that is always there: the server's own file system.
const HOST: &str = "host";

pub(crate) async fn images(
    State(orchestrator): State<Arc<Orchestrator>>,
    State(limits): State<Limits>,
    Query(query): Query<PageQuery>,
) -> Result<Json<Page<Image>>, ApiError> {
    let wanted = answer::page(&limits, &query)?;
    let dir = orchestrator.state().images();
    let names = tokio::task::spawn_blocking(move || {
        let mut names = BTreeSet::from([HOST.to_owned()]);
        let entries = match std::fs::read_dir(dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(names),
            Err(error) => return Err(error),
        };
        for entry in entries {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                names.extend(entry.file_name().into_string().ok());
            }
        }
        Ok(names)
    });
    Ok(Json(answer::of_names(names.await??, &wanted, |name| Image { name })))
}
