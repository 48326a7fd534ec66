//! Redaction of an event: every string in its data, with the place as a JSON pointer (RFC 6901).

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{Mark, Redactor};
use crate::event::Redaction;

impl Redactor {
    /// A document without what has to go, and what that was; `None` if nothing has to. `pointer` (RFC 6901) is where the
    /// document stands in its event.
    ///
    /// # Errors
    /// If what is left is no such document any more: then it must not be written.
    pub fn redact_document<T: Serialize + DeserializeOwned>(
        &self,
        document: &T,
        pointer: &str,
    ) -> Result<Option<(T, Vec<Redaction>)>, serde_json::Error> {
        let mut value = serde_json::to_value(document)?;
        let found = self.redact_value(&mut value, pointer);
        if found.is_empty() { Ok(None) } else { Ok(Some((serde_json::from_value(value)?, found))) }
    }

    /// Redacts every string of a value in place. Names of members are of the format and stay.
    pub(crate) fn redact_value(&self, value: &mut Value, pointer: &str) -> Vec<Redaction> {
        let mut placed = Vec::new();
        self.walk(value, pointer, &mut placed);
        placed
    }

    fn walk(&self, value: &mut Value, pointer: &str, placed: &mut Vec<Redaction>) {
        match value {
            Value::String(text) => {
                let Some((clean, marks)) = self.redact(text) else { return };
                *text = clean;
                place(marks, pointer, placed);
            }
            Value::Array(values) => {
                let Some(texts) = texts(values) else {
                    for (index, value) in values.iter_mut().enumerate() {
                        self.walk(value, &format!("{pointer}/{index}"), placed);
                    }
                    return;
                };
                let redacted = self.redact_list(&texts);
                for (index, (value, redacted)) in values.iter_mut().zip(redacted).enumerate() {
                    let Some((clean, marks)) = redacted else { continue };
                    *value = Value::String(clean);
                    place(marks, &format!("{pointer}/{index}"), placed);
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

/// The values of a list that has nothing but texts, as that of a command's arguments.
fn texts(values: &[Value]) -> Option<Vec<String>> {
    values.iter().map(|value| value.as_str().map(str::to_owned)).collect()
}

fn place(marks: Vec<Mark>, pointer: &str, placed: &mut Vec<Redaction>) {
    placed.extend(marks.into_iter().map(|mark| Redaction {
        blob: None,
        digest: mark.digest,
        kind: mark.kind,
        length: None,
        offset: None,
        pointer: Some(pointer.to_owned()),
    }));
}
