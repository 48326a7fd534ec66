//! Rules about the text of the sources.

use crate::tree::{FILES, rust_files};

/// Names that say nothing about what is inside.
const DRAWERS: &[&str] = &["util", "utils", "helper", "helpers", "common", "misc"];

/// What must not be in a file, and why. Written in two halves, so that this list does not find itself.
const FORBIDDEN: &[(&str, &str)] = &[
    (concat!("#[ig", "nore"), "a test that does not run proves nothing"),
    (concat!("TO", "DO:"), "finish it, or say in an issue that it is missing"),
    (concat!("TO", "DO("), "finish it, or say in an issue that it is missing"),
    (concat!("// TO", "DO"), "finish it, or say in an issue that it is missing"),
    (concat!("# TO", "DO"), "finish it, or say in an issue that it is missing"),
    (concat!("FIX", "ME"), "fix it"),
    (concat!("/wo", "rk/main"), "a path of one machine"),
    (concat!("/wo", "rk/shared"), "a path of one machine"),
    (concat!("/wo", "rk/target"), "a path of one machine"),
    (concat!("/wo", "rk/plan"), "a path of one machine"),
    (concat!("registry.", "npmjs.org"), "the registry is the machine's configuration"),
    (concat!("index.", "crates.io"), "the registry is the machine's configuration"),
    (concat!("deb.", "debian.org"), "the mirror is the machine's configuration"),
];

#[test]
fn every_module_says_what_lives_in_it() {
    let wrong: Vec<&str> = rust_files()
        .filter(|(_, text)| {
            let first = text.lines().next().unwrap_or_default();
            first.strip_prefix("//!").is_none_or(|words| words.trim().len() < 10)
        })
        .map(|(path, _)| path)
        .collect();
    assert!(wrong.is_empty(), "files whose first line is not `//! …`: {wrong:?}");
}

#[test]
fn nothing_is_called_a_drawer() {
    let wrong: Vec<&str> = FILES
        .iter()
        .map(|file| file.path.as_str())
        .filter(|path| {
            path.split('/').any(|part| DRAWERS.contains(&part.split('.').next().unwrap_or(part)))
        })
        .collect();
    assert!(wrong.is_empty(), "a helper gets a noun and lives with its noun: {wrong:?}");
}

#[test]
fn nothing_but_the_benchmark_records_without_redaction() {
    let call = concat!("Redactor::", "blind(");
    let wrong: Vec<&str> = rust_files()
        .filter(|(path, text)| {
            *path != "runtime/record/examples/record_bench.rs" && text.contains(call)
        })
        .map(|(path, _)| path)
        .collect();
    assert!(wrong.is_empty(), "{wrong:?}");
}

#[test]
fn nothing_forbidden_is_in_a_file() {
    let mut wrong = Vec::new();
    for file in FILES.iter() {
        let Some(text) = &file.text else { continue };
        for (number, line) in text.lines().enumerate() {
            for (needle, reason) in FORBIDDEN {
                if line.contains(needle) {
                    wrong.push(format!("{}:{}: {needle}: {reason}", file.path, number + 1));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
