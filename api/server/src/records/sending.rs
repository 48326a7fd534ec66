//! The way out of what is written while it is sent.

use std::io::{self, Write};

use axum::body::{Body, Bytes};
use futures_util::stream;
use tokio::sync::mpsc;

/// Chunks that wait for the client: what writes is held up by it.
const WAITING: usize = 4;

/// Where a thread writes what a client is sent.
#[derive(Clone)]
pub(super) struct Sending(mpsc::Sender<io::Result<Bytes>>);

impl Sending {
    /// With the body that is sent.
    pub(super) fn new() -> (Self, Body) {
        let (sender, receiver) = mpsc::channel(WAITING);
        let chunks = stream::unfold(receiver, |mut receiver| async {
            receiver.recv().await.map(|chunk| (chunk, receiver))
        });
        (Self(sender), Body::from_stream(chunks))
    }

    /// Breaks the transfer off: the client must not take a part for the whole. It may be gone.
    pub(super) fn broken(&self, error: io::Error) {
        let _ = self.0.blocking_send(Err(error));
    }
}

impl Write for Sending {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let sent = self.0.blocking_send(Ok(Bytes::copy_from_slice(bytes)));
        sent.map_err(|_| io::Error::new(io::ErrorKind::BrokenPipe, "the client is gone"))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
