//! What goes and what stays, in texts, diffs and contents of any size.

use std::io::Read as _;

use proptest::prelude::*;

use super::*;

/// Made up, and put together here so that no scanner takes this file for a leak.
fn aws_key() -> String {
    ["AKIA", "Q3EGPN5XWVYT", "7LKB"].concat()
}

fn github_token() -> String {
    ["ghp", "_", "x4T9bK2mQ7wZ1rV8cN5yH3jL6pD0sF4gAe2u"].concat()
}

fn private_key() -> String {
    let body = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7\n".repeat(12);
    ["-----BEGIN ", "PRIVATE KEY-----\n", &body, "-----END ", "PRIVATE KEY-----"].concat()
}

fn redactor(values: &[&str], patterns: &[(&str, &str)]) -> Redactor {
    let patterns: Vec<Pattern> = patterns
        .iter()
        .map(|(name, pattern)| Pattern { name: (*name).into(), pattern: (*pattern).into() })
        .collect();
    Redactor::new([1; 32], values, &patterns).unwrap()
}

#[test]
fn published_patterns_go_and_the_rest_stays() {
    let redactor = redactor(&[], &[]);
    for (secret, kind) in [
        (aws_key(), "aws-access-token"),
        (github_token(), "github-pat"),
        (private_key(), "private-key"),
    ] {
        let (clean, marks) = redactor.redact(&format!("x='{secret}' y")).unwrap();
        assert!(!clean.contains(&secret), "{clean}");
        assert!(clean.starts_with("x='[redacted:") && clean.ends_with("' y"), "{clean}");
        assert_eq!(marks[0].kind, kind);
        assert_eq!(&clean[marks[0].range.clone()][..10], "[redacted:");
    }
    for harmless in ["src/main.rs", "cargo test --workspace", "/usr/share/doc/curl", "key = value"]
    {
        assert!(redactor.redact(harmless).is_none(), "{harmless}");
    }
}

#[test]
fn exact_values_go_in_every_form_and_have_one_digest() {
    let value = "pl@in w\"ord/ünique";
    let redactor = redactor(&[value], &[]);
    let base64 = base64::Engine::encode(
        &base64::engine::general_purpose::STANDARD,
        format!("user:{value}\n"),
    );
    let mut digests = Vec::new();
    for text in [
        value.to_owned(),
        serde_json::to_string(value).unwrap(),
        "a=pl%40in%20w%22ord%2F%C3%BCnique&b".to_owned(),
        "a=pl%40in+w%22ord%2f%c3%bcnique&b".to_owned(),
        base64,
    ] {
        let (clean, marks) = redactor.redact(&text).unwrap_or_else(|| panic!("{text} stayed"));
        assert!(!clean.contains("ord"), "{clean}");
        assert_eq!(marks[0].kind, INJECTED);
        digests.push(marks[0].digest);
    }
    digests.dedup();
    assert_eq!(digests.len(), 1);
}

#[test]
fn secrets_that_stand_side_by_side_go_all() {
    let value = "correct horse battery staple";
    let redactor = redactor(&[value], &[("case", r"CASE-\d{4}-\d{6}")]);
    let (key, token) = (aws_key(), github_token());
    let secrets = [value, &key, &token, "CASE-2026-118277"];
    for first in secrets {
        for second in secrets {
            for third in secrets {
                // A token goes on with a character of its own: then it is another one.
                let text = format!("{first} {value}{second}{value}{third}");
                let clean = redactor.redact(&text).unwrap().0;
                for secret in secrets {
                    assert!(!clean.contains(secret), "{text}: {clean}");
                }
                assert!(redactor.redact(&clean).is_none(), "{clean}");
            }
        }
    }
}

#[test]
fn patterns_of_a_policy_go_under_their_name_and_only_their_group() {
    let redactor = redactor(&[], &[("ticket", r"ticket=(\d+)")]);
    let (clean, marks) = redactor.redact("see ticket=4711.").unwrap();
    assert!(clean.starts_with("see ticket=[redacted:ticket:"), "{clean}");
    assert_eq!(marks.len(), 1);
    let pattern = Pattern { name: "broken".into(), pattern: "(".into() };
    assert!(matches!(Redactor::new([0; 32], &[], &[pattern]), Err(RedactorError::Pattern { .. })));
}

#[test]
fn a_digest_says_nothing_without_its_salt() {
    let of = |salt| {
        let redactor = Redactor::new(salt, &[], &[]).unwrap();
        redactor.redact(&aws_key()).unwrap().1[0].digest
    };
    assert_eq!(of([1; 32]), of([1; 32]));
    assert_ne!(of([1; 32]), of([2; 32]));
    assert_ne!(of([1; 32]), custody_model::Digest::of(aws_key().as_bytes()));
}

#[test]
fn the_lines_of_a_diff_stay_as_many_as_they_were() {
    let redactor = redactor(&[], &[]);
    let key: String = private_key().lines().map(|line| format!("+{line}\n")).collect();
    let diff = format!("@@ -0,0 +1,14 @@\n{key} after\n");
    let (clean, _) = redactor.redact(&diff).unwrap();
    assert_eq!(clean.lines().count(), diff.lines().count());
    assert!(clean.lines().skip(1).all(|line| line.starts_with(['+', ' '])), "{clean}");
    assert!(!clean.contains("MIIEv"));
}

#[test]
fn what_lies_where_two_windows_meet_goes_too() {
    let redactor = redactor(&["no-pattern-has-this-value"], &[]);
    for at in [(1 << 20) - (64 << 10) - 10, (1 << 20) - 12, (1 << 20) - 1, 1 << 20] {
        let mut content = vec![b'.'; at];
        content.push(b' ');
        content.extend_from_slice(aws_key().as_bytes());
        content.extend_from_slice(b" no-pattern-has-this-value ");
        content.resize(3 << 20, b'.');
        let mut source = content.as_slice();
        let mut reader = Redacting::new(&mut source, &redactor);
        let mut clean = Vec::new();
        reader.read_to_end(&mut clean).unwrap();
        let (marks, count) = reader.finish();
        assert_eq!(count, 2, "at {at}");
        for mark in &marks {
            assert!(clean[mark.range.clone()].starts_with(b"[redacted:"), "at {at}");
        }
        let text = String::from_utf8(clean).unwrap();
        assert!(!text.contains(&aws_key()) && !text.contains("no-pattern"), "at {at}");
        assert_eq!(
            text.bytes().filter(|b| *b == b'.').count(),
            content.iter().filter(|b| **b == b'.').count()
        );
    }
}

proptest! {
    #[test]
    fn content_without_secrets_passes_unchanged(content in proptest::collection::vec(any::<u8>(), 0..300)) {
        let redactor = redactor(&[], &[]);
        prop_assume!(redactor.find(&content).is_empty());
        let mut source = content.as_slice();
        let mut reader = Redacting::new(&mut source, &redactor);
        let mut clean = Vec::new();
        reader.read_to_end(&mut clean).unwrap();
        prop_assert_eq!(clean, content);
    }
}
