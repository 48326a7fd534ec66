//! From a text to a checked document.

use serde_saphyr::options::{DuplicateKeyPolicy, MergeKeyPolicy};
use serde_saphyr::{Error, Options};

use crate::check;
use crate::document::Document;
use crate::error::PolicyError;
use crate::location::{Place, Places};

/// Limits for a document.
#[derive(Clone, Debug)]
pub struct ParseLimits {
    /// Longest text, in bytes.
    pub bytes: usize,
    /// Most values and keys.
    pub nodes: usize,
    /// Deepest nesting.
    pub depth: usize,
    /// Most YAML aliases.
    pub aliases: usize,
}

impl Default for ParseLimits {
    fn default() -> Self {
        Self {
            bytes: 256 * 1024,
            nodes: 10_000,
            depth: 16,
            aliases: 64,
        }
    }
}

fn options(limits: &ParseLimits) -> Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_nodes: limits.nodes,
            max_events: limits.nodes.saturating_mul(3),
            max_depth: limits.depth,
            max_aliases: limits.aliases,
            max_anchors: limits.aliases,
            max_documents: 1,
            max_total_scalar_bytes: limits.bytes,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: limits.nodes,
            max_replay_stack_depth: limits.depth,
            max_alias_expansions_per_anchor: limits.aliases,
        },
        duplicate_keys: DuplicateKeyPolicy::Error,
        merge_keys: MergeKeyPolicy::Error,
        strict_booleans: true,
        reject_unsupported_tags: true,
        with_snippet: false,
    }
}

/// Reads and checks a document.
pub(crate) fn document(
    yaml: &str,
    limits: &ParseLimits,
) -> Result<(Document, Places), PolicyError> {
    if yaml.len() > limits.bytes {
        let reason = format!(
            "it is {} bytes long: at most {} are allowed",
            yaml.len(),
            limits.bytes
        );
        return Err(PolicyError::whole(reason, None));
    }
    // Twice: once for where everything stands, once for what it says.
    let places: Places = serde_saphyr::from_str_with_options(yaml, options(limits))
        .map_err(|error| explain(error, &Places::default()))?;
    let document: Document = serde_saphyr::from_str_with_options(yaml, options(limits))
        .map_err(|error| explain(error, &places))?;
    check::document(&document, &places)?;
    Ok((document, places))
}

/// Says what the parser's error means for an admin.
fn explain(error: Error, places: &Places) -> PolicyError {
    let place = error
        .location()
        .map(|at| Place {
            line: at.line(),
            column: at.column(),
        })
        .filter(|place| place.line > 0);
    let pointer = place
        .and_then(|place| places.pointer_at(place))
        .unwrap_or_default()
        .to_owned();
    let reason = match error.without_snippet() {
        Error::SerdeUnknownVariant { variant, .. } if variant == "ask" => {
            "`ask` (a person decides at the time) is not there yet: it comes with a later version; use \
             deny or read_only"
                .to_owned()
        }
        Error::SerdeUnknownField { field, expected, .. } => {
            format!("there is no field `{field}` here; the fields are {}", expected.join(", "))
        }
        Error::SerdeUnknownVariant { variant, expected, .. } => {
            format!("`{variant}` is not one of {}", expected.join(", "))
        }
        Error::SerdeMissingField { field, .. } => format!("the field `{field}` is missing"),
        Error::DuplicateMappingKey { key: Some(key), .. } => {
            format!("the field `{key}` is there twice")
        }
        Error::Message { msg, .. } => msg.clone(),
        // The rest is YAML's own: what the parser says is what there is to say.
        other => other.to_string(),
    };
    PolicyError::at(place, pointer, reason).caused_by(error)
}
