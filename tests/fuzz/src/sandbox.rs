//! Readers of what comes out of a sandbox, or from whoever attaches to it.

use custody_init::channel::{decode, encode};
use custody_init::protocol::FromInit;
use custody_keeper::frame::Frame;
use custody_keeper::inside::dns;

/// Frames of those who attach: each that is read can be written, and is read again as the same.
///
/// # Panics
/// If it is not.
pub fn frame(bytes: &[u8]) {
    let mut from = bytes;
    while let Ok(Some(frame)) = Frame::read(&mut from) {
        let mut written = Vec::new();
        frame.write(&mut written).expect("a frame that was read can be written");
        let again = Frame::read(&mut written.as_slice()).expect("a frame");
        assert_eq!(again, Some(frame), "a frame survives the wire");
    }
}

/// What a sandbox's process 1 says: each message that is read can be written, and is read again as the same.
///
/// # Panics
/// If it is not.
pub fn init_message(bytes: &[u8]) {
    let Ok(message) = decode::<FromInit>(bytes) else { return };
    // Escapes may make what was read longer than a message may be.
    let Ok(written) = encode(&message) else { return };
    assert_eq!(decode::<FromInit>(&written).expect("a message"), message);
}

/// A question to the sandbox's name server: its name goes on record, printable and within bounds.
///
/// # Panics
/// If it is not.
pub fn name_query(bytes: &[u8]) {
    let Some(question) = dns::parse(bytes) else { return };
    assert!(question.name.len() <= 4 * bytes.len(), "{} bytes of a name", question.name.len());
    assert!(question.name.bytes().all(|byte| byte.is_ascii_graphic()), "{:?}", question.name);
}
