//! A file that keeps in memory what its disk did not take.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt as _;

/// Bytes that it may hold before whoever writes has to wait.
const ROOM_BYTES: usize = 1 << 20;

/// Bytes that are gathered before they are written.
const GATHER_BYTES: usize = 4 << 10;

/// Takes everything, and writes it when it can.
#[derive(Debug)]
pub(crate) struct Held {
    file: File,
    written: u64,
    held: Vec<u8>,
}

impl Held {
    /// Writes to `file` from its beginning.
    pub(crate) fn new(file: File) -> Self {
        Self { file, written: 0, held: Vec::new() }
    }

    /// Writes what it holds.
    ///
    /// # Errors
    /// Those of the file; it holds what is not written.
    pub(crate) fn write_held(&mut self) -> io::Result<()> {
        let mut done = 0;
        let mut result = Ok(());
        while done < self.held.len() && result.is_ok() {
            match self.file.write_at(&self.held[done..], self.written) {
                Ok(0) => result = Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => {
                    done += count;
                    self.written += count as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => result = Err(error),
            }
        }
        self.held.drain(..done);
        result
    }

    /// Writes what it holds and makes everything durable.
    ///
    /// # Errors
    /// As [`Held::write_held`].
    pub(crate) fn write_all_held(&mut self) -> io::Result<()> {
        self.write_held()?;
        self.file.sync_all()
    }

    /// Whether it holds little enough to take more.
    pub(crate) fn has_room(&self) -> bool {
        self.held.len() < ROOM_BYTES
    }
}

impl Write for Held {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.held.extend_from_slice(bytes);
        if self.held.len() >= GATHER_BYTES {
            // What could not be written stays held; the next write tries again.
            let _refused = self.write_held();
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_full_disk_refuses_is_kept_and_written_later() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        let full = File::options().write(true).open("/dev/full").unwrap();
        let mut held = Held::new(full);
        let bytes: Vec<u8> = (0..ROOM_BYTES + 10).map(|i| (i % 251) as u8).collect();
        held.write_all(&bytes).unwrap();
        assert_eq!(held.write_held().unwrap_err().raw_os_error(), Some(libc::ENOSPC));
        assert!(!held.has_room());
        held.file = File::create(&path).unwrap();
        held.write_all_held().unwrap();
        assert!(held.has_room());
        assert_eq!(std::fs::read(&path).unwrap(), bytes);
    }
}
