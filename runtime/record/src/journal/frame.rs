//! The journal's file: a magic line, a frame with the header, a frame per event.
//!
//! A frame is the length of its payload (32 bits, little endian, 1 to 65,535), the CRC-32 (ISO-HDLC) of the
//! payload (32 bits, little endian) and the payload. The checksum finds torn writes; forgery is what the tree and the
//! seal find.
//!
//! A loss of power may leave anything behind the last durable frame: nothing, half a frame, zeros, or a frame with pages of
//! zeros in it. That is a torn tail if no whole frame follows. No payload has a zero byte, for it is JSON: a frame that is all
//! there, without one, and does not fit its checksum was not torn, but changed.

use std::io::{self, Read};

use crate::event::MAX_EVENT_BYTES;

/// First bytes of the file.
pub(crate) const MAGIC: &[u8; 18] = b"custody-journal/1\n";

/// Bytes before a payload.
pub(crate) const FRAME_HEADER: usize = 8;

/// Appends a frame whose payload `write` appends.
pub(crate) fn append_frame<T>(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>) -> T) -> T {
    let start = out.len();
    out.extend_from_slice(&[0; FRAME_HEADER]);
    let result = write(out);
    let payload = &out[start + FRAME_HEADER..];
    let crc = crc32fast::hash(payload);
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
    out[start..start + 4].copy_from_slice(&length.to_le_bytes());
    out[start + 4..start + 8].copy_from_slice(&crc.to_le_bytes());
    result
}

/// Why reading frames ended before the end of the file.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The file ends inside of a frame, or in what no whole frame follows: it was torn, or is being written.
    #[error("the journal ends inside of the frame that begins at byte {offset}")]
    Cut {
        /// Where the frame begins.
        offset: u64,
    },
    /// The frame is damaged, as no torn write leaves it.
    #[error("the frame at byte {offset} of the journal is damaged: {reason}")]
    Damaged {
        /// Where the frame begins.
        offset: u64,
        /// What was found.
        reason: &'static str,
    },
    /// The file can't be read.
    #[error("the journal can't be read")]
    Io(#[from] io::Error),
}

/// Reads frames in order. Remembers where the last whole frame ended.
#[derive(Debug)]
pub(crate) struct FrameReader<R> {
    input: R,
    offset: u64,
    payload: Vec<u8>,
}

impl<R: Read> FrameReader<R> {
    /// Reads the magic line; an input that ends before its end is [`FrameError::Cut`].
    pub(crate) fn new(mut input: R) -> Result<Self, FrameError> {
        let mut magic = [0; MAGIC.len()];
        if fill(&mut input, &mut magic)? < MAGIC.len() {
            return Err(FrameError::Cut { offset: 0 });
        }
        if &magic != MAGIC {
            let reason = "it does not begin as a journal of version 1";
            return Err(match magic.contains(&0) {
                true => torn_or_damaged(&mut input, magic.to_vec(), 0, reason)?,
                false => FrameError::Damaged { offset: 0, reason },
            });
        }
        Ok(Self { input, offset: MAGIC.len() as u64, payload: Vec::new() })
    }

    /// Goes on at `offset`, where a frame begins.
    pub(crate) fn at(input: R, offset: u64) -> Self {
        Self { input, offset, payload: Vec::new() }
    }

    /// Where the next frame begins.
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    /// The next payload; `None` at the end of the file.
    pub(crate) fn next(&mut self) -> Result<Option<&[u8]>, FrameError> {
        let offset = self.offset;
        let mut header = [0; FRAME_HEADER];
        match fill(&mut self.input, &mut header)? {
            0 => return Ok(None),
            FRAME_HEADER => {}
            _ => return Err(FrameError::Cut { offset }),
        }
        let [a, b, c, d, crc @ ..] = header;
        let length = u32::from_le_bytes([a, b, c, d]) as usize;
        if length == 0 || length > MAX_EVENT_BYTES {
            let reason = "its length can't be";
            return Err(match length {
                0 => torn_or_damaged(&mut self.input, header.to_vec(), offset, reason)?,
                _ => FrameError::Damaged { offset, reason },
            });
        }
        self.payload.resize(length, 0);
        let read = fill(&mut self.input, &mut self.payload)?;
        let cut = read < length;
        if cut || crc32fast::hash(&self.payload) != u32::from_le_bytes(crc) {
            let reason = "its checksum is another";
            if !cut && !self.payload.contains(&0) {
                return Err(FrameError::Damaged { offset, reason });
            }
            let begun = [header.as_slice(), &self.payload[..read]].concat();
            // Where the file ended nothing followed: what a writer has appended since is the rest of this frame.
            return Err(match cut {
                true => torn_or_damaged(&mut io::empty(), begun, offset, reason)?,
                false => torn_or_damaged(&mut self.input, begun, offset, reason)?,
            });
        }
        self.offset += (FRAME_HEADER + length) as u64;
        Ok(Some(&self.payload))
    }
}

/// Longest frame, in bytes.
const MAX_FRAME: usize = FRAME_HEADER + MAX_EVENT_BYTES;

/// What is wrong at `offset`, where `begun` and the rest of `input` are: the rest is read to see whether a whole frame follows.
fn torn_or_damaged(
    input: &mut impl Read,
    begun: Vec<u8>,
    offset: u64,
    reason: &'static str,
) -> Result<FrameError, FrameError> {
    let mut window = begun;
    // Where a frame may begin: not where the broken one does.
    let mut at = 1;
    loop {
        let mut more = vec![0; MAX_FRAME];
        let read = fill(input, &mut more)?;
        window.extend_from_slice(&more[..read]);
        let end = read < MAX_FRAME;
        // While more may come, a frame is looked at once it would fit into what is there.
        let last = if end { window.len() } else { window.len() - MAX_FRAME };
        while at < last {
            if is_whole_frame(&window[at..]) {
                return Ok(FrameError::Damaged { offset, reason });
            }
            at += 1;
        }
        if end {
            return Ok(FrameError::Cut { offset });
        }
        window.drain(..at);
        at = 0;
    }
}

/// Whether a frame with an event, which is a JSON object, begins here and is whole.
fn is_whole_frame(bytes: &[u8]) -> bool {
    let Some((&[a, b, c, d, e, f, g, h], rest)) = bytes.split_first_chunk() else { return false };
    let length = u32::from_le_bytes([a, b, c, d]) as usize;
    (1..=MAX_EVENT_BYTES).contains(&length)
        && rest.first() == Some(&b'{')
        && rest
            .get(..length)
            .is_some_and(|payload| crc32fast::hash(payload) == u32::from_le_bytes([e, f, g, h]))
}

fn fill(input: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match input.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read_all(bytes: &[u8]) -> (Vec<Vec<u8>>, Result<(), FrameError>) {
        let mut found = Vec::new();
        let mut reader = match FrameReader::new(bytes) {
            Ok(reader) => reader,
            Err(error) => return (found, Err(error)),
        };
        loop {
            match reader.next() {
                Ok(Some(payload)) => found.push(payload.to_vec()),
                Ok(None) => return (found, Ok(())),
                Err(error) => return (found, Err(error)),
            }
        }
    }

    /// A file that a writer goes on with once its reader has met the end.
    struct Growing<'a> {
        now: &'a [u8],
        then: &'a [u8],
    }

    impl Read for Growing<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let read = self.now.read(buffer)?;
            if read == 0 && !buffer.is_empty() {
                self.now = std::mem::take(&mut self.then);
            }
            Ok(read)
        }
    }

    #[test]
    fn a_frame_that_is_being_written_is_never_taken_for_a_damaged_one() {
        let mut file = MAGIC.to_vec();
        for payload in [&br#"{"a":1}"#[..], br#"{"b":2}"#, br#"{"c":3}"#] {
            append_frame(&mut file, |out| out.extend_from_slice(payload));
        }
        for cut in 0..file.len() {
            let (now, then) = file.split_at(cut);
            let mut reader = match FrameReader::new(Growing { now, then }) {
                Ok(reader) => reader,
                Err(error) => {
                    assert!(matches!(error, FrameError::Cut { .. }), "{cut}: {error}");
                    continue;
                }
            };
            loop {
                match reader.next() {
                    Ok(Some(_)) => {}
                    Ok(None) | Err(FrameError::Cut { .. }) => break,
                    Err(error) => panic!("cut at byte {cut}: {error}"),
                }
            }
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_frame_reader_panic(bytes: Vec<u8>) {
            let mut file = MAGIC.to_vec();
            file.extend_from_slice(&bytes);
            drop(read_all(&file));
            drop(read_all(&bytes));
        }

        #[test]
        fn a_torn_tail_never_costs_a_whole_frame(
            payloads in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..40), 1..10),
            cut in any::<proptest::sample::Index>(),
        ) {
            let mut file = MAGIC.to_vec();
            let mut ends = Vec::new();
            for payload in &payloads {
                append_frame(&mut file, |out| out.extend_from_slice(payload));
                ends.push(file.len());
            }
            let cut = MAGIC.len() + cut.index(file.len() - MAGIC.len() + 1);
            let whole = ends.iter().filter(|end| **end <= cut).count();
            let (found, result) = read_all(&file[..cut]);
            prop_assert_eq!(&found[..], &payloads[..whole]);
            prop_assert_eq!(result.is_ok(), cut == MAGIC.len() || ends.contains(&cut));
        }
    }
}
