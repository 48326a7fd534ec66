//! A place for one shape of a repository, and git as its owner runs it.

use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

/// A directory in which a shape is made.
#[derive(Debug)]
pub(crate) struct Ground {
    dir: TempDir,
}

impl Ground {
    pub(crate) fn new() -> Self {
        Self { dir: TempDir::with_prefix("custody-shape-").expect("a directory") }
    }

    /// A path below it.
    pub(crate) fn at(&self, path: &str) -> PathBuf {
        self.dir.path().join(path)
    }

    /// Runs a shell script in it, which has to succeed.
    #[track_caller]
    pub(crate) fn sh(&self, script: &str) {
        let output = command("bash", self.dir.path())
            .args(["-euo", "pipefail", "-c", script])
            .stdin(Stdio::null())
            .output()
            .expect("bash starts");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{script}\n{said}");
    }
}

/// A command of the owner's, with settings of his own.
pub(crate) fn command(program: &str, directory: &Path) -> Command {
    let mut command = Command::new(program);
    command
        .current_dir(directory)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_COUNT", "6")
        .env("HOME", "/nonexistent")
        .env("LC_ALL", "C");
    let settings = [
        ("user.name", "Dana Developer"),
        ("user.email", "dana@example.org"),
        ("commit.gpgSign", "false"),
        ("init.defaultBranch", "main"),
        ("protocol.file.allow", "always"),
        ("advice.detachedHead", "false"),
    ];
    for (number, (key, value)) in settings.into_iter().enumerate() {
        command.env(format!("GIT_CONFIG_KEY_{number}"), key);
        command.env(format!("GIT_CONFIG_VALUE_{number}"), value);
    }
    command
}

/// What git says there; it has to succeed.
#[track_caller]
pub(crate) fn git(directory: &Path, arguments: &[&str]) -> String {
    let output = command("git", directory).args(arguments).output().expect("git starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "git {arguments:?}: {said}");
    String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
}

/// Whether git succeeds there.
pub(crate) fn git_asks(directory: &Path, arguments: &[&str]) -> bool {
    command("git", directory).args(arguments).output().expect("git starts").status.success()
}

/// What stands in a working tree, without git's own directories: of each path what it is.
pub(crate) fn standing(directory: &Path) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut waiting = vec![directory.to_owned()];
    while let Some(directory_now) = waiting.pop() {
        for entry in std::fs::read_dir(&directory_now).expect("listed").flatten() {
            let path = entry.path();
            let kind = entry.file_type().expect("a kind");
            if entry.file_name() == ".git" {
                continue;
            }
            if kind.is_dir() {
                waiting.push(path);
                continue;
            }
            let content = match kind.is_symlink() {
                true => {
                    std::fs::read_link(&path).expect("a link").into_os_string().into_encoded_bytes()
                }
                false => std::fs::read(&path).expect("read"),
            };
            let below = path.strip_prefix(directory).expect("below");
            found.insert(below.as_os_str().as_bytes().to_vec(), content);
        }
    }
    found
}
