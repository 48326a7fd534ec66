//! Identifiers: each a type of its own, each a UUID version 7 (RFC 9562), so that they sort by time.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::digest::HEX_VALUE;
use crate::time::Timestamp;

/// Why a text is not an identifier.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{text:?} is not an id: a UUID is wanted, as in 0197f0a2-5c1e-7d3a-9b21-3f6f0c9e1a44")]
pub struct InvalidId {
    text: String,
}

/// Bytes of the text of every id.
pub const ID_TEXT_BYTES: usize = 36;

/// One spelling only: hyphenated lower case, as in the record.
fn uuid_of(text: &[u8; ID_TEXT_BYTES]) -> Option<Uuid> {
    let mut bytes = [0; 16];
    let mut seen = 0;
    let mut at = 0;
    for (i, byte) in bytes.iter_mut().enumerate() {
        if matches!(i, 4 | 6 | 8 | 10) {
            if text[at] != b'-' {
                return None;
            }
            at += 1;
        }
        let (high, low) = (HEX_VALUE[usize::from(text[at])], HEX_VALUE[usize::from(text[at + 1])]);
        seen |= high | low;
        *byte = high << 4 | low & 15;
        at += 2;
    }
    (seen < 16).then(|| Uuid::from_bytes(bytes))
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema,
        )]
        #[serde(transparent)]
        pub struct $name(#[schemars(with = "String")] Uuid);

        impl $name {
            /// Makes an id from the time (milliseconds are kept) and ten random bytes.
            #[must_use]
            pub fn new(at: Timestamp, random: [u8; 10]) -> Self {
                let millis = u64::try_from(at.as_micros() / 1_000).unwrap_or(0);
                Self(uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid())
            }

            /// The text form, as ASCII (the fast way: nothing is allocated).
            #[must_use]
            pub fn text(&self) -> [u8; ID_TEXT_BYTES] {
                let mut text = [0; ID_TEXT_BYTES];
                self.0.hyphenated().encode_lower(&mut text);
                text
            }

            /// The id that has this text.
            #[must_use]
            pub fn from_text(text: &[u8; ID_TEXT_BYTES]) -> Option<Self> {
                uuid_of(text).map(Self)
            }

            /// The UUID inside.
            #[must_use]
            pub fn as_uuid(&self) -> &Uuid {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.hyphenated().fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0.hyphenated())
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                let id = text.as_bytes().try_into().ok().and_then(Self::from_text);
                id.ok_or_else(|| InvalidId { text: text.to_owned() })
            }
        }
    };
}

id! {
    /// One agent run and its record.
    SessionId
}
id! {
    /// One entry of a record.
    EventId
}
id! {
    /// One token: its `jti` (RFC 7519).
    TokenId
}
id! {
    /// One call of the API, as `x-request-id` names it.
    RequestId
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn an_id_is_read_as_another_implementation_reads_its_one_spelling(
            bytes: [u8; 16], at in 0..36_usize, new in "[0-9a-gA-G:-]|[\\x00-\\x7f]",
        ) {
            let uuid = Uuid::from_bytes(bytes);
            let text = uuid.hyphenated().to_string();
            prop_assert_eq!(text.parse(), Ok(EventId(uuid)));
            prop_assert_eq!(EventId(uuid).to_string(), text.clone());
            let mut changed = text;
            changed.replace_range(at..=at, &new);
            let other = Uuid::try_parse(&changed).ok();
            let other = other.filter(|other| other.hyphenated().to_string() == changed);
            prop_assert_eq!(changed.parse::<EventId>().ok(), other.map(EventId));
        }
    }

    #[test]
    fn ids_sort_by_time_and_have_one_spelling() {
        let early = SessionId::new(Timestamp::from_micros(1_000_000), [0xff; 10]);
        let late = SessionId::new(Timestamp::from_micros(2_000_000), [0; 10]);
        assert!(early < late);
        assert_eq!(early.to_string().parse(), Ok(early));
        assert!(early.to_string().to_uppercase().parse::<SessionId>().is_err());
        assert!("{}".parse::<SessionId>().is_err());
    }
}
