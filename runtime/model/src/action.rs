//! What can be asked of Custody: the closed list of actions that a policy decides on.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Digest, GitOid, Limits, SessionId, UserName, WorkspacePath};

/// A session as somebody asks for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StartSession {
    /// Who asks.
    pub requester: UserName,
    /// The repository's name in this installation.
    pub repository: String,
    /// The commit that the workspace starts from.
    pub base_commit: GitOid,
    /// Its tree.
    pub base_tree: GitOid,
    /// The base is a snapshot of a working tree with changes that were not committed.
    #[serde(default)]
    pub dirty: bool,
    /// The command and its arguments.
    pub command: Vec<String>,
    /// `host`, or the image's name.
    pub image: String,
    /// Names of the requester's environment variables that are to enter, never their values.
    #[serde(default)]
    pub environment: Vec<String>,
    /// What it is to be limited to; what is absent is taken from the policy.
    #[serde(default)]
    pub limits: Limits,
    /// The whole workspace is to be mediated synchronously.
    #[serde(default)]
    pub strict: bool,
}

/// Everything that a policy decides on. Each variant has a stable dotted name: [`Action::name`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "action", deny_unknown_fields)]
pub enum Action {
    /// Start a session.
    #[serde(rename = "session.request")]
    SessionRequest(Box<StartSession>),
    /// Approve a session that somebody asked for.
    #[serde(rename = "session.approve")]
    SessionApprove {
        /// Who asked for it.
        requester: UserName,
        /// Digest of its `session.request` in canonical JSON (RFC 8785).
        request: Digest,
    },
    /// Stop a running session.
    #[serde(rename = "session.stop")]
    SessionStop {
        /// Which.
        session: SessionId,
        /// Who asked for it.
        requester: UserName,
    },
    /// Run a session in an image.
    #[serde(rename = "image.use")]
    ImageUse {
        /// `host`, or the image's name.
        image: String,
    },
    /// Run a command as the session's command.
    #[serde(rename = "command.run")]
    CommandRun {
        /// The command and its arguments.
        command: Vec<String>,
    },
    /// Read a file of the workspace, list a directory, or run a file.
    #[serde(rename = "file.read")]
    FileRead {
        /// Which.
        path: WorkspacePath,
    },
    /// Write, create, rename, remove a file of the workspace or change its attributes.
    #[serde(rename = "file.write")]
    FileWrite {
        /// Which.
        path: WorkspacePath,
    },
    /// Take a variable of the requester's environment into the sandbox.
    #[serde(rename = "environment.pass")]
    EnvironmentPass {
        /// Its name.
        name: String,
    },
    /// Connect to something outside the sandbox.
    #[serde(rename = "network.connect")]
    NetworkConnect {
        /// The host's name or address.
        host: String,
        /// The port, if it is known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        port: Option<u16>,
    },
    /// Read the record of a session.
    #[serde(rename = "record.read")]
    RecordRead {
        /// Which.
        session: SessionId,
        /// Who asked for it.
        requester: UserName,
    },
}

impl Action {
    /// The names of all actions, in the order of the variants.
    pub const NAMES: [&str; 10] = [
        "session.request",
        "session.approve",
        "session.stop",
        "image.use",
        "command.run",
        "file.read",
        "file.write",
        "environment.pass",
        "network.connect",
        "record.read",
    ];

    /// The stable dotted name, as the record and the CLI spell it.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::SessionRequest(_) => "session.request",
            Self::SessionApprove { .. } => "session.approve",
            Self::SessionStop { .. } => "session.stop",
            Self::ImageUse { .. } => "image.use",
            Self::CommandRun { .. } => "command.run",
            Self::FileRead { .. } => "file.read",
            Self::FileWrite { .. } => "file.write",
            Self::EnvironmentPass { .. } => "environment.pass",
            Self::NetworkConnect { .. } => "network.connect",
            Self::RecordRead { .. } => "record.read",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_action_is_written_with_its_stable_name() {
        let action = Action::NetworkConnect { host: "example.org".to_owned(), port: None };
        let json = r#"{"action":"network.connect","host":"example.org"}"#;
        assert_eq!(serde_json::to_string(&action).unwrap(), json);
        assert_eq!(serde_json::from_str::<Action>(json).unwrap(), action);
        assert!(
            serde_json::from_str::<Action>(r#"{"action":"file.read","path":"a","x":1}"#).is_err()
        );
        assert!(serde_json::from_str::<Action>(r#"{"action":"file.read","path":"../a"}"#).is_err());
        assert!(serde_json::from_str::<Action>(r#"{"action":"network.listen"}"#).is_err());
    }
}
