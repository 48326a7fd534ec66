//! The cipher of stored content: XChaCha20-Poly1305 in the STREAM construction (STREAM-BE32), so that content of any size
//! is encrypted in chunks, and cut, reordered or exchanged chunks are detected.
//!
//! Format `custody/sealed/v1`: the eight bytes `CSTDYSL1`, 19 random bytes that begin each chunk's nonce, then chunks of
//! 65,536 bytes of plaintext, each followed by its 16-byte tag; the last one is the only shorter one, and may be empty.
//! Each chunk's associated data is the eight bytes and the name of what is sealed.

use std::io::{self, Read, Write};

use aead_stream::{DecryptorBE32, EncryptorBE32, Nonce, StreamBE32};
use chacha20poly1305::aead::Payload;
use chacha20poly1305::{KeyInit as _, XChaCha20Poly1305};

/// First bytes of what is sealed: the format and its version.
pub(crate) const MAGIC: &[u8; 8] = b"CSTDYSL1";

/// Random bytes at the beginning of the chunks' nonces.
const PREFIX_BYTES: usize = 19;

/// Bytes of plaintext in a chunk.
const CHUNK_BYTES: usize = 64 << 10;

/// Bytes of a chunk's tag.
const TAG_BYTES: usize = 16;

type StreamNonce = Nonce<XChaCha20Poly1305, StreamBE32<XChaCha20Poly1305>>;

fn nonce(prefix: &[u8; PREFIX_BYTES]) -> StreamNonce {
    (*prefix).into()
}

fn cipher(key: &[u8; 32]) -> XChaCha20Poly1305 {
    XChaCha20Poly1305::new(&(*key).into())
}

fn associated(name: &[u8]) -> Vec<u8> {
    [MAGIC.as_slice(), name].concat()
}

fn refused(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}

/// Encrypts what is written to it. Nothing can be read back before [`Sealing::finish`].
pub(crate) struct Sealing<W> {
    to: W,
    cipher: EncryptorBE32<XChaCha20Poly1305>,
    associated: Vec<u8>,
    /// At most a chunk: the last one has to be known when it is encrypted.
    waiting: Vec<u8>,
}

impl<W: Write> Sealing<W> {
    /// Begins, with random bytes of the system.
    pub(crate) fn begin(mut to: W, key: &[u8; 32], name: &[u8]) -> io::Result<Self> {
        let mut prefix = [0; PREFIX_BYTES];
        getrandom::fill(&mut prefix).map_err(io::Error::other)?;
        to.write_all(MAGIC)?;
        to.write_all(&prefix)?;
        let cipher = EncryptorBE32::from_aead(cipher(key), &nonce(&prefix));
        let waiting = Vec::with_capacity(CHUNK_BYTES);
        Ok(Self { to, cipher, associated: associated(name), waiting })
    }

    /// Writes the last chunk and gives the writer back.
    pub(crate) fn finish(mut self) -> io::Result<W> {
        let payload = Payload { msg: &self.waiting, aad: &self.associated };
        let chunk = self.cipher.encrypt_last(payload).map_err(|_| refused("it is too long"))?;
        self.to.write_all(&chunk)?;
        Ok(self.to)
    }
}

impl<W: Write> Write for Sealing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.waiting.len() == CHUNK_BYTES {
            let payload = Payload { msg: &self.waiting, aad: &self.associated };
            let chunk = self.cipher.encrypt_next(payload).map_err(|_| refused("it is too long"))?;
            self.to.write_all(&chunk)?;
            self.waiting.clear();
        }
        let taken = bytes.len().min(CHUNK_BYTES - self.waiting.len());
        self.waiting.extend_from_slice(&bytes[..taken]);
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

/// Decrypts what it reads. What it gives is authentic; that it is whole is known once the end was read.
pub(crate) struct Opening<R> {
    from: R,
    /// Gone after the last chunk.
    cipher: Option<DecryptorBE32<XChaCha20Poly1305>>,
    associated: Vec<u8>,
    /// Encrypted, read ahead: a chunk is the last one if nothing follows it.
    ahead: Vec<u8>,
    ready: Vec<u8>,
    given: usize,
}

impl<R: Read> Opening<R> {
    /// Begins. Refuses other formats and versions.
    pub(crate) fn begin(mut from: R, key: &[u8; 32], name: &[u8]) -> io::Result<Self> {
        let mut magic = [0; MAGIC.len()];
        from.read_exact(&mut magic)?;
        if magic != *MAGIC {
            return Err(refused("it is not in the form custody/sealed/v1"));
        }
        let mut prefix = [0; PREFIX_BYTES];
        from.read_exact(&mut prefix)?;
        let cipher = Some(DecryptorBE32::from_aead(cipher(key), &nonce(&prefix)));
        let ahead = chunk(&mut from)?;
        let associated = associated(name);
        Ok(Self { from, cipher, associated, ahead, ready: Vec::new(), given: 0 })
    }
}

/// The next encrypted chunk, shorter only at the end.
fn chunk(from: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(CHUNK_BYTES + TAG_BYTES);
    from.take((CHUNK_BYTES + TAG_BYTES) as u64).read_to_end(&mut bytes)?;
    Ok(bytes)
}

impl<R: Read> Read for Opening<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.given == self.ready.len() {
            let Some(mut cipher) = self.cipher.take() else { return Ok(0) };
            let next = chunk(&mut self.from)?;
            let this = std::mem::replace(&mut self.ahead, next);
            let payload = Payload { msg: &this, aad: &self.associated };
            let wrong = |_| refused("it was changed, or sealed with another key");
            self.ready = if self.ahead.is_empty() {
                cipher.decrypt_last(payload).map_err(wrong)?
            } else {
                let plain = cipher.decrypt_next(payload).map_err(wrong)?;
                self.cipher = Some(cipher);
                plain
            };
            self.given = 0;
        }
        let taken = buffer.len().min(self.ready.len() - self.given);
        buffer[..taken].copy_from_slice(&self.ready[self.given..self.given + taken]);
        self.given += taken;
        Ok(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: [u8; 32] = [7; 32];

    fn sealed(content: &[u8]) -> Vec<u8> {
        let mut sealing = Sealing::begin(Vec::new(), &KEY, b"x").unwrap();
        sealing.write_all(content).unwrap();
        sealing.finish().unwrap()
    }

    fn opened(bytes: &[u8], key: &[u8; 32], name: &[u8]) -> io::Result<Vec<u8>> {
        let mut content = Vec::new();
        Opening::begin(bytes, key, name)?.read_to_end(&mut content)?;
        Ok(content)
    }

    #[test]
    fn what_is_sealed_is_opened_at_every_length_around_a_chunk() {
        for length in [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES] {
            let content: Vec<u8> = (0..length).map(|n| (n % 251) as u8).collect();
            let bytes = sealed(&content);
            assert_eq!(opened(&bytes, &KEY, b"x").unwrap(), content, "{length}");
            assert!(opened(&bytes, &[8; 32], b"x").is_err(), "another key opens {length}");
            assert!(opened(&bytes, &KEY, b"y").is_err(), "another name opens {length}");
        }
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_detected() {
        let bytes = sealed(b"twelve bytes");
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            assert!(opened(&changed, &KEY, b"x").is_err(), "a flip at {at} is not seen");
            assert!(opened(&bytes[..at], &KEY, b"x").is_err(), "a cut at {at} is not seen");
        }
        let longer = [bytes.as_slice(), b"!"].concat();
        assert!(opened(&longer, &KEY, b"x").is_err());
    }

    #[test]
    fn chunks_that_change_places_or_go_are_detected() {
        let content = vec![1; 3 * CHUNK_BYTES];
        let bytes = sealed(&content);
        let (head, size) = (MAGIC.len() + PREFIX_BYTES, CHUNK_BYTES + TAG_BYTES);
        let mut swapped = bytes.clone();
        swapped[head..head + 2 * size].rotate_left(size);
        assert!(opened(&swapped, &KEY, b"x").is_err());
        assert!(opened(&bytes[..head + 2 * size], &KEY, b"x").is_err());
    }
}
