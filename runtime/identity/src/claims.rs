//! The claims of a token (RFC 7519, section 4), as they are read before it is known what to believe.

use custody_model::Timestamp;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Number, Value};

const MICROS_PER_SECOND: i64 = 1_000_000;

/// Claims as read. Those that mean different things to different issuers are in `other`.
#[derive(Deserialize)]
pub(crate) struct Claims {
    pub(crate) iss: Option<String>,
    pub(crate) aud: Option<Audience>,
    pub(crate) exp: Option<NumericDate>,
    pub(crate) nbf: Option<NumericDate>,
    pub(crate) iat: Option<NumericDate>,
    #[serde(flatten)]
    other: Map<String, Value>,
}

impl Claims {
    /// A claim of those that [`Claims`] has no field for.
    pub(crate) fn get(&self, name: &str) -> Option<&Value> {
        self.other.get(name)
    }

    /// A claim that is a text.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.get(name).and_then(Value::as_str)
    }
}

/// Whom a token is for: one or several (RFC 7519, section 4.1.3).
#[derive(Deserialize)]
#[serde(untagged)]
pub(crate) enum Audience {
    One(String),
    Several(Vec<String>),
}

impl Audience {
    pub(crate) fn names(&self, audience: &str) -> bool {
        match self {
            Self::One(one) => one == audience,
            Self::Several(all) => all.iter().any(|one| one == audience),
        }
    }
}

/// Seconds since 1970-01-01T00:00:00Z, whole or not (RFC 7519, section 2). Beyond what a [`Timestamp`] holds it is the
/// farthest time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NumericDate(pub(crate) Timestamp);

impl<'de> Deserialize<'de> for NumericDate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = Number::deserialize(deserializer)?;
        let micros = match (number.as_i64(), number.as_f64()) {
            (Some(seconds), _) => seconds.saturating_mul(MICROS_PER_SECOND),
            // Conversions from floating point saturate.
            #[expect(clippy::cast_possible_truncation, reason = "saturation is what is wanted")]
            (None, Some(seconds)) => (seconds * MICROS_PER_SECOND as f64) as i64,
            (None, None) => return Err(serde::de::Error::custom("not a number of seconds")),
        };
        Ok(Self(Timestamp::from_micros(micros)))
    }
}

/// Whole seconds since 1970-01-01T00:00:00Z of a time, rounded down.
pub(crate) fn seconds(time: Timestamp) -> i64 {
    time.as_micros().div_euclid(MICROS_PER_SECOND)
}

/// The time of whole seconds since 1970-01-01T00:00:00Z.
pub(crate) fn at_seconds(seconds: i64) -> Timestamp {
    Timestamp::from_micros(seconds.saturating_mul(MICROS_PER_SECOND))
}

/// A time that is `by` later.
pub(crate) fn later(time: Timestamp, by: std::time::Duration) -> Timestamp {
    let micros = i64::try_from(by.as_micros()).unwrap_or(i64::MAX);
    Timestamp::from_micros(time.as_micros().saturating_add(micros))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_whole_or_not_and_never_wrap() {
        let cases = [
            ("0", 0),
            ("1795461120", 1_795_461_120_000_000),
            ("1795461120.5", 1_795_461_120_500_000),
            ("1.5e3", 1_500_000_000),
            ("-1", -1_000_000),
            ("9223372036854775807", i64::MAX),
            ("18446744073709551615", i64::MAX),
            ("1e300", i64::MAX),
            ("-1e300", i64::MIN),
        ];
        for (text, micros) in cases {
            let date: NumericDate = serde_json::from_str(text).unwrap();
            assert_eq!(date.0.as_micros(), micros, "{text}");
        }
        for text in ["\"1795461120\"", "true", "[]", "1e999", "NaN"] {
            assert!(serde_json::from_str::<NumericDate>(text).is_err(), "{text}");
        }
    }
}
