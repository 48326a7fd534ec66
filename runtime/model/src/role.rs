//! Projects, and who may do what in them: roles, and the scopes that narrow a token.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A project: repositories, a policy and people. 1 to 64 of `a-z`, `0-9`, `-`, `_` and `.`, not beginning with `.`.
#[derive(
    Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(try_from = "String", into = "String")]
#[schemars(extend("pattern" = "^[a-z0-9_-][a-z0-9._-]{0,63}$"))]
pub struct ProjectName(String);

/// Why a text is not a project's name.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0:?} is not a project's name: 1 to 64 of a-z, 0-9, '-', '_' and '.' are wanted")]
pub struct InvalidProjectName(String);

impl ProjectName {
    /// The project that every installation has.
    #[must_use]
    pub fn default_project() -> Self {
        Self("default".to_owned())
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for ProjectName {
    type Error = InvalidProjectName;

    fn try_from(text: String) -> Result<Self, InvalidProjectName> {
        let known = |b: u8| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.');
        let valid =
            (1..=64).contains(&text.len()) && text.bytes().all(known) && !text.starts_with('.');
        if valid { Ok(Self(text)) } else { Err(InvalidProjectName(text)) }
    }
}

impl From<ProjectName> for String {
    fn from(name: ProjectName) -> Self {
        name.0
    }
}

impl FromStr for ProjectName {
    type Err = InvalidProjectName;

    fn from_str(text: &str) -> Result<Self, InvalidProjectName> {
        text.to_owned().try_into()
    }
}

impl fmt::Display for ProjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a person is in a project.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Requests sessions; sees and stops their own.
    Developer,
    /// Sets policy, approves, manages people and repositories.
    Admin,
    /// Reads everything, changes nothing.
    Auditor,
}

impl Role {
    /// All roles.
    pub const ALL: [Self; 3] = [Self::Developer, Self::Admin, Self::Auditor];

    /// The stable text form.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Developer => "developer",
            Self::Admin => "admin",
            Self::Auditor => "auditor",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a text is no role or scope.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{text:?} is none of: {}", .known.join(", "))]
pub struct UnknownWord {
    text: String,
    known: Vec<&'static str>,
}

impl FromStr for Role {
    type Err = UnknownWord;

    fn from_str(text: &str) -> Result<Self, UnknownWord> {
        Self::ALL.into_iter().find(|role| role.as_str() == text).ok_or_else(|| UnknownWord {
            text: text.to_owned(),
            known: Self::ALL.map(Self::as_str).to_vec(),
        })
    }
}

/// What a token may be used for, whatever its user may do.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub enum Scope {
    /// See sessions and what is on record of them.
    #[serde(rename = "sessions:read")]
    SessionsRead,
    /// Request, stop, signal and attach to sessions.
    #[serde(rename = "sessions:write")]
    SessionsWrite,
    /// Approve and reject sessions.
    #[serde(rename = "approvals:write")]
    ApprovalsWrite,
    /// Investigate.
    #[serde(rename = "investigations:read")]
    InvestigationsRead,
    /// See policies, projects, repositories, images and users.
    #[serde(rename = "settings:read")]
    SettingsRead,
    /// Change them.
    #[serde(rename = "settings:write")]
    SettingsWrite,
    /// Issue and revoke tokens.
    #[serde(rename = "tokens:write")]
    TokensWrite,
    /// Read the control log.
    #[serde(rename = "control:read")]
    ControlRead,
}

impl Scope {
    /// All scopes: what a person's own token has.
    pub const ALL: [Self; 8] = [
        Self::SessionsRead,
        Self::SessionsWrite,
        Self::ApprovalsWrite,
        Self::InvestigationsRead,
        Self::SettingsRead,
        Self::SettingsWrite,
        Self::TokensWrite,
        Self::ControlRead,
    ];

    /// The stable text form.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SessionsRead => "sessions:read",
            Self::SessionsWrite => "sessions:write",
            Self::ApprovalsWrite => "approvals:write",
            Self::InvestigationsRead => "investigations:read",
            Self::SettingsRead => "settings:read",
            Self::SettingsWrite => "settings:write",
            Self::TokensWrite => "tokens:write",
            Self::ControlRead => "control:read",
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Scope {
    type Err = UnknownWord;

    fn from_str(text: &str) -> Result<Self, UnknownWord> {
        Self::ALL.into_iter().find(|scope| scope.as_str() == text).ok_or_else(|| UnknownWord {
            text: text.to_owned(),
            known: Self::ALL.map(Self::as_str).to_vec(),
        })
    }
}

/// The roles of one person: in every project, and in single ones.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Grants {
    /// Roles in every project, and over what belongs to no project (users, projects, keys, the control log).
    #[serde(default)]
    pub installation: BTreeSet<Role>,
    /// Roles in single projects.
    #[serde(default)]
    pub projects: BTreeMap<ProjectName, BTreeSet<Role>>,
}

impl Grants {
    /// Every role everywhere: the operator of the machine itself.
    #[must_use]
    pub fn everything() -> Self {
        Self { installation: Role::ALL.into(), projects: BTreeMap::new() }
    }

    /// Whether the role is held in `project`, or over the installation for `None`.
    #[must_use]
    pub fn has(&self, role: Role, project: Option<&ProjectName>) -> bool {
        self.installation.contains(&role)
            || project
                .and_then(|name| self.projects.get(name))
                .is_some_and(|roles| roles.contains(&role))
    }

    /// Whether the role is held anywhere.
    #[must_use]
    pub fn has_anywhere(&self, role: Role) -> bool {
        self.installation.contains(&role) || self.projects.values().any(|r| r.contains(&role))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_in_one_project_is_none_in_another() {
        let (a, b): (ProjectName, ProjectName) = ("a".parse().unwrap(), "b".parse().unwrap());
        let projects = BTreeMap::from([(a.clone(), BTreeSet::from([Role::Admin]))]);
        let grants = Grants { installation: BTreeSet::from([Role::Auditor]), projects };
        assert!(grants.has(Role::Admin, Some(&a)) && !grants.has(Role::Admin, Some(&b)));
        assert!(!grants.has(Role::Admin, None) && grants.has_anywhere(Role::Admin));
        assert!(grants.has(Role::Auditor, Some(&b)) && grants.has(Role::Auditor, None));
        assert!(!grants.has_anywhere(Role::Developer));
    }

    #[test]
    fn words_are_read_as_they_are_written() {
        for role in Role::ALL {
            assert_eq!(role.as_str().parse(), Ok(role));
            assert_eq!(serde_json::to_value(role).unwrap(), role.as_str());
        }
        for scope in Scope::ALL {
            assert_eq!(scope.as_str().parse(), Ok(scope));
            assert_eq!(serde_json::to_value(scope).unwrap(), scope.as_str());
        }
        assert!("root".parse::<Role>().unwrap_err().to_string().contains("auditor"));
        for name in ["", ".", "..", "A", "a/b", "a b", &"x".repeat(65)] {
            assert!(name.parse::<ProjectName>().is_err(), "{name:?}");
        }
    }
}
