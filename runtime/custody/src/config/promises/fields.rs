//! Every field can be set by the file and by the environment, and says where it comes from.

use std::path::{Path, PathBuf};

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{by_environment, by_file, sources};
use crate::config::environment::variable_of;
use crate::config::{Config, Origin, Settings};

/// For each field a value that is not its default: as it is written, and as it is shown.
fn values() -> Vec<(&'static str, &'static str, &'static str, Value)> {
    vec![
        ("state", "directory", "/srv/custody", json!("/srv/custody")),
        ("server", "listen", "127.0.0.1:8080", json!("127.0.0.1:8080")),
        ("server", "allow_remote", "true", json!(true)),
        ("server", "socket", "/run/custody.sock", json!("/run/custody.sock")),
        ("server", "public_url", "https://c.example.org", json!("https://c.example.org")),
        ("server", "drain", "1m30s", json!("1m30s")),
        ("server", "trusted_proxies", "[10.0.0.1, \"::1\"]", json!(["10.0.0.1", "::1"])),
        ("server", "metrics_token", "{env: METRICS}", json!("<from env METRICS>")),
        ("limits", "body", "2 MiB", json!("2MiB")),
        ("limits", "page_default", "50", json!(50)),
        ("limits", "page_max", "1000", json!(1000)),
        ("limits", "requests_per_minute", "60", json!(60)),
        ("limits", "burst", "20", json!(20)),
        ("limits", "streams", "10", json!(10)),
        ("limits", "streams_per_caller", "5", json!(5)),
        ("limits", "request_time", "90", json!("1m30s")),
        ("queue", "running", "7", json!(7)),
        ("queue", "running_per_user", "3", json!(3)),
        ("queue", "running_per_project", "4", json!(4)),
        ("queue", "waiting_per_user", "5", json!(5)),
        ("queue", "waiting", "6", json!(6)),
        ("queue", "lease", "10s", json!("10s")),
        ("retention", "sweep", "false", json!(false)),
        ("retention", "sweep_interval", "5m", json!("5m")),
        ("retention", "sweep_batch", "7", json!(7)),
        ("retention", "clock_lead", "30d", json!("30d")),
        ("identity", "issuer", "https://c.example.org", json!("https://c.example.org")),
        ("identity", "audience", "agents", json!("agents")),
        ("identity", "access_lifetime", "1h", json!("1h")),
        ("identity", "service_lifetime_max", "30d", json!("30d")),
        ("identity", "leeway", "5s", json!("5s")),
        (
            "identity",
            "external",
            "[{name: corp, issuer: https://idp.example.org, audience: custody, jwks: {file: /etc/corp.json}}]",
            json!([{
                "name": "corp", "issuer": "https://idp.example.org", "audience": "custody",
                "jwks": { "file": "/etc/corp.json" }, "user_claim": "sub", "refresh": "10m",
            }]),
        ),
        ("store", "kind", "sqlite", json!("sqlite")),
        ("store", "path", "/srv/index.sqlite", json!("/srv/index.sqlite")),
        ("store", "connections", "8", json!(8)),
        (
            "push",
            "destinations",
            "[{name: siem, send: {webhook: {url: 'https://siem.example.org/in', secret: {env: SIEM}, batch: 1, types: [file]}}}, \
             {name: traces, send: {otlp: {url: 'http://127.0.0.1:4318/v1/traces'}}, timeout: 5s, retry_max: 1m}]",
            json!([
                {
                    "name": "siem", "timeout": "30s", "retry_max": "5m",
                    "send": { "webhook": {
                        "url": "https://siem.example.org/in", "secret": "<from env SIEM>", "batch": 1, "types": ["file"],
                    } },
                },
                {
                    "name": "traces", "timeout": "5s", "retry_max": "1m",
                    "send": { "otlp": { "url": "http://127.0.0.1:4318/v1/traces" } },
                },
            ]),
        ),
        ("transparency", "publish", "hashes", json!("hashes")),
        ("transparency", "witnesses", "'quorum none'", json!("quorum none")),
        (
            "vault",
            "wrapping",
            "{command: [/usr/bin/kms, --key, one], name: kms/one, timeout: 20s}",
            json!({ "command": ["/usr/bin/kms", "<2 arguments>"], "name": "kms/one", "timeout": "20s" }),
        ),
        (
            "vault",
            "former",
            "[{command: [/usr/bin/kms], name: kms/old}]",
            json!([{ "command": ["/usr/bin/kms"], "name": "kms/old", "timeout": "10s" }]),
        ),
        ("disk", "outputs_wait", "30m", json!("30m")),
        ("disk", "end_wait", "unlimited", json!("unlimited")),
        ("observe", "outside_file", "32MiB", json!("32MiB")),
        ("log", "level", "debug", json!("debug")),
        ("log", "format", "json", json!("json")),
    ]
}

fn shown(config: &Config, section: &str, field: &str) -> Value {
    serde_json::to_value(&config.settings).expect("it has a JSON form")[section][field].clone()
}

#[test]
fn every_field_is_tried_here() {
    let tried: Vec<_> =
        values().into_iter().map(|(section, field, _, _)| (section, field)).collect();
    assert_eq!(tried, Settings::fields());
}

#[test]
fn every_field_can_be_set_by_the_file() {
    let untouched = by_file("").expect("defaults are valid");
    for (section, field, written, expected) in values() {
        let name = format!("{section}.{field}");
        let config = by_file(&format!("# one field\n{section}:\n  {field}: {written}\n"))
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(shown(&config, section, field), expected, "{name}");
        assert_eq!(*config.origin(&name), Origin::File { line: 3 }, "{name}");
        let only = field == "kind" || shown(&untouched, section, field) != expected;
        assert!(only, "{name}: the value is the default, and so proves nothing");
    }
}

#[test]
fn every_field_can_be_set_by_the_environment_and_it_wins_over_the_file() {
    for (section, field, written, expected) in values() {
        let (name, variable) = (format!("{section}.{field}"), variable_of(section, field));
        let config = by_environment(&[(&variable, written)])
            .unwrap_or_else(|error| panic!("{variable}: {error}"));
        assert_eq!(shown(&config, section, field), expected, "{variable}");
        assert_eq!(*config.origin(&name), Origin::Environment { variable }, "{name}");
    }
    let both = sources(&[("CUSTODY_LIMITS__BURST", "20")])
        .settle(None, "limits:\n  burst: 30\n  streams: 40\n")
        .expect("it is valid");
    assert_eq!((both.settings.limits.burst, both.settings.limits.streams), (20, 40));
    assert_eq!(both.origin("limits.streams").to_string(), "file, line 3");
    assert_eq!(both.origin("limits.body"), &Origin::Default);
}

#[test]
fn what_depends_on_other_settings_follows_them() {
    let defaults = by_file("").expect("it is valid").settings;
    assert_eq!(defaults, Settings::default());
    let moved = by_file("state: {directory: /srv/c}\nserver: {public_url: https://c.example.org}")
        .expect("it is valid")
        .settings;
    assert_eq!(moved.server.socket, Path::new("/srv/c/run/custody.sock"));
    assert_eq!(moved.store.path, Path::new("/srv/c/store.sqlite"));
    assert_eq!(moved.identity.issuer, "https://c.example.org");
    let mut large = sources(&[]);
    large.cores = 32.try_into().expect("not zero");
    assert_eq!(large.settle(None, "").expect("it is valid").settings.queue.running, 320);
    let text = "identity: {external: [{name: corp, issuer: i, audience: a, jwks: {url: https://idp.example.org/keys}}]}";
    let config = by_file(text).expect("it is valid");
    assert_eq!(config.settings.identity.external[0].prefix(), "corp:");
}

#[test]
fn the_command_line_wins_over_the_state_directory_of_the_file() {
    let text = "state: {directory: /srv/file}";
    let mut named = sources(&[]);
    named.state = Some(PathBuf::from("/srv/option"));
    let config = named.settle(None, text).expect("it is valid");
    assert_eq!(config.settings.store.path, Path::new("/srv/option/store.sqlite"));
    assert_eq!(config.origin("state.directory").to_string(), "option --state");
    let variables =
        [("CUSTODY_STATE", "/srv/variable"), ("CUSTODY_STATE__DIRECTORY", "/srv/field")];
    let mut both = sources(&variables);
    both.state = Some(PathBuf::from("/srv/variable"));
    let config = both.settle(None, text).expect("it is valid");
    assert_eq!(config.settings.state.directory, Path::new("/srv/variable"));
    assert_eq!(config.origin("state.directory").to_string(), "environment, CUSTODY_STATE");
}

#[test]
fn a_file_that_was_named_has_to_be_there_and_the_usual_one_does_not() {
    let directory = tempfile::TempDir::new().expect("a directory");
    let path = directory.path().join("custody.yaml");
    let config = sources(&[]).load_or(&path).expect("no file, no settings");
    assert_eq!((config.file, config.settings), (None, Settings::default()));
    let mut named = sources(&[]);
    named.file = Some(path.clone());
    assert!(named.load().expect_err("it is not there").to_string().contains("custody.yaml"));
    std::fs::write(&path, "log: {level: info}").expect("it is written");
    for (from, config) in [("named", named.load()), ("usual", sources(&[]).load_or(&path))] {
        let config = config.unwrap_or_else(|error| panic!("{from}: {error}"));
        assert_eq!(config.file.as_deref(), Some(&*path), "{from}");
        assert_eq!(shown(&config, "log", "level"), "info", "{from}");
    }
    std::fs::write(&path, [0xff]).expect("it is written");
    assert!(named.load().expect_err("not text").to_string().contains("UTF-8"));
}

#[test]
fn a_section_with_nothing_in_it_and_an_empty_variable_say_nothing() {
    let config = by_file("server:\nqueue:\n  running: 3\n").expect("it is valid");
    assert_eq!(
        (config.settings.queue.running, config.settings.server),
        (3, Settings::default().server)
    );
    for empty in ["# only a comment\n", "{}", "---\n"] {
        assert_eq!(by_file(empty).expect("it is valid").settings, Settings::default());
    }
    let config = by_environment(&[("CUSTODY_SERVER__PUBLIC_URL", "")]).expect("it is valid");
    assert_eq!(config.settings.server.public_url, None);
}

#[test]
fn variables_of_others_are_left_alone() {
    let others = [
        ("CUSTODY_LOG", "trace"),
        ("CUSTODY_URL", "https://example.org"),
        ("CUSTODY_CONFIG", "/nowhere"),
        ("OTHER_SERVER__LISTEN", "x"),
        ("PATH", "/bin"),
    ];
    assert_eq!(by_environment(&others).expect("it is valid").settings, Settings::default());
}

proptest! {
    #[test]
    fn quantities_are_shown_as_they_can_be_set(seconds in 1u64..=3600, bytes in 1u64 << 10..=64 << 20) {
        let text = format!("server: {{drain: {seconds}}}\nlimits: {{body: {bytes}}}");
        let once = by_file(&text).expect("it is valid");
        let (drain, body) = (shown(&once, "server", "drain"), shown(&once, "limits", "body"));
        let again = by_file(&format!("server: {{drain: {drain}}}\nlimits: {{body: {body}}}"));
        prop_assert_eq!(again.expect("it is valid").settings, once.settings);
    }
}
