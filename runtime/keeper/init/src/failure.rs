//! What went wrong, in the form in which the keeper is told.

use std::io;

use custody_init::protocol::{Failed, Step};
use nix::errno::Errno;

/// A step that failed.
#[derive(Debug)]
pub(crate) struct Failure(pub(crate) Failed);

impl Failure {
    pub(crate) fn new(step: Step, errno: Option<i32>, message: &str) -> Self {
        Self(Failed { step, errno, message: message.to_owned() })
    }
}

/// Names the step of an error.
pub(crate) trait Try<T> {
    /// `what` was being done.
    fn or_fail(self, step: Step, what: &str) -> Result<T, Failure>;
}

impl<T> Try<T> for nix::Result<T> {
    fn or_fail(self, step: Step, what: &str) -> Result<T, Failure> {
        self.map_err(|errno| {
            Failure::new(step, Some(errno as i32), &format!("{what}: {}", errno.desc()))
        })
    }
}

impl<T> Try<T> for io::Result<T> {
    fn or_fail(self, step: Step, what: &str) -> Result<T, Failure> {
        self.map_err(|error| {
            let reason = error
                .raw_os_error()
                .map_or_else(|| error.to_string(), |n| Errno::from_raw(n).desc().to_owned());
            Failure::new(step, error.raw_os_error(), &format!("{what}: {reason}"))
        })
    }
}
