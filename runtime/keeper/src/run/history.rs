//! What git is asked for of the history, by its arguments.
//!
//! Git maps its packs, so nothing outside of it sees which objects it reads of one. That a process opened a pack is
//! observed (`inside::objects`); what it was asked for is inferred here, from the arguments of the exec, and said so. The
//! references are those of the moment: the exec waits. What isn't understood is not told; the opened pack is.

mod arguments;

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use custody_model::{GitOid, ImageId, Timestamp, WorkspacePath};
use custody_policy::{PathRules, Treatment};
use custody_record::SinkError;
use custody_record::event::{
    EgressDenied, FileDenied, FileKind, FileOutside, GapCode, HistoryRead, Operation, OutsidePlace,
};
use custody_sandbox::spec::WORKSPACE_INSIDE;
use custody_workspace::base::Manifest;
use custody_workspace::git::Git;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};
use nix::sys::stat::{SFlag, fstat};

use crate::inside::{ExecNotice, NoticeSink};
use crate::recorder::{Recorder, can_run};
use arguments::{Asked, Command};

/// Bytes of a file of references that are looked at.
const MAX_REFS_BYTES: u64 = 8 << 20;

/// References that are followed from one to the next.
const MAX_HOPS: usize = 5;

/// Longest suffix of a revision (`~2^1`) that is resolved, in bytes.
const MAX_SUFFIX_BYTES: usize = 16;

/// Most parts of the history that are recorded for one call of git; further arguments are ignored.
const MAX_ASKED: usize = 64;

/// How long git may take to resolve a name. The exec waits.
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(2);

/// Records which parts of the history git's arguments name, beside the notices themselves.
pub(super) struct HistorySink {
    pub(super) recorder: Arc<Recorder>,
    pub(super) history: History,
}

/// The history as a session sees it.
pub(super) struct History {
    /// The root of the clean view.
    pub(super) root: OwnedFd,
    /// The base commit.
    pub(super) commit: GitOid,
    /// Its paths.
    pub(super) manifest: Arc<Manifest>,
    /// The path rules: a denied path is recorded as refused.
    pub(super) rules: PathRules,
    /// The mirror.
    pub(super) git: Git,
}

impl NoticeSink for HistorySink {
    fn executed(&self, notice: ExecNotice) -> Result<ImageId, SinkError> {
        let (time, pid) = (notice.time, notice.pid);
        let reads = self.history.reads(&notice);
        let image = self.recorder.executed(notice)?;
        for read in reads {
            NoticeSink::outside(&*self.recorder, time, pid, read)?;
        }
        Ok(image)
    }

    fn corrected(
        &self,
        time: Timestamp,
        notice: ExecNotice,
        image: ImageId,
        opened: String,
    ) -> Result<(), SinkError> {
        self.recorder.corrected(time, notice, image, opened)
    }

    fn refused(
        &self,
        time: Timestamp,
        pid: Option<u32>,
        denied: EgressDenied,
    ) -> Result<(), SinkError> {
        self.recorder.refused(time, pid, denied)
    }

    fn denied(&self, time: Timestamp, pid: u32, denied: FileDenied) -> Result<(), SinkError> {
        NoticeSink::denied(&*self.recorder, time, pid, denied)
    }

    fn outside(&self, time: Timestamp, pid: u32, outside: FileOutside) -> Result<(), SinkError> {
        NoticeSink::outside(&*self.recorder, time, pid, outside)
    }

    fn gap(&self, code: GapCode, reason: String) {
        NoticeSink::gap(&*self.recorder, code, reason);
    }
}

impl History {
    /// The parts of the history that an exec's arguments name.
    fn reads(&self, notice: &ExecNotice) -> Vec<FileOutside> {
        let program = notice.file.as_deref().unwrap_or(&notice.path);
        if !notice.mode.is_some_and(can_run) || program.rsplit('/').next() != Some("git") {
            return Vec::new();
        }
        let Command { elsewhere, asked } = arguments::read(&notice.argv);
        let below = notice.cwd.as_deref().and_then(|cwd| cwd.strip_prefix(WORKSPACE_INSIDE));
        let below = below.filter(|rest| rest.is_empty() || rest.starts_with('/'));
        let here = below.map(|rest| rest.trim_start_matches('/'));
        let here = here.filter(|here| !elsewhere && !self.is_nested(here));
        asked.into_iter().take(MAX_ASKED).filter_map(|asked| self.read(asked, here)).collect()
    }

    /// One of them; `here` is the directory of the workspace in which git runs, if it is the workspace's repository.
    fn read(&self, asked: Asked, here: Option<&str>) -> Option<FileOutside> {
        let Asked { revision, path, relative, doubtful } = asked;
        let commit = here.and_then(|_| self.resolve(&revision));
        let whole = here.and_then(|_| revision.parse::<GitOid>().ok()).filter(|_| commit.is_none());
        if doubtful && commit.is_none() {
            return None;
        }
        let known = match (path.as_deref(), here) {
            (Some(path), Some(here)) => in_tree(path, if relative { here } else { "" }),
            (_, _) => None,
        };
        if known.as_ref().is_some_and(|path| self.is_denied(path)) {
            return None;
        }
        let object = match (&commit, &known) {
            (Some(commit), Some(path)) => self.object(commit, path),
            (_, _) => whole.clone(),
        };
        let named = match &path {
            Some(path) => format!("{revision}:{path}"),
            None => revision,
        };
        // An object alone is a file where the base has it.
        let known = known.or_else(|| self.path_of(whole.as_ref()?));
        if known.as_ref().is_some_and(|path| self.is_denied(path)) {
            return None;
        }
        let kind = match &known {
            Some(path) if self.is_directory(path) => FileKind::Directory,
            Some(_) => FileKind::File,
            None => FileKind::Other,
        };
        let told = FileOutside::new(OutsidePlace::GitObjects, named, Operation::Read, kind);
        let history = Some(HistoryRead { commit, inferred: true, object, path: known });
        Some(FileOutside { history, ..told })
    }

    fn is_denied(&self, path: &WorkspacePath) -> bool {
        match self.rules.treatment(path).treatment {
            Treatment::Deny => true,
            Treatment::ReadWrite | Treatment::ReadOnly => false,
        }
    }

    /// Whether the base has files below it.
    fn is_directory(&self, path: &WorkspacePath) -> bool {
        let below = [path.as_bytes(), b"/"].concat();
        let entries = self.manifest.entries();
        let first = entries.partition_point(|entry| entry.path.as_bytes() < below.as_slice());
        entries.get(first).is_some_and(|entry| entry.path.as_bytes().starts_with(&below))
    }

    /// Whether a directory of the workspace is in another repository than the workspace's own: one that was made or cloned
    /// there, or a submodule.
    fn is_nested(&self, directory: &str) -> bool {
        let ends = directory.match_indices('/').map(|(at, _)| at).chain([directory.len()]);
        let how = OpenHow::new()
            .flags(OFlag::O_PATH | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW)
            .resolve(ResolveFlag::RESOLVE_BENEATH);
        ends.filter(|end| *end > 0).any(|end| {
            let git = format!("{}/.git", &directory[..end]);
            openat2(self.root.as_fd(), git.as_str(), how).is_ok()
        })
    }

    fn path_of(&self, object: &GitOid) -> Option<WorkspacePath> {
        let mut entries = self.manifest.entries().iter();
        Some(entries.find(|entry| entry.blob == *object)?.path.clone())
    }

    /// The object at a path of a commit.
    fn object(&self, commit: &GitOid, path: &WorkspacePath) -> Option<GitOid> {
        if *commit == self.commit
            && let Some(entry) = self.manifest.get(path)
        {
            return Some(entry.blob.clone());
        }
        self.ask([commit.as_str().as_bytes(), b":", path.as_bytes()].concat())
    }

    /// The commit that a revision means now.
    fn resolve(&self, revision: &str) -> Option<GitOid> {
        let end = revision.find(['~', '^']).unwrap_or(revision.len());
        let (name, suffix) = revision.split_at(end);
        let is_plain = |c: char| matches!(c, '~' | '^') || c.is_ascii_digit();
        if suffix.len() > MAX_SUFFIX_BYTES || !suffix.chars().all(is_plain) {
            return None;
        }
        let found = self.reference(name)?;
        if found == self.commit && suffix.is_empty() {
            return Some(found);
        }
        let asked = self.ask(format!("{found}{suffix}^{{commit}}").into_bytes());
        // The session's own commits are not in the mirror.
        asked.or_else(|| suffix.is_empty().then_some(found).filter(|_| name == "HEAD"))
    }

    /// The object that a reference of the workspace's repository names (gitrevisions(7), `<refname>`).
    fn reference(&self, name: &str) -> Option<GitOid> {
        let name = if matches!(name, "" | "@") { "HEAD" } else { name };
        let parts = || name.split('/');
        if parts().any(|part| part.is_empty() || part.starts_with('.')) || name.contains(':') {
            return None;
        }
        if let Ok(object) = name.parse::<GitOid>() {
            return (object == self.commit).then_some(object);
        }
        if name.len() >= 4
            && name.bytes().all(|b| b.is_ascii_hexdigit())
            && self.commit.as_str().starts_with(&name.to_ascii_lowercase())
        {
            return Some(self.commit.clone());
        }
        let packed = self.file("packed-refs").unwrap_or_default();
        let places = ["", "refs/", "refs/tags/", "refs/heads/", "refs/remotes/"];
        let places = places.map(|place| format!("{place}{name}"));
        places.into_iter().find_map(|place| self.follow(&place, &packed))
    }

    fn follow(&self, name: &str, packed: &str) -> Option<GitOid> {
        let mut name = name.to_owned();
        for _ in 0..MAX_HOPS {
            let Some(text) = self.file(&name) else {
                let line = packed.lines().find(|line| {
                    line.split_once(' ').is_some_and(|(_, reference)| reference == name)
                });
                return line?.split(' ').next()?.parse().ok();
            };
            match text.trim_end().strip_prefix("ref: ") {
                Some(next) if next.starts_with("refs/") => name = next.to_owned(),
                Some(_) => return None,
                None => return text.trim_end().parse().ok(),
            }
        }
        None
    }

    /// A file of the workspace's `.git`, which the session may have changed into anything.
    fn file(&self, name: &str) -> Option<String> {
        let resolve = ResolveFlag::RESOLVE_BENEATH
            | ResolveFlag::RESOLVE_NO_SYMLINKS
            | ResolveFlag::RESOLVE_NO_XDEV;
        // Never waits for a fifo.
        let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
        let how = OpenHow::new().flags(flags).resolve(resolve);
        let file = openat2(self.root.as_fd(), format!(".git/{name}").as_str(), how).ok()?;
        let found = fstat(&file).ok()?;
        if SFlag::from_bits_truncate(found.st_mode) & SFlag::S_IFMT != SFlag::S_IFREG {
            return None;
        }
        let mut text = String::new();
        File::from(file).take(MAX_REFS_BYTES).read_to_string(&mut text).ok()?;
        Some(text)
    }

    /// Asks the mirror for an object. The name begins with an object's id, so that it is no option and no search.
    fn ask(&self, name: Vec<u8>) -> Option<GitOid> {
        use std::os::unix::ffi::OsStrExt;
        let name = std::ffi::OsStr::from_bytes(&name);
        let words =
            ["rev-parse", "--verify", "--quiet", "--end-of-options"].map(std::ffi::OsStr::new);
        let git = self.git.clone().with_patience(RESOLVE_TIMEOUT);
        let answer = git.run(&[&words[..], &[name]].concat()).ok()?;
        // It repeats `--end-of-options` before Git 2.30.
        String::from_utf8_lossy(&answer).lines().last()?.parse().ok()
    }
}

/// A path of git's arguments as one of a tree, from the directory `here` of it on. None for the root, for a pattern, and for what
/// is no path of a tree.
fn in_tree(path: &str, here: &str) -> Option<WorkspacePath> {
    if path.starts_with([':', '/']) || path.contains(['*', '?', '[', '\\']) {
        return None;
    }
    let mut parts = Vec::new();
    for part in here.split('/').chain(path.split('/')) {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            part => parts.push(part),
        }
    }
    WorkspacePath::from_bytes(parts.join("/").as_bytes()).ok()
}
