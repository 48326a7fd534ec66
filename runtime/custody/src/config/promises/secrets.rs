//! Secrets are fetched from where they are, and never printed.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::time::Duration;

use super::{by_environment, by_file, said, sources};
use crate::config::Environment;
use crate::config::secret::{Reason, Secret, SecretValue};
use crate::config::secret_command;
use crate::failure::Failure;

const VALUE: &str = "hunter2-hunter2-hunter2";

fn written(directory: &Path, name: &str, bytes: &[u8], mode: u32) -> Secret {
    let path = directory.join(name);
    fs::write(&path, bytes).expect("it is written");
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("its mode is set");
    Secret::File(path)
}

fn command(script: &str) -> Secret {
    Secret::Command(["/bin/sh", "-c", script].map(str::to_owned).to_vec())
}

/// All that is said of a secret that can't be had.
fn refused(secret: &Secret) -> String {
    let error = secret.resolve(&Environment::default()).expect_err("it can't be had");
    let debug = format!("{error:?}");
    let text = Failure::of(custody_model::ErrorCode::Invalid, "x", error).to_string();
    assert!(!text.contains(VALUE) && !debug.contains(VALUE), "{text} {debug}");
    text
}

fn fetched(secret: &Secret, environment: &Environment) -> String {
    secret.resolve(environment).expect("it is there").expose().to_owned()
}

#[test]
fn secrets_come_from_files_variables_and_programs_without_the_newline() {
    let directory = tempfile::TempDir::new().expect("a directory");
    let environment = sources(&[("METRICS", VALUE)]).environment;
    for (name, bytes) in [
        ("plain", VALUE.to_owned()),
        ("lf", format!("{VALUE}\n")),
        ("crlf", format!("{VALUE}\r\n")),
    ] {
        let secret = written(directory.path(), name, bytes.as_bytes(), 0o640);
        assert_eq!(fetched(&secret, &environment), VALUE);
    }
    assert_eq!(fetched(&Secret::Env("METRICS".to_owned()), &environment), VALUE);
    assert_eq!(fetched(&command(&format!("echo {VALUE}")), &environment), VALUE);
    let two = written(directory.path(), "two", b"a\n\n", 0o600);
    assert_eq!(fetched(&two, &environment), "a\n", "only one newline is not part of it");
}

#[test]
fn a_secret_that_cannot_be_had_says_why_and_not_what_it_is() {
    let directory = tempfile::TempDir::new().expect("a directory");
    let at = directory.path();
    for mode in [0o604, 0o602, 0o644, 0o666] {
        let open = refused(&written(at, "open", VALUE.as_bytes(), mode));
        assert!(open.contains("every user of this machine"), "{open}");
    }
    symlink(at.join("open"), at.join("link")).expect("a link");
    assert!(refused(&Secret::File(at.join("link"))).contains("every user"));
    assert!(refused(&written(at, "empty", b"\n", 0o600)).contains("empty"));
    assert!(refused(&written(at, "bytes", &[0xff], 0o600)).contains("UTF-8"));
    assert!(refused(&written(at, "long", &[b'x'; 64 * 1024 + 1], 0o600)).contains("longer"));
    assert!(refused(&Secret::File(at.join("nothing"))).contains("can't be read"));
    assert!(refused(&Secret::File(at.to_owned())).contains("not a regular file"));
    let pipe = at.join("pipe");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRUSR).expect("a pipe");
    assert!(refused(&Secret::File(pipe)).contains("not a regular file"));
    assert!(refused(&Secret::Env("METRICS".to_owned())).contains("not set"));
    assert!(refused(&command(&format!("echo {VALUE}; exit 3"))).contains("exit status: 3"));
    assert!(refused(&command("yes")).contains("longer"));
    assert!(refused(&command("true")).contains("empty"));
    assert!(refused(&Secret::Command(vec!["/no/such".to_owned()])).contains("can't be run"));
    assert!(refused(&Secret::Command(Vec::new())).contains("can't be run"));
}

#[test]
fn a_program_that_does_not_end_is_ended_with_all_that_it_started() {
    let Secret::Command(words) = command("sleep 1000 & sleep 1000") else {
        unreachable!("it is a command")
    };
    // It comes back only when all that holds its output is gone.
    let late = secret_command::output(&words, Duration::from_millis(200));
    assert!(matches!(late, Err(Reason::Late(_))), "{late:?}");
}

#[test]
fn no_form_of_a_secret_shows_it() {
    let environment = sources(&[("METRICS", VALUE)]).environment;
    let value = Secret::Env("METRICS".to_owned()).resolve(&environment).expect("it is there");
    assert_eq!(format!("{value:?}"), "<secret>");
    assert!(SecretValue::from_bytes(vec![0xff]).is_err());
    for (text, shown) in [
        ("{env: METRICS}".to_owned(), "<from env METRICS>"),
        ("{file: /run/token}".to_owned(), "<from file /run/token>"),
        (format!("{{command: [/bin/echo, {VALUE}]}}"), "<from command /bin/echo>"),
    ] {
        let config = by_file(&format!("server: {{metrics_token: {text}}}")).expect("it is valid");
        let secret = config.settings.server.metrics_token.clone().expect("it is there");
        assert_eq!(
            (secret.to_string(), format!("{secret:?}")),
            (shown.to_owned(), shown.to_owned())
        );
        let json = serde_json::to_string(&config.settings).expect("it has a JSON form");
        assert!(json.contains(shown) && !json.contains(VALUE), "{json}");
        assert!(!format!("{config:?}").contains(VALUE));
    }
}

#[test]
fn a_secret_that_is_written_down_is_refused_without_being_repeated() {
    for text in [
        VALUE.to_owned(),
        format!("'{VALUE}'"),
        "20262026".to_owned(),
        format!("[{VALUE}]"),
        format!("{{{VALUE}: 1}}"),
        format!("{{value: {VALUE}}}"),
        format!("{{env: '{VALUE}'}}"),
        format!("{{env: {{a: {VALUE}}}}}"),
        format!("{{command: {VALUE}}}"),
        format!("{{command: [{VALUE}]}}"),
        format!("{{file: {VALUE}}}"),
        format!("{{env: A, file: /{VALUE}}}"),
        "{command: []}".to_owned(),
        "{}".to_owned(),
    ] {
        let in_file = by_file(&format!("server:\n  metrics_token: {text}\n"));
        let by_variable = by_environment(&[("CUSTODY_SERVER__METRICS_TOKEN", &text)]);
        for (result, beginning) in
            [(in_file, "line 2, column "), (by_variable, "CUSTODY_SERVER__METRICS_TOKEN: ")]
        {
            let error = result.expect_err("it is not valid");
            let failure = Failure::of(custody_model::ErrorCode::Invalid, "x", error);
            let (display, debug) = (failure.to_string(), format!("{failure:?}"));
            assert!(!display.contains("hunter2") && !display.contains("2026"), "{text}: {display}");
            assert!(!debug.contains("hunter2") && !debug.contains("2026"), "{text}: {debug}");
            assert!(display.contains(beginning), "{text}: {display}");
            assert!(display.contains("server.metrics_token"), "{text}: {display}");
        }
    }
    let text = said(by_file("server: {metrics_token: 1}"));
    assert!(text.contains("{file: PATH}, {env: NAME} or {command: [PROGRAM, …]}"), "{text}");
}

#[test]
fn a_token_for_metrics_is_one_that_can_be_sent() {
    let config = by_file("server: {metrics_token: {env: METRICS}}").expect("it is valid");
    let token = |value| {
        let environment = sources(&[("METRICS", value)]).environment;
        config.settings.server.metrics_token(&environment).map_err(|error| error.to_string())
    };
    assert_eq!(token(VALUE), Ok(Some(VALUE.to_owned())));
    assert_eq!(token("c2VjcmV0c2VjcmV0cw=="), Ok(Some("c2VjcmV0c2VjcmV0cw==".to_owned())));
    for bad in ["short", "with a space in the middle", "with\na-newline-in-it"] {
        let error = token(bad).expect_err("it is no token");
        assert!(error.contains("<from env METRICS>") && !error.contains(bad), "{error}");
    }
    let none = by_file("").expect("it is valid").settings.server;
    assert!(none.metrics_token(&Environment::default()).is_ok_and(|token| token.is_none()));
}
