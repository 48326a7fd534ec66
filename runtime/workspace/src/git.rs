//! The only place that runs the `git` program.
//!
//! Every call gets a clean environment and an explicit repository directory that only Custody writes. What an agent or
//! the owner of a checkout can write (configuration, hooks, attributes' drivers, alternates, a pager, an editor)
//! is never in force: git reads no system, user or work tree configuration here, runs no hook, no file system
//! monitor, no external diff, asks nobody anything, and fetches nothing by itself.

use std::ffi::{OsStr, OsString};
use std::io::{BufRead, BufReader, Read, Write};
use std::ops::ControlFlow;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use custody_model::GitOid;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

/// Where the `git` program and what it calls are looked for.
const SEARCH_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Longest standard error that an error keeps, in bytes: its end, where git says why.
const MAX_STDERR_BYTES: usize = 4096;

/// How long git may read what somebody else wrote before it is taken for stuck. For questions that take milliseconds.
pub const FOREIGN_PATIENCE: Duration = Duration::from_secs(60);

/// The configuration of every call; it is stronger than that of any file.
const CONFIGURATION: [(&str, &str); 19] = [
    ("safe.directory", "*"),
    ("core.hooksPath", "/dev/null"),
    ("core.fsmonitor", "false"),
    ("core.untrackedCache", "false"),
    ("core.attributesFile", "/dev/null"),
    ("core.excludesFile", "/dev/null"),
    ("core.sharedRepository", "0644"),
    ("core.quotePath", "false"),
    ("core.logAllRefUpdates", "false"),
    ("index.version", "2"),
    ("index.threads", "1"),
    ("index.skipHash", "false"),
    ("gc.auto", "0"),
    ("maintenance.auto", "false"),
    ("commit.gpgSign", "false"),
    ("submodule.recurse", "false"),
    ("fetch.unpackLimit", "1"),
    ("protocol.ext.allow", "never"),
    ("advice.detachedHead", "false"),
];

/// Why a call of git failed.
#[derive(Debug, thiserror::Error)]
pub enum GitError {
    /// The program could not be run, or its pipes broke.
    #[error("git {command} could not be run: is git installed?")]
    Run {
        /// The arguments.
        command: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It said no.
    #[error("git {command} failed ({status}): {stderr}")]
    Failed {
        /// The arguments.
        command: String,
        /// How it ended.
        status: ExitStatus,
        /// The end of what it wrote to standard error.
        stderr: String,
    },
    /// A disk refused what it had to write: it is full, read-only or broken. The same call may succeed later.
    #[error("git {command} could not write: {stderr}")]
    Disk {
        /// The arguments.
        command: String,
        /// The end of what it wrote to standard error.
        stderr: String,
        /// How the disk refused.
        #[source]
        source: std::io::Error,
    },
    /// It did not end in time.
    #[error("git {command} did not end within {} s: does it wait for a pipe?", .patience.as_secs())]
    Slow {
        /// The arguments.
        command: String,
        /// How long it was waited for.
        patience: Duration,
    },
    /// Its answer is not in the form that its manual promises.
    #[error("git {command} answered something unexpected: {what}")]
    Answer {
        /// The arguments.
        command: String,
        /// What is wrong with it.
        what: String,
    },
}

/// A repository, and how git shall see it.
#[derive(Clone, Debug)]
pub struct Git {
    git_dir: Option<PathBuf>,
    work_tree: Option<PathBuf>,
    environment: Vec<(OsString, OsString)>,
    configuration: Vec<(String, String)>,
    patience: Option<Duration>,
}

impl Git {
    /// The repository whose git directory is `git_dir`; its configuration must be Custody's own.
    #[must_use]
    pub fn at(git_dir: &Path) -> Self {
        Self { git_dir: Some(git_dir.to_owned()), ..Self::nowhere() }
    }

    /// No repository: for the commands that need none.
    #[must_use]
    pub const fn nowhere() -> Self {
        Self {
            git_dir: None,
            work_tree: None,
            environment: Vec::new(),
            configuration: Vec::new(),
            patience: None,
        }
    }

    /// The same with a work tree, from whose root git runs.
    #[must_use]
    pub fn with_work_tree(mut self, path: &Path) -> Self {
        self.work_tree = Some(path.to_owned());
        self
    }

    /// The same with this index file.
    #[must_use]
    pub fn with_index(self, path: &Path) -> Self {
        self.with_variable("GIT_INDEX_FILE", path.as_os_str())
    }

    /// The same, but new objects go to `objects`, and those of `alternate` are read too.
    #[must_use]
    pub fn with_objects(self, objects: &Path, alternate: &Path) -> Self {
        self.with_variable("GIT_OBJECT_DIRECTORY", objects.as_os_str())
            .with_variable("GIT_ALTERNATE_OBJECT_DIRECTORIES", quoted(alternate).as_os_str())
    }

    /// The same, but with the objects in `objects` alone.
    #[must_use]
    pub fn with_objects_only(self, objects: &Path) -> Self {
        self.with_variable("GIT_OBJECT_DIRECTORY", objects.as_os_str())
    }

    /// The same with a variable of git's own in the environment.
    #[must_use]
    pub fn with_variable(mut self, name: &str, value: &OsStr) -> Self {
        self.environment.push((name.into(), value.to_owned()));
        self
    }

    /// The same with one more item of configuration.
    #[must_use]
    pub fn with_configuration(mut self, key: &str, value: &str) -> Self {
        self.configuration.push((key.to_owned(), value.to_owned()));
        self
    }

    /// The same, but it is killed, with all that it started, if it has not ended by then.
    #[must_use]
    pub const fn with_patience(mut self, patience: Duration) -> Self {
        self.patience = Some(patience);
        self
    }

    /// Runs it and returns what it wrote to standard output.
    ///
    /// # Errors
    /// [`GitError`].
    pub fn run<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Result<Vec<u8>, GitError> {
        self.run_with_input(arguments, &[])
    }

    /// Runs it with `input` on standard input and returns what it wrote to standard output.
    ///
    /// # Errors
    /// [`GitError`].
    pub fn run_with_input<S: AsRef<OsStr>>(
        &self,
        arguments: &[S],
        input: &[u8],
    ) -> Result<Vec<u8>, GitError> {
        self.stream(arguments, input, |output| {
            let mut bytes = Vec::new();
            output.read_to_end(&mut bytes)?;
            Ok(bytes)
        })
    }

    /// Runs it and expects one object id as the answer.
    ///
    /// # Errors
    /// [`GitError`].
    pub fn run_for_oid<S: AsRef<OsStr>>(
        &self,
        arguments: &[S],
        input: &[u8],
    ) -> Result<GitOid, GitError> {
        let answer = self.run_with_input(arguments, input)?;
        let text = String::from_utf8_lossy(&answer);
        text.trim_end().parse().map_err(|_| GitError::Answer {
            command: spelled(arguments),
            what: format!("{:?} is not an object id", text.trim_end()),
        })
    }

    /// Whether it ends with exit status 0, where 1 means no.
    ///
    /// # Errors
    /// [`GitError`], with any other exit status.
    pub fn asks<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Result<bool, GitError> {
        match self.run(arguments) {
            Ok(_) => Ok(true),
            Err(GitError::Failed { status, .. }) if status.code() == Some(1) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Runs it with `input` on standard input, and hands its standard output to `read` while it comes.
    ///
    /// # Errors
    /// [`GitError`], also if `read` fails.
    pub fn stream<S: AsRef<OsStr>, T>(
        &self,
        arguments: &[S],
        input: &[u8],
        read: impl FnOnce(&mut dyn BufRead) -> std::io::Result<T>,
    ) -> Result<T, GitError> {
        let (child, complaint, answer) = self.converse(arguments, input, read)?;
        Self::finish(child, arguments, complaint)?;
        answer.map_err(|source| GitError::Run { command: spelled(arguments), source })
    }

    /// As [`Git::stream`] without input, but `read` may break off when it has enough: how git ends then says nothing.
    ///
    /// # Errors
    /// [`GitError`], also if `read` fails.
    pub fn stream_until<S: AsRef<OsStr>, T>(
        &self,
        arguments: &[S],
        read: impl FnOnce(&mut dyn BufRead) -> std::io::Result<ControlFlow<T, T>>,
    ) -> Result<T, GitError> {
        let (mut child, complaint, answer) = self.converse(arguments, &[], read)?;
        let failed = |source| GitError::Run { command: spelled(arguments), source };
        match answer {
            Ok(ControlFlow::Break(answer)) => {
                child.wait().map_err(failed)?;
                Ok(answer)
            }
            Ok(ControlFlow::Continue(answer)) => {
                Self::finish(child, arguments, complaint)?;
                Ok(answer)
            }
            Err(source) => {
                Self::finish(child, arguments, complaint)?;
                Err(failed(source))
            }
        }
    }

    /// Starts it and talks to it until it has closed standard error or `read` has enough. It is not waited for yet.
    fn converse<S: AsRef<OsStr>, T>(
        &self,
        arguments: &[S],
        input: &[u8],
        read: impl FnOnce(&mut dyn BufRead) -> std::io::Result<T>,
    ) -> Result<(Child, String, std::io::Result<T>), GitError> {
        let failed = |source| GitError::Run { command: spelled(arguments), source };
        let mut command = self.command(arguments);
        command.stdin(if input.is_empty() { Stdio::null() } else { Stdio::piped() });
        if self.patience.is_some() {
            // Its own group, to be killed as one.
            command.process_group(0);
        }
        let mut child = command.spawn().map_err(failed)?;
        let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (stdin, Some(stdout), Some(stderr)) = pipes else {
            return Err(failed(std::io::Error::other("a pipe is missing")));
        };
        let (done, ended) = channel::<()>();
        let group = i32::try_from(child.id()).map_err(std::io::Error::other).map_err(failed)?;
        let (answer, complaint, slow) = std::thread::scope(|threads| {
            let watch = self.patience.map(|patience| {
                threads.spawn(move || {
                    let late = ended.recv_timeout(patience) == Err(RecvTimeoutError::Timeout);
                    if late {
                        // It was not waited for yet: the number is still its own.
                        let _ended_just_now = killpg(Pid::from_raw(group), Signal::SIGKILL);
                    }
                    late
                })
            });
            threads.spawn(move || {
                if let Some(mut stdin) = stdin {
                    // git may have read enough and closed its end; its exit status tells.
                    let _ = stdin.write_all(input);
                }
            });
            let complaint = threads.spawn(move || tail(stderr));
            let answer = {
                let mut output = BufReader::with_capacity(1 << 16, stdout);
                read(&mut output)
            };
            let complaint = complaint.join().unwrap_or_default();
            drop(done);
            let slow = watch.is_some_and(|watch| watch.join().unwrap_or(false));
            (answer, complaint, slow)
        });
        if let (true, Some(patience)) = (slow, self.patience) {
            child.wait().map_err(failed)?;
            return Err(GitError::Slow { command: spelled(arguments), patience });
        }
        Ok((child, complaint, answer))
    }

    fn finish<S: AsRef<OsStr>>(
        mut child: Child,
        arguments: &[S],
        complaint: String,
    ) -> Result<(), GitError> {
        let status =
            child.wait().map_err(|source| GitError::Run { command: spelled(arguments), source })?;
        if status.success() {
            Ok(())
        } else {
            let command = spelled(arguments);
            // It tells errors of the system in words alone, and LC_ALL is C.
            Err(match custody_record::disk::refusal_in(&complaint) {
                Some(source) => GitError::Disk { command, stderr: complaint, source },
                None => GitError::Failed { command, status, stderr: complaint },
            })
        }
    }

    fn command<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Command {
        let mut command = Command::new("git");
        command.env_clear();
        for (name, value) in [
            ("PATH", SEARCH_PATH),
            ("HOME", "/nonexistent"),
            ("XDG_CONFIG_HOME", "/nonexistent"),
            ("LC_ALL", "C"),
            ("TZ", "UTC"),
            ("GIT_CONFIG_NOSYSTEM", "1"),
            ("GIT_CONFIG_GLOBAL", "/dev/null"),
            ("GIT_ATTR_NOSYSTEM", "1"),
            ("GIT_TERMINAL_PROMPT", "0"),
            ("GIT_ASKPASS", "/bin/false"),
            ("SSH_ASKPASS", "/bin/false"),
            ("GIT_SSH_COMMAND", "ssh -oBatchMode=yes"),
            ("GIT_EDITOR", "/bin/false"),
            ("GIT_PAGER", "cat"),
            ("GIT_NO_LAZY_FETCH", "1"),
            ("GIT_NO_REPLACE_OBJECTS", "1"),
            ("GIT_OPTIONAL_LOCKS", "0"),
            ("GIT_LITERAL_PATHSPECS", "1"),
        ] {
            command.env(name, value);
        }
        let own = self.configuration.iter().map(|(key, value)| (key.as_str(), value.as_str()));
        let mut count = 0;
        for (key, value) in CONFIGURATION.into_iter().chain(own) {
            command.env(format!("GIT_CONFIG_KEY_{count}"), key);
            command.env(format!("GIT_CONFIG_VALUE_{count}"), value);
            count += 1;
        }
        command.env("GIT_CONFIG_COUNT", count.to_string());
        if let Some(git_dir) = &self.git_dir {
            command.env("GIT_DIR", git_dir);
        } else {
            command.env("GIT_CEILING_DIRECTORIES", "/");
        }
        if let Some(work_tree) = &self.work_tree {
            command.env("GIT_WORK_TREE", work_tree).current_dir(work_tree);
        } else {
            command.current_dir("/");
        }
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }
}

/// The last bytes of a stream, as text.
fn tail(mut stream: impl Read) -> String {
    let mut kept = Vec::new();
    let mut buffer = [0; 4096];
    while let Ok(count @ 1..) = stream.read(&mut buffer) {
        kept.extend_from_slice(&buffer[..count]);
        if kept.len() > 2 * MAX_STDERR_BYTES {
            kept.drain(..kept.len() - MAX_STDERR_BYTES);
        }
    }
    let start = kept.len().saturating_sub(MAX_STDERR_BYTES);
    String::from_utf8_lossy(&kept[start..]).trim_end().to_owned()
}

fn spelled<S: AsRef<OsStr>>(arguments: &[S]) -> String {
    let words: Vec<_> = arguments.iter().map(|word| word.as_ref().to_string_lossy()).collect();
    words.join(" ")
}

/// A path as an entry of git's colon-separated lists (git-config's C-style quoting where it is needed).
fn quoted(path: &Path) -> OsString {
    let text = path.to_string_lossy();
    if text.contains([':', '"', '\\', '\n']) {
        let escaped = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        format!("\"{escaped}\"").into()
    } else {
        path.as_os_str().to_owned()
    }
}

/// Makes an empty bare repository of Custody's own at `git_dir`.
///
/// # Errors
/// [`GitError`].
pub fn init_bare(git_dir: &Path, object_format: &str) -> Result<(), GitError> {
    let format = format!("--object-format={object_format}");
    let words = [
        OsStr::new("init"),
        OsStr::new("--quiet"),
        OsStr::new("--bare"),
        OsStr::new("--template="),
        OsStr::new(&format),
        git_dir.as_os_str(),
    ];
    Git::nowhere().run(&words).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_tells_what_git_said() {
        let dir = tempfile::tempdir().unwrap();
        let error = Git::at(dir.path()).run(&["rev-parse", "HEAD"]).unwrap_err();
        assert!(error.to_string().contains("not a git repository"), "{error}");
    }

    #[test]
    fn one_that_waits_for_a_pipe_is_ended() {
        let dir = tempfile::tempdir().unwrap();
        let pipe = dir.path().join("config");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let git = Git::nowhere().with_patience(Duration::from_millis(200));
        let path = pipe.to_str().unwrap();
        let error = git.run(&["config", "--file", path, "--list"]).unwrap_err();
        assert!(matches!(error, GitError::Slow { .. }), "{error}");
    }

    #[test]
    fn configuration_of_the_machine_and_of_the_user_is_not_read() {
        let dir = tempfile::tempdir().unwrap();
        let bare = dir.path().join("a.git");
        init_bare(&bare, "sha1").unwrap();
        let listed = Git::at(&bare).run(&["config", "--list", "--show-scope"]).unwrap();
        let text = String::from_utf8(listed).unwrap();
        assert!(!text.contains("system") && !text.contains("global"), "{text}");
        assert!(text.contains("core.hookspath=/dev/null"), "{text}");
    }
}
