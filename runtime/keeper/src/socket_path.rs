//! Paths of Unix sockets of any length.
//!
//! Linux holds a socket's path in 108 bytes, with the NUL (unix(7)). A longer one is reached by way of an open directory,
//! through `/proc/self/fd`, which this process alone can use.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// Longest path of a Unix socket, in bytes.
pub const SOCKET_PATH_BYTES: usize = 107;

/// A path by which this process reaches a socket; good as long as this value lives.
#[derive(Debug)]
pub struct SocketPath {
    path: PathBuf,
    _directory: Option<File>,
}

impl SocketPath {
    /// The path to bind or connect for the socket at `path`, whose directory is there.
    ///
    /// # Errors
    /// If the directory can't be opened; only of a path that is too long.
    pub fn of(path: &Path) -> io::Result<Self> {
        if path.as_os_str().len() <= SOCKET_PATH_BYTES {
            return Ok(Self { path: path.to_owned(), _directory: None });
        }
        let within = path.parent().unwrap_or(Path::new("/"));
        let directory = File::options()
            .read(true)
            .custom_flags(libc::O_PATH | libc::O_DIRECTORY)
            .open(within)?;
        let name = path.file_name().unwrap_or_default();
        let path = Path::new("/proc/self/fd").join(directory.as_raw_fd().to_string()).join(name);
        Ok(Self { path, _directory: Some(directory) })
    }

    /// The path itself.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::{UnixListener, UnixStream};

    use super::*;

    #[test]
    fn a_socket_is_reached_by_a_path_of_any_length() {
        let dir = tempfile::tempdir().unwrap();
        for length in [1, 60, 100, 107, 108, 200, 255] {
            let within = dir.path().join("d".repeat(length));
            std::fs::create_dir_all(&within).unwrap();
            let path = within.join("a.sock");
            let ours = SocketPath::of(&path).unwrap();
            let _listener = UnixListener::bind(ours.path()).unwrap();
            assert!(path.exists(), "{length}");
            let theirs = SocketPath::of(&path).unwrap();
            let _stream = UnixStream::connect(theirs.path()).unwrap();
        }
    }
}
