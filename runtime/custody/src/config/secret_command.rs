//! Secrets that a program prints: it runs without input, for a limited time.

use std::time::Duration;

use super::secret::{Reason, SECRET_BYTES};
use crate::program::{Program, RunError};

/// What the program prints, if it ends within `limit`. What it says on standard error is for whoever runs this.
pub(super) fn output(words: &[String], limit: Duration) -> Result<Vec<u8>, Reason> {
    let ran = Program { words, limit, most: SECRET_BYTES, input: None }.run();
    let ran = ran.map_err(|error| match error {
        RunError::Run(error) => Reason::Program(error),
        RunError::Late(limit) => Reason::Late(limit),
    })?;
    // One that prints too much is cut off, and may have failed because of that.
    if ran.status.success() || ran.output.len() > SECRET_BYTES {
        Ok(ran.output.to_vec())
    } else {
        Err(Reason::Failed(ran.status))
    }
}
