//! Redaction of an event: every string in its data, with the place as a JSON pointer (RFC 6901).

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{Mark, Redactor};

/// What was taken out of which string.
pub(crate) struct Placed {
    pub(crate) pointer: String,
    pub(crate) mark: Mark,
}

impl Redactor {
    /// A document without what has to go, and how many places that were; `None` if nothing has to.
    ///
    /// # Errors
    /// If what is left is no such document any more: then it must not be written.
    pub fn redact_document<T: Serialize + DeserializeOwned>(
        &self,
        document: &T,
    ) -> Result<Option<(T, usize)>, serde_json::Error> {
        let mut value = serde_json::to_value(document)?;
        let places = self.redact_value(&mut value, "").len();
        if places == 0 { Ok(None) } else { Ok(Some((serde_json::from_value(value)?, places))) }
    }

    /// Redacts every string of a value in place. Names of members are of the format and stay.
    pub(crate) fn redact_value(&self, value: &mut Value, pointer: &str) -> Vec<Placed> {
        let mut placed = Vec::new();
        self.walk(value, pointer, &mut placed);
        placed
    }

    fn walk(&self, value: &mut Value, pointer: &str, placed: &mut Vec<Placed>) {
        match value {
            Value::String(text) => {
                let Some((clean, marks)) = self.redact(text) else { return };
                *text = clean;
                placed.extend(
                    marks.into_iter().map(|mark| Placed { pointer: pointer.to_owned(), mark }),
                );
            }
            Value::Array(values) => {
                for (index, value) in values.iter_mut().enumerate() {
                    self.walk(value, &format!("{pointer}/{index}"), placed);
                }
            }
            Value::Object(members) => {
                for (name, value) in members.iter_mut() {
                    let name = name.replace('~', "~0").replace('/', "~1");
                    self.walk(value, &format!("{pointer}/{name}"), placed);
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
}
