//! Sizes, durations and processor shares as people write them: `2GiB`, `30m`, `1.5`.
//!
//! The canonical form is a number of bytes, seconds or thousandths of a core, which documents may use as well.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, de};

/// Largest number in a document: 2⁵³ − 1, the largest that the canonical form (RFC 8785) can hold.
pub const MAX_NUMBER: u64 = (1 << 53) - 1;

/// Why a text is not a quantity.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not {wanted}")]
pub struct InvalidQuantity {
    text: String,
    wanted: &'static str,
}

const SIZE: &str =
    "a size: a number above 0 with B, KiB, MiB, GiB, TiB, kB, MB, GB or TB is wanted, as in 2GiB";
const DURATION: &str = "a duration: numbers with d, h, m or s are wanted, as in 30m or 1h30m";
const CORES: &str = "a number of cores: up to three decimals, or thousandths with m, are wanted, as in 1.5 or 1500m";

/// A number of bytes, above 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct Size(pub u64);

/// A number of seconds, above 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct Seconds(pub u64);

/// Thousandths of a processor core, above 0. In canonical form a text with `m`, because a bare number is of cores.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Millicores(pub u32);

impl Serialize for Millicores {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{}m", self.0))
    }
}

impl fmt::Display for Size {
    /// In the largest binary unit that gives a whole number: it reads back as the same size.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [(40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")];
        match units.into_iter().find(|(bits, _)| self.0.trailing_zeros() >= *bits) {
            Some((bits, unit)) => write!(f, "{}{unit}", self.0 >> bits),
            None => write!(f, "{}B", self.0),
        }
    }
}

impl fmt::Display for Seconds {
    /// With days, hours, minutes and seconds: it reads back as the same duration.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0;
        for (unit, name) in [(86_400, 'd'), (3_600, 'h'), (60, 'm'), (1, 's')] {
            if rest >= unit {
                write!(f, "{}{name}", rest / unit)?;
                rest %= unit;
            }
        }
        Ok(())
    }
}

fn within(number: Option<u64>) -> Option<u64> {
    number.filter(|n| (1..=MAX_NUMBER).contains(n))
}

fn digits(text: &str) -> Option<u64> {
    if text.bytes().all(|b| b.is_ascii_digit()) { text.parse().ok() } else { None }
}

fn size(text: &str) -> Option<u64> {
    let at = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(at);
    let unit: u64 = match unit.strip_prefix(' ').unwrap_or(unit) {
        "B" => 1,
        "kB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "TB" => 1_000_000_000_000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "TiB" => 1 << 40,
        _ => return None,
    };
    within(digits(number)?.checked_mul(unit))
}

fn seconds(text: &str) -> Option<u64> {
    within(seconds_of(text, &[('d', 86_400), ('h', 3_600), ('m', 60), ('s', 1)]))
}

/// Numbers with these units (letter and seconds, the largest first), each at most once, from the largest to the smallest.
pub(crate) fn seconds_of(text: &str, units: &[(char, u64)]) -> Option<u64> {
    let (mut rest, mut left) = (text, units);
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let at = rest.find(|c: char| !c.is_ascii_digit())?;
        let letter = rest[at..].chars().next()?;
        // 30m1h is a mistake, and so is 1m1m: neither is found among those that are left.
        let found = left.iter().position(|(unit, _)| *unit == letter)?;
        total = total.checked_add(digits(&rest[..at])?.checked_mul(left[found].1)?)?;
        left = &left[found + 1..];
        rest = &rest[at + letter.len_utf8()..];
    }
    Some(total)
}

fn millicores(text: &str) -> Option<u32> {
    let thousandths = if let Some(number) = text.strip_suffix('m') {
        digits(number)?
    } else {
        let (whole, decimals) = text.split_once('.').unwrap_or((text, "0"));
        if whole.is_empty() || decimals.is_empty() || decimals.len() > 3 {
            return None;
        }
        let scale = 10_u64.pow(3 - u32::try_from(decimals.len()).ok()?);
        let fraction = digits(decimals)?.checked_mul(scale)?;
        digits(whole)?.checked_mul(1000)?.checked_add(fraction)?
    };
    u32::try_from(within(Some(thousandths))?).ok()
}

/// Takes a text or a whole number.
struct Quantity<T> {
    wanted: &'static str,
    text: fn(&str) -> Option<T>,
    number: fn(u64) -> Option<T>,
}

impl<T> Quantity<T> {
    fn parse(&self, text: &str) -> Result<T, InvalidQuantity> {
        let number = || digits(text).and_then(self.number);
        (self.text)(text)
            .or_else(number)
            .ok_or_else(|| InvalidQuantity { text: text.to_owned(), wanted: self.wanted })
    }
}

impl<T> de::Visitor<'_> for Quantity<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.wanted)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        self.parse(text).map_err(E::custom)
    }
}

macro_rules! quantity {
    ($name:ident, $wanted:ident, $text:expr, $number:expr, $pattern:literal) => {
        impl $name {
            const QUANTITY: Quantity<Self> =
                Quantity { wanted: $wanted, text: $text, number: $number };
        }

        impl std::str::FromStr for $name {
            type Err = InvalidQuantity;

            fn from_str(text: &str) -> Result<Self, InvalidQuantity> {
                Self::QUANTITY.parse(text)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            // As a text: a plain YAML scalar such as 1.50 then keeps its digits, whatever a number type would do.
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_str(Self::QUANTITY)
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({
                    "type": ["string", "number"],
                    "pattern": $pattern,
                    "exclusiveMinimum": 0,
                    "maximum": MAX_NUMBER,
                    "description": $wanted,
                })
            }
        }
    };
}

quantity!(
    Size,
    SIZE,
    |text| size(text).map(Self),
    |number| within(Some(number)).map(Self),
    "^[0-9]+( ?([kMGT]B|[KMGT]iB|B))?$"
);
quantity!(
    Seconds,
    DURATION,
    |text| seconds(text).map(Self),
    |number| within(Some(number)).map(Self),
    "^([0-9]+|([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?)$"
);
quantity!(
    Millicores,
    CORES,
    |text| millicores(text).map(Self),
    |_| None,
    "^[0-9]+(m|\\.[0-9]{1,3})?$"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_read_as_people_write_them() {
        assert_eq!("2GiB".parse(), Ok(Size(2 << 30)));
        assert_eq!("10 MB".parse(), Ok(Size(10_000_000)));
        assert_eq!("4096".parse(), Ok(Size(4096)));
        assert_eq!("30m".parse(), Ok(Seconds(1800)));
        assert_eq!("1h30m".parse(), Ok(Seconds(5400)));
        assert_eq!("90".parse(), Ok(Seconds(90)));
        assert_eq!("1.5".parse(), Ok(Millicores(1500)));
        assert_eq!("250m".parse(), Ok(Millicores(250)));
        assert_eq!("2".parse(), Ok(Millicores(2000)));
    }

    #[test]
    fn quantities_are_printed_as_they_can_be_read() {
        for bytes in [1, 1000, 1024, 1 << 20, 3 << 30, 5 << 40, (1 << 30) + 1, MAX_NUMBER] {
            assert_eq!(Size(bytes).to_string().parse(), Ok(Size(bytes)));
        }
        for seconds in [1, 59, 60, 3_600, 5_400, 86_400, 90 * 86_400, 90_061, MAX_NUMBER] {
            assert_eq!(Seconds(seconds).to_string().parse(), Ok(Seconds(seconds)));
        }
        assert_eq!(Size(2 << 30).to_string(), "2GiB");
        assert_eq!(Seconds(5400).to_string(), "1h30m");
    }

    #[test]
    fn what_is_ambiguous_zero_or_too_large_is_refused() {
        for text in ["", "0", "GiB", "2gb", "2G", "-1B", "1.5GiB", "9999999TiB", "0B"] {
            assert!(text.parse::<Size>().is_err(), "{text}");
        }
        for text in ["", "0s", "5m1h", "1m1m", "1w", "m", "-1s"] {
            assert!(text.parse::<Seconds>().is_err(), "{text}");
        }
        for text in ["", "0", "1.", ".5", "1.2345", "1e3", "99999999999"] {
            assert!(text.parse::<Millicores>().is_err(), "{text}");
        }
    }
}
