//! Typed documents out of YAML within limits, and errors with line, column, field and reason. Every document that
//! people write for Custody is read here: policies, and the configuration.

use serde::de::DeserializeOwned;
use serde_saphyr::options::{DuplicateKeyPolicy, MergeKeyPolicy};
use serde_saphyr::{Error, Options};

pub use crate::location::{Place, Places};

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

/// Why a text is not such a document.
#[derive(Debug, thiserror::Error)]
#[error("{reason}")]
pub struct YamlError {
    /// Where, if a place is to blame.
    pub place: Option<Place>,
    /// The field as a JSON pointer (RFC 6901); empty for the whole document.
    pub pointer: String,
    /// What is wrong, in words, without the place.
    pub reason: String,
    /// What the parser said.
    #[source]
    pub source: Option<Box<Error>>,
}

/// Says to which mapping a missing field belongs, as a pointer. It is given the field's name and the pointer of what
/// was read last, which is what the parser blames.
pub type OwnerOf<'a> = &'a dyn Fn(&str, &str) -> String;

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

/// Reads a document (YAML 1.2, and so JSON as well), and where each of its values stands.
///
/// # Errors
/// [`YamlError`].
pub fn read<T: DeserializeOwned>(
    yaml: &str,
    limits: &ParseLimits,
    owner_of: OwnerOf<'_>,
) -> Result<(T, Places), YamlError> {
    if yaml.len() > limits.bytes {
        let reason =
            format!("it is {} bytes long: at most {} are allowed", yaml.len(), limits.bytes);
        return Err(YamlError { place: None, pointer: String::new(), reason, source: None });
    }
    // Twice: once for where everything stands, repeated keys included, and once for what it says.
    let lenient = options(limits, DuplicateKeyPolicy::PassThrough);
    let places: Places = serde_saphyr::from_str_with_options(yaml, lenient)
        .map_err(|error| explain(error, &Places::default(), owner_of))?;
    let document =
        serde_saphyr::from_str_with_options(yaml, options(limits, DuplicateKeyPolicy::Error))
            .map_err(|error| explain(error, &places, owner_of))?;
    Ok((document, places))
}

/// Says what the parser's error means for who wrote the document.
fn explain(error: Error, places: &Places, owner_of: OwnerOf<'_>) -> YamlError {
    let place = error
        .location()
        .map(|at| Place { line: at.line(), column: at.column() })
        .filter(|place| place.line > 0);
    let pointer = place.and_then(|place| places.pointer_at(place)).unwrap_or_default().to_owned();
    if let Some(field) = missing_field(&error) {
        // The place to go to is the mapping that lacks the field.
        let owner = owner_of(&field, &pointer);
        return YamlError {
            place: places.of(&owner),
            pointer: owner,
            reason: format!("the field `{field}` is missing"),
            source: Some(Box::new(error)),
        };
    }
    let reason = match error.without_snippet() {
        Error::SerdeUnknownField { field, expected, .. } => match nearest(field, expected) {
            Some(near) => format!(
                "there is no field `{field}` here, did you mean `{near}`? The fields are {}",
                expected.join(", ")
            ),
            None => {
                format!("there is no field `{field}` here; the fields are {}", expected.join(", "))
            }
        },
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
    YamlError { place, pointer, reason, source: Some(Box::new(error)) }
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

/// The one of `known` that `name` was probably meant to be: the fewest slips of a key away, and at most one slip in
/// three characters.
#[must_use]
pub fn nearest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    let name = name.to_lowercase();
    let slips = |known: &str| strsim::damerau_levenshtein(&name, &known.to_lowercase());
    let near = known.iter().copied().min_by_key(|known| slips(known))?;
    (slips(near) <= near.chars().count().max(3) / 3).then_some(near)
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn a_slip_of_the_keys_is_understood_and_a_foreign_word_is_not() {
        let known = ["listen", "socket", "public_url"];
        assert_eq!(nearest("lisetn", &known), Some("listen"));
        assert_eq!(nearest("publicUrl", &known), Some("public_url"));
        assert_eq!(nearest("SOCKET", &known), Some("socket"));
        assert_eq!(nearest("port", &known), None);
        assert_eq!(nearest("listen", &[]), None);
    }
}
