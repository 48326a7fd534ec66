//! The refs of the workspace's `.git`, read as data: what the session made or moved beside its HEAD.
//!
//! Loose and packed refs, the entries of the stash (its reflog), and the detached HEADs of linked work trees. No link is
//! followed. What the base gave the session is compared with what is there now.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use custody_model::{GitOid, SessionId};

use super::import::open_regular;
use super::{OutputError, OutputRequest};
use crate::mount::beneath;

/// Longest `HEAD` or ref file that is read, in bytes.
const MAX_REF_BYTES: u64 = 4096;
/// Longest `packed-refs`, and longest reflog of the stash, that is read, in bytes.
const MAX_LIST_BYTES: u64 = 16 << 20;
/// Most loose ref files that are looked at.
const MAX_REF_FILES: usize = 100_000;
/// Deepest directory of loose refs that is looked at, below `refs`.
const MAX_REF_DEPTH: usize = 32;
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
    /// What can't be read or lies elsewhere, in words.
    pub(super) unread: Vec<String>,
}

/// Full name in the mirror of a ref of a session's. No part of a name may be another ref's: the branch is `custody/<session>`.
fn outside(session: SessionId, name: &str) -> String {
    match name.strip_prefix("refs/tags/") {
        Some(tag) => format!("refs/tags/custody/{session}/{tag}"),
        None => {
            let name = name.strip_prefix("refs/").unwrap_or(name);
            format!("refs/heads/custody/{session}.refs/{name}")
        }
    }
}

impl Refs {
    /// Reads them.
    pub(super) fn read(request: &OutputRequest<'_>) -> Result<Self, OutputError> {
        let tree = request.base.tree();
        let base = File::open(&tree).map_err(|source| OutputError::File { path: tree, source })?;
        let mut refs = Self::default();
        (refs.head, refs.head_is) = head(request.clean);
        let before = all(base.as_fd(), &mut Vec::new());
        let mut now = all(request.clean, &mut refs.unread);
        now.retain(|name, object| before.get(name) != Some(object));
        let stash = now.remove(&b"refs/stash"[..]);
        for (name, object) in now {
            refs.moved(request.session, &readable(&name), None, object);
        }
        for (number, object) in stashes(request.clean, stash).into_iter().enumerate() {
            let name = format!("stash@{{{number}}}");
            refs.moved(request.session, &name, Some(&format!("stash/{number}")), object);
        }
        refs.work_trees(request);
        let reftable = beneath(request.clean, OsStr::new(".git/reftable"), libc::O_PATH).is_ok();
        if reftable {
            refs.unread.push("its refs are kept as a reftable, which is not read".to_owned());
        }
        Ok(refs)
    }

    fn moved(&mut self, session: SessionId, inside: &str, name: Option<&str>, object: GitOid) {
        let outside = outside(session, name.unwrap_or(inside));
        if outside.len() > MAX_NAME_BYTES {
            let text =
                format!("the name of a ref is longer than {MAX_NAME_BYTES} bytes: it stays out");
            self.unread.push(text);
            return;
        }
        self.moved.push(MovedRef { inside: inside.to_owned(), outside, object });
    }

    /// HEAD itself, where no ref has the commit that it names.
    pub(super) fn add_head(&mut self, session: SessionId) {
        if let Some(head) = self.head.clone()
            && !self.moved.iter().any(|moved| moved.object == head)
        {
            self.moved(session, "HEAD", None, head);
        }
    }

    fn work_trees(&mut self, request: &OutputRequest<'_>) {
        for name in names(request.clean, Path::new(".git/worktrees")) {
            let place = Path::new("worktrees").join(&name);
            let shown = readable(name.as_bytes());
            let head = read_small(request.clean, place.join("HEAD").as_os_str(), MAX_REF_BYTES);
            let head =
                head.and_then(|text| std::str::from_utf8(text.trim_ascii()).ok()?.parse().ok());
            if let Some(head) = head.filter(|head| head != request.base.commit()) {
                let name = format!("worktrees/{shown}/HEAD");
                self.moved(request.session, &name, None, head);
            }
            let at = read_small(request.clean, place.join("gitdir").as_os_str(), MAX_REF_BYTES);
            let at = at.unwrap_or_default();
            let at = at.trim_ascii();
            let at = readable(at.strip_suffix(b"/.git").unwrap_or(at));
            self.unread.push(format!(
                "what is not committed in the linked work tree {at} stays out of the outputs"
            ));
        }
    }
}

/// The commit that HEAD names, and which ref it is.
fn head(root: BorrowedFd<'_>) -> (Option<GitOid>, String) {
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
fn all(root: BorrowedFd<'_>, unread: &mut Vec<String>) -> BTreeMap<Vec<u8>, GitOid> {
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
        for name in names(root, &Path::new(".git").join(&directory)) {
            let path = directory.join(&name);
            if files >= MAX_REF_FILES || depth >= MAX_REF_DEPTH {
                unread.push("it has more refs than are looked at".to_owned());
                return refs;
            }
            files += 1;
            let opened = beneath(root, Path::new(".git").join(&path).as_os_str(), libc::O_PATH);
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
fn stashes(root: BorrowedFd<'_>, newest: Option<GitOid>) -> Vec<GitOid> {
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

fn packed_ref(root: BorrowedFd<'_>, name: &OsStr) -> Option<Vec<u8>> {
    let packed = read_small(root, OsStr::new("packed-refs"), MAX_LIST_BYTES)?;
    packed.split(|b| *b == b'\n').find_map(|line| {
        let space = line.iter().position(|b| *b == b' ')?;
        (&line[space + 1..] == name.as_bytes()).then(|| line[..space].to_vec())
    })
}

/// The content of a regular file below `.git`, if it is not longer than `limit`.
fn read_small(root: BorrowedFd<'_>, name: &OsStr, limit: u64) -> Option<Vec<u8>> {
    let (file, size) = open_regular(root, &Path::new(".git").join(name)).ok()??;
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
