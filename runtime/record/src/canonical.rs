//! Canonical JSON (RFC 8785) of values that we define ourselves.
//!
//! Why not `serde_json_canonicalizer`: it parses every key again and allocates for every member, which is several
//! times the whole budget of an event. This one writes members in the order in which serde gives them and permutes
//! them only where they were not sorted. The tests compare it with that crate, and with the RFC's own vectors.
//!
//! Narrower than the RFC on purpose: no floating point, and no integer beyond ±(2^53 − 1), because RFC 8785
//! defines numbers as IEEE 754 doubles and our formats need none.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::ser::{CharEscape, Formatter, Serializer};

/// Largest integer that every JSON reader keeps exactly (RFC 8785, section 3.2.2.3; RFC 7493, section 2.2).
pub const MAX_INTEGER: u64 = (1 << 53) - 1;

/// Why a value has no canonical form here: a float, an integer beyond [`MAX_INTEGER`], a map key twice, or a
/// `Serialize` that failed.
#[derive(Debug, thiserror::Error)]
#[error("no canonical JSON for this value")]
pub struct CanonicalError(#[from] serde_json::Error);

impl CanonicalError {
    pub(crate) fn refused(reason: &'static str) -> Self {
        Self(serde::ser::Error::custom(reason))
    }
}

/// The canonical bytes of a value.
///
/// # Errors
/// [`CanonicalError`].
pub fn to_vec<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, CanonicalError> {
    let mut out = Vec::with_capacity(512);
    append(&mut out, value)?;
    Ok(out)
}

/// Appends the canonical bytes of a value to `out`; what was appended before an error is undefined.
///
/// # Errors
/// [`CanonicalError`].
pub fn append<T: Serialize + ?Sized>(out: &mut Vec<u8>, value: &T) -> Result<(), CanonicalError> {
    let formatter =
        Canonical { out, objects: Vec::new(), members: Vec::new(), scratch: Vec::new() };
    let mut serializer = Serializer::with_formatter(io::sink(), formatter);
    value.serialize(&mut serializer)?;
    Ok(())
}

/// Where a member's text stands in the output: `"key":value`.
#[derive(Clone, Copy)]
struct Member {
    start: usize,
    key_end: usize,
    end: usize,
}

/// Writes to `out` and not to the serializer's writer, because an object's members may have to move.
struct Canonical<'a> {
    out: &'a mut Vec<u8>,
    /// Per open object: its first entry in `members`.
    objects: Vec<usize>,
    members: Vec<Member>,
    scratch: Vec<u8>,
}

/// Order of two keys in their JSON text, quotes included: by UTF-16 code units of what they mean.
fn key_order(a: &[u8], b: &[u8]) -> io::Result<std::cmp::Ordering> {
    let plain = |key: &[u8]| key.iter().all(|c| c.is_ascii() && *c != b'\\');
    if plain(a) && plain(b) {
        // Without the quotes: `"` sorts above some characters that a longer key may go on with.
        return Ok(a[1..a.len() - 1].cmp(&b[1..b.len() - 1]));
    }
    let units = |key: &[u8]| -> io::Result<Vec<u16>> {
        let text: String = serde_json::from_slice(key)?;
        Ok(text.encode_utf16().collect())
    };
    Ok(units(a)?.cmp(&units(b)?))
}

impl Canonical<'_> {
    fn integer(&mut self, negative: bool, magnitude: u128) -> io::Result<()> {
        if magnitude > u128::from(MAX_INTEGER) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "an integer is beyond 2^53 - 1",
            ));
        }
        write!(self.out, "{}{magnitude}", if negative { "-" } else { "" })
    }

    fn close_object(&mut self, first: usize) -> io::Result<()> {
        let members = &self.members[first..];
        let mut sorted = true;
        for pair in members.windows(2) {
            let key = |m: &Member| &self.out[m.start..m.key_end];
            if key_order(key(&pair[0]), key(&pair[1]))?.is_ge() {
                sorted = false;
                break;
            }
        }
        if !sorted {
            self.sort(first)?;
        }
        self.members.truncate(first);
        self.out.push(b'}');
        Ok(())
    }

    fn sort(&mut self, first: usize) -> io::Result<()> {
        let Some(start) = self.members.get(first).map(|m| m.start) else {
            return Ok(());
        };
        let mut failed = None;
        let out = &*self.out;
        self.members[first..].sort_by(|a, b| {
            key_order(&out[a.start..a.key_end], &out[b.start..b.key_end]).unwrap_or_else(|e| {
                failed = Some(e);
                std::cmp::Ordering::Equal
            })
        });
        if let Some(error) = failed {
            return Err(error);
        }
        self.scratch.clear();
        for (i, member) in self.members[first..].iter().enumerate() {
            if i > 0 {
                let before = self.members[first + i - 1];
                if out[before.start..before.key_end] == out[member.start..member.key_end] {
                    return Err(io::Error::new(
                        io::ErrorKind::InvalidInput,
                        "an object has a key twice",
                    ));
                }
                self.scratch.push(b',');
            }
            self.scratch.extend_from_slice(&out[member.start..member.end]);
        }
        self.out.truncate(start);
        self.out.extend_from_slice(&self.scratch);
        Ok(())
    }
}

macro_rules! unsigned {
    ($($name:ident: $type:ty),*) => {$(
        fn $name<W: ?Sized + Write>(&mut self, _: &mut W, value: $type) -> io::Result<()> {
            self.integer(false, u128::from(value))
        }
    )*};
}

macro_rules! signed {
    ($($name:ident: $type:ty),*) => {$(
        fn $name<W: ?Sized + Write>(&mut self, _: &mut W, value: $type) -> io::Result<()> {
            self.integer(value < 0, u128::from(value.unsigned_abs()))
        }
    )*};
}

fn no_float<T>() -> io::Result<T> {
    Err(io::Error::new(io::ErrorKind::InvalidInput, "floating point has no place in a record"))
}

impl Formatter for Canonical<'_> {
    unsigned!(write_u8: u8, write_u16: u16, write_u32: u32, write_u64: u64, write_u128: u128);
    signed!(write_i8: i8, write_i16: i16, write_i32: i32, write_i64: i64, write_i128: i128);

    fn write_null<W: ?Sized + Write>(&mut self, _: &mut W) -> io::Result<()> {
        self.out.extend_from_slice(b"null");
        Ok(())
    }

    fn write_bool<W: ?Sized + Write>(&mut self, _: &mut W, value: bool) -> io::Result<()> {
        self.out.extend_from_slice(if value { b"true" } else { b"false" });
        Ok(())
    }

    fn write_f32<W: ?Sized + Write>(&mut self, _: &mut W, _: f32) -> io::Result<()> {
        no_float()
    }

    fn write_f64<W: ?Sized + Write>(&mut self, _: &mut W, _: f64) -> io::Result<()> {
        no_float()
    }

    fn write_number_str<W: ?Sized + Write>(&mut self, _: &mut W, value: &str) -> io::Result<()> {
        match value.parse::<i64>() {
            Ok(number) => self.integer(number < 0, u128::from(number.unsigned_abs())),
            Err(_) => no_float(),
        }
    }

    fn begin_string<W: ?Sized + Write>(&mut self, _: &mut W) -> io::Result<()> {
        self.out.push(b'"');
        Ok(())
    }

    fn end_string<W: ?Sized + Write>(&mut self, _: &mut W) -> io::Result<()> {
        self.out.push(b'"');
        Ok(())
    }

    fn write_string_fragment<W: ?Sized + Write>(
        &mut self,
        _: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        self.out.extend_from_slice(fragment.as_bytes());
        Ok(())
    }

    fn write_char_escape<W: ?Sized + Write>(
        &mut self,
        _: &mut W,
        escape: CharEscape,
    ) -> io::Result<()> {
        let short = match escape {
            CharEscape::Quote => b"\\\"".as_slice(),
            CharEscape::ReverseSolidus => b"\\\\",
            CharEscape::Solidus => b"/",
            CharEscape::Backspace => b"\\b",
            CharEscape::FormFeed => b"\\f",
            CharEscape::LineFeed => b"\\n",
            CharEscape::CarriageReturn => b"\\r",
            CharEscape::Tab => b"\\t",
            CharEscape::AsciiControl(byte) => return write!(self.out, "\\u{byte:04x}"),
        };
        self.out.extend_from_slice(short);
        Ok(())
    }

    fn begin_array<W: ?Sized + Write>(&mut self, _: &mut W) -> io::Result<()> {
        self.out.push(b'[');
        Ok(())
    }

    fn end_array<W: ?Sized + Write>(&mut self, _: &mut W) -> io::Result<()> {
        self.out.push(b']');
        Ok(())
    }

    fn begin_array_value<W: ?Sized + Write>(&mut self, _: &mut W, first: bool) -> io::Result<()> {
        if !first {
            self.out.push(b',');
        }
        Ok(())
    }

    fn begin_object<W: ?Sized + Write>(&mut self, _: &mut W) -> io::Result<()> {
        self.out.push(b'{');
        self.objects.push(self.members.len());
        Ok(())
    }

    fn end_object<W: ?Sized + Write>(&mut self, _: &mut W) -> io::Result<()> {
        let first = self
            .objects
            .pop()
            .ok_or_else(|| io::Error::other("an object ends that never began"))?;
        self.close_object(first)
    }

    fn begin_object_key<W: ?Sized + Write>(&mut self, _: &mut W, first: bool) -> io::Result<()> {
        if !first {
            self.out.push(b',');
        }
        let start = self.out.len();
        self.members.push(Member { start, key_end: start, end: start });
        Ok(())
    }

    fn end_object_key<W: ?Sized + Write>(&mut self, _: &mut W) -> io::Result<()> {
        if let Some(member) = self.members.last_mut() {
            member.key_end = self.out.len();
        }
        Ok(())
    }

    fn begin_object_value<W: ?Sized + Write>(&mut self, _: &mut W) -> io::Result<()> {
        self.out.push(b':');
        Ok(())
    }

    fn end_object_value<W: ?Sized + Write>(&mut self, _: &mut W) -> io::Result<()> {
        if let Some(member) = self.members.last_mut() {
            member.end = self.out.len();
        }
        Ok(())
    }

    fn write_raw_fragment<W: ?Sized + Write>(&mut self, _: &mut W, _: &str) -> io::Result<()> {
        Err(io::Error::new(io::ErrorKind::InvalidInput, "raw JSON has no canonical form"))
    }
}
