//! Attributes as OTLP/JSON spells them.

use serde_json::{Value, json};

/// Those that are there.
pub(super) fn attributes<const N: usize>(all: [Option<Value>; N]) -> Vec<Value> {
    all.into_iter().flatten().collect()
}

pub(super) fn text(key: &str, value: &str) -> Value {
    json!({ "key": key, "value": { "stringValue": value } })
}

/// 64-bit integers are decimal text in the JSON of protocol buffers.
pub(super) fn number(key: &str, value: impl Into<u64>) -> Value {
    json!({ "key": key, "value": { "intValue": value.into().to_string() } })
}

pub(super) fn list(key: &str, values: &[String]) -> Value {
    let values: Vec<Value> = values.iter().map(|value| json!({ "stringValue": value })).collect();
    json!({ "key": key, "value": { "arrayValue": { "values": values } } })
}
