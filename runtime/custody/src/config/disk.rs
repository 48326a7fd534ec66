//! `disk`: how long a session that ends waits for a disk that is full, read-only or broken.

use std::fmt;
use std::time::Duration;

use custody_keeper::run::{DEFAULT_DISK_WAIT, DiskWaits};
use custody_policy::quantity::Seconds;
use schemars::JsonSchema;
use serde::de::IntoDeserializer;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::check::Check;
use super::section::section;

/// How long a session that ends waits for a disk that is full, read-only or broken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Disk {
    /// For its outputs, the branch and the diff: 1s to 30d, or `unlimited`. Then it has none, its record says so, and what it
    /// wrote is kept.
    pub outputs_wait: Wait,
    /// For the end of its record: 1s to 30d, or `unlimited`. Then its keeper ends, and the record is closed as interrupted by
    /// the next one who finds it and can.
    pub end_wait: Wait,
}

section!("disk": Disk { outputs_wait, end_wait });

impl Default for Disk {
    fn default() -> Self {
        let wait = Wait::Limited(Seconds(DEFAULT_DISK_WAIT.as_secs()));
        Self { outputs_wait: wait, end_wait: wait }
    }
}

/// How long something is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// So long.
    Limited(Seconds),
    /// For ever.
    Unlimited,
}

/// How [`Wait::Unlimited`] is written.
const UNLIMITED: &str = "unlimited";

impl Wait {
    fn limit(self) -> Option<Duration> {
        match self {
            Self::Limited(time) => Some(Duration::from_secs(time.0)),
            Self::Unlimited => None,
        }
    }
}

impl fmt::Display for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Limited(time) => time.fmt(f),
            Self::Unlimited => f.write_str(UNLIMITED),
        }
    }
}

impl Serialize for Wait {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Wait {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // As a text, as every quantity.
        let text = String::deserialize(deserializer)?;
        match text.as_str() {
            UNLIMITED => Ok(Self::Unlimited),
            time => Seconds::deserialize(time.into_deserializer())
                .map(Self::Limited)
                .map_err(|e: de::value::Error| de::Error::custom(format!("{e}, or {UNLIMITED}"))),
        }
    }
}

impl JsonSchema for Wait {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Wait".into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "anyOf": [generator.subschema_for::<Seconds>(), { "const": UNLIMITED }],
        })
    }
}

impl Disk {
    /// What a keeper is told.
    pub fn waits(&self) -> DiskWaits {
        DiskWaits { outputs: self.outputs_wait.limit(), end: self.end_wait.limit() }
    }

    /// The settings as they would stand in the file, for a process that this one starts.
    pub fn exposed(&self) -> [(&'static str, String); 2] {
        [("outputs_wait", self.outputs_wait.to_string()), ("end_wait", self.end_wait.to_string())]
    }

    pub(super) fn check(&self, check: &mut Check<'_>) {
        let waits = [("disk.outputs_wait", self.outputs_wait), ("disk.end_wait", self.end_wait)];
        for (field, wait) in waits {
            if let Wait::Limited(time) = wait {
                check.duration(field, time, 1..=30 * 24 * 3_600);
            }
        }
    }
}
