//! Signals that ask the keeper to end: the session is stopped and sealed, not dropped.

use std::io;
use std::sync::mpsc::Sender;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::Message;

/// Turns SIGTERM, SIGINT and SIGHUP into messages.
pub(super) fn forward(sender: Sender<Message>) -> io::Result<()> {
    let mut signals = Signals::new([SIGTERM, SIGINT, SIGHUP])?;
    std::thread::Builder::new().name("signals".into()).spawn(move || {
        for signal in signals.forever() {
            if sender.send(Message::Terminated(signal)).is_err() {
                return;
            }
        }
    })?;
    Ok(())
}
