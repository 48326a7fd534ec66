//! The terminal's recording: asciicast v3 (asciinema, file format version 3), one JSON line for each event.
//!
//! Output is redacted before it is written. Programs write in pieces, and a secret may lie in two of them: the last
//! [`HELD_BYTES`] wait for what follows, and the last [`CONTEXT_BYTES`] before them are looked at again. Each piece keeps its
//! own time.

pub mod read;

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::Arc;

use custody_model::Timestamp;
use custody_record::Redactor;
use custody_record::event::ExitStatus;
use custody_record::redact::Mark;
use serde_json::json;

use crate::spec::Window;

/// Media type of a recording.
pub const MEDIA_TYPE: &str = "application/x-asciicast";

/// Output that a recording holds by default, in bytes; what comes after is counted, not kept.
pub const MAX_RECORDED_BYTES: u64 = 256 << 20;

/// Output that waits for what follows it, in bytes: the longest secret that is found in pieces.
pub const HELD_BYTES: usize = 16 << 10;

/// Written output that may say what follows it is, in bytes; as much of the output over a recording's limit may say what
/// stands before it is.
const CONTEXT_BYTES: usize = 4 << 10;

/// Most output that waits, in bytes, even if a secret seems to go on and on.
const MAX_HELD_BYTES: usize = 8 * HELD_BYTES;

/// Most redactions of a recording whose place is told; more are counted.
const MAX_MARKS: usize = 1000;

/// Writes one recording.
#[derive(Debug)]
pub struct Recording<W> {
    to: W,
    last: Timestamp,
    limit: u64,
    counts: Counts,
    /// Bytes of a character that is not complete yet.
    pending: Vec<u8>,
    redactor: Arc<Redactor>,
    /// Not written yet: what happened when. Only output waits for output.
    held: VecDeque<(Timestamp, &'static str, String)>,
    held_bytes: usize,
    /// The end of the output that is written.
    context: String,
    /// The beginning of the output that is over the limit.
    beyond: String,
    /// Bytes of the recording so far.
    written: u64,
    marks: Vec<Mark>,
    redacted: u64,
}

/// What a recording holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recorded {
    /// Bytes that went by.
    pub counts: Counts,
    /// Where in the recording's bytes something was redacted.
    pub marks: Vec<Mark>,
    /// In how many places.
    pub redacted: u64,
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
        redactor: Arc<Redactor>,
    ) -> io::Result<Self> {
        let command = redactor.clean_list(command).join(" ");
        let header = json!({
            "version": 3,
            "term": { "cols": window.columns, "rows": window.rows },
            "timestamp": at.as_micros() / 1_000_000,
            "command": command,
        });
        let header = format!("{header}\n");
        to.write_all(header.as_bytes())?;
        Ok(Self {
            to,
            last: at,
            limit,
            counts: Counts::default(),
            pending: Vec::new(),
            redactor,
            held: VecDeque::new(),
            held_bytes: 0,
            context: String::new(),
            beyond: String::new(),
            written: header.len() as u64,
            marks: Vec::new(),
            redacted: 0,
        })
    }

    /// Output of the processes inside. asciicast is text: what is not UTF-8 becomes U+FFFD.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn output(&mut self, at: Timestamp, bytes: &[u8]) -> io::Result<()> {
        self.counts.output += bytes.len() as u64;
        if self.counts.output > self.limit {
            self.counts.cut += bytes.len() as u64;
            if self.beyond.is_empty() {
                let begin = [&*std::mem::take(&mut self.pending), bytes].concat();
                let begin = &begin[..begin.len().min(CONTEXT_BYTES)];
                self.beyond = String::from_utf8_lossy(begin).into_owned();
            }
            return Ok(());
        }
        self.pending.extend_from_slice(bytes);
        let complete = complete_characters(&self.pending);
        let rest = self.pending.split_off(complete);
        let text =
            String::from_utf8_lossy(&std::mem::replace(&mut self.pending, rest)).into_owned();
        if text.is_empty() {
            return Ok(());
        }
        self.hold(at, "o", text);
        // Looked at in one go now and then: what is held is looked at each time.
        if self.held_bytes > 2 * HELD_BYTES { self.release(HELD_BYTES) } else { Ok(()) }
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
        self.hold(at, "r", format!("{}x{}", window.columns, window.rows));
        Ok(())
    }

    /// What it is written to.
    pub fn writer(&mut self) -> &mut W {
        &mut self.to
    }

    /// Ends the recording and gives the writer back.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn finish(mut self, at: Timestamp, exit: Option<ExitStatus>) -> io::Result<(W, Recorded)> {
        if !self.pending.is_empty() {
            let text = String::from_utf8_lossy(&std::mem::take(&mut self.pending)).into_owned();
            self.hold(at, "o", text);
        }
        self.release(0)?;
        let status = exit.map(|exit| match exit {
            ExitStatus::Code(code) => u32::from(code),
            // As a shell would say it.
            ExitStatus::Signal(signal) => 128 + u32::from(signal),
        });
        if let Some(status) = status {
            self.event(at, "x", &status.to_string(), Vec::new())?;
        }
        self.to.flush()?;
        let Self { to, counts, marks, redacted, .. } = self;
        Ok((to, Recorded { counts, marks, redacted }))
    }

    fn hold(&mut self, at: Timestamp, code: &'static str, text: String) {
        self.held_bytes += text.len();
        self.held.push_back((at, code, text));
    }

    /// Writes what is held, but for the pieces that the last `keep` bytes are in. No secret is cut by that.
    fn release(&mut self, keep: usize) -> io::Result<()> {
        let held = self.held.iter().filter(|held| held.1 == "o").map(|held| held.2.as_str());
        let context = std::mem::take(&mut self.context);
        let all: String = [&*context].into_iter().chain(held).chain([&*self.beyond]).collect();
        let last = all.len() - self.beyond.len();
        let places = self.redactor.places(&all);
        let (mut end, mut pieces) = (context.len(), 0);
        for (number, (_, code, text)) in (1..).zip(&self.held) {
            end += if *code == "o" { text.len() } else { 0 };
            if keep == 0 || (end + keep <= last && !places.cross(end)) {
                pieces = number;
            }
        }
        if pieces == 0 && self.held_bytes > MAX_HELD_BYTES {
            pieces = self.held.len();
        }
        let mut offset = context.len();
        for (at, code, text) in self.held.drain(..pieces).collect::<Vec<_>>() {
            self.held_bytes -= text.len();
            if code != "o" {
                self.event(at, code, &text, Vec::new())?;
                continue;
            }
            let end = offset + text.len();
            let (clean, marks) = self.redactor.part(&all, &places, offset..end);
            offset = end;
            if !clean.is_empty() {
                self.event(at, code, &clean, marks)?;
            }
        }
        let from = all.ceil_char_boundary(offset.saturating_sub(CONTEXT_BYTES));
        all[from..offset].clone_into(&mut self.context);
        Ok(())
    }

    fn event(&mut self, at: Timestamp, code: &str, data: &str, marks: Vec<Mark>) -> io::Result<()> {
        let micros = at.micros_since(self.last);
        self.last = at.max(self.last);
        // Intervals in v3 are seconds since the event before, as a decimal number.
        let head = format!("[{}.{:06}, {}, ", micros / 1_000_000, micros % 1_000_000, json!(code));
        let line = format!("{head}{}]\n", json!(data));
        for Mark { range, kind, digest } in marks {
            self.redacted += 1;
            if self.marks.len() < MAX_MARKS {
                // After the opening quote of what stands before it.
                let before = json!(data.get(..range.start).unwrap_or_default()).to_string().len();
                let start = self.written as usize + head.len() + before - 1;
                self.marks.push(Mark { range: start..start + range.len(), kind, digest });
            }
        }
        self.written += line.len() as u64;
        self.to.write_all(line.as_bytes())
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

    fn started(command: &[String], limit: u64) -> Recording<Vec<u8>> {
        let redactor = Redactor::new([0; 32], &["held-in-two-pieces"], &[]).unwrap();
        Recording::start(Vec::new(), at(0), WINDOW, command, limit, Arc::new(redactor)).unwrap()
    }

    #[test]
    fn a_secret_in_pieces_is_not_recorded_and_its_place_is_told() {
        for before in [0, HELD_BYTES, 3 * HELD_BYTES] {
            let mut cast = started(&["echo held-in-two-pieces".into()], 1 << 20);
            let filler = "\u{e9}\n".repeat(before / 3);
            cast.output(at(1), filler.as_bytes()).unwrap();
            for piece in ["a \" held-in", "-tw", "o-pie", "ces b"] {
                cast.output(at(2), piece.as_bytes()).unwrap();
                cast.resize(at(2), WINDOW).unwrap();
            }
            cast.output(at(3), "x".repeat(before).as_bytes()).unwrap();
            let (bytes, recorded) = cast.finish(at(3), None).unwrap();
            let text = String::from_utf8(bytes).unwrap();
            for part in ["held-in", "-tw", "o-pie", "ces b"] {
                assert!(!text.contains(part), "{part} after {before}: {text}");
            }
            assert_eq!(recorded.redacted, 1);
            let mark = &recorded.marks[0];
            assert!(text[mark.range.clone()].starts_with("[redacted:injected-value:"));
            assert!(text[mark.range.clone()].ends_with(']'));
        }
    }

    fn played(bytes: &[u8]) -> String {
        let lines = std::str::from_utf8(bytes).unwrap().lines().skip(1);
        let events = lines.map(|line| serde_json::from_str::<(f64, String, String)>(line).unwrap());
        events.filter(|event| event.1 == "o").map(|event| event.2).collect()
    }

    /// Put together here so that no scanner takes this file for a leak.
    fn token() -> String {
        ["gh", "p_", "x4T9bK2mQ7wZ1rV8cN5yH3jL6pD0sF4gAe2u"].concat()
    }

    #[test]
    fn a_secret_in_two_pieces_goes_wherever_it_is_cut_and_whatever_came_before() {
        let (token, secret) = (token(), "q7Zp2Lw9Xk4Vb8Nm1Rt6");
        for text in [
            format!("a {token}, b"),
            format!("\x1b[1m{token}\x1b[0m"),
            format!("curl -u me:{secret} x"),
            format!("Authorization: Bearer {secret}\r\n"),
            format!("DB_PASSWORD={secret}\r\n"),
        ] {
            for before in [0, 2 * HELD_BYTES - 20] {
                for at in 0..text.len() {
                    let mut cast = started(&[], 1 << 20);
                    cast.output(at_zero(), "x\n".repeat(before / 2).as_bytes()).unwrap();
                    cast.output(at_zero(), &text.as_bytes()[..at]).unwrap();
                    cast.output(at_zero(), &text.as_bytes()[at..]).unwrap();
                    cast.output(at_zero(), "\ny".repeat(before / 2).as_bytes()).unwrap();
                    cast.output(at_zero(), b"\nend").unwrap();
                    let (bytes, recorded) = cast.finish(at_zero(), None).unwrap();
                    let played = played(&bytes);
                    assert!(
                        !played.contains(&token[4..]) && !played.contains(&secret[4..]),
                        "{at}"
                    );
                    assert!(recorded.redacted == 1 && played.ends_with("end"), "{text} at {at}");
                }
            }
        }
    }

    #[test]
    fn a_secret_goes_whose_name_was_written_long_before_its_value() {
        let secret = "q7Zp2Lw9Xk4Vb8Nm1Rt6";
        for pieces in 1..40 {
            let mut cast = started(&[], 1 << 22);
            cast.output(at_zero(), &vec![b'-'; HELD_BYTES]).unwrap();
            cast.output(at_zero(), b"\nDB_PASSWORD=").unwrap();
            cast.output(at_zero(), format!("{secret}\n").as_bytes()).unwrap();
            // What follows moves the border of what is written over the name and the value.
            for _ in 0..pieces {
                cast.output(at_zero(), &[b'\n'; HELD_BYTES / 8]).unwrap();
            }
            let played = played(&cast.finish(at_zero(), None).unwrap().0);
            assert!(!played.contains(secret) && played.contains("PASSWORD="), "{pieces}");
        }
    }

    #[test]
    fn a_secret_that_the_limit_cuts_goes_whole() {
        let token = token();
        for at in 1..token.len() {
            let mut cast = started(&[], 4 + at as u64);
            cast.output(at_zero(), b"abc ").unwrap();
            cast.output(at_zero(), &token.as_bytes()[..at]).unwrap();
            cast.output(at_zero(), &token.as_bytes()[at..]).unwrap();
            cast.output(at_zero(), b" and more").unwrap();
            let (bytes, recorded) = cast.finish(at_zero(), None).unwrap();
            let played = played(&bytes);
            assert!(played.starts_with("abc [redacted:github-pat:"), "{at}: {played}");
            assert_eq!(recorded.counts.cut, (token.len() - at + 9) as u64);
        }
    }

    fn at_zero() -> Timestamp {
        at(0)
    }

    #[test]
    fn a_recording_is_asciicast_v3() {
        let mut cast = started(&["sh".into()], 1000);
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
        assert_eq!(counts.counts, Counts { output: 3, input: 3, cut: 0 });
    }

    #[test]
    fn what_is_over_the_limit_is_counted_and_not_kept() {
        let mut cast = started(&[], 4);
        cast.output(at(1), b"1234").unwrap();
        cast.output(at(2), b"56").unwrap();
        let (bytes, counts) = cast.finish(at(3), None).unwrap();
        assert!(!String::from_utf8(bytes).unwrap().contains("56"));
        assert_eq!(counts.counts, Counts { output: 6, input: 0, cut: 2 });
    }

    proptest! {
        #[test]
        fn text_cut_anywhere_is_whole_again(text in "\\PC{0,40}", cuts in proptest::collection::vec(0_usize..60, 0..6)) {
            let mut cast = started(&[], 10_000);
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
