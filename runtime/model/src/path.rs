//! Paths inside a workspace, whatever bytes they are made of.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Longest path, in bytes (Linux `PATH_MAX`).
pub const MAX_PATH_BYTES: usize = 4096;

/// A path below the root of a workspace: relative, without `.`, `..`, empty components or NUL.
///
/// The root itself is the empty path. Linux allows any bytes in a name; the text form is UTF-8, in which a
/// byte that is not part of valid UTF-8, a control character and `%` itself are written `%XX`, so that every
/// path has one text and every text at most one path.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct WorkspacePath(Vec<u8>);

/// Why bytes or a text are not a workspace path.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{text:?} is not a path inside the workspace: {reason}")]
pub struct InvalidPath {
    text: String,
    reason: &'static str,
}

impl WorkspacePath {
    /// The root of the workspace.
    #[must_use]
    pub const fn root() -> Self {
        Self(Vec::new())
    }

    /// From raw bytes.
    ///
    /// # Errors
    /// Absolute, longer than [`MAX_PATH_BYTES`], or with `.`, `..`, an empty component or NUL.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, InvalidPath> {
        let invalid =
            |reason| InvalidPath { text: String::from_utf8_lossy(bytes).into_owned(), reason };
        if bytes.is_empty() {
            return Ok(Self::root());
        }
        if bytes.len() > MAX_PATH_BYTES {
            return Err(invalid("it is longer than 4096 bytes"));
        }
        if bytes.contains(&0) {
            return Err(invalid("it contains a NUL byte"));
        }
        for component in bytes.split(|b| *b == b'/') {
            match component {
                b"" => return Err(invalid("it is absolute or has an empty component")),
                b"." | b".." => return Err(invalid("it has a component . or ..")),
                _ => {}
            }
        }
        Ok(Self(bytes.to_vec()))
    }

    /// The raw bytes, without a leading slash.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The text form; borrowed if it is the path's own bytes.
    #[must_use]
    pub fn to_text(&self) -> Cow<'_, str> {
        match std::str::from_utf8(&self.0) {
            Ok(text) if is_plain(&self.0) => Cow::Borrowed(text),
            _ => Cow::Owned(self.to_string()),
        }
    }

    /// As a relative file system path.
    #[must_use]
    pub fn as_path(&self) -> &Path {
        Path::new(OsStr::from_bytes(&self.0))
    }

    /// Whether this is the root.
    #[must_use]
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// This path with one more component.
    ///
    /// # Errors
    /// If the name is not a component, or the result is too long.
    pub fn join(&self, name: &[u8]) -> Result<Self, InvalidPath> {
        if name.is_empty() || name.contains(&b'/') {
            return Err(InvalidPath {
                text: String::from_utf8_lossy(name).into_owned(),
                reason: "one name is wanted",
            });
        }
        let mut bytes = Vec::with_capacity(self.0.len() + 1 + name.len());
        if !self.is_root() {
            bytes.extend_from_slice(&self.0);
            bytes.push(b'/');
        }
        bytes.extend_from_slice(name);
        Self::from_bytes(&bytes)
    }

    /// The directory that holds it; `None` for the root.
    #[must_use]
    pub fn parent(&self) -> Option<Self> {
        if self.is_root() {
            return None;
        }
        let end = self.0.iter().rposition(|b| *b == b'/').unwrap_or(0);
        Some(Self(self.0[..end].to_vec()))
    }

    /// Whether it is `ancestor` or lies below it.
    #[must_use]
    pub fn starts_with(&self, ancestor: &Self) -> bool {
        ancestor.is_root()
            || (self.0.starts_with(&ancestor.0)
                && matches!(self.0.get(ancestor.0.len()), None | Some(b'/')))
    }
}

/// Whether bytes are their own text: printable ASCII without `%`.
fn is_plain(bytes: &[u8]) -> bool {
    bytes.iter().all(|b| matches!(b, b' '..=b'~') && *b != b'%')
}

impl fmt::Display for WorkspacePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            for c in chunk.valid().chars() {
                if c == '%' || c.is_control() {
                    let mut buffer = [0; 4];
                    for b in c.encode_utf8(&mut buffer).bytes() {
                        write!(f, "%{b:02X}")?;
                    }
                } else {
                    fmt::Write::write_char(f, c)?;
                }
            }
            for b in chunk.invalid() {
                write!(f, "%{b:02X}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for WorkspacePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.to_string())
    }
}

impl FromStr for WorkspacePath {
    type Err = InvalidPath;

    fn from_str(text: &str) -> Result<Self, InvalidPath> {
        if is_plain(text.as_bytes()) {
            return Self::from_bytes(text.as_bytes());
        }
        let invalid = |reason| InvalidPath { text: text.to_owned(), reason };
        let mut bytes = Vec::with_capacity(text.len());
        let mut rest = text.bytes();
        while let Some(b) = rest.next() {
            if b == b'%' {
                let pair = [rest.next().unwrap_or(b'?'), rest.next().unwrap_or(b'?')];
                let mut byte = [0];
                hex::decode_to_slice(pair, &mut byte)
                    .map_err(|_| invalid("% without two hex digits"))?;
                bytes.push(byte[0]);
            } else {
                bytes.push(b);
            }
        }
        let path = Self::from_bytes(&bytes)?;
        if path.to_string() == text {
            Ok(path)
        } else {
            Err(invalid("it is not in its one text form"))
        }
    }
}

impl Serialize for WorkspacePath {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for WorkspacePath {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl schemars::JsonSchema for WorkspacePath {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "WorkspacePath".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string" })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_path_survives_its_text_form(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            if let Ok(path) = WorkspacePath::from_bytes(&bytes) {
                prop_assert_eq!(path.to_text(), path.to_string());
                prop_assert_eq!(path.to_string().parse(), Ok(path));
            }
        }

        #[test]
        fn no_text_makes_the_parser_panic(text in ".{0,40}") {
            if let Ok(path) = text.parse::<WorkspacePath>() {
                prop_assert_eq!(path.to_string(), text);
            }
        }
    }

    #[test]
    fn what_leaves_the_workspace_is_refused() {
        for text in ["/etc", "a/../b", "..", "a//b", "a/", "."] {
            assert!(text.parse::<WorkspacePath>().is_err(), "{text}");
        }
        let path: WorkspacePath = "src/a".parse().unwrap();
        assert!(path.starts_with(&"src".parse().unwrap()));
        assert!(!path.starts_with(&"sr".parse().unwrap()));
        assert_eq!(path.parent().unwrap().to_string(), "src");
    }
}
