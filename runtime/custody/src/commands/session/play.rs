//! `custody session play`: a terminal recording, at its own speed or faster.

use std::thread;
use std::time::Duration;

use custody_keeper::asciicast::read::{Moment, What, read};
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
    let unreadable = "the recording is not asciicast v3";
    let (_, events) = read(&text).explain(ErrorCode::VerificationFailed, unreadable)?;
    let idle = Duration::try_from_secs_f64(idle).unwrap_or(Duration::MAX);
    for event in events {
        let Moment { interval, what } = event.explain(ErrorCode::VerificationFailed, unreadable)?;
        let wait = interval.min(idle).as_secs_f64() / speed;
        if wait > 0.0 {
            #[expect(clippy::disallowed_methods, reason = "the pause is what is played")]
            thread::sleep(Duration::try_from_secs_f64(wait).unwrap_or_default());
        }
        match what {
            What::Output(text) => output::raw(text.as_bytes())?,
            What::Input(_) | What::Resize(_) | What::Marker(_) | What::Exit(_) | What::Other(_) => {
            }
        }
    }
    Ok(())
}
