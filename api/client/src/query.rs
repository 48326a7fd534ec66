//! Queries (WHATWG URL, application/x-www-form-urlencoded): a list is its name once for each item.

use serde::Serialize;
use serde_json::Value;

/// The pairs of a query that is a struct of scalars and lists of them.
pub(crate) fn pairs(query: &impl Serialize) -> serde_json::Result<Vec<(String, String)>> {
    let mut pairs = Vec::new();
    if let Value::Object(members) = serde_json::to_value(query)? {
        for (name, value) in members {
            match value {
                Value::Array(items) => {
                    pairs.extend(items.iter().filter_map(text).map(|text| (name.clone(), text)));
                }
                other => pairs.extend(text(&other).map(|text| (name, text))),
            }
        }
    }
    Ok(pairs)
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(_) | Value::Number(_) => Some(value.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use custody_api_types::event::EventQuery;
    use custody_api_types::session::{SessionQuery, Sort, StateName};

    use super::*;

    #[test]
    fn a_list_is_its_name_once_for_each_item_and_what_is_absent_is_not_sent() {
        let query = SessionQuery {
            state: vec![StateName::Queued, StateName::Running],
            sort: Some(Sort::OldestFirst),
            limit: Some(7),
            ..SessionQuery::default()
        };
        let mut found = pairs(&query).unwrap();
        found.sort();
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(
            found,
            [
                pair("limit", "7"),
                pair("sort", "requested_at"),
                pair("state", "queued"),
                pair("state", "running"),
            ]
        );
        let query = EventQuery { types: vec!["file".to_owned()], ..EventQuery::default() };
        assert_eq!(pairs(&query).unwrap(), [pair("type", "file")]);
    }
}
