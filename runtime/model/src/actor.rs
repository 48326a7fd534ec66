//! Who did something: a person, a process inside a sandbox, or a part of Custody.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A person's (or service's) name as the identity provider gives it: 1 to 256 bytes, no control characters.
#[derive(
    Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(try_from = "String", into = "String")]
pub struct UserName(String);

/// Why a text is not a user's name.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0:?} is not a user name: 1 to 256 bytes without control characters are wanted")]
pub struct InvalidUserName(String);

impl UserName {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name under which the installation acts by itself.
    #[must_use]
    pub fn system() -> Self {
        Self("system".to_owned())
    }

    /// The name of a user of the machine who has none there: `uid-N`.
    #[must_use]
    pub fn of_uid(uid: u32) -> Self {
        Self(format!("uid-{uid}"))
    }
}

impl TryFrom<String> for UserName {
    type Error = InvalidUserName;

    fn try_from(text: String) -> Result<Self, InvalidUserName> {
        if (1..=256).contains(&text.len()) && !text.contains(char::is_control) {
            Ok(Self(text))
        } else {
            Err(InvalidUserName(text))
        }
    }
}

impl From<UserName> for String {
    fn from(name: UserName) -> Self {
        name.0
    }
}

impl FromStr for UserName {
    type Err = InvalidUserName;

    fn from_str(text: &str) -> Result<Self, InvalidUserName> {
        text.to_owned().try_into()
    }
}

impl fmt::Display for UserName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The number, within its session, of one process image: one successful `execve`.
///
/// It is the `image` of exactly one `process.executed` event. 0 is init itself, before any exec.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(transparent)]
pub struct ImageId(pub u64);

/// A process inside a sandbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProcessRef {
    /// The image that it ran; absent if the process could not be joined with an exec notice.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<ImageId>,
    /// Its id in the keeper's pid namespace.
    pub pid: u32,
}

/// Who did what an event tells.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Actor {
    /// A person or a service account.
    User {
        /// Its name.
        name: UserName,
    },
    /// A process inside the sandbox.
    Process(ProcessRef),
    /// The keeper of the session.
    Keeper,
    /// The orchestrator or server.
    Server,
}
