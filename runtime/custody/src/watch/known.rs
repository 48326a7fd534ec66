//! What is known of a session while it is watched: how much of its output was shown, and whether its keeper listens.

use std::io::{self, Write};
use std::time::{Duration, Instant};

use custody_api_types::attach::{Ended, Frame};
use custody_model::ErrorCode;

use super::{Show, Watched};
use crate::console::MAX_TYPED_BYTES;
use crate::failure::{Explain, Failure};

/// What is known while it is watched.
#[derive(Default)]
pub(super) struct Known {
    /// Bytes of output that were shown, or passed over.
    pub(super) seen: u64,
    /// Bytes that come for a second time.
    pub(super) repeated: u64,
    /// The keeper is connected: it gets what is typed.
    pub(super) reached: bool,
    /// All output from here on is to be seen.
    pub(super) own: bool,
    /// How often Ctrl-C was pressed.
    pub(super) interrupts: u32,
    /// Connections in a row on which nothing came.
    pub(super) fruitless: u32,
    /// Most bytes of input that are sent before some were taken; none where the keeper takes whatever comes.
    pub(super) window: Option<u64>,
    /// Bytes of input that were sent on this connection, and that were taken of them.
    pub(super) sent: u64,
    pub(super) taken: u64,
    /// The end of the input was sent.
    pub(super) closed: bool,
    /// Nobody reads the output any more: it is passed over.
    pub(super) unread: bool,
    /// When Ctrl-C was typed last, if nothing was typed since.
    pub(super) typed_interrupt: Option<Instant>,
}

impl Known {
    /// Shows what a frame brings.
    pub(super) fn take(&mut self, frame: Frame, show: &mut dyn Show) -> Result<(), Failure> {
        self.fruitless = 0;
        match frame {
            // What it waits for before is told by looks, with more of it.
            Frame::Progress(step) if self.reached => show.progress(&step),
            Frame::Position(position) => {
                self.reached = true;
                let lost = self.sent - self.taken;
                if lost > 0 {
                    show.note(&format!(
                        "the connection broke: up to {lost} bytes of input may not have arrived"
                    ));
                }
                (self.window, self.sent, self.taken) = (position.input_window, 0, 0);
                if position.output > self.seen {
                    let missing = position.output - self.seen;
                    if self.own {
                        show.note(&format!(
                            "{missing} bytes of output were missed; `custody session play` has them"
                        ));
                    }
                    self.seen = position.output;
                }
                self.own = true;
                self.repeated = self.seen - position.output;
            }
            Frame::Output(bytes) => {
                show.output();
                self.show(&mut io::stdout().lock(), &bytes)?;
            }
            Frame::ErrorOutput(bytes) => {
                show.output();
                self.show(&mut io::stderr().lock(), &bytes)?;
            }
            Frame::Taken(taken) => self.taken = taken.input.min(self.sent),
            // For sessions, or told before.
            Frame::Progress(_)
            | Frame::Ended(_)
            | Frame::Input(_)
            | Frame::Resize(_)
            | Frame::Signal(_)
            | Frame::Stop(_) => {}
        }
        Ok(())
    }

    /// Whether input may be sent: a keeper must not be sent more than waits for its command, or what is sent after it (a
    /// signal, a stop) waits as well.
    pub(super) fn may_send(&self) -> bool {
        let ahead = self.sent - self.taken;
        self.reached
            && !self.closed
            && self
                .window
                .is_none_or(|window| ahead == 0 || ahead + MAX_TYPED_BYTES as u64 <= window)
    }

    /// How a session that was watched ended like this.
    pub(super) fn watched(&self, ended: Ended) -> Watched {
        if self.unread { Watched::Unread(ended) } else { Watched::Ended(ended) }
    }

    fn show(&mut self, to: &mut impl Write, bytes: &[u8]) -> Result<(), Failure> {
        let unread = self.unread;
        let fresh = self.fresh(bytes);
        if unread {
            return Ok(());
        }
        match write_at_once(to, fresh) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                self.unread = true;
                Ok(())
            }
            printed => printed.explain(ErrorCode::Io, CANT_PRINT),
        }
    }

    /// Takes note of what is typed at a terminal, at this time; says whether it insists on the end: Ctrl-C twice within
    /// [`INSIST`], and nothing between.
    pub(super) fn insists(&mut self, typed: &[u8], now: Instant) -> bool {
        let mut rest = typed;
        while !rest.is_empty() {
            let Some(spelling) = INTERRUPTS.iter().find(|spelling| rest.starts_with(spelling))
            else {
                self.typed_interrupt = None;
                rest = &rest[1..];
                continue;
            };
            rest = &rest[spelling.len()..];
            let before = self.typed_interrupt.replace(now);
            if before.is_some_and(|before| now.duration_since(before) <= INSIST) {
                return true;
            }
        }
        false
    }

    /// What of these bytes was not shown before.
    fn fresh<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let repeated = usize::try_from(self.repeated).unwrap_or(usize::MAX).min(bytes.len());
        self.repeated -= repeated as u64;
        let fresh = &bytes[repeated..];
        self.seen += fresh.len() as u64;
        fresh
    }
}

const CANT_PRINT: &str = "the output can't be written; the session goes on";

/// How soon after one another two Ctrl-C at a terminal end the session.
const INSIST: Duration = Duration::from_secs(1);

/// How terminals send Ctrl-C: the control character (ECMA-48 ETX), and as CSI u (the kitty keyboard protocol) where the
/// command asked for that.
const INTERRUPTS: [&[u8]; 2] = [b"\x03", b"\x1b[99;5u"];

/// Prints output at once.
pub(super) fn print(to: &mut impl Write, bytes: &[u8]) -> Result<(), Failure> {
    write_at_once(to, bytes).explain(ErrorCode::Io, CANT_PRINT)
}

fn write_at_once(to: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    to.write_all(bytes).and_then(|()| to.flush())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ctrl_c_twice_at_a_terminal_insists_and_anything_between_does_not() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let insists = |typed: &[(&[u8], u64)]| {
            let mut known = Known::default();
            typed.iter().any(|(bytes, millis)| known.insists(bytes, at(*millis)))
        };
        assert!(insists(&[(b"\x03", 0), (b"\x03", 900)]));
        assert!(insists(&[(b"ls\r\x03\x03", 0)]));
        assert!(insists(&[(b"\x1b[99;5u", 0), (b"\x1b[99;5u", 400)]));
        assert!(insists(&[(b"\x03", 0), (b"\x03", 5000), (b"\x03", 5100)]));
        assert!(!insists(&[(b"\x03", 0), (b"\x03", 1100)]));
        assert!(!insists(&[(b"\x03", 0), (b"a\x03", 100)]));
        assert!(!insists(&[(b"\x03", 0)]));
    }

    #[test]
    fn output_that_nobody_reads_is_passed_over() {
        struct Closed;
        impl Write for Closed {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let mut known = Known::default();
        known.show(&mut Closed, b"y\n").unwrap();
        assert!(known.unread);
        known.show(&mut Closed, b"y\n").unwrap();
        assert_eq!(known.seen, 4);
    }

    #[test]
    fn what_comes_again_is_not_shown_again() {
        let mut known = Known { seen: 5, repeated: 5, ..Known::default() };
        assert_eq!(known.fresh(b"abc"), b"");
        assert_eq!(known.fresh(b"defg"), b"fg");
        assert_eq!(known.fresh(b"h"), b"h");
        assert_eq!((known.seen, known.repeated), (8, 0));
    }
}
