//! The command line: exit codes, machine-readable output, and errors that say what to do.

use custody_tests::{Installation, Repository};

#[test]
fn the_commands_own_exit_code_comes_through() {
    let (installation, repository) = (Installation::new(), Repository::example());
    assert_eq!(installation.run(&repository, &[], "exit 7").code, Some(7));
    assert_eq!(installation.run(&repository, &[], "kill -TERM $$").code, Some(128 + 15));
}

#[test]
fn a_policy_that_refuses_runs_nothing_and_says_which_rule() {
    let (installation, repository) = (Installation::new(), Repository::example());
    let policy = installation.policy(
        "version: custody/policy/v1\nname: strict\nrequesters:\n  users: [nobody-at-all]\nimages: [host]\ncommands:\n  - allow: [sh]\n",
    );
    let output = installation.run(&repository, &["--policy", &policy], "echo it ran");
    assert_eq!(output.code, Some(64), "{}", output.text());
    assert!(!output.stdout.contains("it ran"));
}

#[test]
fn a_bad_policy_gets_line_and_field() {
    let installation = Installation::new();
    let policy = installation.policy("version: custody/policy/v1\nname: bad\nrequestors: []\n");
    let output = installation.custody(installation.state(), &["policy", "check", &policy]);
    assert_eq!(output.code, Some(67), "{}", output.text());
    assert!(output.text().contains("requestors"), "{}", output.text());
    assert!(output.text().contains('3'), "the line: {}", output.text());
}

#[test]
fn outside_of_a_checkout_it_says_what_is_missing() {
    let installation = Installation::new();
    let nowhere = tempfile::TempDir::new().expect("a directory");
    let output = installation.custody(nowhere.path(), &["run", "--", "true"]);
    assert_ne!(output.code, Some(0));
    assert!(output.stderr.contains("git"), "{}", output.stderr);
}

#[test]
fn listings_are_json_on_request() {
    let (installation, repository) = (Installation::new(), Repository::example());
    let _ = installation.run(&repository, &[], "cat README.md").succeeded();
    let session = installation.session().to_string();
    for arguments in [
        &["session", "list"] as &[&str],
        &["session", "show", &session],
        &["session", "files", &session],
        &["verify", &session],
        &["repo", "list"],
        &["doctor"],
        &["policy", "schema"],
    ] {
        let arguments = [arguments, &["-o", "json"]].concat();
        let output = installation.custody(repository.path(), &arguments);
        assert!(matches!(output.code, Some(0)), "{arguments:?}: {}", output.text());
        let _ = output.json();
    }
}
