//! Results on standard output, failures on standard error, in the format that was asked for.

use std::io::{self, Write};

use custody_model::ErrorCode;
use serde::Serialize;
use serde_json::json;

use crate::cli::Format;
use crate::failure::{Explain, Failure};

/// Prints a result: `text` for people, `value` as JSON.
pub fn result(
    format: Format,
    value: &impl Serialize,
    text: impl FnOnce() -> String,
) -> Result<(), Failure> {
    let mut line = match format {
        Format::Text => text(),
        Format::Json => serde_json::to_string_pretty(value)
            .explain(ErrorCode::Internal, "the result has no JSON form")?,
    };
    if !line.ends_with('\n') {
        line.push('\n');
    }
    raw(line.as_bytes())
}

/// Prints bytes as they are. A reader that is gone (`| head`) is no failure.
pub fn raw(bytes: &[u8]) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::of(ErrorCode::Io, "standard output can't be written", error))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Prints why a command failed.
pub fn failure(format: Format, failure: &Failure) {
    match format {
        Format::Text => {
            eprintln!("custody: {failure}");
            if let Some(hint) = &failure.hint {
                eprintln!("  {hint}");
            }
            // Of one's own mistakes the server's log says no more than this.
            if let (Some(request), true) = (&failure.request, is_the_servers(failure.code)) {
                eprintln!("  request {request}");
            }
        }
        Format::Json => eprintln!(
            "{}",
            json!({ "error": {
                "code": failure.code,
                "message": failure.message,
                "causes": failure.causes(),
                "hint": failure.hint,
                "field": failure.field,
                "request_id": failure.request,
            } })
        ),
    }
}

/// Whether it is a failure that the operator of a server looks after.
fn is_the_servers(code: ErrorCode) -> bool {
    matches!(code, ErrorCode::Internal | ErrorCode::Io | ErrorCode::RecordUnwritable)
}
