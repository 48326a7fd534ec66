//! What is wrong is refused, with its line or variable, its field and the reason.

use proptest::prelude::*;

use super::{by_environment, by_file, said, sources};
use crate::config::{ConfigError, Settings};

#[track_caller]
fn assert_error(text: &str, beginning: &str, reason: &str) {
    let error = said(by_file(text));
    assert!(error.starts_with(beginning), "{error}");
    assert!(error.contains(reason), "{error}");
}

#[test]
fn an_unknown_section_or_field_is_refused_with_its_place_and_the_nearest() {
    assert_error(
        "log: {}\nsever:\n  listen: x\n",
        "line 2, column 1: sever: ",
        "did you mean `server`?",
    );
    assert_error(
        "server:\n  drain: 5s\n  lisetn: x\n",
        "line 3, column 3: server.lisetn: ",
        "did you mean `listen`?",
    );
    assert_error(
        "queue: {colour: red}",
        "line 1, column 9: queue.colour: ",
        "the fields are running,",
    );
    assert_error(
        "identity:\n  external:\n    - name: a\n      isuer: b\n",
        "line 4, column 7: identity.external.0.isuer: ",
        "did you mean `issuer`?",
    );
    for (section, _) in Settings::fields() {
        assert_error(
            &format!("{section}: {{nothing_like_it: 1}}"),
            "line 1, ",
            "there is no field",
        );
    }
}

#[test]
fn a_field_that_is_missing_or_there_twice_is_refused() {
    assert_error("log: {level: info}\nlog: {level: warn}", "line 2, ", "`log` is there twice");
    assert_error(
        "identity:\n  external:\n    - {name: a, issuer: i, jwks: {file: /k}}\n    - {name: b}\n",
        "line 3, column 7: identity.external.0: ",
        "`audience` is missing",
    );
    assert_error(
        "identity:\n  external:\n    - {name: a, issuer: i, audience: c, jwks: {file: /k}}\n    - name: b\n",
        "line 4, column 7: identity.external.1: ",
        "`issuer` is missing",
    );
}

#[test]
fn values_of_another_kind_are_refused_in_plain_words() {
    assert_error(
        "server:\n  listen: localhost",
        "line 2, column 11: server.listen: ",
        "an address and a port",
    );
    assert_error("server: {drain: soon}", "line 1, column 17: server.drain: ", "a duration");
    assert_error("server: {allow_remote: yes}", "line 1, column 24: server.allow_remote: ", "bool");
    assert_error("server: {trusted_proxies: 10.0.0.1}", "line 1, ", "a list");
    assert_error(
        "server: {trusted_proxies: [proxy]}",
        "line 1, column 28: server.trusted_proxies.0: ",
        "IP",
    );
    assert_error("limits: {body: 1 meg}", "line 1, column 16: limits.body: ", "a size");
    assert_error("queue: {running: many}", "line 1, column 18: queue.running: ", "a whole number");
    assert_error("queue: {running: -1}", "line 1, column 18: queue.running: ", "a whole number");
    assert_error(
        "store: {kind: postgres}",
        "line 1, column 15: store.kind: ",
        "`postgres` is not one of sqlite",
    );
    assert_error("log: {level: loud}", "line 1, column 14: log.level: ", "error, warn, info");
    assert_error("log: warn", "line 1, column 6: log: ", "");
    assert_error("just a text", "line 1, column 1: ", "a mapping of fields");
    assert_error("log: [", "line 1, ", "");
}

#[test]
fn values_out_of_bounds_are_refused_with_the_bounds() {
    for (text, field, reason) in [
        ("state: {directory: here}", "state.directory", "a path from /"),
        ("server: {listen: 0.0.0.0:7070}", "server.listen", "terminates TLS"),
        ("server: {socket: custody.sock}", "server.socket", "a path from /"),
        ("server: {drain: 2h}", "server.drain", "2h is not from 1s to 1h"),
        ("server: {public_url: http://example.org}", "server.public_url", "https is wanted"),
        ("limits: {body: 1GiB}", "limits.body", "1GiB is not from 1KiB to 64MiB"),
        ("limits: {page_default: 501}", "limits.page_default", "at most the maximum"),
        ("limits: {page_max: 99}", "limits.page_max", "at most the maximum"),
        ("limits: {page_max: 10001}", "limits.page_max", "10001 is not from 1 to 10000"),
        ("limits: {requests_per_minute: 0}", "limits.requests_per_minute", "0 is not from 1"),
        ("limits: {burst: 0}", "limits.burst", "0 is not from 1"),
        ("limits: {streams: 0}", "limits.streams", "0 is not from 1"),
        ("limits: {streams_per_caller: 0}", "limits.streams_per_caller", "0 is not from 1"),
        ("limits: {request_time: 11m}", "limits.request_time", "11m is not from 1s to 10m"),
        ("queue: {running: 0}", "queue.running", "0 is not from 1 to 10000"),
        ("queue: {running_per_user: 0}", "queue.running_per_user", "0 is not from 1"),
        ("queue: {running_per_project: 0}", "queue.running_per_project", "0 is not from 1"),
        ("queue: {waiting_per_user: 0}", "queue.waiting_per_user", "0 is not from 1"),
        ("queue: {waiting: 0}", "queue.waiting", "0 is not from 1"),
        ("queue: {lease: 1s}", "queue.lease", "1s is not from 5s to 1h"),
        (
            "retention: {sweep_interval: 31d}",
            "retention.sweep_interval",
            "31d is not from 1s to 30d",
        ),
        ("retention: {sweep_batch: 0}", "retention.sweep_batch", "0 is not from 1 to 10000"),
        ("retention: {clock_lead: 1m}", "retention.clock_lead", "1m is not from 1h to 366d"),
        ("identity: {issuer: a b}", "identity.issuer", "without spaces"),
        ("identity: {audience: ''}", "identity.audience", "1 to 256 bytes"),
        ("identity: {access_lifetime: 25h}", "identity.access_lifetime", "from 1m to 1d"),
        ("identity: {service_lifetime_max: 2000d}", "identity.service_lifetime_max", "366d"),
        ("identity: {leeway: 1h}", "identity.leeway", "1h is not from 1s to 5m"),
        ("store: {path: index}", "store.path", "a path from /"),
        ("store: {connections: 65}", "store.connections", "65 is not from 1 to 64"),
    ] {
        let error = said(by_file(text));
        assert!(error.starts_with("line 1, column ") && error.contains(reason), "{text}: {error}");
        assert!(error.contains(&format!(": {field}: ")), "{text}: {error}");
        assert_eq!(error.lines().count(), 1, "{text}: {error}");
    }
    let long = format!("server: {{socket: /{}}}", "s".repeat(107));
    assert_error(&long, "line 1, column 18: server.socket: ", "108 bytes long");
    let proxies = vec!["10.0.0.1"; 65].join(", ");
    let many = format!("server: {{trusted_proxies: [{proxies}]}}");
    assert_error(&many, "line 1, column 10: server.trusted_proxies: ", "at most 64");
    assert!(by_file("server: {listen: '0.0.0.0:7070', allow_remote: true}").is_ok());
    assert!(by_file("server: {listen: '[::1]:0'}").is_ok());
}

#[test]
fn issuers_that_could_speak_for_each_others_users_are_refused() {
    let with = |second: &str| {
        format!(
            "identity:\n  external:\n    - {{name: a, issuer: i, audience: c, jwks: {{file: /k}}}}\n    - {second}\n"
        )
    };
    for (second, field, reason) in [
        (
            "{name: a, issuer: j, audience: c, jwks: {file: /k}}",
            "name",
            "two issuers with the name a",
        ),
        ("{name: b, issuer: i, audience: c, jwks: {file: /k}}", "issuer", "a has the same issuer"),
        (
            "{name: b, issuer: custody, audience: c, jwks: {file: /k}}",
            "issuer",
            "this installation",
        ),
        (
            "{name: b, issuer: j, audience: c, jwks: {file: /k}, prefix: 'a:b'}",
            "prefix",
            "begin alike",
        ),
        ("{name: b, issuer: j, audience: c, jwks: {file: /k}, prefix: ''}", "prefix", "1 to 256"),
        ("{name: B, issuer: j, audience: c, jwks: {file: /k}}", "name", "a-z, 0-9"),
        ("{name: b, issuer: j, audience: c, jwks: {file: k}}", "jwks", "a path from /"),
        ("{name: b, issuer: j, audience: c, jwks: {url: 'http://example.org'}}", "jwks", "https"),
        (
            "{name: b, issuer: j, audience: c, jwks: {file: /k}, user_claim: ''}",
            "user_claim",
            "1 to",
        ),
        (
            "{name: b, issuer: j, audience: c, jwks: {file: /k}, refresh: 1s}",
            "refresh",
            "30s to 1d",
        ),
    ] {
        let error = said(by_file(&with(second)));
        assert!(error.starts_with("line 4, column "), "{second}: {error}");
        assert!(error.contains(&format!("identity.external.1.{field}")), "{second}: {error}");
        assert!(error.contains(reason), "{second}: {error}");
    }
}

#[test]
fn every_problem_is_said_at_once_each_on_a_line() {
    let variables = [("CUSTODY_QUEUE__RUNNING", "0"), ("CUSTODY_LOG__LEVEL", "loud")];
    let error = said(sources(&variables).settle(None, "limits:\n  burst: 0\n  streams: 0\n"));
    let lines: Vec<&str> = error.lines().collect();
    assert_eq!(lines.len(), 5, "{error}");
    assert!(lines[1].starts_with("CUSTODY_LOG__LEVEL: log.level: `loud` is not one of"), "{error}");
    assert!(error.contains("line 2, column 10: limits.burst: "), "{error}");
    assert!(error.contains("line 3, column 12: limits.streams: "), "{error}");
    assert!(error.contains("CUSTODY_QUEUE__RUNNING: queue.running: 0 is not from"), "{error}");
}

#[test]
fn an_unknown_variable_is_refused_with_the_nearest_known_one() {
    for (variable, said_of_it) in [
        ("CUSTODY_SERVER__LISTNE", "did you mean CUSTODY_SERVER__LISTEN?"),
        ("CUSTODY_SERVER_LISTEN", "did you mean CUSTODY_SERVER__LISTEN?"),
        ("CUSTODY_SERVR__DRAIN", "did you mean CUSTODY_SERVER__DRAIN?"),
        ("CUSTODY_NOTHING__AT_ALL_LIKE_IT_EVER", "there is no such setting"),
    ] {
        let error = said(by_environment(&[(variable, "x")]));
        assert!(error.starts_with(&format!("{variable}: ")), "{error}");
        assert!(error.contains(said_of_it), "{error}");
    }
}

#[test]
fn a_variable_sets_its_own_field_and_nothing_else() {
    for value in ["5\n  streams: 9", "5\nlog: {level: info}", "5\u{85}log: 1", "5\u{2028}log: 1"] {
        let error = said(by_environment(&[("CUSTODY_LIMITS__BURST", value)]));
        assert!(error.contains("one line"), "{error}");
    }
    for value in ["5, streams: 9", "{streams: 9}", "5 streams: 9", "five", "[5]", "5}"] {
        let error = said(by_environment(&[("CUSTODY_LIMITS__BURST", value)]));
        assert!(error.starts_with("CUSTODY_LIMITS__BURST: limits.burst: "), "{value}: {error}");
    }
}

#[test]
fn documents_that_would_use_up_the_machine_are_refused() {
    assert!(said(by_file(&format!("# {}", "x".repeat(300_000)))).contains("at most"));
    assert!(by_file(&"[".repeat(10_000)).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn no_text_makes_the_parser_panic(text in "\\PC{0,200}") {
        let _ = by_file(&text);
    }

    #[test]
    fn no_change_to_a_file_makes_the_parser_panic(
        at in 0..EXAMPLE.len(), cut in 0usize..20, insert in "[-:{}\\[\\]&*!|>'\"%@` \n#,?a0é]{0,6}",
    ) {
        let (from, to) = (EXAMPLE.floor_char_boundary(at), EXAMPLE.floor_char_boundary(at + cut));
        let text = format!("{}{insert}{}", &EXAMPLE[..from], &EXAMPLE[to..]);
        if let Err(ConfigError::Invalid { problems, .. }) = by_file(&text) {
            prop_assert!(problems.iter().all(|problem| !problem.reason.is_empty()));
        }
    }

    #[test]
    fn no_variable_makes_the_parser_panic(value in "\\PC{0,60}", which in 0..Settings::fields().len()) {
        let (section, field) = Settings::fields()[which];
        let variable = crate::config::environment::variable_of(section, field);
        let _ = by_environment(&[(&variable, &value)]);
    }
}

const EXAMPLE: &str = include_str!("../../../../../deploy/custody.example.yaml");
