//! Why a text is not a policy: line, column, field and reason.

use std::fmt;

use crate::location::Place;

/// Why a text is not a policy.
#[derive(Debug)]
pub struct PolicyError {
    place: Option<Place>,
    field: String,
    reason: String,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl PolicyError {
    /// The line, from 1, where one is to blame.
    #[must_use]
    pub fn line(&self) -> Option<u64> {
        self.place.map(|place| place.line)
    }

    /// The column in characters, from 1.
    #[must_use]
    pub fn column(&self) -> Option<u64> {
        self.place.map(|place| place.column)
    }

    /// The field as a JSON pointer (RFC 6901); empty for the whole document.
    #[must_use]
    pub fn field(&self) -> &str {
        &self.field
    }

    /// What is wrong, in words.
    #[must_use]
    pub fn reason(&self) -> &str {
        &self.reason
    }

    pub(crate) fn at(place: Option<Place>, field: String, reason: String) -> Self {
        Self { place, field, reason, source: None }
    }

    pub(crate) fn whole(
        reason: String,
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self { place: None, field: String::new(), reason, source }
    }

    pub(crate) fn caused_by(
        mut self,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        self.source = Some(source.into());
        self
    }
}

impl fmt::Display for PolicyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = self.place {
            write!(f, "line {}, column {}: ", place.line, place.column)?;
        }
        if !self.field.is_empty() {
            write!(f, "{}: ", self.field)?;
        }
        f.write_str(&self.reason)
    }
}

impl std::error::Error for PolicyError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}
