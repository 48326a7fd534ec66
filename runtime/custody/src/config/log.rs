//! `log`: what the server says about itself on standard error. The record is something else.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::section::section;

/// What the server says about itself on standard error.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// What is said: this and everything graver.
    pub level: Level,
    /// How it is said.
    pub format: LogFormat,
}

/// How grave a line of the log is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Something failed.
    Error,
    /// Something is not as it should be.
    #[default]
    Warn,
    /// What the server does.
    Info,
    /// How it does it.
    Debug,
    /// Every step.
    Trace,
}

/// The form of a line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

section!("log": Log { level, format });
