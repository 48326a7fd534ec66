//! Time as the record writes it, and the clock that everything else is given.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A moment in UTC with microseconds; its one text form is RFC 3339 with six decimals and `Z`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

/// Why a text is not a time.
#[derive(Debug, thiserror::Error)]
#[error(
    "{text:?} is not a time: RFC 3339 in UTC with six decimals is wanted, as in 2026-11-23T19:12:00.000000Z"
)]
pub struct InvalidTimestamp {
    text: String,
}

impl Timestamp {
    /// From microseconds since 1970-01-01T00:00:00Z.
    #[must_use]
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// Microseconds since 1970-01-01T00:00:00Z.
    #[must_use]
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// So many seconds later; the last moment there is if that is beyond it.
    #[must_use]
    pub fn later_by_seconds(self, seconds: u64) -> Self {
        let micros = i64::try_from(seconds).unwrap_or(i64::MAX).saturating_mul(1_000_000);
        Self(self.0.saturating_add(micros))
    }

    /// Microseconds from `earlier` to this moment; 0 if `earlier` is later.
    #[must_use]
    pub fn micros_since(self, earlier: Self) -> u64 {
        u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0)
    }
}

/// Microseconds from the first to the last moment whose text is spelt without jiff: 0001-01-01 to 9998-12-31.
const PLAIN: std::ops::Range<i64> = -62_135_596_800_000_000..253_370_764_800_000_000;

const MICROS_PER_DAY: i64 = 86_400_000_000;

/// Days from 0000-03-01, where a year of 400-year cycles begins, to 1970-01-01.
const DAYS_TO_EPOCH: i64 = 719_468;

const DAYS_PER_CYCLE: i64 = 146_097;

/// Days from 1970-01-01 to a day of the proleptic Gregorian calendar.
fn day_number(year: i64, month: i64, day: i64) -> i64 {
    // Years that begin in March end with the leap day, so that months before it do not shift.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let cycle = year.div_euclid(400);
    let year = year.rem_euclid(400);
    let day_of_year = (153 * month + 2) / 5 + day - 1;
    cycle * DAYS_PER_CYCLE + year * 365 + year / 4 - year / 100 + day_of_year - DAYS_TO_EPOCH
}

/// Year, month and day of a day number.
fn calendar(day: i64) -> (i64, i64, i64) {
    let day = day + DAYS_TO_EPOCH;
    let (cycle, rest) = (day.div_euclid(DAYS_PER_CYCLE), day.rem_euclid(DAYS_PER_CYCLE));
    let year = (rest - rest / 1_460 + rest / 36_524 - rest / 146_096) / 365;
    let day_of_year = rest - (365 * year + year / 4 - year / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let year = cycle * 400 + year;
    if month < 10 { (year, month + 3, day) } else { (year + 1, month - 9, day) }
}

fn days_of(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

fn put_digits(field: &mut [u8], mut value: i64) {
    for digit in field.iter_mut().rev() {
        *digit = b'0' + u8::try_from(value % 10).unwrap_or(0);
        value /= 10;
    }
}

fn digits(field: &[u8]) -> Option<i64> {
    field.iter().try_fold(0, |value, digit| {
        digit.is_ascii_digit().then(|| value * 10 + i64::from(digit - b'0'))
    })
}

impl Timestamp {
    /// Bytes of the text of a time in the years 1 to 9998.
    pub const TEXT_BYTES: usize = 27;

    /// The text form, for a time in the years 1 to 9998 (the fast way: nothing is allocated).
    #[must_use]
    pub fn plain_text(self) -> Option<[u8; Self::TEXT_BYTES]> {
        if !PLAIN.contains(&self.0) {
            return None;
        }
        let (year, month, day) = calendar(self.0.div_euclid(MICROS_PER_DAY));
        let micros = self.0.rem_euclid(MICROS_PER_DAY);
        let seconds = micros / 1_000_000;
        let mut text = *b"0000-00-00T00:00:00.000000Z";
        put_digits(&mut text[..4], year);
        put_digits(&mut text[5..7], month);
        put_digits(&mut text[8..10], day);
        put_digits(&mut text[11..13], seconds / 3600);
        put_digits(&mut text[14..16], seconds / 60 % 60);
        put_digits(&mut text[17..19], seconds % 60);
        put_digits(&mut text[20..26], micros % 1_000_000);
        Some(text)
    }

    /// The time that has this text, if it is one of [`Timestamp::plain_text`].
    #[must_use]
    pub fn from_plain_text(text: &[u8; Self::TEXT_BYTES]) -> Option<Self> {
        let (year, month, day) = (digits(&text[..4])?, digits(&text[5..7])?, digits(&text[8..10])?);
        let (hour, minute, second) =
            (digits(&text[11..13])?, digits(&text[14..16])?, digits(&text[17..19])?);
        let micros = digits(&text[20..26])?;
        let separators = [text[4], text[7], text[10], text[13], text[16], text[19], text[26]];
        let plain = separators == *b"--T::.Z"
            && (1..=9998).contains(&year)
            && (1..=12).contains(&month)
            && (1..=days_of(year, month)).contains(&day)
            && hour < 24
            && minute < 60
            && second < 60;
        let seconds = (day_number(year, month, day) * 24 + hour) * 3600 + minute * 60 + second;
        plain.then_some(Self(seconds * 1_000_000 + micros))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(text) = self.plain_text() {
            return f.write_str(std::str::from_utf8(&text).map_err(|_| fmt::Error)?);
        }
        match jiff::Timestamp::from_microsecond(self.0) {
            Ok(at) => write!(f, "{at:.6}"),
            Err(_) => Err(fmt::Error),
        }
    }
}

impl FromStr for Timestamp {
    type Err = InvalidTimestamp;

    fn from_str(text: &str) -> Result<Self, InvalidTimestamp> {
        if let Some(time) = text.as_bytes().try_into().ok().and_then(Self::from_plain_text) {
            return Ok(time);
        }
        let invalid = || InvalidTimestamp { text: text.to_owned() };
        let at: jiff::Timestamp = text.parse().map_err(|_| invalid())?;
        let parsed = Self(at.as_microsecond());
        if parsed.to_string() == text { Ok(parsed) } else { Err(invalid()) }
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl schemars::JsonSchema for Timestamp {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Timestamp".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "format": "date-time" })
    }
}

/// Where the time comes from; tests give their own.
pub trait Clock: Send + Sync {
    /// Now.
    fn now(&self) -> Timestamp;
}

/// The machine's wall clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        #[expect(clippy::disallowed_methods, reason = "the one place that reads the wall clock")]
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        Timestamp(since.map_or(0, |d| i64::try_from(d.as_micros()).unwrap_or(i64::MAX)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What jiff writes, and what it reads if that is the one spelling.
    fn jiff_text(time: Timestamp) -> Option<String> {
        Some(format!("{:.6}", jiff::Timestamp::from_microsecond(time.0).ok()?))
    }

    fn jiff_time(text: &str) -> Option<Timestamp> {
        let time = Timestamp(text.parse::<jiff::Timestamp>().ok()?.as_microsecond());
        (jiff_text(time).as_deref() == Some(text)).then_some(time)
    }

    proptest! {
        #[test]
        fn every_time_is_spelt_as_jiff_spells_it(micros in -70_000_000_000_000_000_i64..253_402_200_000_000_000) {
            let time = Timestamp::from_micros(micros);
            prop_assert_eq!(Some(time.to_string()), jiff_text(time));
            prop_assert_eq!(time.to_string().parse::<Timestamp>().unwrap(), time);
        }

        #[test]
        fn texts_that_look_like_times_are_read_as_jiff_reads_them(
            text in "[0-9]{4}-[01][0-9]-[0-3][0-9][Tt][0-2][0-9]:[0-6][0-9]:[0-6][0-9][.,][0-9]{6}[Zz]",
        ) {
            prop_assert_eq!(text.parse::<Timestamp>().ok(), jiff_time(&text));
        }
    }

    #[test]
    fn every_day_is_in_the_calendar_where_jiff_has_it() {
        for day in 0..366 * 410 {
            let time =
                Timestamp((day - DAYS_TO_EPOCH + 1600 * 365) * MICROS_PER_DAY + 86_399_999_999);
            assert_eq!(Some(time.to_string()), jiff_text(time));
            assert_eq!(time.plain_text().as_ref().and_then(Timestamp::from_plain_text), Some(time));
        }
        for year in [1, 4, 100, 400, 1900, 2000, 2023, 2024, 2100, 9998] {
            for (month, day) in (0..14).flat_map(|month| (0..33).map(move |day| (month, day))) {
                let text = format!("{year:04}-{month:02}-{day:02}T00:00:00.000000Z");
                assert_eq!(text.parse::<Timestamp>().ok(), jiff_time(&text), "{text}");
            }
        }
        for edge in [PLAIN.start - 1, PLAIN.start, PLAIN.end - 1, PLAIN.end] {
            let time = Timestamp(edge);
            assert_eq!(Some(time.to_string()), jiff_text(time));
            assert_eq!(time.plain_text().is_some(), PLAIN.contains(&edge));
        }
    }

    #[test]
    fn one_moment_has_one_spelling() {
        let at = Timestamp::from_micros(1_795_461_120_000_001);
        assert_eq!(at.to_string(), "2026-11-23T19:12:00.000001Z");
        assert_eq!(at.to_string().parse::<Timestamp>().unwrap(), at);
        assert!("2026-11-23T19:12:00Z".parse::<Timestamp>().is_err());
        assert!("2026-11-23T20:12:00.000001+01:00".parse::<Timestamp>().is_err());
    }
}
