//! An installation of Custody for one test: the real binary on a state directory of its own.

use std::collections::BTreeMap;
use std::ffi::{CString, OsStr};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::str::FromStr;

use custody_model::SessionId;
use tempfile::TempDir;

use crate::record::Record;
use crate::repository::Repository;
use crate::toolchain;

/// A state directory, empty at first and gone when dropped.
#[derive(Debug)]
pub struct Installation {
    state: TempDir,
    /// The file system of its own that is mounted below it.
    mounted: Option<PathBuf>,
    /// Variables of every command and server.
    environment: BTreeMap<String, String>,
}

/// What a command of Custody said.
#[derive(Debug)]
pub struct Output {
    /// Exit code; `None` if a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Output {
    /// Itself, if the command succeeded.
    ///
    /// # Panics
    /// With everything that it said, if it did not.
    #[must_use]
    pub fn succeeded(self) -> Self {
        assert_eq!(self.code, Some(0), "{}\n{}", self.stdout, self.stderr);
        self
    }

    /// Standard output as one JSON document.
    ///
    /// # Panics
    /// If it is none.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("{error} in {}\n{}", self.stdout, self.stderr))
    }

    /// Both streams.
    #[must_use]
    pub fn text(&self) -> String {
        format!("{}{}", self.stdout, self.stderr)
    }
}

impl From<std::process::Output> for Output {
    fn from(output: std::process::Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

/// The binary under test: next to the directory of the running test program, where
/// `cargo build --package custody` puts it.
///
/// # Panics
/// If it is not built, or this is not run by root.
#[must_use]
pub fn binary() -> PathBuf {
    // SAFETY: geteuid has no preconditions and cannot fail.
    let root = unsafe { libc::geteuid() } == 0;
    assert!(root, "sessions need root: run the tests as root");
    let program = std::env::current_exe().expect("the test program has a path");
    let profile = program.ancestors().nth(2).expect("a test program lies in <profile>/deps");
    let binary = profile.join("custody");
    assert!(binary.is_file(), "{} is missing: run `make build` first", binary.display());
    binary
}

impl Installation {
    /// A new one.
    ///
    /// # Panics
    /// As all functions here: if the machine fails the test, not Custody.
    #[must_use]
    pub fn new() -> Self {
        let state = TempDir::with_prefix("custody-state-").expect("a directory");
        Self { state, mounted: None, environment: BTreeMap::new() }
    }

    /// A new one that has a file system of so many bytes (a tmpfs) at `place` in its state directory.
    ///
    /// # Panics
    /// If it can't be mounted.
    #[must_use]
    pub fn with_small_file_system(place: &str, bytes: u64) -> Self {
        let mut installation = Self::new();
        let mounted = installation.state().join(place);
        std::fs::create_dir_all(&mounted).expect("made");
        let path = CString::new(mounted.as_os_str().as_bytes()).expect("no NUL");
        let options = CString::new(format!("size={bytes},mode=700")).expect("no NUL");
        let name = c"tmpfs".as_ptr();
        // SAFETY: all strings end with NUL and live as long as the call.
        let done = unsafe { libc::mount(name, path.as_ptr(), name, 0, options.as_ptr().cast()) };
        assert_eq!(done, 0, "{}", std::io::Error::last_os_error());
        installation.mounted = Some(mounted);
        installation
    }

    /// Sets a variable of every command and server from here on.
    pub fn set(&mut self, name: &str, value: &str) {
        self.environment.insert(name.to_owned(), value.to_owned());
    }

    /// Takes one back.
    pub fn unset(&mut self, name: &str) {
        self.environment.remove(name);
    }

    /// The variables.
    #[must_use]
    pub fn environment(&self) -> &BTreeMap<String, String> {
        &self.environment
    }

    /// Its state directory.
    #[must_use]
    pub fn state(&self) -> &Path {
        self.state.path()
    }

    /// A command of Custody on this state directory, without input, started in `directory`.
    pub fn command(&self, directory: &Path, arguments: &[impl AsRef<OsStr>]) -> Command {
        let mut command = Command::new(binary());
        self.prepare(&mut command, directory, arguments);
        command
    }

    fn prepare(&self, command: &mut Command, directory: &Path, arguments: &[impl AsRef<OsStr>]) {
        command
            .current_dir(directory)
            .args(arguments)
            .env("CUSTODY_STATE", self.state())
            .envs(&self.environment)
            .stdin(Stdio::null());
    }

    /// Runs a command of Custody to its end.
    pub fn custody(&self, directory: &Path, arguments: &[impl AsRef<OsStr>]) -> Output {
        self.command(directory, arguments).output().expect("custody starts").into()
    }

    /// `custody run OPTIONS -- sh -c SCRIPT` in the repository, to its end.
    pub fn run(&self, repository: &Repository, options: &[&str], script: &str) -> Output {
        self.custody(repository.path(), &Self::run_arguments(options, script))
    }

    /// As [`Installation::run`], with the machine's Rust toolchain at [`toolchain::TOOLCHAIN`].
    pub fn run_with_toolchain(
        &self,
        repository: &Repository,
        options: &[&str],
        script: &str,
    ) -> Output {
        let mut command = toolchain::shown();
        command.arg(binary());
        self.prepare(&mut command, repository.path(), &Self::run_arguments(options, script));
        command.output().expect("unshare starts").into()
    }

    /// As [`Installation::run`], left running with its output in pipes.
    #[must_use]
    pub fn start(&self, repository: &Repository, options: &[&str], script: &str) -> Child {
        self.command(repository.path(), &Self::run_arguments(options, script))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("custody starts")
    }

    fn run_arguments<'a>(options: &[&'a str], script: &'a str) -> Vec<&'a str> {
        [&["run"], options, &["--", "sh", "-c", script]].concat()
    }

    /// Writes a policy document beside the state and returns its path, for `--policy`.
    #[must_use]
    pub fn policy(&self, yaml: &str) -> String {
        let path = self.state().with_extension("policy.yaml");
        std::fs::write(&path, yaml).expect("written");
        path.into_os_string().into_string().expect("a temporary path is UTF-8")
    }

    /// All sessions that left a directory, oldest first.
    #[must_use]
    pub fn sessions(&self) -> Vec<SessionId> {
        let Ok(entries) = std::fs::read_dir(self.state().join("sessions")) else {
            return Vec::new();
        };
        let mut sessions: Vec<SessionId> = entries
            .map(|entry| entry.expect("a readable directory").file_name())
            .map(|name| SessionId::from_str(&name.to_string_lossy()).expect("named by session"))
            .collect();
        sessions.sort_by_key(SessionId::to_string);
        sessions
    }

    /// The one session that there is.
    #[must_use]
    pub fn session(&self) -> SessionId {
        let sessions = self.sessions();
        assert_eq!(sessions.len(), 1, "one session was started");
        sessions[0]
    }

    /// Directory of a session.
    #[must_use]
    pub fn directory(&self, session: SessionId) -> PathBuf {
        self.state().join("sessions").join(session.to_string())
    }

    /// The record of a session, as `custody session events` tells it.
    #[must_use]
    pub fn record(&self, session: SessionId) -> Record {
        let id = session.to_string();
        let output = self.custody(self.state(), &["session", "events", &id, "-o", "json"]);
        Record::parse(&output.succeeded().stdout)
    }

    /// `custody verify` of a session, in words.
    pub fn verify(&self, session: SessionId) -> Output {
        self.custody(self.state(), &["verify", &session.to_string()])
    }
}

impl Default for Installation {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Installation {
    fn drop(&mut self) {
        if let Some(mounted) = &self.mounted {
            let path = CString::new(mounted.as_os_str().as_bytes()).expect("no NUL");
            // SAFETY: the path ends with NUL and lives as long as the call.
            unsafe { libc::umount2(path.as_ptr(), libc::MNT_DETACH) };
        }
        // It may never have been written.
        let _ = std::fs::remove_file(self.state().with_extension("policy.yaml"));
    }
}
