//! The schema and the example are what the code is.

use std::collections::BTreeSet;

use serde_json::Value;

use super::by_file;
use crate::config::{Origin, Settings, json_schema};

const EXAMPLE: &str = include_str!("../../../../../deploy/custody.example.yaml");

#[test]
fn the_committed_schema_is_fresh() {
    let committed = include_str!("../../../schema/config.v1.schema.json");
    assert!(
        committed == json_schema(),
        "the schema is stale; make it anew with: cargo run -p custody -- config schema > \
         runtime/custody/schema/config.v1.schema.json"
    );
}

#[test]
fn the_schema_describes_every_field_and_refuses_others() {
    let schema: Value = serde_json::from_str(&json_schema()).expect("it is JSON");
    for (section, field) in Settings::fields() {
        let reference = schema["properties"][section]["$ref"].as_str().expect("a section");
        let section = schema.pointer(reference.trim_start_matches('#')).expect("it is defined");
        assert_eq!(section["additionalProperties"], false, "{section}");
        let description = section["properties"][field]["description"].as_str();
        assert!(description.is_some_and(|text| text.len() > 10), "{field} in {section}");
    }
    assert_eq!(schema["additionalProperties"], false);
    assert_eq!(schema["$defs"]["Server"]["properties"]["drain"]["default"], "30s");
    assert_eq!(schema["$defs"]["Queue"]["properties"]["running"].get("default"), None);
}

#[test]
fn the_example_is_valid_and_shows_every_field_with_a_comment() {
    let config = by_file(EXAMPLE).unwrap_or_else(|error| panic!("the example: {error}"));
    let lines: Vec<&str> = EXAMPLE.lines().collect();
    let mut seen = BTreeSet::new();
    for (section, field) in Settings::fields() {
        let Origin::File { line } = *config.origin(&format!("{section}.{field}")) else {
            panic!("the example does not show {section}.{field}");
        };
        let at = usize::try_from(line).expect("a line") - 1;
        assert!(lines[at].trim_start().starts_with(field), "{section}.{field}: {}", lines[at]);
        assert!(lines[at - 1].trim_start().starts_with("# "), "{section}.{field} has no comment");
        seen.insert(line);
    }
    assert_eq!(seen.len(), Settings::fields().len());
}
