//! Extended attributes: those of the user, and no others.
//!
//! `trusted.` and `security.` are the system's. Access control lists are not supported: without
//! enforcement they would only seem to be set.

use std::ffi::{CString, OsStr};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;

use custody_record::event::Operation;
use fuser::FileType;
use nix::errno::Errno;

use super::backing::{Result, descriptor_path};
use super::caller::Caller;
use super::node::Node;
use super::server::Server;

/// What begins the names that are passed on.
const USER: &[u8] = b"user.";
/// Most bytes of a value or of all names (`XATTR_SIZE_MAX`, `XATTR_LIST_MAX` of Linux).
const MAX_XATTR_BYTES: usize = 65_536;

impl Server {
    /// The value of an attribute.
    pub(super) fn getxattr(&self, caller: Caller, id: u64, name: &OsStr) -> Result<Vec<u8>> {
        let node = self.table.get(id)?;
        let name = user_name(name, Errno::EOPNOTSUPP)?;
        self.check_read(caller, &node, Operation::Getxattr)?;
        let path = self.descriptor_of(&node)?;
        let mut value = vec![0; MAX_XATTR_BYTES];
        // SAFETY: both strings end with NUL and the buffer has the length that is given.
        let length = unsafe {
            libc::getxattr(path.1.as_ptr(), name.as_ptr(), value.as_mut_ptr().cast(), value.len())
        };
        value.truncate(length_of(length)?);
        Ok(value)
    }

    /// The names of the attributes, each ended by NUL.
    pub(super) fn listxattr(&self, caller: Caller, id: u64) -> Result<Vec<u8>> {
        let node = self.table.get(id)?;
        self.check_read(caller, &node, Operation::Listxattr)?;
        let path = self.descriptor_of(&node)?;
        let mut names = vec![0_u8; MAX_XATTR_BYTES];
        // SAFETY: the path ends with NUL and the buffer has the length that is given.
        let length =
            unsafe { libc::listxattr(path.1.as_ptr(), names.as_mut_ptr().cast(), names.len()) };
        names.truncate(length_of(length)?);
        let shown = names.split_inclusive(|b| *b == 0).filter(|name| name.starts_with(USER));
        Ok(shown.flatten().copied().collect())
    }

    /// Sets an attribute.
    pub(super) fn setxattr(
        &self,
        caller: Caller,
        id: u64,
        name: &OsStr,
        value: &[u8],
        flags: i32,
    ) -> Result<()> {
        let (path, name) = self.changing(caller, id, name, Operation::Setxattr)?;
        // SAFETY: both strings end with NUL and the value has the length that is given.
        let set = unsafe {
            libc::setxattr(
                path.1.as_ptr(),
                name.as_ptr(),
                value.as_ptr().cast(),
                value.len(),
                flags,
            )
        };
        Errno::result(set).map(drop)
    }

    /// Removes an attribute.
    pub(super) fn removexattr(&self, caller: Caller, id: u64, name: &OsStr) -> Result<()> {
        let (path, name) = self.changing(caller, id, name, Operation::Removexattr)?;
        // SAFETY: both strings end with NUL.
        let removed = unsafe { libc::removexattr(path.1.as_ptr(), name.as_ptr()) };
        Errno::result(removed).map(drop)
    }

    fn changing(
        &self,
        caller: Caller,
        id: u64,
        name: &OsStr,
        operation: Operation,
    ) -> Result<(Descriptor, CString)> {
        let node = self.table.get(id)?;
        self.check_change(caller, &node, operation)?;
        let system = name.as_bytes().starts_with(b"system.");
        let user = user_name(name, if system { Errno::EOPNOTSUPP } else { Errno::EPERM })?;
        if !matches!(node.kind, FileType::RegularFile | FileType::Directory) {
            return Err(Errno::EPERM);
        }
        let path = self.descriptor_of(&node)?;
        let text = Some(name.to_string_lossy().into_owned());
        self.record_attributes(caller, &node, None, text)?;
        Ok((path, user))
    }

    fn descriptor_of(&self, node: &std::sync::Arc<Node>) -> Result<Descriptor> {
        let _names = self.reading_names();
        let fd = self.table.descriptor(node)?;
        let path = CString::new(descriptor_path(fd.as_fd())).map_err(|_| Errno::EINVAL)?;
        Ok(Descriptor(fd, path))
    }
}

/// A descriptor that is kept open, and its name in `/proc`.
struct Descriptor(
    #[expect(dead_code, reason = "it keeps the name valid")] std::sync::Arc<std::os::fd::OwnedFd>,
    CString,
);

fn user_name(name: &OsStr, otherwise: Errno) -> Result<CString> {
    if !name.as_bytes().starts_with(USER) {
        return Err(otherwise);
    }
    CString::new(name.as_bytes()).map_err(|_| Errno::EINVAL)
}

fn length_of(returned: isize) -> Result<usize> {
    let length = Errno::result(returned)?;
    usize::try_from(length).map_err(|_| Errno::EIO)
}
