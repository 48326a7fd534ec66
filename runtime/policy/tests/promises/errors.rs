//! A bad document gets line, column, field and reason.

use custody_policy::{ParseLimits, PolicyError, PolicyVersion};
use proptest::prelude::*;

use crate::documents::{FULL, with};

fn refused(yaml: &str) -> PolicyError {
    PolicyVersion::parse(yaml).expect_err("the document is not valid")
}

#[track_caller]
fn assert_error(yaml: &str, line: u64, field: &str, reason: &str) {
    let error = refused(yaml);
    let text = error.to_string();
    assert_eq!((error.line(), error.field()), (Some(line), field), "{text}");
    assert!(error.column().is_some_and(|column| column > 0), "{text}");
    assert!(error.reason().contains(reason), "{text}");
    assert!(text.contains(&format!("line {line}")) && text.contains(field), "{text}");
}

#[test]
fn an_unknown_field_is_refused_with_its_place() {
    assert_error(&with("images:", "image:"), 13, "/image", "no field `image`");
    assert_error(&with("  by:", "  from:"), 11, "/approval/from", "no field `from`");
    assert_error(&with("cpu: 1.5", "cpus: 1.5"), 25, "/limits/default/cpus", "no field `cpus`");
}

#[test]
fn a_field_that_is_there_twice_is_refused() {
    assert_error(&format!("{FULL}name: again\n"), 31, "/name", "`name` is there twice");
}

#[test]
fn a_missing_field_is_named() {
    let without_images = with("images: [host, \"prod/*\", \"debian:12\"]\n", "");
    assert_error(&without_images, 1, "", "`images` is missing");
    assert_error(
        &with("users: [alice, \"*@example.org\"]", "{}"),
        4,
        "/requesters",
        "`users` is missing",
    );
    assert_error(&with("  required: when\n", ""), 6, "/approval", "`required` is missing");
}

#[test]
fn a_value_of_another_kind_is_refused_in_plain_words() {
    assert_error(
        &with("images: [host, \"prod/*\", \"debian:12\"]", "images: host"),
        13,
        "/images",
        "a list",
    );
    assert_error(
        &with("processes: 256", "processes: many"),
        25,
        "/limits/default/processes",
        "whole number",
    );
    let two = with("- read_only: .github/", "- read_only: .github/\n    deny: x");
    assert_error(&two, 22, "/paths/1/deny", "a rule has one field");
}

#[test]
fn a_wrong_value_is_named_with_its_place() {
    assert_error(&with("memory: 1GiB", "memory: 1 gig"), 25, "/limits/default/memory", "a size");
    assert_error(&with("wall: 30m", "wall: soon"), 25, "/limits/default/wall", "a duration");
    assert_error(&with("cpu: 1.5", "cpu: 0"), 25, "/limits/default/cpu", "a number of cores");
    assert_error(&with("processes: 256", "processes: 0"), 25, "/limits/default/processes", "");
    assert_error(&with("\"secrets/**\"", "\"secrets/[\""), 20, "/paths/0/deny", "lacks its ]");
    assert_error(&with(".github/\n", "\"!x\"\n"), 21, "/paths/1/read_only", "begins with !");
    assert_error(&with("required: when", "required: maybe"), 7, "/approval/required", "`maybe`");
    assert_error(&with("- deny: [curl]", "- deny: []"), 16, "/commands/1/deny", "program's name");
    assert_error(&with("policy/v1", "policy/v2"), 1, "/version", "custody/policy/v2");
    assert_error(&with("mediation: observed", "mediation: none"), 23, "/mediation", "`none`");
}

#[test]
fn ask_is_said_to_come_later() {
    assert_error(
        &with("- deny: \"secrets/**\"", "- ask: \"secrets/**\""),
        20,
        "/paths/0/ask",
        "comes with a later",
    );
}

#[test]
fn what_contradicts_itself_is_refused() {
    assert_error(&with("memory: 1GiB", "memory: 5GiB"), 25, "/limits/default/memory", "above");
    assert_error(
        &with("required: when", "required: always"),
        8,
        "/approval/when",
        "required: when",
    );
    assert_error(&with("  by: [bob, carol, alice]\n", ""), 6, "/approval", "who may approve");
    assert_error(&with("count: 2", "count: 0"), 12, "/approval/count", "0 is not");
    assert_error(&with("name: payments", "name: Pay ments"), 2, "/name", "policy's name");
}

#[test]
fn credentials_are_not_let_in_by_name() {
    assert_error(&with("[TERM,", "[GITHUB_TOKEN,"), 28, "/environment/enter/0", "credential");
    assert_error(&with("CI: ", "API_KEY: "), 29, "/environment/set/API_KEY", "credential");
}

#[test]
fn syntax_errors_have_a_line() {
    let error = refused("version: custody/policy/v1\nname: [\n");
    assert!(error.line().is_some(), "{error}");
    let error = refused("version: custody/policy/v1\n\tname: x\n");
    assert!(error.line().is_some(), "{error}");
    refused("");
    refused("just a text");
    refused("- 1\n- 2\n");
    refused(&format!("{FULL}---\n{FULL}"));
}

#[test]
fn documents_that_would_use_up_the_machine_are_refused() {
    refused(&format!("{FULL}# {}", "x".repeat(ParseLimits::default().bytes)));
    refused(&"[".repeat(10_000));
    let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..12 {
        let below = format!("*a{}", level - 1);
        bomb += &format!("a{level}: &a{level} [{}]\n", [below.as_str(); 10].join(", "));
    }
    let error = refused(&bomb);
    assert!(!error.reason().contains("no field"), "the limit comes first: {error}");
    let many = format!("images: [{}]", "x, ".repeat(20_000));
    assert!(PolicyVersion::parse(&many).is_err());
}

#[test]
fn merge_keys_and_foreign_tags_are_refused() {
    refused(&with("  max: {", "  max: { <<: {cpu: 1},"));
    refused(&with("name: payments", "name: !python/object payments"));
}

#[test]
fn the_whole_chain_of_causes_is_kept() {
    let error = refused(&with("images:", "image:"));
    assert!(std::error::Error::source(&error).is_some());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn no_text_makes_the_parser_panic(text in "\\PC{0,200}") {
        let _ = PolicyVersion::parse(&text);
    }

    #[test]
    fn no_bytes_make_the_parser_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = PolicyVersion::parse(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn no_change_to_a_document_makes_the_parser_panic(
        at in 0..FULL.len(), cut in 0usize..20, insert in "[-:{}\\[\\]&*!|>'\"%@` \n#,?a0é]{0,6}",
    ) {
        let end = (at + cut).min(FULL.len());
        let text = format!("{}{insert}{}", &FULL[..at], &FULL[end..]);
        if let Err(error) = PolicyVersion::parse(&text) {
            prop_assert!(!error.reason().is_empty());
        }
    }
}
