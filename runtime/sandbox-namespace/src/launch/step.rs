//! What failed while a sandbox was made, and at which step: it travels to the driver as text.

use std::fmt::Display;

/// A step that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    /// What was being done.
    pub(crate) step: String,
    /// Why it failed, the whole chain.
    pub(crate) reason: String,
}

/// For the results of system calls: what was being done.
pub(crate) trait During<T> {
    /// Names the step that an error belongs to.
    fn during(self, step: impl FnOnce() -> String) -> Result<T, Failure>;
}

impl<T, E: Display> During<T> for Result<T, E> {
    fn during(self, step: impl FnOnce() -> String) -> Result<T, Failure> {
        self.map_err(|error| Failure { step: step(), reason: error.to_string() })
    }
}
