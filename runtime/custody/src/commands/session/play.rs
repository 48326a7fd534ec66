//! `custody session play`: a terminal recording, at its own speed or faster.

use std::thread;
use std::time::Duration;

use custody_model::ErrorCode;

use crate::failure::{Explain, Failure};
use crate::output;

/// Plays an asciicast v3, or prints the file itself.
pub(super) fn play(recording: &[u8], speed: f64, idle: f64, cast: bool) -> Result<(), Failure> {
    if cast {
        return output::raw(recording);
    }
    if !(speed > 0.0 && idle >= 0.0) {
        return Err(Failure::new(
            ErrorCode::Usage,
            "--speed has to be more than 0, and --idle not less",
        ));
    }
    let text = String::from_utf8_lossy(recording);
    for line in text.lines().skip(1) {
        let (interval, code, data): (f64, String, String) = serde_json::from_str(line)
            .explain(ErrorCode::VerificationFailed, "the recording is not asciicast v3")?;
        let wait = interval.min(idle) / speed;
        if wait > 0.0 {
            #[expect(clippy::disallowed_methods, reason = "the pause is what is played")]
            thread::sleep(Duration::try_from_secs_f64(wait).unwrap_or_default());
        }
        if code == "o" {
            output::raw(data.as_bytes())?;
        }
    }
    Ok(())
}
