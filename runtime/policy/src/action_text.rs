//! Actions as people write them on a command line: a name and an argument, as in `file.read src/main.rs`.

use custody_model::{Action, Digest, Limits, SessionId, StartSession, Timestamp, UserName};
use serde_json::Value;

/// Why a name and an argument are not an action.
#[derive(Debug, thiserror::Error)]
pub enum InvalidAction {
    /// No action has this name.
    #[error("{name:?} is not an action; the actions are {}", Action::NAMES.join(", "))]
    UnknownName {
        /// The name.
        name: String,
    },
    /// The argument does not fit the action.
    #[error(
        "{argument:?} does not fit {name}: {wanted} is wanted, or a JSON object with its fields"
    )]
    Argument {
        /// The action's name.
        name: &'static str,
        /// What was given.
        argument: String,
        /// What is wanted instead.
        wanted: &'static str,
        /// Why it does not fit.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// Reads an action that `user` would do, for [`crate::explain`].
///
/// The argument is a path, a name, a host with perhaps a port, the words of a command, or the name of who asked for
/// the session; for every action it may be a JSON object with its fields. What an explanation does not depend on
/// (which session, which commit) is filled in with zeros.
///
/// # Errors
/// [`InvalidAction`].
pub fn action_from_text(
    user: &UserName,
    name: &str,
    argument: &str,
) -> Result<Action, InvalidAction> {
    let Some(name) = Action::NAMES.into_iter().find(|known| *known == name) else {
        return Err(InvalidAction::UnknownName { name: name.to_owned() });
    };
    let (wanted, action) = if argument.trim_start().starts_with('{') {
        ("an object with the fields of the action", from_json(name, argument))
    } else {
        from_words(user, name, argument)
    };
    action.map_err(|source| InvalidAction::Argument {
        name,
        argument: argument.to_owned(),
        wanted,
        source,
    })
}

type Parsed = Result<Action, Box<dyn std::error::Error + Send + Sync>>;

fn from_json(name: &str, argument: &str) -> Parsed {
    let mut value: Value = serde_json::from_str(argument)?;
    if let Value::Object(fields) = &mut value {
        fields.insert("action".to_owned(), Value::from(name));
    }
    Ok(serde_json::from_value(value)?)
}

fn from_words(user: &UserName, name: &str, argument: &str) -> (&'static str, Parsed) {
    let text = || argument.to_owned();
    let words = || argument.split_whitespace().map(str::to_owned).collect();
    let nobody = SessionId::new(Timestamp::from_micros(0), [0; 10]);
    let requester = || argument.parse::<UserName>();
    match name {
        "session.request" => ("a command", zero_request(user, words())),
        "session.approve" => ("the name of who asked for it", {
            let request = Digest::from_bytes([0; 32]);
            requester()
                .map_err(Into::into)
                .map(|requester| Action::SessionApprove { requester, request })
        }),
        "session.stop" => ("the name of who asked for it", {
            let session = nobody;
            requester()
                .map_err(Into::into)
                .map(|requester| Action::SessionStop { session, requester })
        }),
        "record.read" => ("the name of who asked for the session", {
            let session = nobody;
            requester()
                .map_err(Into::into)
                .map(|requester| Action::RecordRead { session, requester })
        }),
        "image.use" => ("an image's name", Ok(Action::ImageUse { image: text() })),
        "command.run" => ("a command", Ok(Action::CommandRun { command: words() })),
        "file.read" => (
            "a path inside the workspace",
            argument.parse().map_err(Into::into).map(|path| Action::FileRead { path }),
        ),
        "file.write" => (
            "a path inside the workspace",
            argument.parse().map_err(Into::into).map(|path| Action::FileWrite { path }),
        ),
        "environment.pass" => ("a variable's name", Ok(Action::EnvironmentPass { name: text() })),
        "network.connect" => ("a host, or host:port", host(argument)),
        other => ("an action", Err(format!("{other} can't be written as words").into())),
    }
}

fn zero_request(user: &UserName, command: Vec<String>) -> Parsed {
    let nothing = "0".repeat(40);
    Ok(Action::SessionRequest(Box::new(StartSession {
        requester: user.clone(),
        repository: String::new(),
        base_commit: nothing.parse()?,
        base_tree: nothing.parse()?,
        dirty: false,
        command,
        image: "host".to_owned(),
        environment: Vec::new(),
        limits: Limits::default(),
        strict: false,
    })))
}

fn host(argument: &str) -> Parsed {
    // An address of IPv6 has colons of its own; with a port it stands in brackets.
    let (host, port) = match argument.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') || host.ends_with(']') => {
            (host, Some(port.parse()?))
        }
        Some(_) | None => (argument, None),
    };
    let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    Ok(Action::NetworkConnect { host, port })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(name: &str, argument: &str) -> Result<Action, InvalidAction> {
        action_from_text(&"alice".parse().unwrap(), name, argument)
    }

    #[test]
    fn every_action_can_be_written_as_words() {
        for name in Action::NAMES {
            assert_eq!(read(name, "bob").unwrap().name(), name);
        }
    }

    #[test]
    fn arguments_are_read_as_people_write_them() {
        let connect = |host: &str, port| Action::NetworkConnect { host: host.to_owned(), port };
        assert_eq!(read("network.connect", "a.org:443").unwrap(), connect("a.org", Some(443)));
        assert_eq!(read("network.connect", "::1").unwrap(), connect("::1", None));
        assert_eq!(read("network.connect", "[::1]:80").unwrap(), connect("::1", Some(80)));
        assert_eq!(read("network.connect", r#"{"host":"b"}"#).unwrap(), connect("b", None));
        let command = ["cargo", "test"].map(str::to_owned).to_vec();
        assert_eq!(read("command.run", "cargo  test").unwrap(), Action::CommandRun { command });
    }

    #[test]
    fn what_does_not_fit_is_refused_with_what_is_wanted() {
        let message = |name, argument| read(name, argument).unwrap_err().to_string();
        assert!(message("file.delete", "a").contains("file.read, file.write"));
        assert!(message("file.read", "../a").contains("a path inside the workspace"));
        assert!(message("file.read", r#"{"path":"a","x":1}"#).contains("fields of the action"));
        assert!(message("network.connect", "a:http").contains("host:port"));
    }
}
