//! The archive around an evidence pack: ustar (POSIX.1-2001) with one spelling of each header.
//!
//! Own code, because readers of tar are lenient by design, and here every byte has to be the one that we would write:
//! regular files alone, no owner, no time, no padding but zeros, and nothing after the two blocks at the end.

use std::io::{self, Read, Write};

/// Bytes of a block.
const BLOCK: usize = 512;

/// Longest file: eleven octal digits, about 8 GiB.
pub const MAX_FILE_BYTES: u64 = 0o77_777_777_777;

/// Longest name.
const MAX_NAME: usize = 100;

/// The one header of a file of this name and size.
fn header(name: &str, size: u64) -> Option<[u8; BLOCK]> {
    if name.is_empty() || name.len() > MAX_NAME || !name.is_ascii() || size > MAX_FILE_BYTES {
        return None;
    }
    let mut block = [b'\0'; BLOCK];
    let mut put = |at: usize, text: &[u8]| block[at..at + text.len()].copy_from_slice(text);
    put(0, name.as_bytes());
    put(100, b"0000644");
    put(108, b"0000000");
    put(116, b"0000000");
    put(124, format!("{size:011o}").as_bytes());
    put(136, b"00000000000");
    put(148, b"        ");
    put(156, b"0");
    put(257, b"ustar\x0000");
    put(329, b"0000000");
    put(337, b"0000000");
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    Some(block)
}

fn padding(size: u64) -> usize {
    let over = usize::try_from(size % BLOCK as u64).unwrap_or_default();
    (BLOCK - over) % BLOCK
}

/// Writes an archive.
#[derive(Debug)]
pub(super) struct Writer<W> {
    out: W,
}

impl<W: Write> Writer<W> {
    pub(super) fn new(out: W) -> Self {
        Self { out }
    }

    /// Adds a file of exactly `size` bytes.
    pub(super) fn file(
        &mut self,
        name: &str,
        size: u64,
        content: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> io::Result<()> {
        let header = header(name, size)
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "too long for the pack"))?;
        self.out.write_all(&header)?;
        let mut counted = Counted { out: &mut self.out, left: size };
        content(&mut counted)?;
        if counted.left != 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the file became shorter"));
        }
        self.out.write_all(&[0; BLOCK][..padding(size)])
    }

    /// Writes the end.
    pub(super) fn finish(mut self) -> io::Result<()> {
        self.out.write_all(&[0; 2 * BLOCK])?;
        self.out.flush()
    }
}

struct Counted<'a, W> {
    out: &'a mut W,
    left: u64,
}

impl<W: Write> Write for Counted<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.left = self
            .left
            .checked_sub(bytes.len() as u64)
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "the file became longer"))?;
        self.out.write_all(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Why an archive is not one that we wrote.
#[derive(Debug, thiserror::Error)]
pub(super) enum ContainerError {
    #[error("it ends too early")]
    Cut,
    #[error("no header of the file {wanted} stands there, in the one spelling that it has")]
    Header { wanted: String },
    #[error("the padding after a file holds something")]
    Padding,
    #[error("something else than the end stands after the last file")]
    End,
    #[error("it can't be read")]
    Io(#[from] io::Error),
}

/// Reads an archive whose files are known beforehand.
#[derive(Debug)]
pub(super) struct Reader<R> {
    input: R,
    /// Bytes of the input that were read.
    offset: u64,
}

impl<R: Read> Reader<R> {
    pub(super) fn new(input: R) -> Self {
        Self { input, offset: 0 }
    }

    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    fn block(&mut self) -> Result<[u8; BLOCK], ContainerError> {
        let mut block = [0; BLOCK];
        self.fill(&mut block)?;
        Ok(block)
    }

    fn fill(&mut self, buffer: &mut [u8]) -> Result<(), ContainerError> {
        match self.input.read_exact(buffer) {
            Ok(()) => {
                self.offset += buffer.len() as u64;
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err(ContainerError::Cut),
            Err(error) => Err(error.into()),
        }
    }

    /// The first file: of this name, and of whatever size up to the limit.
    pub(super) fn first(&mut self, name: &str, limit: u64) -> Result<Vec<u8>, ContainerError> {
        let block = self.block()?;
        let wanted = || ContainerError::Header { wanted: name.to_owned() };
        let digits = str::from_utf8(&block[124..135]).map_err(|_| wanted())?;
        let size = u64::from_str_radix(digits, 8).map_err(|_| wanted())?;
        if size > limit || header(name, size) != Some(block) {
            return Err(wanted());
        }
        let mut content = Vec::new();
        self.content(size, |bytes| content.extend_from_slice(bytes))?;
        Ok(content)
    }

    /// The next file: of this name and size.
    pub(super) fn file(
        &mut self,
        name: &str,
        size: u64,
        take: impl FnMut(&[u8]),
    ) -> Result<(), ContainerError> {
        if header(name, size) != Some(self.block()?) {
            return Err(ContainerError::Header { wanted: name.to_owned() });
        }
        self.content(size, take)
    }

    fn content(&mut self, size: u64, mut take: impl FnMut(&[u8])) -> Result<(), ContainerError> {
        let mut buffer = vec![0; 64 << 10];
        let mut left = size;
        while left > 0 {
            let part = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            self.fill(&mut buffer[..part])?;
            take(&buffer[..part]);
            left -= part as u64;
        }
        let mut rest = [0; BLOCK];
        let rest = &mut rest[..padding(size)];
        self.fill(rest)?;
        if rest.iter().all(|byte| *byte == 0) { Ok(()) } else { Err(ContainerError::Padding) }
    }

    /// The end, and nothing after it.
    pub(super) fn end(&mut self) -> Result<(), ContainerError> {
        for _ in 0..2 {
            if self.block()? != [0; BLOCK] {
                return Err(ContainerError::End);
            }
        }
        match self.input.read(&mut [0])? {
            0 => Ok(()),
            _ => Err(ContainerError::End),
        }
    }
}
