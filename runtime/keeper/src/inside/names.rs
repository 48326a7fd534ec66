//! Renames, removals and hard links that the kernel refuses because a guard is mounted there: it says `EBUSY` or `EXDEV`
//! by itself, and neither the guard nor the observer hears of it. So they are looked at before they happen.
//!
//! The path is walked as the caller's would be (`walk`), and what is found to be refused is recorded and refused here,
//! with the kernel's own error: so what the record tells is what the caller got, also if another thread of it changes
//! the path meanwhile. What can't be walked, or would reach the guard, is the kernel's to answer.
//!
//! Invariant: no failure of this module refuses or delays a call.

mod verdict;

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use custody_init::protocol::WatchNames;
use custody_model::WorkspacePath;
use custody_policy::{PathRules, Treatment};
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};

use super::walk::{self, Spot, path_of};

pub(super) use verdict::Refusal;

/// Longest path, in bytes (`PATH_MAX`).
const MAX_PATH_BYTES: usize = 4096;

/// The borders of one session's workspace: its mounts inside of the sandbox, and what is guarded.
#[derive(Debug, Default)]
pub struct GuardedNames {
    rules: Option<PathRules>,
    watch: WatchNames,
    /// The mounts of the workspace by their numbers, as the sandbox has them.
    mounts: HashMap<u64, Mount>,
    /// Last components of the mount points: they can't be renamed, so what ends otherwise is none of them.
    names: HashSet<Vec<u8>>,
}

#[derive(Debug)]
struct Mount {
    root: OwnedFd,
    /// What its root is. A mount moves along when a directory above it is renamed; to the guard its paths stay.
    path: WorkspacePath,
    /// The rule that it guards by, if it lies on a guarded path.
    rule: Option<String>,
}

impl GuardedNames {
    /// Takes the mounts of a sandbox whose process `pid` sees the workspace at the absolute path `inside`; nothing that
    /// is not trusted may run there yet. `points` are the guarded mount points, each with its rule; none in strict mode,
    /// where the whole workspace is one mount of the guard.
    ///
    /// # Errors
    /// A mount can't be looked at.
    pub fn of(
        pid: u32,
        inside: &str,
        rules: &PathRules,
        strict: bool,
        points: impl IntoIterator<Item = (WorkspacePath, String)>,
    ) -> std::io::Result<Self> {
        let mut guarded = Self { rules: Some(rules.clone()), ..Self::default() };
        let root = File::open(format!("/proc/{pid}/root"))?;
        let below = ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_SYMLINKS;
        let open = |from: &OwnedFd, path: &Path| -> std::io::Result<Spot> {
            let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
            let how = OpenHow::new().flags(flags).resolve(below);
            Ok(Spot::of(openat2(from.as_fd(), path, how)?)?)
        };
        let workspace = open(&root.into(), Path::new(inside.trim_start_matches('/')))?;
        let number = workspace.mount;
        let workspace = workspace.into_fd();
        for (path, rule) in points {
            let spot = open(&workspace, path.as_path())?;
            guarded.names.insert(last(path.as_bytes()).to_vec());
            let mount = spot.mount;
            let (root, rule) = (spot.into_fd(), Some(rule));
            guarded.mounts.insert(mount, Mount { root, path, rule });
        }
        guarded.watch = match (strict, guarded.mounts.is_empty()) {
            (true, _) if rules.has_guards() => WatchNames::Moves,
            (false, false) => WatchNames::All,
            (true, _) | (false, true) => WatchNames::Nothing,
        };
        let path = WorkspacePath::root();
        guarded.mounts.insert(number, Mount { root: workspace, path, rule: None });
        Ok(guarded)
    }

    /// Which calls have to be looked at.
    #[must_use]
    pub fn watch(&self) -> WatchNames {
        self.watch
    }

    /// Whether the guard would take a look-up in this directory for an attempt.
    fn denies_look(&self, at: &Spot) -> bool {
        let denied = |path| {
            let rules = self.rules.as_ref()?;
            Some(rules.treatment(&path).treatment == Treatment::Deny)
        };
        self.path(at, None).and_then(denied).unwrap_or(false)
    }

    /// The path of an object, or of a name in a directory; none outside of the workspace.
    fn path(&self, at: &Spot, name: Option<&[u8]>) -> Option<WorkspacePath> {
        let mount = self.mounts.get(&at.mount)?;
        let (root, here) = (path_of(mount.root.as_fd())?, at.path()?);
        let rest = here.strip_prefix(root.as_slice())?;
        let mut path = mount.path.clone();
        for part in rest.split(|b| *b == b'/').filter(|part| !part.is_empty()).chain(name) {
            path = path.join(part).ok()?;
        }
        Some(path)
    }

    /// The rule that guards what has this path and lies on this mount.
    fn rule(&self, mount: u64, path: &WorkspacePath) -> Option<String> {
        let rules = self.rules.as_ref()?;
        let of = |path: &WorkspacePath| {
            let ruling = rules.treatment(path);
            ruling.treatment.is_guarded().then(|| ruling.rule.to_owned())
        };
        // A directory may be guarded only for what is in it (`secrets/**`).
        of(path)
            .or_else(|| of(&path.join(b"*").ok()?))
            .or_else(|| self.mounts.get(&mount)?.rule.clone())
    }

    fn is_guard_point(&self, mount: u64) -> bool {
        self.mounts.get(&mount).is_some_and(|mount| mount.rule.is_some())
    }
}

/// The last component.
fn last(path: &[u8]) -> &[u8] {
    let path = walk::trimmed(path);
    path.rsplit(|b| *b == b'/').next().unwrap_or_default()
}
