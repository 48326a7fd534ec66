//! Where a server listens: Unix sockets that a dead server left are taken over, and only their owner may connect.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::os::unix::net::UnixListener as StdUnixListener;
use std::path::{Path, PathBuf};

use custody_keeper::socket_path::SocketPath;
use tokio::net::UnixListener;

/// A socket that goes when this is dropped.
#[derive(Debug)]
pub(super) struct Socket {
    /// Where it is.
    path: PathBuf,
    /// By which path it is reached in this process.
    reach: SocketPath,
}

impl Socket {
    /// Listens at `path`. Whoever calls knows that no living server listens there.
    pub(super) fn listen(path: &Path) -> io::Result<(Self, UnixListener)> {
        let parent = path.parent().unwrap_or(Path::new("/"));
        fs::DirBuilder::new().recursive(true).mode(0o700).create(parent)?;
        let reach = SocketPath::of(path)?;
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let listener = StdUnixListener::bind(reach.path())?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
        listener.set_nonblocking(true)?;
        let listener = UnixListener::from_std(listener)?;
        Ok((Self { path: path.to_owned(), reach }, listener))
    }

    /// The path by which this process reaches it.
    pub(super) fn reach(&self) -> &Path {
        self.reach.path()
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // Somebody may have taken the whole directory away.
        let _absent = fs::remove_file(&self.path);
    }
}

/// Removes the sockets that commands left here which were killed: `cli-PID.sock` of processes that are gone.
pub(super) fn remove_left_over(directory: &Path) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let pid = name.to_str().and_then(|name| name.strip_prefix("cli-")?.strip_suffix(".sock"));
        if pid.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
            // Another command may do the same just now.
            let _absent = fs::remove_file(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_socket_of_any_length_of_path_is_reached_and_goes() {
        let dir = tempfile::tempdir().unwrap();
        let deep = dir.path().join("x".repeat(60)).join("y".repeat(60));
        for path in [dir.path().join("run/a.sock"), deep.join("a.sock")] {
            let (socket, _listener) = Socket::listen(&path).unwrap();
            tokio::net::UnixStream::connect(socket.reach()).await.unwrap();
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
            // A server that was killed leaves it, and the next one takes its place.
            drop(Socket::listen(&path).unwrap());
            drop(socket);
            assert!(!path.exists());
        }
    }
}
