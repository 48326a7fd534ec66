//! Redaction of content on its way into a blob: in windows, so that content of any size is never held whole.

use std::io::{self, Read};

use super::{Mark, Redactor, replace};

/// Bytes that are looked at together.
const WINDOW_BYTES: usize = 1 << 20;

/// Longest secret that is found wherever it lies; one that is longer may be missed where two windows meet.
const LONGEST_SECRET_BYTES: usize = 64 << 10;

/// Bytes before a secret that may be needed to know it.
const CONTEXT_BYTES: usize = 4 << 10;

/// Most places that are told of one content; more are counted.
pub(crate) const MAX_MARKS: usize = 1000;

/// Gives what a reader gives, redacted.
pub(crate) struct Redacting<'a> {
    from: &'a mut dyn Read,
    redactor: &'a Redactor,
    /// Context that was given already, and what was not.
    window: Vec<u8>,
    /// Up to where the window was given.
    given: usize,
    ended: bool,
    ready: Vec<u8>,
    taken: usize,
    /// Bytes of new content before `ready`.
    before: usize,
    marks: Vec<Mark>,
    count: u64,
}

impl<'a> Redacting<'a> {
    pub(crate) fn new(from: &'a mut dyn Read, redactor: &'a Redactor) -> Self {
        Self {
            from,
            redactor,
            window: Vec::new(),
            given: 0,
            ended: false,
            ready: Vec::new(),
            taken: 0,
            before: 0,
            marks: Vec::new(),
            count: 0,
        }
    }

    /// What was redacted: the first [`MAX_MARKS`] places in the new content, and how many there are.
    pub(crate) fn finish(self) -> (Vec<Mark>, u64) {
        (self.marks, self.count)
    }

    /// Looks at the next window.
    fn advance(&mut self) -> io::Result<()> {
        let context = self.given.saturating_sub(CONTEXT_BYTES);
        self.window.drain(..context);
        self.given -= context;
        while !self.ended && self.window.len() < WINDOW_BYTES {
            let wanted = WINDOW_BYTES - self.window.len();
            let read = (&mut *self.from).take(wanted as u64).read_to_end(&mut self.window)?;
            self.ended = read == 0;
        }
        let safe = self.window.len().saturating_sub(LONGEST_SECRET_BYTES).max(self.given);
        let mut end = if self.ended { self.window.len() } else { safe };
        let found = self.redactor.find(&self.window);
        self.before += self.ready.len();
        self.ready.clear();
        self.taken = 0;
        let marks = replace(&self.window, &found, self.given..end, &mut self.ready);
        for hit in &found {
            if hit.range.start < end {
                end = end.max(hit.range.end);
            }
        }
        self.given = end;
        self.count += marks.len() as u64;
        for Mark { range, kind, digest } in marks {
            if self.marks.len() < MAX_MARKS {
                let range = range.start + self.before..range.end + self.before;
                self.marks.push(Mark { range, kind, digest });
            }
        }
        Ok(())
    }
}

impl Read for Redacting<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.taken == self.ready.len() {
            if self.ended && self.given == self.window.len() {
                return Ok(0);
            }
            self.advance()?;
        }
        let taken = buffer.len().min(self.ready.len() - self.taken);
        buffer[..taken].copy_from_slice(&self.ready[self.taken..self.taken + taken]);
        self.taken += taken;
        Ok(taken)
    }
}
