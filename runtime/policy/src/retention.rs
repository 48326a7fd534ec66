//! What a policy says about how long the content of records is kept: a class, a legal hold, and who may be early.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, de};

use crate::quantity::{Seconds, seconds_of};

/// A day, in seconds.
const DAY: u64 = 86_400;

/// A year of a class, in seconds: 365 days, whatever the calendar says.
pub const YEAR_SECONDS: u64 = 365 * DAY;

/// The shortest class. Nobody wants one of seconds but tests.
pub const MIN_CLASS: Seconds = Seconds(1);

/// The longest class that ends: a hundred years.
pub const MAX_CLASS: Seconds = Seconds(100 * YEAR_SECONDS);

/// Longest reason of a hold, in bytes.
pub const MAX_HOLD_BYTES: usize = 4096;

/// The unit letters of a class, the largest first, with their seconds.
const UNITS: [(char, u64); 5] =
    [('y', YEAR_SECONDS), ('d', DAY), ('h', 3_600), ('m', 60), ('s', 1)];

const WANTED: &str = "a retention class: forever, or numbers with y (365 days), d, h, m or s are wanted, as in 180d or 7y";

/// How long the content of records is kept, and who may end that.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RetentionRules {
    /// How long the content of a session is kept after its closing; forever if absent. A session keeps the class of the version
    /// that it was requested under; the project's active version may lengthen it, and never shortens it.
    #[serde(default, skip_serializing_if = "is_default")]
    pub content: RetentionClass,
    /// A legal hold, in words: as long as this version is the active one of its project, the content of no session of the
    /// project is erased.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = MAX_HOLD_BYTES))]
    pub hold: Option<String>,
    /// Whether an admin may erase content before its class has ended.
    #[serde(default, skip_serializing_if = "is_default")]
    pub early_erasure: EarlyErasure,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl RetentionRules {
    /// What is wrong with the reason of the hold.
    pub(crate) fn hold_fault(&self) -> Option<String> {
        let hold = self.hold.as_ref()?;
        if hold.trim().is_empty() {
            return Some(
                "it has to say why, in words; leave it out where nothing is held".to_owned(),
            );
        }
        (hold.len() > MAX_HOLD_BYTES).then(|| format!("it is longer than {MAX_HOLD_BYTES} bytes"))
    }
}

/// Whether an admin may erase content before its class has ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EarlyErasure {
    /// With a reason that is on record.
    #[default]
    Allowed,
    /// Not by anybody.
    Refused,
}

/// How long content is kept. Later is greater.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum RetentionClass {
    /// So long after the closing.
    For(Seconds),
    /// Until somebody erases it.
    #[default]
    Forever,
}

impl RetentionClass {
    /// In seconds; `None` is forever.
    #[must_use]
    pub const fn seconds(self) -> Option<u64> {
        match self {
            Self::For(Seconds(seconds)) => Some(seconds),
            Self::Forever => None,
        }
    }

    /// Of so many seconds; `None` is forever.
    #[must_use]
    pub const fn of(seconds: Option<u64>) -> Self {
        match seconds {
            Some(seconds) => Self::For(Seconds(seconds)),
            None => Self::Forever,
        }
    }
}

impl fmt::Display for RetentionClass {
    /// With years, days, hours, minutes and seconds: it reads back as the same class.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::For(Seconds(mut rest)) = *self else { return f.write_str("forever") };
        for (letter, unit) in UNITS {
            if rest >= unit {
                write!(f, "{}{letter}", rest / unit)?;
                rest %= unit;
            }
        }
        Ok(())
    }
}

/// Why a text is no class.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidClass {
    /// It does not say what one says.
    #[error("{0:?} is not {WANTED}")]
    Text(String),
    /// It is not between the limits.
    #[error("{0} is not from {least} to {most}, and not forever", least = RetentionClass::For(MIN_CLASS), most = RetentionClass::For(MAX_CLASS))]
    Bounds(RetentionClass),
}

impl FromStr for RetentionClass {
    type Err = InvalidClass;

    fn from_str(text: &str) -> Result<Self, InvalidClass> {
        if text == "forever" {
            return Ok(Self::Forever);
        }
        // A number without a unit would have to be guessed at: days, or seconds?
        let seconds = seconds_of(text, &UNITS).filter(|seconds| *seconds > 0);
        let seconds = seconds.map(Seconds).ok_or_else(|| InvalidClass::Text(text.to_owned()))?;
        if (MIN_CLASS..=MAX_CLASS).contains(&seconds) {
            Ok(Self::For(seconds))
        } else {
            Err(InvalidClass::Bounds(Self::For(seconds)))
        }
    }
}

impl Serialize for RetentionClass {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for RetentionClass {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl de::Visitor<'_> for Text {
            type Value = RetentionClass;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(WANTED)
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<RetentionClass, E> {
                text.parse().map_err(E::custom)
            }
        }
        deserializer.deserialize_str(Text)
    }
}

impl JsonSchema for RetentionClass {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "RetentionClass".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "pattern": "^(forever|([0-9]+y)?([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?)$",
            "minLength": 2,
            "description": WANTED,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::PolicyVersion;

    fn with(retention: &str) -> Result<PolicyVersion, crate::PolicyError> {
        PolicyVersion::parse(&format!(
            "version: custody/policy/v1\nname: p\nrequesters: {{users: ['*']}}\nimages: [host]\n\
             commands:\n  - {{allow: ['*']}}\nretention: {retention}\n"
        ))
    }

    #[test]
    fn classes_are_read_as_people_write_them_and_printed_as_they_can_be_read() {
        for (text, days) in [("180d", 180), ("1y", 365), ("6y", 6 * 365), ("7y", 7 * 365)] {
            let class: RetentionClass = text.parse().unwrap();
            assert_eq!((class.seconds(), class.to_string().as_str()), (Some(days * DAY), text));
        }
        for text in ["5s", "1h30m", "1y180d", "100y", "forever"] {
            assert_eq!(text.parse::<RetentionClass>().unwrap().to_string(), text);
        }
        assert_eq!("365d".parse::<RetentionClass>(), "1y".parse());
        for text in ["", "0s", "180", "1w", "6m1y", "1y1y", "101y", "never", "-1d", "y"] {
            assert!(text.parse::<RetentionClass>().is_err(), "{text}");
        }
        let longest = RetentionClass::For(MAX_CLASS);
        assert!(
            "7y".parse::<RetentionClass>().unwrap() < longest && longest < RetentionClass::Forever
        );
    }

    #[test]
    fn what_a_policy_says_of_retention_is_checked_when_it_is_read() {
        let rules = |text| with(text).unwrap().document().retention.clone();
        assert_eq!(rules("{}"), RetentionRules::default());
        let all = rules("{content: 6y, hold: 'case 7', early_erasure: refused}");
        assert_eq!(all.content.to_string(), "6y");
        assert_eq!(all.hold.as_deref(), Some("case 7"));
        assert_eq!(all.early_erasure, EarlyErasure::Refused);
        let long = format!("{{hold: {}}}", "x".repeat(MAX_HOLD_BYTES + 1));
        for (bad, says) in [
            ("{content: 180}", "/retention/content: \"180\" is not a retention class"),
            ("{content: 101y}", "101y is not from 1s to 100y, and not forever"),
            ("{content: 0s}", "is not a retention class"),
            ("{hold: ' '}", "/retention/hold: it has to say why"),
            ("{early_erasure: maybe}", "/retention/early_erasure"),
            ("{contents: 1y}", "contents"),
            (long.as_str(), "longer than 4096 bytes"),
        ] {
            let error = with(bad).expect_err(bad).to_string();
            assert!(error.contains(says), "{bad}: {error}");
        }
    }

    #[test]
    fn the_version_of_a_policy_names_what_it_says_of_retention() {
        let digest = |text| with(text).unwrap().digest();
        assert_eq!(digest("{content: 365d}"), digest("{content: 1y}"));
        assert_ne!(digest("{content: 1y}"), digest("{content: 2y}"));
        assert_ne!(digest("{content: 1y}"), digest("{content: 1y, hold: x}"));
        assert_eq!(digest("{}"), digest("{content: forever, early_erasure: allowed}"));
    }
}
