//! Reads what a blocked process means: strings and arrays in its memory, who it is, where it is.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use custody_record::event::GapCode;
use nix::errno::Errno;

use super::notices::NoticeSink;
use super::seccomp::Reply;

/// Bytes read at once: a read never crosses this boundary, and a page is never partly mapped.
const PAGE: u64 = 4096;

/// Why a caller's memory could not be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum MemoryError {
    #[error("the process is gone")]
    Gone,
    #[error("a bad address")]
    Fault,
    #[error("a path over the limit")]
    PathTooLong,
    #[error("a bad descriptor")]
    Descriptor,
    #[error("the process can't be read")]
    Unreadable(#[source] io::Error),
}

impl MemoryError {
    /// The answer to the caller. Never `Continue`: what was not read is not let through, because another thread may
    /// put something there in the meantime.
    pub(super) fn reply(self, sink: &dyn NoticeSink, what: &str) -> Reply {
        Reply::Errno(match self {
            Self::Gone => Errno::ESRCH,
            Self::Fault => Errno::EFAULT,
            Self::PathTooLong => Errno::ENAMETOOLONG,
            Self::Descriptor => Errno::EBADF,
            Self::Unreadable(error) => {
                sink.gap(
                    GapCode::ProcessUnreadable,
                    format!("{what} was refused, because its process can't be read: {error}"),
                );
                Errno::EIO
            }
        })
    }

    fn from_proc(error: io::Error) -> Self {
        match error.raw_os_error() {
            Some(libc::ENOENT | libc::ESRCH) => Self::Gone,
            _ => Self::Unreadable(error),
        }
    }
}

/// The memory of one process, held open: it stays that process's even if the pid is used again.
pub(super) struct Memory {
    file: File,
    page: [u8; PAGE as usize],
    /// Where `page` is from, and how many of its bytes are read.
    held: Option<(u64, usize)>,
}

/// An array of strings.
pub(super) struct Strings {
    pub(super) strings: Vec<Vec<u8>>,
    /// There are more than the limit allows.
    pub(super) cut: bool,
}

impl Memory {
    pub(super) fn open(tid: u32) -> Result<Self, MemoryError> {
        let file = File::open(format!("/proc/{tid}/mem")).map_err(MemoryError::from_proc)?;
        Ok(Self { file, page: [0; PAGE as usize], held: None })
    }

    /// From `address` to the end of its page.
    fn rest_of_page(&mut self, address: u64) -> Result<&[u8], MemoryError> {
        let start = address & !(PAGE - 1);
        if self.held.is_none_or(|(held, _)| held != start) {
            self.held = None;
            let read = self.file.read_at(&mut self.page, start).map_err(|error| {
                match error.raw_os_error() {
                    Some(libc::EIO | libc::EFAULT | libc::EINVAL | libc::EOVERFLOW) => {
                        MemoryError::Fault
                    }
                    _ => MemoryError::Unreadable(error),
                }
            })?;
            if read == 0 {
                return Err(MemoryError::Gone);
            }
            self.held = Some((start, read));
        }
        let read = self.held.map_or(0, |(_, read)| read);
        let from = usize::try_from(address - start).unwrap_or(usize::MAX);
        self.page.get(from..read).filter(|rest| !rest.is_empty()).ok_or(MemoryError::Fault)
    }

    /// Fills `buffer` from `address`.
    pub(super) fn bytes(&mut self, address: u64, buffer: &mut [u8]) -> Result<(), MemoryError> {
        let mut done = 0;
        while done < buffer.len() {
            let at = address.checked_add(done as u64).ok_or(MemoryError::Fault)?;
            let rest = self.rest_of_page(at)?;
            let n = rest.len().min(buffer.len() - done);
            buffer[done..done + n].copy_from_slice(&rest[..n]);
            done += n;
        }
        Ok(())
    }

    /// The string at `address` without its NUL; `None` if it has `max` bytes or more.
    pub(super) fn string(
        &mut self,
        address: u64,
        max: usize,
    ) -> Result<Option<Vec<u8>>, MemoryError> {
        let mut string = Vec::new();
        let mut at = address;
        while string.len() < max {
            let rest = self.rest_of_page(at)?;
            let rest = &rest[..rest.len().min(max - string.len())];
            if let Some(end) = rest.iter().position(|b| *b == 0) {
                string.extend_from_slice(&rest[..end]);
                return Ok(Some(string));
            }
            string.extend_from_slice(rest);
            at = at.checked_add(rest.len() as u64).ok_or(MemoryError::Fault)?;
        }
        Ok(None)
    }

    /// The strings that a NULL-ended array of pointers names, up to `max` bytes with their ends and pointers. No array
    /// (`execve` allows that) is an empty one.
    pub(super) fn strings(&mut self, array: u64, max: usize) -> Result<Strings, MemoryError> {
        const POINTER: usize = size_of::<u64>();
        let mut strings = Vec::new();
        if array == 0 {
            return Ok(Strings { strings, cut: false });
        }
        // Pointers first: array and strings are on different pages, and one page is held.
        let mut pointers = Vec::new();
        loop {
            let mut pointer = [0; POINTER];
            let at = array.checked_add((pointers.len() * POINTER) as u64);
            self.bytes(at.ok_or(MemoryError::Fault)?, &mut pointer)?;
            match u64::from_ne_bytes(pointer) {
                0 => break,
                _ if (pointers.len() + 1) * POINTER > max => return self.all(&pointers, max, true),
                pointer => pointers.push(pointer),
            }
        }
        strings.clear();
        self.all(&pointers, max, false)
    }

    fn all(&mut self, pointers: &[u64], max: usize, cut: bool) -> Result<Strings, MemoryError> {
        let mut strings = Vec::new();
        let mut left = max.saturating_sub(size_of_val(pointers));
        for pointer in pointers {
            match self.string(*pointer, left)? {
                Some(string) => {
                    left -= string.len() + 1;
                    strings.push(string);
                }
                None => return Ok(Strings { strings, cut: true }),
            }
        }
        Ok(Strings { strings, cut })
    }
}

/// Who a thread is.
pub(super) struct Who {
    tid: u32,
    /// Its process.
    pub(super) pid: u32,
    /// Its parent process; absent if that is outside of our pid namespace.
    pub(super) parent: Option<u32>,
}

impl Who {
    pub(super) fn of(tid: u32) -> Result<Self, MemoryError> {
        let status = std::fs::read_to_string(format!("/proc/{tid}/status"))
            .map_err(MemoryError::from_proc)?;
        let field = |name: &str| -> Option<u32> {
            status.lines().find_map(|l| l.strip_prefix(name))?.trim().parse().ok()
        };
        let pid = field("Tgid:").ok_or(MemoryError::Gone)?;
        Ok(Self { tid, pid, parent: field("PPid:").filter(|p| *p != 0) })
    }

    /// Its working directory.
    pub(super) fn cwd(&self) -> Option<String> {
        let path = std::fs::read_link(format!("/proc/{}/cwd", self.tid)).ok()?;
        Some(path.to_string_lossy().into_owned())
    }

    /// What its descriptor `fd` is open on.
    pub(super) fn descriptor(&self, fd: i32) -> Result<String, MemoryError> {
        std::fs::read_link(format!("/proc/{}/fd/{fd}", self.tid))
            .map(|p| p.to_string_lossy().into_owned())
            .map_err(|error| match error.raw_os_error() {
                Some(libc::ENOENT) => MemoryError::Descriptor,
                _ => MemoryError::from_proc(error),
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own() -> Memory {
        Memory::open(std::process::id()).unwrap()
    }

    #[test]
    fn strings_are_read_across_pages() {
        let long = [vec![b'x'; 10_000], vec![0]].concat();
        let mut memory = own();
        let at = long.as_ptr() as u64;
        assert_eq!(memory.string(at, 20_000).unwrap().unwrap().len(), 10_000);
        assert!(memory.string(at, 10_000).unwrap().is_none());
        assert!(memory.string(at, 10_001).unwrap().is_some());
    }

    #[test]
    fn arguments_over_the_limit_are_cut_and_said_to_be() {
        let strings: Vec<_> = (0..100).map(|i| format!("argument {i}\0")).collect();
        let mut array: Vec<u64> = strings.iter().map(|s| s.as_ptr() as u64).collect();
        array.push(0);
        let at = array.as_ptr() as u64;
        let whole = own().strings(at, 1 << 16).unwrap();
        assert_eq!((whole.strings.len(), whole.cut), (100, false));
        assert_eq!(whole.strings[99], b"argument 99");
        for max in 0..2000 {
            let cut = own().strings(at, max).unwrap();
            assert!(cut.cut || cut.strings.len() == 100, "{max}");
            let bytes: usize = cut.strings.iter().map(|s| s.len() + 1).sum();
            assert!(bytes <= max, "{max}");
        }
    }

    #[test]
    fn a_bad_address_is_a_fault() {
        for address in [1, 0x10, u64::MAX, u64::MAX - 5, 1 << 63] {
            assert!(matches!(own().string(address, 100), Err(MemoryError::Fault)), "{address:x}");
        }
        assert!(own().strings(0, 100).unwrap().strings.is_empty());
    }
}
