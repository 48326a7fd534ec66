//! What wraps keys, and how long a disk is waited for: as a file says it, and as it is handed to a keeper.

use std::time::Duration;

use super::{by_environment, by_file, said};
use crate::config::variable_of;

const WRAPPING: &str =
    "vault: {wrapping: {command: [/bin/kms, '--tenant=hunter2 \u{e9}\"\u{2028}'], name: kms/1}}";

#[test]
fn a_keeper_is_handed_what_the_file_said_and_nothing_shows_the_arguments() {
    let config = by_file(WRAPPING).expect("it is valid");
    let vault = &config.settings.vault;
    assert_eq!(vault.wrapping.as_ref().expect("a program").limit(), Duration::from_secs(10));
    let shown = serde_json::to_string(&config.settings).expect("it has a JSON form");
    assert!(shown.contains("/bin/kms") && !shown.contains("hunter2"), "{shown}");
    assert!(!format!("{config:?}").contains("hunter2"));

    let variables = vault.exposed().map(|(field, value)| (variable_of("vault", field), value));
    let variables: Vec<(&str, &str)> =
        variables.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let handed = by_environment(&variables).expect("it is valid");
    assert_eq!(&handed.settings.vault, vault);
    let none = by_file("").expect("it is valid").settings.vault;
    let variables = none.exposed().map(|(field, value)| (variable_of("vault", field), value));
    let variables: Vec<(&str, &str)> =
        variables.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(by_environment(&variables).expect("it is valid").settings.vault, none);
}

#[test]
fn a_wrapping_that_can_not_work_is_refused_by_its_field() {
    for (text, reason) in [
        ("{command: [], name: a}", "vault.wrapping.command"),
        ("{command: [kms], name: a}", "a path from / on"),
        ("{command: [/kms], name: 'a b'}", "vault.wrapping.name"),
        ("{command: [/kms], name: a, timeout: 6m}", "vault.wrapping.timeout"),
        ("{command: [/kms], name: a, user: b}", "user"),
        ("{command: [/kms]}", "name"),
    ] {
        let text = said(by_file(&format!("vault:\n  wrapping: {text}\n")));
        assert!(text.contains(reason), "{text}");
    }
    let twice = "vault: {wrapping: {command: [/a], name: a}, former: [{command: [/b], name: a}]}";
    assert!(said(by_file(twice)).contains("two wrappings with the name a"));
}

#[test]
fn a_disk_is_waited_for_as_long_as_it_says_or_for_ever() {
    let waits = |text: &str| by_file(text).expect("it is valid").settings.disk.waits();
    let ten = Some(Duration::from_secs(600));
    assert_eq!((waits("").outputs, waits("").end), (ten, ten));
    let some = waits("disk: {outputs_wait: unlimited, end_wait: 1h}");
    assert_eq!((some.outputs, some.end), (None, Some(Duration::from_secs(3600))));
    let handed = by_file("disk: {outputs_wait: unlimited, end_wait: 90}").expect("it is valid");
    let variables =
        handed.settings.disk.exposed().map(|(field, value)| (variable_of("disk", field), value));
    let variables: Vec<(&str, &str)> =
        variables.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(
        by_environment(&variables).expect("it is valid").settings.disk,
        handed.settings.disk
    );
    for wrong in ["never", "31d", "''", "-1"] {
        let text = said(by_file(&format!("disk: {{end_wait: {wrong}}}")));
        assert!(text.contains("disk.end_wait"), "{text}");
    }
}
