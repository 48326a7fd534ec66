//! A guarded workspace for one test: an overlay, the guard on it, and the record in memory.

use std::fs;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use custody_model::{SystemClock, Timestamp};
use custody_policy::{PathPattern, PathRule, PathRules};
use custody_record::event::{FileDenied, FileOpened, FileWritten, Operation};
use custody_record::{Body, SinkError};
use custody_workspace::access::AccessSink;
use custody_workspace::content::{Contents, GitHash, HashLimits};
use custody_workspace::guard::{Guard, GuardConfig, GuardLimits, GuardMode};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

/// The agent's user and group on the host.
pub(crate) const AGENT: u32 = 2_000_001_000;

/// The record.
#[derive(Default)]
pub(crate) struct Log {
    events: Mutex<Vec<(u32, Body)>>,
    pub(crate) broken: AtomicBool,
}

impl AccessSink for Log {
    fn access(&self, _: Timestamp, pid: u32, body: Body) -> Result<(), SinkError> {
        if self.broken.load(Ordering::SeqCst) {
            return Err(SinkError::Unwritable("the test says so".into()));
        }
        self.events.lock().unwrap().push((pid, body));
        Ok(())
    }
}

/// How the workspace is guarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Strict { passthrough: bool },
    Paths,
}

/// Both ways of the strict mode.
pub(crate) const STRICT: [Kind; 2] =
    [Kind::Strict { passthrough: true }, Kind::Strict { passthrough: false }];
/// All ways.
pub(crate) const ALL: [Kind; 3] = [STRICT[0], STRICT[1], Kind::Paths];

pub(crate) struct Workspace {
    pub(crate) guard: Option<Guard>,
    pub(crate) log: Arc<Log>,
    pub(crate) root: PathBuf,
    /// The overlay without the guard: the keeper's view.
    pub(crate) clean: PathBuf,
    _directory: tempfile::TempDir,
}

impl Workspace {
    /// `files` are made with their parents; `deny` and `read_only` are patterns. In paths mode the
    /// guard covers `covered`.
    pub(crate) fn new(
        kind: Kind,
        files: &[(&str, &str)],
        deny: &[&str],
        read_only: &[&str],
        covered: &[&str],
    ) -> Self {
        unshare(CloneFlags::CLONE_NEWNS).unwrap();
        let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
        mount(None::<&str>, "/", None::<&str>, private, None::<&str>).unwrap();
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| {
            let path = directory.path().join(name);
            fs::create_dir(&path).unwrap();
            std::os::unix::fs::chown(&path, Some(AGENT), Some(AGENT)).unwrap();
            path
        };
        fs::set_permissions(directory.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755))
            .unwrap();
        let (lower, upper, work) = (at("lower"), at("upper"), at("work"));
        let (clean, mounted) = (at("clean"), at("mounted"));
        for (path, content) in files {
            write(&lower.join(path), content);
        }
        for entry in walk(&lower) {
            std::os::unix::fs::lchown(&entry, Some(AGENT), Some(AGENT)).unwrap();
        }
        let options = format!(
            "lowerdir={},upperdir={},workdir={},index=on,nfs_export=on,redirect_dir=on,metacopy=off,xino=auto",
            lower.display(),
            upper.display(),
            work.display()
        );
        let none = MsFlags::empty();
        mount(Some("overlay"), &clean, Some("overlay"), none, Some(options.as_str())).unwrap();

        let open = || OwnedFd::from(fs::File::open(&clean).unwrap());
        let rule = |text: &&str| PathPattern::new(text).unwrap();
        let rules = deny.iter().map(|p| PathRule::Deny(rule(p)));
        let rules = rules.chain(read_only.iter().map(|p| PathRule::ReadOnly(rule(p))));
        let log = Arc::new(Log::default());
        let contents =
            Contents::new(private_clone(&open()), GitHash::Sha1, Vec::new(), HashLimits::default());
        let config = GuardConfig {
            backing: open(),
            rules: PathRules::new(rules.collect()).unwrap(),
            mode: if kind == Kind::Paths { GuardMode::Paths } else { GuardMode::Strict },
            contents: Arc::new(contents),
            sink: Arc::clone(&log) as Arc<dyn AccessSink>,
            clock: Arc::new(SystemClock),
            passthrough: kind != Kind::Strict { passthrough: false },
            threads: 2,
            scan_links: true,
            limits: GuardLimits { directories: 4, ..GuardLimits::default() },
        };
        let guard = Guard::mount(config, &mounted).unwrap();
        let root = match kind {
            Kind::Strict { passthrough } => {
                assert_eq!(guard.passthrough(), passthrough);
                mounted
            }
            Kind::Paths => {
                for path in covered {
                    let (from, to) = (mounted.join(path), clean.join(path));
                    let bind = MsFlags::MS_BIND;
                    mount(Some(&from), &to, None::<&str>, bind, None::<&str>).unwrap();
                }
                clean.clone()
            }
        };
        let workspace = Self { guard: Some(guard), log, root, clean, _directory: directory };
        workspace.log.events.lock().unwrap().clear();
        workspace
    }

    /// Runs a shell script in the workspace as the agent.
    pub(crate) fn sh(&self, script: &str) -> Output {
        self.sh_as(AGENT, script)
    }

    pub(crate) fn sh_as(&self, id: u32, script: &str) -> Output {
        Command::new("/bin/sh")
            .args(["-c", script])
            .current_dir(&self.root)
            .env("HOME", "/tmp")
            .env("LC_ALL", "C")
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .uid(id)
            .gid(id)
            .output()
            .unwrap()
    }

    /// Runs a script that must succeed, and says what it printed.
    pub(crate) fn ok(&self, script: &str) -> String {
        let output = self.sh(script);
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{script}: {} {error}", output.status);
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Runs a script that must fail, and says what it complained about.
    pub(crate) fn fails(&self, script: &str) -> String {
        let output = self.sh(script);
        assert!(!output.status.success(), "{script} succeeded");
        String::from_utf8_lossy(&output.stderr).into_owned()
    }

    pub(crate) fn events(&self) -> Vec<(u32, Body)> {
        self.log.events.lock().unwrap().clone()
    }

    /// What the keeper does before an effect.
    pub(crate) fn settle(&self) {
        self.guard.as_ref().unwrap().settling().settle().unwrap();
    }

    pub(crate) fn forget_events(&self) {
        self.log.events.lock().unwrap().clear();
    }

    pub(crate) fn denied(&self) -> Vec<(u32, FileDenied)> {
        let only = |(pid, body)| match body {
            Body::FileDenied(denied) => Some((pid, denied)),
            _ => None,
        };
        self.events().into_iter().filter_map(only).collect()
    }

    pub(crate) fn written(&self, path: &str) -> Vec<FileWritten> {
        let only = |(_, body)| match body {
            Body::FileWritten(written) if written.path.to_string() == path => Some(written),
            _ => None,
        };
        self.events().into_iter().filter_map(only).collect()
    }

    pub(crate) fn opened(&self, path: &str) -> Vec<FileOpened> {
        let only = |(_, body)| match body {
            Body::FileOpened(opened) if opened.path.to_string() == path => Some(opened),
            _ => None,
        };
        self.events().into_iter().filter_map(only).collect()
    }

    /// Whether this was refused and recorded.
    pub(crate) fn was_denied(&self, operation: Operation, path: &str) -> bool {
        self.denied().iter().any(|(_, d)| d.operation == operation && d.path.to_string() == path)
    }
}

impl Drop for Workspace {
    fn drop(&mut self) {
        drop(self.guard.take());
        // In strict mode that of the guard is gone already.
        for mounted in [&self.clean, &self.root] {
            let _ = nix::mount::umount2(mounted, nix::mount::MntFlags::MNT_DETACH);
        }
    }
}

/// The keeper's clean view: the same tree without what is mounted on it.
fn private_clone(directory: &OwnedFd) -> OwnedFd {
    let flags = libc::OPEN_TREE_CLONE | libc::OPEN_TREE_CLOEXEC | libc::AT_EMPTY_PATH as u32;
    // SAFETY: the descriptor is open and the path is an empty C string.
    let fd =
        unsafe { libc::syscall(libc::SYS_open_tree, directory.as_raw_fd(), c"".as_ptr(), flags) };
    let fd = i32::try_from(nix::errno::Errno::result(fd).unwrap()).unwrap();
    // SAFETY: the kernel just made this descriptor, and nobody else has it.
    let cloned = unsafe { OwnedFd::from_raw_fd(fd) };
    // Reading its entries needs more than O_PATH.
    nix::fcntl::openat(
        &cloned,
        c".",
        nix::fcntl::OFlag::O_RDONLY | nix::fcntl::OFlag::O_CLOEXEC,
        nix::sys::stat::Mode::empty(),
    )
    .unwrap()
}

fn write(path: &Path, content: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

fn walk(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let entry = entry.unwrap();
        found.push(entry.path());
        if entry.file_type().unwrap().is_dir() {
            found.extend(walk(&entry.path()));
        }
    }
    found
}
