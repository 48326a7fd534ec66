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
        Self { bytes: 256 * 1024, nodes: 10_000, depth: 16, aliases: 64 }
    }
}

fn options(limits: &ParseLimits, duplicate_keys: DuplicateKeyPolicy) -> Options {
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
        duplicate_keys: duplicate_keys,
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
        let reason =
            format!("it is {} bytes long: at most {} are allowed", yaml.len(), limits.bytes);
        return Err(PolicyError::whole(reason, None));
    }
    // Twice: once for where everything stands, repeated keys included, and once for what it says.
    let lenient = options(limits, DuplicateKeyPolicy::PassThrough);
    let places: Places = serde_saphyr::from_str_with_options(yaml, lenient)
        .map_err(|error| explain(error, &Places::default()))?;
    let document: Document =
        serde_saphyr::from_str_with_options(yaml, options(limits, DuplicateKeyPolicy::Error))
            .map_err(|error| explain(error, &places))?;
    check::document(&document, &places)?;
    Ok((document, places))
}

/// Says what the parser's error means for an admin.
fn explain(error: Error, places: &Places) -> PolicyError {
    let place = error
        .location()
        .map(|at| Place { line: at.line(), column: at.column() })
        .filter(|place| place.line > 0);
    if let Some(field) = missing_field(&error) {
        // The parser blames what it read last; the place to go to is the mapping that lacks the field.
        let owner = match field.as_str() {
            "users" => "/requesters",
            "required" => "/approval",
            _ => "",
        };
        let reason = format!("the field `{field}` is missing");
        return PolicyError::at(places.of(owner), owner.to_owned(), reason).caused_by(error);
    }
    let pointer = place.and_then(|place| places.pointer_at(place)).unwrap_or_default().to_owned();
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
        Error::DuplicateMappingKey { key: Some(key), .. } => {
            format!("the field `{key}` is there twice")
        }
        Error::Message { msg, .. } => msg.clone(),
        Error::Unexpected { expected: "sequence start", .. } => "a list is expected".to_owned(),
        Error::Unexpected { expected: "mapping start", .. } => {
            "a mapping of fields (`name: value`) is expected".to_owned()
        }
        Error::InvalidScalar { ty, .. } if ty.starts_with(['u', 'i']) => {
            format!("a whole number ({ty}) is expected")
        }
        Error::ExpectedMappingEndAfterEnumVariantValue { .. } => {
            "a rule has one field: begin another one with `- `".to_owned()
        }
        // The rest is YAML's own: what the parser says is what there is to say. The place is said already.
        other => {
            let text = other.to_string();
            let place = place.map(|at| format!(" at line {}, column {}", at.line, at.column));
            match place.and_then(|place| text.strip_suffix(&place).map(str::to_owned)) {
                Some(text) => text,
                None => text,
            }
        }
    };
    PolicyError::at(place, pointer, reason).caused_by(error)
}

/// The name of a missing field. The parser has two forms of it: serde asks some types for a value of their own first.
fn missing_field(error: &Error) -> Option<String> {
    match error.without_snippet() {
        Error::SerdeMissingField { field, .. } => Some((*field).to_owned()),
        Error::Message { msg, .. } => {
            let quoted = msg.strip_prefix("missing field `")?;
            quoted.strip_suffix('`').map(str::to_owned)
        }
        _ => None,
    }
}
