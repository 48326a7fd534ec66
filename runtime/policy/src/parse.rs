//! From a text to a checked document.

use serde_saphyr::Error;

use crate::check;
use crate::document::Document;
use crate::error::PolicyError;
use crate::yaml::{self, ParseLimits, Places, YamlError};

/// Reads and checks a document.
pub(crate) fn document(
    yaml: &str,
    limits: &ParseLimits,
) -> Result<(Document, Places), PolicyError> {
    let owner_of = |field: &str, _: &str| match field {
        "users" => "/requesters".to_owned(),
        "required" => "/approval".to_owned(),
        _ => String::new(),
    };
    let (document, places) = yaml::read(yaml, limits, &owner_of).map_err(explain)?;
    check::document(&document, &places)?;
    Ok((document, places))
}

/// Says what the error means for an admin.
fn explain(error: YamlError) -> PolicyError {
    let reason = match error.source.as_deref().map(Error::without_snippet) {
        Some(Error::SerdeUnknownVariant { variant, .. }) if variant == "ask" => {
            "`ask` (a person decides at the time) is not there yet: it comes with a later version; use \
             deny or read_only"
                .to_owned()
        }
        Some(_) | None => error.reason,
    };
    let refused = PolicyError::at(error.place, error.pointer, reason);
    match error.source {
        Some(source) => refused.caused_by(source),
        None => refused,
    }
}
