//! Bounds that the types do not hold, and the problems that are found with them.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::Path;

use custody_policy::quantity::{Seconds, Size};
use custody_policy::yaml::Places;

use super::error::{Origin, Problem};

/// Collects what is wrong. Fields are named as in `server.listen` and `identity.external.0.name`.
pub(super) struct Check<'a> {
    origins: &'a BTreeMap<String, Origin>,
    places: &'a Places,
    problems: Vec<Problem>,
}

impl<'a> Check<'a> {
    pub(super) fn new(origins: &'a BTreeMap<String, Origin>, places: &'a Places) -> Self {
        Self { origins, places, problems: Vec::new() }
    }

    pub(super) fn problems(self) -> Vec<Problem> {
        self.problems
    }

    /// Whether nobody set the field: what follows from another field is that one's problem.
    pub(super) fn is_default(&self, field: &str) -> bool {
        matches!(self.origins.get(field), Some(Origin::Default) | None)
    }

    /// Says what is wrong with a field; the place is where its value comes from.
    pub(super) fn refuse(&mut self, field: &str, reason: impl Into<String>) {
        let top: String = field.splitn(3, '.').take(2).collect::<Vec<_>>().join(".");
        let origin = self.origins.get(&top).cloned().unwrap_or(Origin::Default);
        let problem = match origin {
            Origin::File { .. } => {
                let place = [field, &top].iter().find_map(|field| self.places.of(&pointer(field)));
                Problem::in_file(place, field.to_owned(), reason.into())
            }
            Origin::Default | Origin::Environment { .. } | Origin::Option { .. } => {
                Problem { origin, column: None, field: field.to_owned(), reason: reason.into() }
            }
        };
        self.problems.push(problem);
    }

    pub(super) fn number(&mut self, field: &str, number: u32, bounds: RangeInclusive<u32>) {
        if !bounds.contains(&number) {
            let (least, most) = bounds.into_inner();
            self.refuse(field, format!("{number} is not from {least} to {most}"));
        }
    }

    pub(super) fn duration(&mut self, field: &str, time: Seconds, bounds: RangeInclusive<u64>) {
        if !bounds.contains(&time.0) {
            let (least, most) = (Seconds(*bounds.start()), Seconds(*bounds.end()));
            self.refuse(field, format!("{time} is not from {least} to {most}"));
        }
    }

    pub(super) fn size(&mut self, field: &str, size: Size, bounds: RangeInclusive<u64>) {
        if !bounds.contains(&size.0) {
            let (least, most) = (Size(*bounds.start()), Size(*bounds.end()));
            self.refuse(field, format!("{size} is not from {least} to {most}"));
        }
    }

    pub(super) fn at_most(&mut self, field: &str, length: usize, most: usize) {
        if length > most {
            self.refuse(field, format!("there are {length}: at most {most} are taken"));
        }
    }

    pub(super) fn absolute(&mut self, field: &str, path: &Path) {
        if !path.is_absolute() {
            let reason = "a path from / on is wanted: where the server starts says nothing";
            self.refuse(field, reason);
        }
    }
}

/// The JSON pointer of a field.
pub(super) fn pointer(field: &str) -> String {
    format!("/{}", field.replace('.', "/"))
}

/// The field of a JSON pointer.
pub(super) fn field_of(pointer: &str) -> String {
    pointer.trim_start_matches('/').replace('/', ".")
}
