//! An overlay in a mount namespace of its own, an observer on it, and what it told.

use std::fs::{self, File};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use custody_model::{SystemClock, Timestamp, WorkspacePath};
use custody_policy::PathRules;
use custody_record::event::{Access, FileKind, FileRead, FileWritten, WorkspaceCompared};
use custody_record::{Body, SinkError};
use custody_workspace::AccessSink;
use custody_workspace::compare::Compared;
use custody_workspace::content::{BaseEntry, Contents, GitHash, HashLimits};
use custody_workspace::observe::{Alarms, BacklogLimits, Observer, ObserverConfig};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

/// The files of the base commit.
pub(crate) const BASE: &[(&str, &str)] = &[
    ("README.md", "read me\n"),
    ("src/a.rs", "fn a() {}\n"),
    ("src/b.rs", "fn b() {}\n"),
    ("src/deep/c.rs", "fn c() {}\n"),
    ("secrets/key", "hidden\n"),
];

#[derive(Default)]
pub(crate) struct Told {
    accesses: Mutex<Vec<(u32, Body)>>,
    pub(crate) gaps: Mutex<Vec<String>>,
    pub(crate) backlog: Mutex<Vec<bool>>,
    /// From now on the record can't be written.
    pub(crate) full: Mutex<bool>,
}

impl AccessSink for Told {
    fn access(&self, _: Timestamp, pid: u32, body: Body) -> Result<(), SinkError> {
        if *self.full.lock().unwrap() {
            return Err(SinkError::Unwritable("no space".to_owned()));
        }
        self.accesses.lock().unwrap().push((pid, body));
        Ok(())
    }
}

impl Alarms for Told {
    fn gap(&self, reason: String) {
        self.gaps.lock().unwrap().push(reason);
    }

    fn backlog(&self, high: bool) {
        self.backlog.lock().unwrap().push(high);
    }

    fn failed(&self, _: &SinkError) {}
}

pub(crate) struct Fixture {
    pub(crate) observer: Observer,
    pub(crate) contents: Arc<Contents>,
    pub(crate) told: Arc<Told>,
    directory: PathBuf,
}

/// Options of the overlay that the tests of a part can vary.
pub(crate) struct Setup {
    pub(crate) rules: PathRules,
    pub(crate) limits: HashLimits,
    pub(crate) backlog: BacklogLimits,
    /// Programs that the base has beside [`BASE`].
    pub(crate) programs: Vec<(String, String)>,
}

impl Default for Setup {
    fn default() -> Self {
        let rules = PathRules::new(Vec::new()).unwrap();
        let (limits, backlog) = (HashLimits::default(), BacklogLimits::default());
        Self { rules, limits, backlog, programs: Vec::new() }
    }
}

/// Runs a test in a thread with a mount namespace of its own, so that its mounts end with it.
pub(crate) fn observed(test: impl FnOnce(&Fixture) + Send + 'static) {
    observed_with(Setup::default(), test);
}

pub(crate) fn observed_with(setup: Setup, test: impl FnOnce(&Fixture) + Send + 'static) {
    // Made and removed out here, where nothing is ever mounted on it.
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path().to_owned();
    let run = move || {
        unshare(CloneFlags::CLONE_NEWNS).expect("these tests need root");
        let none: Option<&str> = None;
        mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).unwrap();
        mount(Some("tmpfs"), &place, Some("tmpfs"), MsFlags::empty(), none).unwrap();
        let fixture = Fixture::new(&place, setup);
        test(&fixture);
    };
    if let Err(panic) = std::thread::spawn(run).join() {
        std::panic::resume_unwind(panic);
    }
    directory.close().unwrap();
}

impl Fixture {
    fn new(directory: &Path, setup: Setup) -> Self {
        for name in ["lower", "upper", "work", "view"] {
            fs::create_dir(directory.join(name)).unwrap();
        }
        let lower = directory.join("lower");
        for (path, content) in BASE {
            let path = lower.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        for (path, content) in &setup.programs {
            let path = lower.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, content).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        fs::create_dir_all(lower.join(".git/refs")).unwrap();
        fs::write(lower.join(".git/HEAD"), "ref: refs/heads/main\n").unwrap();
        fs::copy("/bin/true", lower.join("tool")).unwrap();
        symlink("src/a.rs", lower.join("link")).unwrap();
        let told = Arc::new(Told::default());
        let view = overlay(directory);
        let mut files = base();
        files.extend(programs(&setup.programs));
        let contents = Arc::new(Contents::new(view, GitHash::Sha1, files, setup.limits));
        let observer = Observer::start(ObserverConfig {
            mount: contents.root(),
            upper: File::open(directory.join("upper")).unwrap().as_fd(),
            contents: Arc::clone(&contents),
            sink: Arc::clone(&told) as Arc<dyn AccessSink>,
            alarms: Arc::clone(&told) as Arc<dyn Alarms>,
            clock: Arc::new(SystemClock),
            rules: setup.rules,
            own_pid: std::process::id(),
            backlog: setup.backlog,
        })
        .unwrap();
        Self { observer, contents, told, directory: directory.to_owned() }
    }

    pub(crate) fn view(&self) -> PathBuf {
        self.directory.join("view")
    }

    /// The upper layer, for what goes round the overlay.
    pub(crate) fn upper(&self) -> PathBuf {
        self.directory.join("upper")
    }

    pub(crate) fn upper_fd(&self) -> OwnedFd {
        File::open(self.upper()).unwrap().into()
    }

    /// Runs a program in the workspace to its end; its pid.
    pub(crate) fn run(&self, program: &str, arguments: &[&str]) -> u32 {
        let mut child = self.spawn(program, arguments);
        let pid = child.id();
        let status = child.wait().unwrap();
        assert!(status.success(), "{program} {arguments:?}: {status}");
        pid
    }

    pub(crate) fn spawn(&self, program: &str, arguments: &[&str]) -> Child {
        Command::new(program)
            .args(arguments)
            .current_dir(self.view())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap()
    }

    /// Runs a shell script in the workspace; the shell's pid.
    pub(crate) fn sh(&self, script: &str) -> u32 {
        self.run("/bin/sh", &["-ec", script])
    }

    pub(crate) fn python(&self, script: &str) -> u32 {
        self.run("python3", &["-Sc", script])
    }

    /// Everything that was told since the last call, after a drain.
    pub(crate) fn told(&self) -> Vec<(u32, Body)> {
        let (told, gaps) = self.told_with_gaps();
        assert_eq!(gaps, Vec::<String>::new());
        told
    }

    /// As [`Fixture::told`], and the gaps.
    pub(crate) fn told_with_gaps(&self) -> (Vec<(u32, Body)>, Vec<String>) {
        self.observer.drain().unwrap();
        let gaps = std::mem::take(&mut *self.told.gaps.lock().unwrap());
        (std::mem::take(&mut self.told.accesses.lock().unwrap()), gaps)
    }

    /// What was told, without the listing of directories, and as if each file had been closed before the observer
    /// looked: it may look at any time, and then tells an open version, or an open, before the closed version.
    pub(crate) fn bodies(&self) -> Vec<Body> {
        let mut bodies: Vec<Body> = Vec::new();
        for (_, body) in self.told() {
            match body {
                Body::FileOpened(opened) if opened.kind == FileKind::Directory => {}
                Body::FileWritten(mut closed) if !closed.open => {
                    let open = |b: &Body| matches!(b, Body::FileWritten(w) if w.open && w.path == closed.path);
                    if let Some(at) = bodies.iter().position(open)
                        && let Body::FileWritten(open) = bodies.remove(at)
                    {
                        closed.before = open.before;
                    }
                    bodies.push(Body::FileWritten(closed));
                }
                other => bodies.push(other),
            }
        }
        bodies
    }

    /// As [`Fixture::bodies`], without opens for reading.
    pub(crate) fn changes(&self) -> Vec<Body> {
        let read = |b: &Body| matches!(b, Body::FileOpened(o) if o.access == Access::Read);
        self.bodies().into_iter().filter(|b| !read(b)).collect()
    }

    pub(crate) fn compare(&self) -> WorkspaceCompared {
        let compared = self.compare_with_gaps();
        assert_eq!(compared.gaps, Vec::<String>::new());
        compared.told
    }

    pub(crate) fn compare_with_gaps(&self) -> Compared {
        let recorded = custody_workspace::spelling::Spelling::as_it_is();
        custody_workspace::compare::compare(self.upper_fd().as_fd(), &self.contents, recorded)
            .unwrap()
    }
}

pub(crate) fn overlay(directory: &Path) -> OwnedFd {
    let layer = |name: &str| directory.join(name).display().to_string();
    let options = format!(
        "lowerdir={},upperdir={},workdir={},index=on,nfs_export=on,redirect_dir=on,metacopy=off,xino=auto",
        layer("lower"),
        layer("upper"),
        layer("work")
    );
    let view = directory.join("view");
    let flags = MsFlags::MS_NODEV | MsFlags::MS_NOSUID;
    mount(Some("overlay"), &view, Some("overlay"), flags, Some(options.as_str())).unwrap();
    File::open(view).unwrap().into()
}

pub(crate) fn base() -> Vec<(WorkspacePath, BaseEntry)> {
    let entry = |content: &[u8], mode| BaseEntry {
        git_blob: GitHash::Sha1.blob_of(content),
        mode,
        size: content.len() as u64,
    };
    let mut base: Vec<_> =
        BASE.iter().map(|(p, c)| (path(p), entry(c.as_bytes(), 0o100_644))).collect();
    base.push((path("tool"), entry(&fs::read("/bin/true").unwrap(), 0o100_755)));
    base.push((path("link"), entry(b"src/a.rs", 0o120_000)));
    base
}

/// Programs as the base commit has them.
pub(crate) fn programs(
    programs: &[(String, String)],
) -> impl Iterator<Item = (WorkspacePath, BaseEntry)> {
    programs.iter().map(|(at, content)| {
        let git_blob = GitHash::Sha1.blob_of(content.as_bytes());
        (path(at), BaseEntry { git_blob, mode: 0o100_755, size: content.len() as u64 })
    })
}

pub(crate) fn path(text: &str) -> WorkspacePath {
    text.parse().unwrap()
}

/// A file as the base commit has it.
pub(crate) fn blob(content: &str) -> FileRead {
    FileRead {
        git_blob: Some(GitHash::Sha1.blob_of(content.as_bytes())),
        digest: None,
        size: Some(content.len() as u64),
    }
}

/// A version that was hashed.
pub(crate) fn version(content: &[u8]) -> FileRead {
    FileRead {
        git_blob: Some(GitHash::Sha1.blob_of(content)),
        digest: Some(custody_model::Digest::of(content)),
        size: Some(content.len() as u64),
    }
}

pub(crate) fn written(at: &str, before: Option<FileRead>, after: FileRead, open: bool) -> Body {
    let kind = FileKind::File;
    Body::FileWritten(FileWritten { path: path(at), kind, before, after, open, uncertain: None })
}
