//! A version is the digest of what a document says, not of how it is written.

use custody_model::UserName;
use custody_policy::{PolicyVersion, json_schema};
use proptest::prelude::*;
use serde_json::Value;

use crate::documents::{full, user, with};

/// Writes a value as YAML with keys in another order, and with comments and white space.
fn rewrite(value: &Value, seed: &mut u64, out: &mut String) {
    fn next(seed: &mut u64) -> u64 {
        *seed =
            seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        *seed >> 33
    }
    fn space(seed: &mut u64, out: &mut String) {
        out.push_str(match next(seed) % 4 {
            0 => " ",
            1 => "   # a comment: {with} [marks]\n ",
            2 => "\n   ",
            _ => " \n\n # another\n  ",
        });
    }
    match value {
        Value::Object(map) => {
            let mut entries: Vec<_> = map.iter().collect();
            for at in (1..entries.len()).rev() {
                let other = usize::try_from(next(seed)).expect("64 bits") % (at + 1);
                entries.swap(at, other);
            }
            out.push('{');
            for (key, value) in entries {
                space(seed, out);
                out.push_str(&format!("{}: ", Value::from(key.as_str())));
                rewrite(value, seed, out);
                out.push(',');
            }
            space(seed, out);
            out.push('}');
        }
        Value::Array(items) => {
            out.push('[');
            for item in items {
                space(seed, out);
                rewrite(item, seed, out);
                out.push(',');
            }
            space(seed, out);
            out.push(']');
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            out.push_str(&value.to_string());
        }
    }
}

proptest! {
    #[test]
    fn the_digest_depends_on_no_order_comment_or_space(seed in any::<u64>()) {
        let policy = full();
        let value: Value = serde_json::from_str(policy.canonical_json()).unwrap();
        let (mut seed, mut text) = (seed, String::new());
        rewrite(&value, &mut seed, &mut text);
        let again = PolicyVersion::parse(&text).map_err(|e| TestCaseError::fail(format!("{e}\n{text}")))?;
        prop_assert_eq!(again.digest(), policy.digest());
    }

    #[test]
    fn every_user_has_a_built_in_policy_of_their_own(name in "\\PC{1,60}", other in "\\PC{1,60}") {
        let (Ok(name), Ok(other)) = (name.parse::<UserName>(), other.parse::<UserName>()) else { return Ok(()) };
        let policy = PolicyVersion::builtin_local(&name);
        let users = &policy.document().requesters.users;
        prop_assert_eq!(users.len(), 1);
        prop_assert!(users[0].matches(name.as_str()));
        prop_assert_eq!(users[0].matches(other.as_str()), name == other);
    }
}

#[test]
fn names_that_look_like_patterns_or_yaml_stay_names() {
    for name in [
        "*",
        "a*",
        "[a-z]",
        "{a,b}",
        "\\",
        "\"",
        "a\\\"b",
        "'",
        "# x",
        "é",
        "\u{feff}x",
        "\u{ffff}",
        "a: b",
        "@USER@",
    ] {
        let policy = PolicyVersion::builtin_local(&user(name));
        let users = &policy.document().requesters.users;
        assert!(users[0].matches(name), "{name}");
        assert!(!users[0].matches("a") && !users[0].matches("ab"), "{name}");
    }
}

#[test]
fn the_canonical_form_is_a_document_with_the_same_digest() {
    for policy in [full(), PolicyVersion::builtin_local(&user("dev"))] {
        let again = PolicyVersion::parse(policy.canonical_json()).unwrap();
        assert_eq!(again.digest(), policy.digest());
        assert_eq!(again.canonical_json(), policy.canonical_json());
        let from_source = PolicyVersion::parse(policy.source()).unwrap();
        assert_eq!(from_source.digest(), policy.digest());
    }
}

#[test]
fn one_meaning_has_one_digest_and_another_meaning_another() {
    let digest = |from, to| PolicyVersion::parse(&with(from, to)).unwrap().digest();
    let same = full().digest();
    assert_eq!(digest("memory: 1GiB", "memory: 1073741824"), same);
    assert_eq!(digest("cpu: 1.5", "cpu: 1500m"), same);
    assert_eq!(digest("wall: 30m", "wall: 1800s"), same);
    assert_eq!(digest("mediation: observed\n", ""), same);
    assert_ne!(digest("mediation: observed", "mediation: strict"), same);
    assert_ne!(digest("count: 2", "count: 1"), same);
    assert_ne!(digest("secrets/**", "secrets/"), same);
    assert_ne!(
        digest("- deny: [curl]\n  - deny: [git, push]", "- deny: [git, push]\n  - deny: [curl]"),
        same
    );
}

#[test]
fn the_committed_schema_is_fresh() {
    let committed = include_str!("../../schema/policy.v1.schema.json");
    assert!(
        committed == json_schema(),
        "the schema is stale; make it anew with: cargo run -p custody-policy --example schema > \
         runtime/policy/schema/policy.v1.schema.json"
    );
}

#[test]
fn the_schema_refuses_unknown_fields_everywhere() {
    fn objects(value: &Value, found: &mut usize) {
        if let Value::Object(map) = value {
            if map.get("type") == Some(&Value::from("object")) && map.contains_key("properties") {
                assert_eq!(map.get("additionalProperties"), Some(&Value::from(false)), "{value}");
                *found += 1;
            }
            map.values().for_each(|value| objects(value, found));
        } else if let Value::Array(items) = value {
            items.iter().for_each(|value| objects(value, found));
        }
    }
    let mut found = 0;
    objects(&serde_json::from_str(&json_schema()).unwrap(), &mut found);
    assert!(found >= 6, "{found}");
}
