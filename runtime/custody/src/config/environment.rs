//! The environment of the process as a value, and the settings in it: `CUSTODY_<SECTION>__<FIELD>`.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};

/// What all names begin with.
const PREFIX: &str = "CUSTODY_";
/// What stands between section and field.
const BETWEEN: &str = "__";

/// The variables of a process. It has no text form: there are secrets in it.
#[derive(Clone, Default)]
pub struct Environment(BTreeMap<OsString, OsString>);

impl FromIterator<(OsString, OsString)> for Environment {
    fn from_iter<T: IntoIterator<Item = (OsString, OsString)>>(variables: T) -> Self {
        Self(variables.into_iter().collect())
    }
}

/// A variable that is meant as a setting.
pub(super) enum Variable<'a> {
    /// Its name is that of a field.
    Known { name: String, section: &'static str, field: &'static str, value: &'a OsStr },
    /// Its name is that of none.
    Unknown { name: String },
}

/// The variable that sets a field.
pub fn variable_of(section: &str, field: &str) -> String {
    format!("{PREFIX}{}{BETWEEN}{}", section.to_uppercase(), field.to_uppercase())
}

impl Environment {
    /// The value of a variable.
    pub fn get(&self, name: &str) -> Option<&OsStr> {
        self.0.get(OsStr::new(name)).map(OsString::as_os_str)
    }

    /// The variables that are meant as settings: those with a section, and those that only lack an underscore.
    pub(super) fn settings(
        &self,
        fields: &[(&'static str, &'static str)],
    ) -> impl Iterator<Item = Variable<'_>> {
        self.0.iter().filter_map(move |(name, value)| {
            let name = name.to_str().filter(|name| name.starts_with(PREFIX))?.to_owned();
            let known = fields.iter().find(|(section, field)| variable_of(section, field) == name);
            if let Some((section, field)) = known {
                return Some(Variable::Known { name, section, field, value });
            }
            let single =
                |(section, field): &(&str, &str)| variable_of(section, field).replace(BETWEEN, "_");
            let meant = name.contains(BETWEEN) || fields.iter().any(|field| single(field) == name);
            meant.then_some(Variable::Unknown { name })
        })
    }
}
