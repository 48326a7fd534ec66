//! Stable error codes, and the exit codes of the CLI that go with them.

use std::error::Error;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Everything went well.
pub const EXIT_OK: u8 = 0;

/// The exit code for a record that is intact and complete by a key that nobody vouched for: neither a failure nor a success. It
/// follows the numbers of [`ErrorCode`].
pub const EXIT_KEY_UNVOUCHED: u8 = 80;

/// What went wrong, as machines read it: the text form and the exit code never change their meaning.
///
/// `custody run` exits with the command's own code (128 and the signal's number if a signal ended it). Custody's
/// own failures have the codes from 64 on; a command may use the same ones, so that a script that has to tell them
/// apart asks for `-o json`, where only Custody's failures have a code of this type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ErrorCode {
    /// 2: the command line is wrong.
    Usage,
    /// 64: a policy refused it.
    PolicyRefused,
    /// 65: a policy wants an approval that is not there yet.
    ApprovalNeeded,
    /// 66: no such session, repository, commit, file or event.
    NotFound,
    /// 67: a document or argument is well formed for the command line, but not valid (a policy file, a digest).
    Invalid,
    /// 68: a record fails verification: its integrity is broken.
    VerificationFailed,
    /// 69: a record is intact as far as it goes, but incomplete.
    RecordIncomplete,
    /// 70: the machine lacks something that is needed (a kernel feature, a privilege, a program).
    EnvironmentLacks,
    /// 71: the record can't be written, so the effect was refused.
    RecordUnwritable,
    /// 72: it is in a state in which that can't be done.
    Conflict,
    /// 73: a limit was reached.
    LimitReached,
    /// 74: reading or writing outside the record failed.
    Io,
    /// 75: an error of Custody itself.
    Internal,
    /// 76: no token, or one that is not valid: it is not known who calls.
    Unauthenticated,
    /// 77: it is known who calls, and they may not do that.
    Forbidden,
    /// 78: the server can't be reached, is starting or is draining.
    Unavailable,
    /// 79: what was checked is not witnessed as the policy of whoever checks it wants.
    Unwitnessed,
}

impl ErrorCode {
    /// All codes, in the order of their exit codes.
    pub const ALL: [Self; 17] = [
        Self::Usage,
        Self::PolicyRefused,
        Self::ApprovalNeeded,
        Self::NotFound,
        Self::Invalid,
        Self::VerificationFailed,
        Self::RecordIncomplete,
        Self::EnvironmentLacks,
        Self::RecordUnwritable,
        Self::Conflict,
        Self::LimitReached,
        Self::Io,
        Self::Internal,
        Self::Unauthenticated,
        Self::Forbidden,
        Self::Unavailable,
        Self::Unwitnessed,
    ];

    /// The stable text form.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Usage => "usage",
            Self::PolicyRefused => "policy_refused",
            Self::ApprovalNeeded => "approval_needed",
            Self::NotFound => "not_found",
            Self::Invalid => "invalid",
            Self::VerificationFailed => "verification_failed",
            Self::RecordIncomplete => "record_incomplete",
            Self::EnvironmentLacks => "environment_lacks",
            Self::RecordUnwritable => "record_unwritable",
            Self::Conflict => "conflict",
            Self::LimitReached => "limit_reached",
            Self::Io => "io",
            Self::Internal => "internal",
            Self::Unauthenticated => "unauthenticated",
            Self::Forbidden => "forbidden",
            Self::Unavailable => "unavailable",
            Self::Unwitnessed => "unwitnessed",
        }
    }

    /// The exit code of the CLI.
    #[must_use]
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Usage => 2,
            Self::PolicyRefused => 64,
            Self::ApprovalNeeded => 65,
            Self::NotFound => 66,
            Self::Invalid => 67,
            Self::VerificationFailed => 68,
            Self::RecordIncomplete => 69,
            Self::EnvironmentLacks => 70,
            Self::RecordUnwritable => 71,
            Self::Conflict => 72,
            Self::LimitReached => 73,
            Self::Io => 74,
            Self::Internal => 75,
            Self::Unauthenticated => 76,
            Self::Forbidden => 77,
            Self::Unavailable => 78,
            Self::Unwitnessed => 79,
        }
    }

    /// What it means, for `--help` and the documentation.
    #[must_use]
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Usage => "the command line is wrong",
            Self::PolicyRefused => "a policy refused it",
            Self::ApprovalNeeded => "a policy wants an approval that is not there yet",
            Self::NotFound => "no such session, repository, commit, file or event",
            Self::Invalid => "a document or an argument is not valid",
            Self::VerificationFailed => "a record fails verification",
            Self::RecordIncomplete => "a record is intact as far as it goes, but incomplete",
            Self::EnvironmentLacks => "the machine lacks something that is needed",
            Self::RecordUnwritable => "the record can't be written, so the effect was refused",
            Self::Conflict => "it is in a state in which that can't be done",
            Self::LimitReached => "a limit was reached",
            Self::Io => "reading or writing failed",
            Self::Internal => "an error of Custody itself",
            Self::Unauthenticated => "no valid token: it is not known who calls",
            Self::Forbidden => "the caller's roles do not allow it",
            Self::Unavailable => "the server can't be reached, is starting or is draining",
            Self::Unwitnessed => "too few of the wanted witnesses vouch for what was checked",
        }
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An error with all its causes, in one line.
#[must_use]
pub fn chain(error: &dyn Error) -> String {
    chain_where(error, |_, _| true)
}

/// As [`chain`], without the causes that the text before them ends with already.
#[must_use]
pub fn chain_without_echo(error: &dyn Error) -> String {
    chain_where(error, |text, cause| !text.ends_with(cause))
}

fn chain_where(error: &dyn Error, is_told: impl Fn(&str, &str) -> bool) -> String {
    let (mut text, mut next) = (error.to_string(), error.source());
    while let Some(cause) = next {
        let said = cause.to_string();
        if is_told(&text, &said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_chain_names_each_cause_and_an_echo_only_where_it_is_wanted() {
        #[derive(Debug, thiserror::Error)]
        #[error("{what}")]
        struct Told {
            what: &'static str,
            source: Option<Box<Told>>,
        }
        let told = |what, source: Option<Told>| Told { what, source: source.map(Box::new) };
        let error = told("a: b", Some(told("b", Some(told("c", None)))));
        assert_eq!(chain(&error), "a: b: b: c");
        assert_eq!(chain_without_echo(&error), "a: b: c");
        assert_eq!(chain(&told("alone", None)), "alone");
    }

    #[test]
    fn every_code_has_a_text_and_an_exit_code_of_its_own() {
        let texts: BTreeSet<_> = ErrorCode::ALL.map(ErrorCode::as_str).into();
        let exits: BTreeSet<_> = ErrorCode::ALL.map(ErrorCode::exit_code).into();
        assert_eq!((texts.len(), exits.len()), (ErrorCode::ALL.len(), ErrorCode::ALL.len()));
        assert!(!exits.contains(&EXIT_OK) && !exits.contains(&EXIT_KEY_UNVOUCHED));
        for code in ErrorCode::ALL {
            assert_eq!(serde_json::to_value(code).unwrap(), code.as_str());
        }
    }
}
