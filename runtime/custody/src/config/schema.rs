//! The JSON Schema of the configuration, for editors. It is committed at `schema/config.v1.schema.json`.

use serde_json::Value;

use super::Settings;

/// Fields whose default depends on the machine or on other fields: their descriptions say on what.
const DERIVED: [(&str, &str); 4] =
    [("Server", "socket"), ("Queue", "running"), ("Store", "path"), ("Identity", "issuer")];

/// The schema (JSON Schema draft 2020-12), as it is committed.
pub fn json_schema() -> String {
    let mut schema = schemars::schema_for!(Settings).to_value();
    // Each field has its own default; a section's would only repeat them.
    if let Some(Value::Object(sections)) = schema.get_mut("properties") {
        for section in sections.values_mut() {
            forget_default(section);
        }
    }
    for (section, field) in DERIVED {
        if let Some(property) = schema.pointer_mut(&format!("/$defs/{section}/properties/{field}"))
        {
            forget_default(property);
        }
    }
    // A schema is made of maps, lists, texts and numbers: writing it to a string can't fail.
    let mut text = serde_json::to_string_pretty(&schema).unwrap_or_default();
    text.push('\n');
    text
}

fn forget_default(property: &mut Value) {
    if let Value::Object(property) = property {
        property.remove("default");
    }
}
