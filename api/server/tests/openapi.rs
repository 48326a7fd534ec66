//! The committed description of the API is the one that the table of endpoints gives.

use serde_json::Value;

#[test]
fn the_committed_description_is_fresh() {
    // Not `assert_eq`: nobody reads two copies of it.
    let fresh = include_str!("../openapi.json") == custody_api_server::openapi::text();
    assert!(
        fresh,
        "write it anew: cargo run -p custody-api-server --example openapi > api/server/openapi.json"
    );
}

#[test]
fn every_reference_in_the_description_leads_somewhere() {
    fn follow(value: &Value, document: &Value) {
        match value {
            Value::Object(members) => {
                if let Some(Value::String(path)) = members.get("$ref") {
                    let pointer = path.strip_prefix('#').expect("a reference within the document");
                    assert!(document.pointer(pointer).is_some(), "{path} leads nowhere");
                }
                members.values().for_each(|member| follow(member, document));
            }
            Value::Array(items) => items.iter().for_each(|item| follow(item, document)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    let document = custody_api_server::openapi::document();
    follow(&document, &document);
}

#[test]
fn the_page_names_every_operation_and_loads_nothing() {
    let page = custody_api_server::openapi::page();
    for endpoint in custody_api_types::endpoint::endpoints() {
        assert!(page.contains(&format!("id=\"{}\"", endpoint.operation)), "{endpoint:?}");
    }
    for foreign in ["<script", "src=", "<link", "url(", "http://", "@import"] {
        assert!(!page.contains(foreign), "{foreign}");
    }
}
