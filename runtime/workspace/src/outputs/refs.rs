//! The refs of the workspace's `.git`, read as data: what the session made or moved beside its HEAD.
//!
//! Loose and packed refs, the entries of the stash (its reflog), and the detached HEADs of linked work trees. No link is
//! followed. What the base gave the session is compared with what is there now.

use std::collections::{BTreeMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use custody_model::GitOid;

use super::OutputError;
use super::import::open_regular;
use super::unit::Unit;
use crate::mount::beneath;

/// Longest `HEAD` or ref file that is read, in bytes.
const MAX_REF_BYTES: u64 = 4096;
/// Longest `packed-refs`, and longest reflog of the stash, that is read, in bytes.
const MAX_LIST_BYTES: u64 = 16 << 20;
/// Most loose ref files that are looked at.
const MAX_REF_FILES: usize = 100_000;
/// Deepest directory of loose refs that is looked at, below `refs`.
const MAX_REF_DEPTH: usize = 32;
/// Most reflogs that are read.
const MAX_REF_LOGS: usize = 1000;
/// Most commits of reflogs that are looked at.
const MAX_REF_LOG_COMMITS: usize = 10_000;
/// Longest name of a ref that comes out, in bytes: it stands in an event.
const MAX_NAME_BYTES: usize = 255;

/// A ref that the session made or moved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct MovedRef {
    /// What git calls it inside, as in `refs/heads/topic` or `stash@{0}`.
    pub(super) inside: String,
    /// Its full name in the mirror.
    pub(super) outside: String,
    /// What it points at.
    pub(super) object: GitOid,
}

/// The refs of a workspace.
#[derive(Debug, Default)]
pub(super) struct Refs {
    /// The commit that HEAD names.
    pub(super) head: Option<GitOid>,
    /// The ref that HEAD is, by its name inside; `HEAD` if it is detached.
    pub(super) head_is: String,
    /// Those that the session made or moved, in the order of their names.
    pub(super) moved: Vec<MovedRef>,
    /// What HEAD and the branches pointed at before, newest first, by their logs.
    pub(super) left_behind: Vec<GitOid>,
    /// What can't be read or lies elsewhere, in words.
    pub(super) unread: Vec<String>,
}

impl Refs {
    /// Reads them.
    pub(super) fn read(unit: &Unit<'_>) -> Result<Self, OutputError> {
        let clean = Place { root: unit.request.clean, git_dir: &unit.git_dir };
        let tree = unit.request.base.tree();
        let base = File::open(&tree).map_err(|source| OutputError::File { path: tree, source })?;
        let base = Place { root: base.as_fd(), git_dir: &unit.git_dir };
        let mut refs = Self::default();
        (refs.head, refs.head_is) = head(clean);
        let before = all(base, &mut Vec::new());
        let mut now = all(clean, &mut refs.unread);
        now.retain(|name, object| before.get(name) != Some(object));
        let stash = now.remove(&b"refs/stash"[..]);
        for (name, object) in now {
            refs.moved(unit, &readable(&name), None, object);
        }
        for (number, object) in stashes(clean, stash).into_iter().enumerate() {
            let name = format!("stash@{{{number}}}");
            refs.moved(unit, &name, Some(&format!("stash/{number}")), object);
        }
        refs.work_trees(unit, clean);
        refs.left_behind = left_behind(clean, &mut refs.unread);
        let reftable = clean.git_dir.join("reftable");
        if beneath(clean.root, reftable.as_os_str(), libc::O_PATH).is_ok() {
            refs.unread.push("its refs are kept as a reftable, which is not read".to_owned());
        }
        Ok(refs)
    }

    fn moved(&mut self, unit: &Unit<'_>, inside: &str, name: Option<&str>, object: GitOid) {
        let outside = unit.outside(name.unwrap_or(inside));
        let outside = outside.filter(|outside| outside.len() <= MAX_NAME_BYTES);
        let Some(outside) = outside else {
            let text =
                format!("the name of a ref is longer than {MAX_NAME_BYTES} bytes: it stays out");
            self.unread.push(text);
            return;
        };
        self.moved.push(MovedRef { inside: inside.to_owned(), outside, object });
    }

    /// HEAD itself, where no ref has the commit that it names.
    pub(super) fn add_head(&mut self, unit: &Unit<'_>) {
        if let Some(head) = self.head.clone()
            && !self.moved.iter().any(|moved| moved.object == head)
        {
            self.moved(unit, "HEAD", None, head);
        }
    }

    /// Commits that no ref has any more.
    pub(super) fn add_left_behind(&mut self, unit: &Unit<'_>, commits: Vec<GitOid>) {
        for (number, object) in commits.into_iter().enumerate() {
            let inside = format!("reflog ({})", object.short());
            self.moved(unit, &inside, Some(&format!("reflog/{number}")), object);
        }
    }

    fn work_trees(&mut self, unit: &Unit<'_>, clean: Place<'_>) {
        for name in names(clean.root, &clean.git_dir.join("worktrees")) {
            let place = Path::new("worktrees").join(&name);
            let shown = readable(name.as_bytes());
            let head = read_small(clean, place.join("HEAD").as_os_str(), MAX_REF_BYTES);
            let head =
                head.and_then(|text| std::str::from_utf8(text.trim_ascii()).ok()?.parse().ok());
            if let Some(head) = head.filter(|head| head != unit.base) {
                let name = format!("worktrees/{shown}/HEAD");
                self.moved(unit, &name, None, head);
            }
            let at = read_small(clean, place.join("gitdir").as_os_str(), MAX_REF_BYTES);
            let at = at.unwrap_or_default();
            let at = at.trim_ascii();
            let at = readable(at.strip_suffix(b"/.git").unwrap_or(at));
            self.unread.push(format!(
                "what is not committed in the linked work tree {at} stays out of the outputs"
            ));
        }
    }
}

/// A git directory in a tree.
#[derive(Clone, Copy, Debug)]
struct Place<'a> {
    root: BorrowedFd<'a>,
    git_dir: &'a Path,
}

/// What the logs of HEAD and of the branches say was their commit at some time, newest first.
fn left_behind(place: Place<'_>, unread: &mut Vec<String>) -> Vec<GitOid> {
    let mut logs = vec![PathBuf::from("logs/HEAD")];
    let mut waiting = vec![(PathBuf::from("logs/refs/heads"), 0)];
    while let Some((directory, depth)) = waiting.pop() {
        for name in names(place.root, &place.git_dir.join(&directory)) {
            let path = directory.join(&name);
            let whole = place.git_dir.join(&path);
            let opened = beneath(place.root, whole.as_os_str(), libc::O_PATH);
            let Ok(found) = opened.and_then(|file| File::from(file).metadata()) else { continue };
            match found.is_dir() {
                true if depth < MAX_REF_DEPTH => waiting.push((path, depth + 1)),
                true => {}
                false => logs.push(path),
            }
        }
        if logs.len() > MAX_REF_LOGS {
            unread.push(format!("more than {MAX_REF_LOGS} reflogs are not read"));
            logs.truncate(MAX_REF_LOGS);
            break;
        }
    }
    let mut seen = HashSet::new();
    let mut found: Vec<GitOid> = Vec::new();
    for log in logs {
        let log = read_small(place, log.as_os_str(), MAX_LIST_BYTES).unwrap_or_default();
        for line in log.split(|b| *b == b'\n').rev() {
            let new = line.split(|b| *b == b' ').nth(1);
            let new = new.and_then(|new| std::str::from_utf8(new).ok()?.parse::<GitOid>().ok());
            let Some(new) = new.filter(|new| new.as_str().bytes().any(|b| b != b'0')) else {
                continue;
            };
            if seen.insert(new.clone()) {
                found.push(new);
            }
        }
    }
    if found.len() > MAX_REF_LOG_COMMITS {
        unread.push(format!(
            "reflogs with more than {MAX_REF_LOG_COMMITS} commits are not read to their end"
        ));
        found.truncate(MAX_REF_LOG_COMMITS);
    }
    found
}

/// The commit that HEAD names, and which ref it is.
fn head(root: Place<'_>) -> (Option<GitOid>, String) {
    let mut name = OsString::from("HEAD");
    // Git allows symbolic refs that point at symbolic refs; nobody needs more than a few.
    for _ in 0..5 {
        let text = read_small(root, &name, MAX_REF_BYTES).or_else(|| packed_ref(root, &name));
        let shown = readable(name.as_bytes());
        let Some(text) = text else { return (None, shown) };
        let text = text.trim_ascii();
        match text.strip_prefix(b"ref:") {
            Some(target) => {
                let target = target.trim_ascii();
                if !target.starts_with(b"refs/") {
                    return (None, shown);
                }
                name = OsStr::from_bytes(target).to_owned();
            }
            None => {
                let oid = std::str::from_utf8(text).ok().and_then(|text| text.parse().ok());
                return (oid, shown);
            }
        }
    }
    (None, "HEAD".to_owned())
}

/// All refs that are no symbolic ones, by their names.
fn all(root: Place<'_>, unread: &mut Vec<String>) -> BTreeMap<Vec<u8>, GitOid> {
    let mut refs = BTreeMap::new();
    let packed = read_small(root, OsStr::new("packed-refs"), MAX_LIST_BYTES).unwrap_or_default();
    for line in packed.split(|b| *b == b'\n') {
        let Some(space) = line.iter().position(|b| *b == b' ') else { continue };
        let oid = std::str::from_utf8(&line[..space]).ok().and_then(|oid| oid.parse().ok());
        if let Some(oid) = oid.filter(|_| line[space + 1..].starts_with(b"refs/")) {
            refs.insert(line[space + 1..].to_vec(), oid);
        }
    }
    let mut waiting = vec![(PathBuf::from("refs"), 0)];
    let mut files = 0;
    while let Some((directory, depth)) = waiting.pop() {
        for name in names(root.root, &root.git_dir.join(&directory)) {
            let path = directory.join(&name);
            if files >= MAX_REF_FILES || depth >= MAX_REF_DEPTH {
                unread.push("it has more refs than are looked at".to_owned());
                return refs;
            }
            files += 1;
            let opened = beneath(root.root, root.git_dir.join(&path).as_os_str(), libc::O_PATH);
            let Ok(found) = opened.and_then(|file| File::from(file).metadata()) else { continue };
            if found.is_dir() {
                waiting.push((path, depth + 1));
                continue;
            }
            let text = read_small(root, path.as_os_str(), MAX_REF_BYTES).unwrap_or_default();
            let oid = std::str::from_utf8(text.trim_ascii()).ok().and_then(|oid| oid.parse().ok());
            if let Some(oid) = oid.filter(|_| !name.as_bytes().ends_with(b".lock")) {
                refs.insert(path.into_os_string().into_encoded_bytes(), oid);
            }
        }
    }
    refs
}

/// What the stash holds, newest first, as git counts. Only the newest is a ref; the others stand in its log.
fn stashes(root: Place<'_>, newest: Option<GitOid>) -> Vec<GitOid> {
    let Some(newest) = newest else { return Vec::new() };
    let log = read_small(root, OsStr::new("logs/refs/stash"), MAX_LIST_BYTES).unwrap_or_default();
    let entry = |line: &[u8]| {
        let new = line.split(|b| *b == b' ').nth(1)?;
        std::str::from_utf8(new).ok()?.parse().ok()
    };
    let mut found: Vec<GitOid> = log.split(|b| *b == b'\n').rev().filter_map(entry).collect();
    if found.first() != Some(&newest) {
        found.insert(0, newest);
    }
    found
}

fn packed_ref(root: Place<'_>, name: &OsStr) -> Option<Vec<u8>> {
    let packed = read_small(root, OsStr::new("packed-refs"), MAX_LIST_BYTES)?;
    packed.split(|b| *b == b'\n').find_map(|line| {
        let space = line.iter().position(|b| *b == b' ')?;
        (&line[space + 1..] == name.as_bytes()).then(|| line[..space].to_vec())
    })
}

/// The content of a regular file below the git directory, if it is not longer than `limit`.
fn read_small(place: Place<'_>, name: &OsStr, limit: u64) -> Option<Vec<u8>> {
    let (file, size) = open_regular(place.root, &place.git_dir.join(name)).ok()??;
    let mut bytes = Vec::new();
    let read = file.take(limit + 1).read_to_end(&mut bytes).ok()?;
    (size <= limit && read as u64 <= limit).then_some(bytes)
}

/// The names in a directory, sorted; none, if it is no directory or can't be read.
fn names(root: BorrowedFd<'_>, path: &Path) -> Vec<OsString> {
    let flags = libc::O_RDONLY | libc::O_DIRECTORY;
    let opened = beneath(root, path.as_os_str(), flags);
    let Ok(mut directory) = opened.and_then(|fd| Ok(nix::dir::Dir::from_fd(fd)?)) else {
        return Vec::new();
    };
    let entries = directory.iter().filter_map(Result::ok);
    let mut names: Vec<_> = entries
        .map(|entry| OsStr::from_bytes(entry.file_name().to_bytes()).to_owned())
        .filter(|name| name != "." && name != "..")
        .take(MAX_REF_FILES)
        .collect();
    names.sort();
    names
}

/// A name as text: what is no UTF-8 and what no name of a ref may hold is written with its code.
fn readable(bytes: &[u8]) -> String {
    let mut text = String::new();
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                c if c.is_control() => text.push_str(&format!("%{:02X}", u32::from(c))),
                c => text.push(c),
            }
        }
        for byte in chunk.invalid() {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    text
}
