//! The configuration through the command line: what is checked, what is shown, and what never is.

use std::fs;
use std::path::Path;
use std::process::Command;

use custody_tests::{Output, binary};
use tempfile::TempDir;

const TOKEN: &str = "metrics-token-that-nobody-sees";

/// `custody ARGUMENTS` with a file of this text and these variables, and no state directory named.
fn custody(directory: &Path, text: &str, variables: &[(&str, &str)], arguments: &[&str]) -> Output {
    let file = directory.join("custody.yaml");
    fs::write(&file, text).expect("it is written");
    Command::new(binary())
        .args(arguments)
        .env("CUSTODY_CONFIG", file)
        .env_remove("CUSTODY_STATE")
        .envs(variables.iter().copied())
        .output()
        .expect("custody starts")
        .into()
}

#[test]
fn a_configuration_is_checked_with_line_field_and_reason() {
    let directory = TempDir::new().expect("a directory");
    let at = directory.path();
    let output = custody(at, "server:\n  lisetn: x\n", &[], &["config", "check"]);
    assert_eq!(output.code, Some(67), "{}", output.text());
    for part in ["custody.yaml is not valid", "line 2, column 3", "server.lisetn", "`listen`"] {
        assert!(output.stderr.contains(part), "{part}: {}", output.stderr);
    }
    let variables = [("CUSTODY_QUEUE__RUNING", "3")];
    let output = custody(at, "queue: {lease: 1s}", &variables, &["config", "check"]);
    assert_eq!(output.code, Some(67), "{}", output.text());
    for part in ["2 problems", "queue.lease", "did you mean CUSTODY_QUEUE__RUNNING?"] {
        assert!(output.stderr.contains(part), "{part}: {}", output.stderr);
    }
    let output = custody(at, "log: {level: info}", &[], &["config", "check"]).succeeded();
    assert!(output.stdout.contains("custody.yaml is valid"), "{}", output.stdout);
    let gone = at.join("gone.yaml").display().to_string();
    assert_eq!(custody(at, "", &[], &["config", "check", &gone]).code, Some(66));
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/custody.example.yaml");
    let _ = custody(at, "broken: [", &[], &["config", "check", example]).succeeded();
}

#[test]
fn what_is_in_effect_is_shown_with_where_it_comes_from_and_no_secret_is() {
    let directory = TempDir::new().expect("a directory");
    let at = directory.path();
    let text = "server:\n  drain: 5s\n  metrics_token: {env: METRICS}\n";
    let variables = [("METRICS", TOKEN), ("CUSTODY_SERVER__LISTEN", "127.0.0.1:0")];
    let shown = custody(at, text, &variables, &["config", "show"]).succeeded();
    for part in [
        "drain: 5s",
        "# file, line 2",
        "metrics_token: <from env METRICS>",
        "# environment, CUSTODY_SERVER__LISTEN",
        "# default",
    ] {
        assert!(shown.stdout.contains(part), "{part}: {}", shown.stdout);
    }
    let json = custody(at, text, &variables, &["config", "show", "-o", "json"]).succeeded();
    let server = &json.json()["settings"]["server"];
    assert_eq!(server["drain"]["value"], "5s");
    assert_eq!((&server["drain"]["source"], &server["drain"]["line"]), (&"file".into(), &2.into()));
    assert_eq!(server["listen"]["variable"], "CUSTODY_SERVER__LISTEN");
    assert_eq!(server["socket"]["source"], "default");
    assert_eq!(server["metrics_token"]["value"], "<from env METRICS>");
    let check = &["config", "check", "--secrets"];
    let checked = custody(at, text, &variables, check).succeeded();
    let unset = custody(at, text, &[], check);
    assert_eq!(unset.code, Some(67), "{}", unset.text());
    assert!(unset.stderr.contains("the variable is not set"), "{}", unset.stderr);
    let literal = custody(at, &format!("server: {{metrics_token: {TOKEN}}}"), &[], check);
    assert_eq!(literal.code, Some(67));
    let literal_json = custody(
        at,
        "",
        &[("CUSTODY_SERVER__METRICS_TOKEN", TOKEN)],
        &["config", "check", "-o", "json"],
    );
    assert_eq!(literal_json.code, Some(67));
    for output in [shown, json, checked, unset, literal, literal_json] {
        assert!(!output.text().contains(TOKEN), "{}", output.text());
    }
}

#[test]
fn every_command_works_in_the_state_directory_that_the_configuration_names() {
    let directory = TempDir::new().expect("a directory");
    let at = directory.path();
    let repository = custody_tests::Repository::example();
    let source = repository.path().display().to_string();
    let state = at.join("state");
    let text = format!("state: {{directory: {}}}", state.display());
    let _ = custody(at, &text, &[], &["repo", "add", &source, "--name", "here"]).succeeded();
    assert!(state.join("repositories").is_dir());
    let elsewhere = at.join("elsewhere").display().to_string();
    let list = custody(at, &text, &[], &["repo", "list", "--state", &elsewhere]).succeeded();
    assert!(!list.stdout.contains("here"), "--state wins: {}", list.stdout);
    let broken = custody(at, "state: {}\nstat: {}\n", &[], &["repo", "list"]);
    assert_eq!(broken.code, Some(67), "{}", broken.text());
    // What needs no state works without a configuration that is valid.
    let _ = custody(at, "stat: {}", &[], &["config", "schema"]).succeeded();
}
