//! The first message, which holds all of the command and may be longer than a frame: then it goes in a file of memory that nobody
//! can change any more.

use std::fs::File;
use std::io::{Read, Seek, Write};
use std::os::fd::{AsFd, OwnedFd};

use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};

use crate::channel::{Channel, ChannelError, MAX_FRAME_BYTES, decode, encode_any};
use crate::protocol::{Start, ToInit};

/// Longest [`Start`] as JSON, in bytes: what Linux takes as arguments and environment, each byte of it escaped.
pub const MAX_START_BYTES: u64 = 16 << 20;

/// Sends what is to run.
///
/// # Errors
/// [`ChannelError`]; nothing was sent then.
pub fn send(channel: &Channel, start: Start) -> Result<(), ChannelError> {
    let message = ToInit::Start(Box::new(start));
    let bytes = encode_any(&message)?;
    if bytes.len() <= MAX_FRAME_BYTES {
        return channel.send(&message, &[]);
    }
    if bytes.len() as u64 > MAX_START_BYTES {
        return Err(ChannelError::StartTooLong);
    }
    let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
    let mut file = File::from(memfd_create("start", flags).map_err(ChannelError::Socket)?);
    file.write_all(&bytes).map_err(ChannelError::File)?;
    let seals = SealFlag::F_SEAL_SHRINK
        | SealFlag::F_SEAL_GROW
        | SealFlag::F_SEAL_WRITE
        | SealFlag::F_SEAL_SEAL;
    fcntl(&file, FcntlArg::F_ADD_SEALS(seals)).map_err(ChannelError::Socket)?;
    channel.send(&ToInit::StartInFile, &[file.as_fd()])
}

/// What is to run, from the file that came with [`ToInit::StartInFile`].
///
/// # Errors
/// [`ChannelError`]; also if there is no file, or it holds another message.
pub fn from_file(descriptors: Vec<OwnedFd>) -> Result<Start, ChannelError> {
    let file = descriptors.into_iter().next().ok_or(ChannelError::NoFile)?;
    let mut file = File::from(file);
    file.rewind().map_err(ChannelError::File)?;
    let mut bytes = Vec::new();
    file.take(MAX_START_BYTES + 1).read_to_end(&mut bytes).map_err(ChannelError::File)?;
    if bytes.len() as u64 > MAX_START_BYTES {
        return Err(ChannelError::StartTooLong);
    }
    match decode(&bytes)? {
        ToInit::Start(start) => Ok(*start),
        ToInit::StartInFile
        | ToInit::Go
        | ToInit::Signal(_)
        | ToInit::Resize(_)
        | ToInit::Stop { .. } => Err(ChannelError::NoFile),
    }
}

#[cfg(test)]
mod tests {
    use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};

    use super::*;
    use crate::protocol::{Landlock, WatchNames};

    fn start(argument: String) -> Start {
        Start {
            argv: vec!["agent".to_owned(), argument],
            env: vec!["A=b".to_owned()],
            cwd: "/workspace".to_owned(),
            terminal: None,
            stdin: false,
            rlimits: Vec::new(),
            landlock: Landlock { read_only: Vec::new(), read_write: Vec::new() },
            proxy_port: None,
            name_server: false,
            watch_names: WatchNames::Nothing,
        }
    }

    #[test]
    fn what_is_to_run_arrives_whatever_its_length() {
        for length in [0, 40_000, MAX_FRAME_BYTES - 1, MAX_FRAME_BYTES, 1 << 20, 2 << 20] {
            let (a, b) =
                socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)
                    .unwrap();
            let (a, b) = (Channel::new(a).unwrap(), Channel::new(b).unwrap());
            // The worst that JSON makes of a byte.
            let wanted = start("\u{1}".repeat(length));
            send(&a, wanted.clone()).unwrap();
            let found = match b.receive::<ToInit>().unwrap().unwrap() {
                (ToInit::Start(start), _) => *start,
                (ToInit::StartInFile, descriptors) => from_file(descriptors).unwrap(),
                (other, _) => panic!("{other:?}"),
            };
            assert!(found == wanted, "{length}");
        }
    }

    #[test]
    fn what_no_command_can_be_is_refused() {
        let (a, _b) =
            socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)
                .unwrap();
        let a = Channel::new(a).unwrap();
        let long = start("x".repeat(usize::try_from(MAX_START_BYTES).unwrap()));
        assert!(matches!(send(&a, long), Err(ChannelError::StartTooLong)));
        assert!(matches!(from_file(Vec::new()), Err(ChannelError::NoFile)));
    }
}
