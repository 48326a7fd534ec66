//! The terminal's recording: asciicast v3 (asciinema, file format version 3), one JSON line for each event.

pub mod read;

use std::io::{self, Write};

use custody_model::Timestamp;
use custody_record::event::ExitStatus;
use serde_json::json;

use crate::spec::Window;

/// Media type of a recording.
pub const MEDIA_TYPE: &str = "application/x-asciicast";

/// Output that a recording holds by default, in bytes; what comes after is counted, not kept.
pub const MAX_RECORDED_BYTES: u64 = 256 << 20;

/// Writes one recording.
#[derive(Debug)]
pub struct Recording<W> {
    to: W,
    last: Timestamp,
    limit: u64,
    counts: Counts,
    /// Bytes of a character that is not complete yet.
    pending: Vec<u8>,
}

/// Bytes that went by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Written by the processes inside.
    pub output: u64,
    /// Typed or piped in.
    pub input: u64,
    /// Of the output: not in the recording.
    pub cut: u64,
}

impl<W: Write> Recording<W> {
    /// Starts a recording with its header.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn start(
        mut to: W,
        at: Timestamp,
        window: Window,
        command: &[String],
        limit: u64,
    ) -> io::Result<Self> {
        let header = json!({
            "version": 3,
            "term": { "cols": window.columns, "rows": window.rows },
            "timestamp": at.as_micros() / 1_000_000,
            "command": command.join(" "),
        });
        writeln!(to, "{header}")?;
        Ok(Self { to, last: at, limit, counts: Counts::default(), pending: Vec::new() })
    }

    /// Output of the processes inside. asciicast is text: what is not UTF-8 becomes U+FFFD.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn output(&mut self, at: Timestamp, bytes: &[u8]) -> io::Result<()> {
        self.counts.output += bytes.len() as u64;
        if self.counts.output > self.limit {
            self.counts.cut += bytes.len() as u64;
            return Ok(());
        }
        self.pending.extend_from_slice(bytes);
        let complete = complete_characters(&self.pending);
        let rest = self.pending.split_off(complete);
        let text =
            String::from_utf8_lossy(&std::mem::replace(&mut self.pending, rest)).into_owned();
        if text.is_empty() { Ok(()) } else { self.event(at, "o", &text) }
    }

    /// Input is counted and not kept: it may hold a password.
    pub fn input(&mut self, bytes: usize) {
        self.counts.input += bytes as u64;
    }

    /// The terminal's size changed.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn resize(&mut self, at: Timestamp, window: Window) -> io::Result<()> {
        self.event(at, "r", &format!("{}x{}", window.columns, window.rows))
    }

    /// Ends the recording and gives the writer back.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn finish(mut self, at: Timestamp, exit: Option<ExitStatus>) -> io::Result<(W, Counts)> {
        if !self.pending.is_empty() {
            let text = String::from_utf8_lossy(&std::mem::take(&mut self.pending)).into_owned();
            self.event(at, "o", &text)?;
        }
        let status = exit.map(|exit| match exit {
            ExitStatus::Code(code) => u32::from(code),
            // As a shell would say it.
            ExitStatus::Signal(signal) => 128 + u32::from(signal),
        });
        if let Some(status) = status {
            self.event(at, "x", &status.to_string())?;
        }
        self.to.flush()?;
        Ok((self.to, self.counts))
    }

    fn event(&mut self, at: Timestamp, code: &str, data: &str) -> io::Result<()> {
        let micros = at.micros_since(self.last);
        self.last = at.max(self.last);
        // Intervals in v3 are seconds since the event before, as a decimal number.
        write!(self.to, "[{}.{:06}, ", micros / 1_000_000, micros % 1_000_000)?;
        writeln!(self.to, "{}, {}]", json!(code), json!(data))
    }
}

/// Length of the longest prefix that does not end inside of a UTF-8 character.
fn complete_characters(bytes: &[u8]) -> usize {
    for back in 1..=3.min(bytes.len()) {
        let at = bytes.len() - back;
        let wanted = match bytes[at] {
            0xc0..=0xdf => 2,
            0xe0..=0xef => 3,
            0xf0..=0xf7 => 4,
            0x80..=0xbf => continue,
            _ => return bytes.len(),
        };
        return if back < wanted { at } else { bytes.len() };
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    const WINDOW: Window = Window { rows: 24, columns: 80 };

    fn at(micros: i64) -> Timestamp {
        Timestamp::from_micros(1_000_000_000_000_000 + micros)
    }

    #[test]
    fn a_recording_is_asciicast_v3() {
        let mut cast = Recording::start(Vec::new(), at(0), WINDOW, &["sh".into()], 1000).unwrap();
        cast.output(at(1_500_000), "h\u{e9}".as_bytes()).unwrap();
        cast.resize(at(1_500_001), Window { rows: 50, columns: 132 }).unwrap();
        cast.input(3);
        let (bytes, counts) = cast.finish(at(2_000_000), Some(ExitStatus::Signal(9))).unwrap();
        let text = String::from_utf8(bytes).unwrap();
        let lines: Vec<Value> = text.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
        assert_eq!(lines[0]["version"], 3);
        assert_eq!(lines[0]["term"], serde_json::json!({ "cols": 80, "rows": 24 }));
        assert_eq!(lines[1], serde_json::json!([1.5, "o", "h\u{e9}"]));
        assert_eq!(lines[2], serde_json::json!([0.000_001, "r", "132x50"]));
        assert_eq!(lines[3], serde_json::json!([0.499_999, "x", "137"]));
        assert_eq!(counts, Counts { output: 3, input: 3, cut: 0 });
    }

    #[test]
    fn what_is_over_the_limit_is_counted_and_not_kept() {
        let mut cast = Recording::start(Vec::new(), at(0), WINDOW, &[], 4).unwrap();
        cast.output(at(1), b"1234").unwrap();
        cast.output(at(2), b"56").unwrap();
        let (bytes, counts) = cast.finish(at(3), None).unwrap();
        assert!(!String::from_utf8(bytes).unwrap().contains("56"));
        assert_eq!(counts, Counts { output: 6, input: 0, cut: 2 });
    }

    proptest! {
        #[test]
        fn text_cut_anywhere_is_whole_again(text in "\\PC{0,40}", cuts in proptest::collection::vec(0_usize..60, 0..6)) {
            let mut cast = Recording::start(Vec::new(), at(0), WINDOW, &[], 10_000).unwrap();
            let mut cuts: Vec<_> = cuts.into_iter().map(|c| c.min(text.len())).collect();
            cuts.sort_unstable();
            let mut from = 0;
            for to in cuts.into_iter().chain([text.len()]) {
                cast.output(at(0), &text.as_bytes()[from..to]).unwrap();
                from = to;
            }
            let (bytes, _) = cast.finish(at(0), None).unwrap();
            let played: String = String::from_utf8(bytes).unwrap().lines().skip(1)
                .map(|l| serde_json::from_str::<(f64, String, String)>(l).unwrap().2).collect();
            prop_assert_eq!(played, text);
        }
    }
}
