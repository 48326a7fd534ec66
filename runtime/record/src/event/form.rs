//! The canonical form, directly: how values are written, and read again by the one spelling that they have.
//!
//! The members of a canonical object stand in one order and every value has one spelling, so a reader knows what must
//! come next and refuses everything else: reading is the check that the bytes are canonical, without writing them
//! again. Each [`Form`] holds this: `read` takes what `write` appends, and no other bytes. The tests compare both
//! directions with serde on valid, changed and arbitrary bytes.

use std::borrow::Cow;
use std::fmt::Write as _;

use custody_model::id::ID_TEXT_BYTES;
use custody_model::{
    Digest, EventId, GitOid, ImageId, SessionId, Timestamp, UserName, WorkspacePath,
};

use super::SealedName;
use crate::canonical::{CanonicalError, MAX_INTEGER};

/// A value with one spelling.
pub(super) trait Form: Sized {
    /// Appends it.
    fn write(&self, out: &mut Vec<u8>) -> Result<(), CanonicalError>;

    /// Reads it; `None` if something else stands there.
    fn read(input: &mut Cursor<'_>) -> Option<Self>;
}

/// Text that is read from its beginning.
#[derive(Debug)]
pub(super) struct Cursor<'a> {
    rest: &'a str,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { rest: text }
    }

    pub(super) fn is_at_end(&self) -> bool {
        self.rest.is_empty()
    }

    /// Whether `token` stands here, which is then passed over.
    pub(super) fn take(&mut self, token: &str) -> bool {
        match self.rest.strip_prefix(token) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    pub(super) fn expect(&mut self, token: &str) -> Option<()> {
        self.take(token).then_some(())
    }

    /// A string of `N` bytes that can't hold anything to escape.
    fn fixed<const N: usize>(&mut self) -> Option<&'a [u8; N]> {
        let bytes = self.rest.as_bytes();
        let text = bytes.get(1..)?.first_chunk()?;
        if bytes[0] != b'"' || bytes.get(N + 1) != Some(&b'"') {
            return None;
        }
        self.rest = self.rest.get(N + 2..)?;
        Some(text)
    }

    /// A string in the spelling of RFC 8785, section 3.2.2.2.
    pub(super) fn string(&mut self) -> Option<Cow<'a, str>> {
        let text = self.rest.strip_prefix('"')?;
        let end = plain_end(text)?;
        if text.as_bytes()[end] == b'"' {
            self.rest = &text[end + 1..];
            return Some(Cow::Borrowed(&text[..end]));
        }
        let mut value = String::with_capacity(text.len().min(256));
        let mut text = text;
        loop {
            let end = plain_end(text)?;
            value.push_str(&text[..end]);
            let rest = &text[end..];
            if let Some(rest) = rest.strip_prefix('"') {
                self.rest = rest;
                return Some(Cow::Owned(value));
            }
            let (character, length) = escaped(rest.as_bytes())?;
            value.push(char::from(character));
            text = &rest[length..];
        }
    }

    /// An integer without sign, leading zero, fraction and exponent, at most [`MAX_INTEGER`].
    fn integer(&mut self) -> Option<u64> {
        let bytes = self.rest.as_bytes();
        let mut value = 0_u64;
        let mut length = 0;
        while let Some(digit) = bytes.get(length).filter(|b| b.is_ascii_digit()) {
            value = value.checked_mul(10)?.checked_add(u64::from(digit - b'0'))?;
            length += 1;
        }
        if length == 0 || (length > 1 && bytes[0] == b'0') || value > MAX_INTEGER {
            return None;
        }
        self.rest = &self.rest[length..];
        Some(value)
    }
}

/// Whether a byte ends a stretch of a string that is written as it is.
const SPECIAL: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 0x20 {
        table[byte] = true;
        byte += 1;
    }
    table[b'"' as usize] = true;
    table[b'\\' as usize] = true;
    table
};

fn plain_end(text: &str) -> Option<usize> {
    text.bytes().position(|b| SPECIAL[usize::from(b)])
}

/// The letter of a short escape.
const fn short_escape(byte: u8) -> Option<u8> {
    match byte {
        b'"' | b'\\' => Some(byte),
        0x08 => Some(b'b'),
        0x09 => Some(b't'),
        0x0a => Some(b'n'),
        0x0c => Some(b'f'),
        0x0d => Some(b'r'),
        _ => None,
    }
}

const HEX: &[u8; 16] = b"0123456789abcdef";

/// The character that an escape means, if it is written in the one way for it, and the escape's length.
fn escaped(text: &[u8]) -> Option<(u8, usize)> {
    let [b'\\', letter, rest @ ..] = text else { return None };
    if *letter != b'u' {
        let short = [b'"', b'\\', 0x08, 0x09, 0x0a, 0x0c, 0x0d];
        return short.into_iter().find(|b| short_escape(*b) == Some(*letter)).map(|b| (b, 2));
    }
    let [b'0', b'0', high @ (b'0' | b'1'), low, ..] = rest else { return None };
    let low = HEX.iter().position(|digit| digit == low)?;
    let byte = (high - b'0') << 4 | u8::try_from(low).ok()?;
    short_escape(byte).is_none().then_some((byte, 6))
}

/// How many bytes a byte of a string takes in canonical form.
pub(super) const fn canonical_width(byte: u8) -> usize {
    match (SPECIAL[byte as usize], short_escape(byte)) {
        (false, _) => 1,
        (true, Some(_)) => 2,
        (true, None) => 6,
    }
}

pub(super) fn write_string(out: &mut Vec<u8>, mut text: &str) {
    out.push(b'"');
    while let Some(end) = plain_end(text) {
        let byte = text.as_bytes()[end];
        out.extend_from_slice(&text.as_bytes()[..end]);
        match short_escape(byte) {
            Some(letter) => out.extend_from_slice(&[b'\\', letter]),
            None => {
                let (high, low) = (HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]);
                out.extend_from_slice(&[b'\\', b'u', b'0', b'0', high, low]);
            }
        }
        text = &text[end + 1..];
    }
    out.extend_from_slice(text.as_bytes());
    out.push(b'"');
}

/// Appends text that holds nothing to escape.
fn write_plain(out: &mut Vec<u8>, text: &[u8]) {
    out.push(b'"');
    out.extend_from_slice(text);
    out.push(b'"');
}

pub(super) fn write_integer(out: &mut Vec<u8>, mut value: u64) -> Result<(), CanonicalError> {
    if value > MAX_INTEGER {
        return Err(CanonicalError::refused("an integer is beyond 2^53 - 1"));
    }
    let mut text = [b'0'; 16];
    let mut at = text.len();
    loop {
        at -= 1;
        text[at] += u8::try_from(value % 10).unwrap_or(0);
        value /= 10;
        if value == 0 {
            out.extend_from_slice(&text[at..]);
            return Ok(());
        }
    }
}

macro_rules! integers {
    ($($type:ty),*) => {$(
        impl Form for $type {
            fn write(&self, out: &mut Vec<u8>) -> Result<(), CanonicalError> {
                write_integer(out, u64::from(*self))
            }

            fn read(input: &mut Cursor<'_>) -> Option<Self> {
                input.integer()?.try_into().ok()
            }
        }
    )*};
}

integers!(u8, u16, u32, u64);

impl Form for ImageId {
    fn write(&self, out: &mut Vec<u8>) -> Result<(), CanonicalError> {
        self.0.write(out)
    }

    fn read(input: &mut Cursor<'_>) -> Option<Self> {
        u64::read(input).map(Self)
    }
}

impl Form for bool {
    fn write(&self, out: &mut Vec<u8>) -> Result<(), CanonicalError> {
        out.extend_from_slice(if *self { b"true" } else { b"false" });
        Ok(())
    }

    fn read(input: &mut Cursor<'_>) -> Option<Self> {
        if input.take("true") { Some(true) } else { input.expect("false").map(|()| false) }
    }
}

impl Form for String {
    fn write(&self, out: &mut Vec<u8>) -> Result<(), CanonicalError> {
        write_string(out, self);
        Ok(())
    }

    fn read(input: &mut Cursor<'_>) -> Option<Self> {
        input.string().map(Cow::into_owned)
    }
}

macro_rules! fixed_text {
    ($($type:ty, $bytes:expr;)*) => {$(
        impl Form for $type {
            fn write(&self, out: &mut Vec<u8>) -> Result<(), CanonicalError> {
                write_plain(out, &self.text());
                Ok(())
            }

            fn read(input: &mut Cursor<'_>) -> Option<Self> {
                Self::from_text(input.fixed::<{ $bytes }>()?)
            }
        }
    )*};
}

fixed_text! {
    EventId, ID_TEXT_BYTES;
    SessionId, ID_TEXT_BYTES;
    Digest, Digest::TEXT_BYTES;
}

impl Form for Timestamp {
    fn write(&self, out: &mut Vec<u8>) -> Result<(), CanonicalError> {
        if let Some(text) = self.plain_text() {
            write_plain(out, &text);
            return Ok(());
        }
        let mut text = String::new();
        write!(text, "{self}")
            .map_err(|_| CanonicalError::refused("a time is beyond the calendar"))?;
        write_plain(out, text.as_bytes());
        Ok(())
    }

    fn read(input: &mut Cursor<'_>) -> Option<Self> {
        input.string()?.parse().ok()
    }
}

impl Form for GitOid {
    fn write(&self, out: &mut Vec<u8>) -> Result<(), CanonicalError> {
        write_plain(out, self.as_str().as_bytes());
        Ok(())
    }

    fn read(input: &mut Cursor<'_>) -> Option<Self> {
        input.string()?.parse().ok()
    }
}

impl Form for WorkspacePath {
    fn write(&self, out: &mut Vec<u8>) -> Result<(), CanonicalError> {
        write_string(out, &self.to_text());
        Ok(())
    }

    fn read(input: &mut Cursor<'_>) -> Option<Self> {
        input.string()?.parse().ok()
    }
}

impl Form for UserName {
    fn write(&self, out: &mut Vec<u8>) -> Result<(), CanonicalError> {
        write_string(out, self.as_str());
        Ok(())
    }

    fn read(input: &mut Cursor<'_>) -> Option<Self> {
        input.string()?.parse().ok()
    }
}

impl Form for SealedName {
    fn write(&self, out: &mut Vec<u8>) -> Result<(), CanonicalError> {
        write_plain(out, self.as_str().as_bytes());
        Ok(())
    }

    fn read(input: &mut Cursor<'_>) -> Option<Self> {
        input.string()?.parse().ok()
    }
}
