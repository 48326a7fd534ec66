//! Attach: the client's end of a session's socket.

use std::io;
use std::os::unix::net::UnixStream;

pub use custody_keeper::frame;
pub use custody_keeper::spec::Window;

use custody_keeper::frame::Frame;
use custody_keeper::layout::StateDir;
use custody_keeper::socket_path::SocketPath;
use custody_model::SessionId;

/// A connection to a living keeper.
#[derive(Debug)]
pub struct Attachment {
    stream: UnixStream,
}

/// Why nobody can be attached to a session.
#[derive(Debug, thiserror::Error)]
pub enum AttachError {
    /// No keeper listens.
    #[error("session {0} is not running")]
    NotRunning(SessionId),
    /// The connection broke.
    #[error("the keeper of session {session} can't be reached")]
    Io {
        /// The session.
        session: SessionId,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// Connects to the keeper of `session`.
///
/// # Errors
/// [`AttachError`].
pub fn attach(state: &StateDir, session: SessionId) -> Result<Attachment, AttachError> {
    let socket = state.session(session).attach_socket();
    match SocketPath::of(&socket).and_then(|socket| UnixStream::connect(socket.path())) {
        Ok(stream) => Ok(Attachment { stream }),
        Err(e)
            if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) =>
        {
            Err(AttachError::NotRunning(session))
        }
        Err(source) => Err(AttachError::Io { session, source }),
    }
}

impl Attachment {
    /// The next frame from the keeper; `None` when it is gone.
    ///
    /// # Errors
    /// Those of the connection.
    pub fn receive(&mut self) -> io::Result<Option<Frame>> {
        Frame::read(&mut self.stream)
    }

    /// Sends a frame to the keeper.
    ///
    /// # Errors
    /// Those of the connection.
    pub fn send(&mut self, frame: &Frame) -> io::Result<()> {
        frame.write(&mut self.stream)
    }

    /// Ends the connection for every handle: whoever waits in [`Attachment::receive`] is told that the keeper is gone.
    pub fn close(&self) {
        // It may be closed already.
        let _closed = self.stream.shutdown(std::net::Shutdown::Both);
    }

    /// A second handle, for another thread.
    ///
    /// # Errors
    /// If there are too many open files.
    pub fn split(&self) -> io::Result<Self> {
        Ok(Self { stream: self.stream.try_clone()? })
    }
}
