//! Reads recordings: asciicast v3, of Custody and of others.

use std::time::Duration;

use serde::Deserialize;

/// The version that is read.
const VERSION: u8 = 3;

/// Why a text is no recording.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// There is no line with a header.
    #[error("it has no header")]
    Empty,
    /// The header is in another form.
    #[error("the header is not that of asciicast v3")]
    Header(#[source] serde_json::Error),
    /// It is of another version.
    #[error("it is asciicast v{0}, and v3 is wanted")]
    Version(u8),
    /// An event is in another form.
    #[error("line {line} is no event of asciicast v3")]
    Event {
        /// Which, from 1.
        line: usize,
        /// What is wrong, if it is JSON that is.
        #[source]
        source: Option<serde_json::Error>,
    },
}

/// The terminal's size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Columns.
    pub columns: u16,
    /// Rows.
    pub rows: u16,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// Output of the processes.
    Output(String),
    /// Input to them.
    Input(String),
    /// The terminal's size changed.
    Resize(Size),
    /// A mark, with its label.
    Marker(String),
    /// The command ended with this status.
    Exit(String),
    /// Something that later versions may know.
    Other(String),
}

/// One event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moment {
    /// Since the one before.
    pub interval: Duration,
    /// What happened.
    pub what: What,
}

#[derive(Deserialize)]
struct Version {
    version: u8,
}

/// Members that it does not need may be there: the format is others'.
#[derive(Deserialize)]
struct Header {
    term: Term,
}

#[derive(Deserialize)]
struct Term {
    cols: u16,
    rows: u16,
}

/// The size at the beginning, and the events, each read when it is asked for. Lines that begin with `#` are comments.
///
/// # Errors
/// [`ReadError`], also while iterating.
pub fn read(
    text: &str,
) -> Result<(Size, impl Iterator<Item = Result<Moment, ReadError>>), ReadError> {
    let mut lines = (1..).zip(text.lines());
    let (_, first) = lines.next().ok_or(ReadError::Empty)?;
    let Version { version } = serde_json::from_str(first).map_err(ReadError::Header)?;
    if version != VERSION {
        return Err(ReadError::Version(version));
    }
    let Header { term: Term { cols, rows } } =
        serde_json::from_str(first).map_err(ReadError::Header)?;
    let events = lines
        .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
        .map(|(line, text)| event(line, text));
    Ok((Size { columns: cols, rows }, events))
}

fn event(line: usize, text: &str) -> Result<Moment, ReadError> {
    let wrong = |source| ReadError::Event { line, source };
    let (seconds, code, data): (f64, String, String) =
        serde_json::from_str(text).map_err(|error| wrong(Some(error)))?;
    let interval = Duration::try_from_secs_f64(seconds).map_err(|_| wrong(None))?;
    let what = match code.as_str() {
        "o" => What::Output(data),
        "i" => What::Input(data),
        "r" => {
            let size = data.split_once('x').and_then(|(columns, rows)| {
                Some(Size { columns: columns.parse().ok()?, rows: rows.parse().ok()? })
            });
            What::Resize(size.ok_or(wrong(None))?)
        }
        "m" => What::Marker(data),
        "x" => What::Exit(data),
        _ => What::Other(data),
    };
    Ok(Moment { interval, what })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_text_is_a_recording_or_an_error(
            text in "\\PC{0,60}",
            events in "(\\[[0-9.e-]{1,4}, ?\"[oirmxz]\", ?\"[0-9x]{0,5}\"\\]\n|# c\n|\n|\\PC{0,9}\n){0,6}",
        ) {
            let _ = read(&text).map(|(_, events)| events.count());
            let cast = format!("{{\"version\":3,\"term\":{{\"cols\":1,\"rows\":2}}}}\n{events}");
            let (size, events) = read(&cast).unwrap();
            prop_assert_eq!(size, Size { columns: 1, rows: 2 });
            let _ = events.count();
        }
    }
}
