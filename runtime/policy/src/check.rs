//! What a document has to be beyond its types.

use crate::document::{Document, LimitSet, MAX_APPROVALS, MAX_TEXT_BYTES, Required};
use crate::environment::{is_variable_name, looks_like_credential};
use crate::error::PolicyError;
use crate::location::{Places, child};
use crate::privacy::MAX_PATTERNS;

pub(crate) fn document(document: &Document, places: &Places) -> Result<(), PolicyError> {
    let check = Check { document, places };
    check.names()?;
    check.approval()?;
    check.limits()?;
    check.environment()?;
    check.redaction()?;
    check.retention()
}

fn is_name(text: &str) -> bool {
    let allowed =
        |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_' | b'.');
    (1..=64).contains(&text.len()) && text.bytes().all(allowed)
}

struct Check<'a> {
    document: &'a Document,
    places: &'a Places,
}

impl Check<'_> {
    fn refuse(&self, pointer: &str, reason: impl Into<String>) -> Result<(), PolicyError> {
        Err(PolicyError::at(self.places.of(pointer), pointer.to_owned(), reason.into()))
    }

    fn names(&self) -> Result<(), PolicyError> {
        let name = &self.document.name;
        if !is_name(name) {
            return self.refuse(
                "/name",
                format!(
                    "{name:?} is not a policy's name: 1 to 64 of a-z, 0-9, -, _ and . are wanted"
                ),
            );
        }
        if self.document.description.len() > MAX_TEXT_BYTES {
            return self
                .refuse("/description", format!("it is longer than {MAX_TEXT_BYTES} bytes"));
        }
        Ok(())
    }

    fn approval(&self) -> Result<(), PolicyError> {
        let approval = &self.document.approval;
        match approval.required {
            Required::When if approval.when.is_empty() => {
                return self.refuse("/approval", "`required: when` needs conditions in `when`");
            }
            Required::Never | Required::Always if !approval.when.is_empty() => {
                return self.refuse("/approval/when", "conditions need `required: when`");
            }
            Required::Always | Required::When if approval.by.is_empty() => {
                return self.refuse("/approval", "`by` has to say who may approve");
            }
            Required::Never | Required::Always | Required::When => {}
        }
        match approval.count {
            Some(count) if !(1..=MAX_APPROVALS).contains(&count) => self.refuse(
                "/approval/count",
                format!("{count} is not a number of approvals from 1 to {MAX_APPROVALS}"),
            ),
            Some(_) | None => Ok(()),
        }
    }

    fn limits(&self) -> Result<(), PolicyError> {
        fn above<T: Ord>(default: Option<T>, max: Option<T>) -> bool {
            matches!((default, max), (Some(default), Some(max)) if default > max)
        }
        let (default, max): (&LimitSet, &LimitSet) =
            (&self.document.limits.default, &self.document.limits.max);
        for (name, is_above) in [
            ("cpu", above(default.cpu, max.cpu)),
            ("memory", above(default.memory, max.memory)),
            ("processes", above(default.processes, max.processes)),
            ("disk", above(default.disk, max.disk)),
            ("wall", above(default.wall, max.wall)),
            ("idle", above(default.idle, max.idle)),
        ] {
            if is_above {
                let pointer = format!("/limits/default/{name}");
                return self.refuse(&pointer, format!("it is above /limits/max/{name}"));
            }
        }
        Ok(())
    }

    fn redaction(&self) -> Result<(), PolicyError> {
        let patterns = &self.document.redaction.patterns;
        if patterns.len() > MAX_PATTERNS {
            let reason = format!("there are more than {MAX_PATTERNS} patterns");
            return self.refuse("/redaction/patterns", reason);
        }
        for (at, pattern) in patterns.iter().enumerate() {
            if !is_name(&pattern.name) {
                let reason = format!(
                    "{:?} is not a pattern's name: 1 to 64 of a-z, 0-9, -, _ and . are wanted",
                    pattern.name
                );
                return self.refuse(&format!("/redaction/patterns/{at}/name"), reason);
            }
            if let Some(reason) = pattern.fault() {
                return self.refuse(&format!("/redaction/patterns/{at}/pattern"), reason);
            }
        }
        Ok(())
    }

    fn retention(&self) -> Result<(), PolicyError> {
        match self.document.retention.hold_fault() {
            Some(reason) => self.refuse("/retention/hold", reason),
            None => Ok(()),
        }
    }

    fn environment(&self) -> Result<(), PolicyError> {
        const CREDENTIAL: &str = "this is a credential's name; credentials never enter a sandbox: they are used outside it";
        let environment = &self.document.environment;
        for (at, pattern) in environment.enter.iter().enumerate() {
            if pattern.is_literal() && looks_like_credential(pattern.as_str()) {
                return self.refuse(&format!("/environment/enter/{at}"), CREDENTIAL);
            }
        }
        for (name, value) in &environment.set {
            let pointer = child("/environment/set", name);
            if !is_variable_name(name) {
                return self.refuse(&pointer, format!("{name:?} is not a variable's name"));
            }
            if looks_like_credential(name) {
                return self.refuse(&pointer, CREDENTIAL);
            }
            if value.len() > MAX_TEXT_BYTES || value.contains('\0') {
                return self.refuse(
                    &pointer,
                    format!("a value is at most {MAX_TEXT_BYTES} bytes, without NUL"),
                );
            }
        }
        Ok(())
    }
}
