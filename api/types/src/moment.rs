//! Moments as clients may write them.

use std::fmt;
use std::str::FromStr;

use custody_model::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A moment of RFC 3339 in any of its spellings; what the server answers has the one spelling of [`Timestamp`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(pub Timestamp);

/// Why a text is no moment.
#[derive(Debug, thiserror::Error)]
#[error("{text:?} is no moment: RFC 3339 is wanted, as in 2026-11-23T19:12:00Z")]
pub struct InvalidMoment {
    text: String,
    #[source]
    source: jiff::Error,
}

impl FromStr for Moment {
    type Err = InvalidMoment;

    fn from_str(text: &str) -> Result<Self, InvalidMoment> {
        let at: jiff::Timestamp =
            text.parse().map_err(|source| InvalidMoment { text: text.to_owned(), source })?;
        Ok(Self(Timestamp::from_micros(at.as_microsecond())))
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl schemars::JsonSchema for Moment {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        // The summary has moments of its own.
        "AnyMoment".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "format": "date-time" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_may_be_spelt_as_rfc_3339_allows() {
        let plain: Moment = "2026-11-23T19:12:00Z".parse().unwrap();
        assert_eq!("2026-11-23T20:12:00.000+01:00".parse::<Moment>().unwrap(), plain);
        assert_eq!(plain.to_string(), "2026-11-23T19:12:00.000000Z");
        assert!("yesterday".parse::<Moment>().is_err());
    }
}
