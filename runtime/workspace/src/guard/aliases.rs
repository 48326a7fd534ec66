//! Hard links of guarded files under names that no rule guards.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use custody_model::WorkspacePath;
use custody_policy::PathRules;
use fuser::FileType;
use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::OFlag;

use super::backing::{Key, Result, file_type, open_at, stat_at};
use super::rules::{Guarded, guard_of};

/// All files below `root` that a rule guards and that have more than one name. Looks at every file.
pub(super) fn find(root: BorrowedFd<'_>, rules: &PathRules) -> Result<HashMap<Key, Arc<Guarded>>> {
    let mut found: HashMap<Key, Arc<Guarded>> = HashMap::new();
    if !rules.has_guards() {
        return Ok(found);
    }
    let mut pending = vec![WorkspacePath::root()];
    while let Some(path) = pending.pop() {
        let name: OsString =
            if path.is_root() { ".".into() } else { path.as_path().as_os_str().to_owned() };
        let opened = open_at(root, &name, OFlag::O_RDONLY | OFlag::O_DIRECTORY)?;
        let mut directory = Dir::from_fd(opened)?;
        let names: Vec<_> = directory
            .iter()
            .map(|entry| Ok(entry?.file_name().to_bytes().to_vec()))
            .collect::<Result<_>>()?;
        for name in names.iter().filter(|n| !matches!(n.as_slice(), b"." | b"..")) {
            let inside = path.join(name).map_err(|_| Errno::ENAMETOOLONG)?;
            let stat = stat_at(directory.as_fd(), OsStr::from_bytes(name))?;
            match file_type(stat.st_mode) {
                FileType::Directory => pending.push(inside),
                FileType::RegularFile if stat.st_nlink > 1 => {
                    if let Some(guard) = guard_of(rules, &inside) {
                        let kept = found.entry(Key::from(&stat)).or_insert_with(|| guard.clone());
                        if kept.wall < guard.wall {
                            *kept = guard;
                        }
                    }
                }
                FileType::RegularFile
                | FileType::Symlink
                | FileType::NamedPipe
                | FileType::Socket
                | FileType::CharDevice
                | FileType::BlockDevice => {}
            }
        }
    }
    Ok(found)
}
