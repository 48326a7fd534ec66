//! The control channel: a `SOCK_SEQPACKET` socket on which each packet is one JSON frame, with descriptors beside it.

use std::io::{IoSlice, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, recvmsg, send, sendmsg, setsockopt, sockopt,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::protocol::VERSION;

/// Longest frame, in bytes. What is to run may be longer, and goes in a file then: [`crate::start`].
pub const MAX_FRAME_BYTES: usize = 192 << 10;

/// Most descriptors beside one frame.
pub const MAX_DESCRIPTORS: usize = 8;

/// Why a frame could not be sent or received.
#[derive(Debug, thiserror::Error)]
pub enum ChannelError {
    /// The socket failed.
    #[error("the control socket failed")]
    Socket(#[source] Errno),
    /// A frame over [`MAX_FRAME_BYTES`].
    #[error("a frame is longer than {MAX_FRAME_BYTES} bytes")]
    TooLong,
    /// More than [`MAX_DESCRIPTORS`].
    #[error("more than {MAX_DESCRIPTORS} descriptors with one frame")]
    TooManyDescriptors,
    /// Not JSON of the expected form.
    #[error("a frame is not of the expected form")]
    Malformed(#[source] serde_json::Error),
    /// What is to run is over [`crate::start::MAX_START_BYTES`].
    #[error(
        "the command and its environment have more than {} bytes",
        crate::start::MAX_START_BYTES
    )]
    StartTooLong,
    /// The file that holds what is to run can't be written or read.
    #[error("the file with the command failed")]
    File(#[source] std::io::Error),
    /// A message says that what is to run is in a file, and there is none, or it holds something else.
    #[error("what is to run is not in the file beside its message")]
    NoFile,
    /// A frame of another version.
    #[error("a frame is of version {0}, {VERSION} is spoken here")]
    Version(u32),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Envelope<T> {
    v: u32,
    body: T,
}

/// One end. Sending and receiving are atomic: several threads may use it.
#[derive(Debug)]
pub struct Channel(OwnedFd);

impl Channel {
    /// Wraps a connected `SOCK_SEQPACKET` socket.
    ///
    /// # Errors
    /// Its buffer can't be made large enough for a frame.
    pub fn new(socket: OwnedFd) -> Result<Self, ChannelError> {
        setsockopt(&socket, sockopt::SndBuf, &MAX_FRAME_BYTES).map_err(ChannelError::Socket)?;
        Ok(Self(socket))
    }

    /// Sends one message.
    ///
    /// # Errors
    /// [`ChannelError`]; nothing was sent then. `EPIPE` when the other end is gone.
    pub fn send<T: Serialize>(
        &self,
        message: &T,
        descriptors: &[BorrowedFd<'_>],
    ) -> Result<(), ChannelError> {
        let bytes = encode(message)?;
        if descriptors.len() > MAX_DESCRIPTORS {
            return Err(ChannelError::TooManyDescriptors);
        }
        let raw: Vec<_> = descriptors.iter().map(AsRawFd::as_raw_fd).collect();
        let (fd, flags) = (self.0.as_raw_fd(), MsgFlags::MSG_NOSIGNAL);
        loop {
            // Alone it goes by send(2): behind init's filter, sendmsg(2) would wait for the keeper.
            let sent = if raw.is_empty() {
                send(fd, &bytes, flags)
            } else {
                let rights = [ControlMessage::ScmRights(&raw)];
                sendmsg::<()>(fd, &[IoSlice::new(&bytes)], &rights, flags, None)
            };
            match sent {
                Ok(_) => return Ok(()),
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(ChannelError::Socket(errno)),
            }
        }
    }

    /// Receives one message and its descriptors (close-on-exec); `None` when the other end is gone.
    ///
    /// # Errors
    /// [`ChannelError`]; descriptors that came along are closed then.
    pub fn receive<T: DeserializeOwned>(&self) -> Result<Option<(T, Vec<OwnedFd>)>, ChannelError> {
        let mut bytes = vec![0; MAX_FRAME_BYTES];
        let mut control = nix::cmsg_space!([std::os::fd::RawFd; MAX_DESCRIPTORS]);
        let mut descriptors = Vec::new();
        let (length, flags) = loop {
            let mut parts = [IoSliceMut::new(&mut bytes)];
            match recvmsg::<()>(
                self.0.as_raw_fd(),
                &mut parts,
                Some(&mut control),
                MsgFlags::MSG_CMSG_CLOEXEC,
            ) {
                Ok(message) => {
                    for part in message.cmsgs().map_err(|_| ChannelError::TooManyDescriptors)? {
                        if let ControlMessageOwned::ScmRights(raw) = part {
                            // SAFETY: the kernel has just made these descriptors for us; nobody else owns them.
                            descriptors.extend(
                                raw.into_iter().map(|fd| unsafe { OwnedFd::from_raw_fd(fd) }),
                            );
                        }
                    }
                    break (message.bytes, message.flags);
                }
                Err(Errno::EINTR) => {}
                Err(Errno::ECONNRESET) => return Ok(None),
                Err(errno) => return Err(ChannelError::Socket(errno)),
            }
        };
        if length == 0 {
            return Ok(None);
        }
        if flags.contains(MsgFlags::MSG_TRUNC) {
            return Err(ChannelError::TooLong);
        }
        Ok(Some((decode(&bytes[..length])?, descriptors)))
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// One message as a frame.
///
/// # Errors
/// [`ChannelError::TooLong`].
pub fn encode<T: Serialize>(message: &T) -> Result<Vec<u8>, ChannelError> {
    let bytes = encode_any(message)?;
    if bytes.len() > MAX_FRAME_BYTES {
        return Err(ChannelError::TooLong);
    }
    Ok(bytes)
}

/// As [`encode`], however long it gets.
pub(crate) fn encode_any<T: Serialize>(message: &T) -> Result<Vec<u8>, ChannelError> {
    serde_json::to_vec(&Envelope { v: VERSION, body: message }).map_err(ChannelError::Malformed)
}

/// The message in a frame.
///
/// # Errors
/// [`ChannelError::Malformed`], [`ChannelError::Version`].
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ChannelError> {
    let envelope: Envelope<T> = serde_json::from_slice(bytes).map_err(ChannelError::Malformed)?;
    if envelope.v != VERSION {
        return Err(ChannelError::Version(envelope.v));
    }
    Ok(envelope.body)
}

#[cfg(test)]
mod tests {
    use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
    use proptest::prelude::*;

    use super::*;
    use crate::protocol::{FromInit, ToInit};

    fn pair() -> (Channel, Channel) {
        let (a, b) =
            socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)
                .unwrap();
        (Channel::new(a).unwrap(), Channel::new(b).unwrap())
    }

    #[test]
    fn a_message_and_its_descriptors_arrive_together() {
        let (a, b) = pair();
        let null = std::fs::File::open("/dev/null").unwrap();
        a.send(&ToInit::Stop { grace_ms: 7 }, &[null.as_fd()]).unwrap();
        let (message, descriptors) = b.receive::<ToInit>().unwrap().unwrap();
        assert_eq!(message, ToInit::Stop { grace_ms: 7 });
        assert_eq!(descriptors.len(), 1);
        drop(a);
        assert!(b.receive::<ToInit>().unwrap().is_none());
    }

    #[test]
    fn unknown_members_and_other_versions_are_refused() {
        assert!(matches!(decode::<ToInit>(br#"{"v":1,"body":"go"}"#), Ok(ToInit::Go)));
        assert!(matches!(
            decode::<ToInit>(br#"{"v":2,"body":"go"}"#),
            Err(ChannelError::Version(2))
        ));
        for bad in [
            &br#"{"v":1,"body":"go","more":1}"#[..],
            br#"{"v":1,"body":{"stop":{"grace_ms":1,"more":1}}}"#,
            br#"{"v":1,"body":"fly"}"#,
        ] {
            assert!(matches!(decode::<ToInit>(bad), Err(ChannelError::Malformed(_))));
        }
    }

    #[test]
    fn a_frame_over_the_limit_is_refused_before_it_is_sent() {
        let (a, _b) = pair();
        let long = "x".repeat(MAX_FRAME_BYTES);
        assert!(matches!(a.send(&long, &[]), Err(ChannelError::TooLong)));
        let fits = "x".repeat(MAX_FRAME_BYTES - 20);
        a.send(&fits, &[]).unwrap();
    }

    proptest! {
        #[test]
        fn foreign_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = decode::<FromInit>(&bytes);
            let _ = decode::<ToInit>(&bytes);
        }
    }
}
