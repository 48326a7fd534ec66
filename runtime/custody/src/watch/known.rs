//! What is known of a session while it is watched: how much of its output was shown, and whether its keeper listens.

use std::io::{self, Write};

use custody_api_types::attach::Frame;
use custody_model::ErrorCode;

use super::Show;
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
    /// The end of the input was sent.
    pub(super) closed: bool,
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
                print(&mut io::stdout().lock(), self.fresh(&bytes))?;
            }
            Frame::ErrorOutput(bytes) => {
                show.output();
                print(&mut io::stderr().lock(), self.fresh(&bytes))?;
            }
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

    /// What of these bytes was not shown before.
    fn fresh<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let repeated = usize::try_from(self.repeated).unwrap_or(usize::MAX).min(bytes.len());
        self.repeated -= repeated as u64;
        let fresh = &bytes[repeated..];
        self.seen += fresh.len() as u64;
        fresh
    }
}

/// Prints output at once.
pub(super) fn print(to: &mut impl Write, bytes: &[u8]) -> Result<(), Failure> {
    let printed = to.write_all(bytes).and_then(|()| to.flush());
    printed.explain(ErrorCode::Io, "the output can't be written; the session goes on")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_again_is_not_shown_again() {
        let mut known = Known { seen: 5, repeated: 5, ..Known::default() };
        assert_eq!(known.fresh(b"abc"), b"");
        assert_eq!(known.fresh(b"defg"), b"fg");
        assert_eq!(known.fresh(b"h"), b"h");
        assert_eq!((known.seen, known.repeated), (8, 0));
    }
}
