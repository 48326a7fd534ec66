//! One line on the terminal that is written over; nothing where nobody looks.

use std::io::{IsTerminal, Write};

use custody_api_types::attach;

use crate::render;
use crate::watch::Show;

/// What is being done, on the terminal.
pub struct Progress {
    shown: bool,
    written: bool,
}

impl Progress {
    /// Shown if it is wanted and somebody looks.
    pub fn new(wanted: bool) -> Self {
        Self { shown: wanted && std::io::stderr().is_terminal(), written: false }
    }

    /// Says a step.
    pub fn say(&mut self, step: &str) {
        self.progress(&attach::Progress { step: step.to_owned(), done: None, total: None });
    }

    /// Takes the line away.
    pub fn clear(&mut self) {
        if std::mem::take(&mut self.written) {
            // A line that can't be taken away is no reason to fail.
            let _closed = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}

impl Show for Progress {
    fn progress(&mut self, step: &attach::Progress) {
        if step.step == "running" {
            self.clear();
        } else if self.shown {
            let total = step.total.map(|n| format!(" ({n})")).unwrap_or_default();
            let text = render::tame(&step.step);
            let _closed = write!(std::io::stderr(), "\r\x1b[Kcustody: {text}{total} …");
            self.written = true;
        }
    }

    fn output(&mut self) {
        self.clear();
    }

    fn note(&mut self, text: &str) {
        self.clear();
        if self.shown {
            let _closed = write!(std::io::stderr(), "custody: {text}\r\n");
        } else {
            eprintln!("custody: {text}");
        }
    }
}
