//! Bytes of open files, where the kernel does not move them itself.

use std::fs::File;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::FileExt;

use fuser::WriteFlags;
use nix::errno::Errno;
use nix::fcntl::{FallocateFlags, OFlag, fallocate};
use nix::unistd::{Whence, lseek64};

use super::backing::{Result, stat_of};
use super::caller::Caller;
use super::server::Server;

/// Most bytes of one read or write.
pub(super) const MAX_TRANSFER_BYTES: u32 = 1 << 20;

impl Server {
    /// Reads up to `size` bytes; fewer only at the end.
    pub(super) fn read(&self, handle: u64, offset: u64, size: u32) -> Result<Vec<u8>> {
        let open = self.handles.file(handle)?;
        self.with_file(&open, OFlag::O_RDONLY, |file| {
            let mut buffer = vec![0; usize::try_from(size).map_err(|_| Errno::EINVAL)?];
            let mut filled = 0;
            while filled < buffer.len() {
                match file.read_at(&mut buffer[filled..], offset + filled as u64) {
                    Ok(0) => break,
                    Ok(n) => filled += n,
                    Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(errno_of(&error)),
                }
            }
            buffer.truncate(filled);
            Ok(buffer)
        })
    }

    /// Writes all of `data`, and drops set-id bits where the kernel asks for it.
    pub(super) fn write(
        &self,
        handle: u64,
        offset: u64,
        data: &[u8],
        flags: WriteFlags,
    ) -> Result<u32> {
        let open = self.handles.file(handle)?;
        self.with_file(&open, OFlag::O_WRONLY, |file| {
            file.write_all_at(data, offset).map_err(|error| errno_of(&error))?;
            if flags.contains(WriteFlags::FUSE_WRITE_KILL_SUIDGID) {
                let stat = stat_of(file)?;
                if self.drop_set_id_bits(&open.node, file.as_fd(), stat.st_mode)? {
                    self.attributes_changed(&open.node);
                }
            }
            u32::try_from(data.len()).map_err(|_| Errno::EINVAL)
        })
    }

    /// Allocates or frees room.
    pub(super) fn fallocate(&self, handle: u64, offset: u64, length: u64, mode: i32) -> Result<()> {
        let open = self.handles.file(handle)?;
        let mode = FallocateFlags::from_bits(mode).ok_or(Errno::EOPNOTSUPP)?;
        self.with_file(&open, OFlag::O_WRONLY, |file| {
            fallocate(file, mode, signed(offset)?, signed(length)?)
        })
    }

    /// Finds data or a hole.
    pub(super) fn lseek(&self, handle: u64, offset: i64, whence: i32) -> Result<i64> {
        let open = self.handles.file(handle)?;
        let whence = match whence {
            libc::SEEK_DATA => Whence::SeekData,
            libc::SEEK_HOLE => Whence::SeekHole,
            _ => return Err(Errno::EINVAL),
        };
        self.with_file(&open, OFlag::O_RDONLY, |file| lseek64(file, offset, whence))
    }

    /// Copies between two open files.
    pub(super) fn copy_file_range(
        &self,
        caller: Caller,
        from: (u64, u64),
        to: (u64, u64),
        length: u64,
    ) -> Result<u32> {
        let source = self.handles.file(from.0)?;
        let target = self.handles.file(to.0)?;
        let (read_at, write_at) = (signed(from.1)?, signed(to.1)?);
        let length = usize::try_from(length.min(u64::from(MAX_TRANSFER_BYTES)))
            .map_err(|_| Errno::EINVAL)?;
        let copied = self.with_file(&source, OFlag::O_RDONLY, |input| {
            self.with_file(&target, OFlag::O_WRONLY, |output| {
                let copied = copy(input, read_at, output, write_at, length)?;
                if !caller.is_root() {
                    let mode = stat_of(output)?.st_mode;
                    if self.drop_set_id_bits(&target.node, output.as_fd(), mode)? {
                        self.attributes_changed(&target.node);
                    }
                }
                Ok(copied)
            })
        })?;
        u32::try_from(copied).map_err(|_| Errno::EIO)
    }
}

fn copy(input: &File, mut from: i64, output: &File, mut to: i64, length: usize) -> Result<usize> {
    // SAFETY: both descriptors are open, and both offsets are valid for the call.
    let copied = unsafe {
        libc::copy_file_range(
            input.as_raw_fd(),
            &raw mut from,
            output.as_raw_fd(),
            &raw mut to,
            length,
            0,
        )
    };
    usize::try_from(Errno::result(copied)?).map_err(|_| Errno::EIO)
}

fn signed(value: u64) -> Result<i64> {
    i64::try_from(value).map_err(|_| Errno::EINVAL)
}

/// The errno of an I/O error; `EIO` where the standard library made the error up itself.
pub(super) fn errno_of(error: &std::io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::EIO, Errno::from_raw)
}
