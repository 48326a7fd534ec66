//! The JSON Schema of the policy document, for editors. It is committed at `schema/policy.v1.schema.json`.

use crate::document::Document;

/// The schema (JSON Schema draft 2020-12), as it is committed.
#[must_use]
pub fn json_schema() -> String {
    let schema = schemars::schema_for!(Document);
    // A schema is made of maps, lists, texts and numbers: writing it to a string can't fail.
    let mut text = serde_json::to_string_pretty(&schema).unwrap_or_default();
    text.push('\n');
    text
}
