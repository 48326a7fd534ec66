//! Takes the agent's own commits out of the workspace's `.git`, none of whose bytes is to be trusted.
//!
//! Its configuration, hooks, alternates, replacements and every other file are left alone: read are only
//! refs (see `refs`), one bit of the index (see `hidden`), and objects. No link is followed, nothing outside `.git` is opened. The objects are copied, listed by
//! a git that only knows Custody's configuration, and packed; that pack is indexed anew with `--strict`: each name is
//! computed from the content, each object checked as by fsck, each link followed.

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::io::Read as _;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use custody_model::GitOid;

use super::refs::{MovedRef, Refs};
use super::unit::Unit;
use super::{OutputError, OutputRequest};
use crate::git::{Git, GitError};
use crate::mount::beneath;

/// Most object files that are copied.
const MAX_OBJECT_FILES: usize = 500_000;

/// What the agent's `.git` holds for the branch.
#[derive(Debug)]
pub(super) enum Found {
    /// Nothing beyond the base: HEAD is the base or in its history, or there is no HEAD.
    Nothing,
    /// These commits, oldest first; the last is HEAD. Their objects are in the quarantine.
    Commits(Vec<GitOid>),
    /// Something that can't be taken, and why.
    Unusable(String),
}

/// A ref of the agent's whose objects are in the quarantine or in the mirror.
#[derive(Debug)]
pub(super) struct BroughtRef {
    /// The ref.
    pub(super) moved: MovedRef,
    /// Commits that it reaches and the mirror did not have, oldest first.
    pub(super) commits: Vec<GitOid>,
}

/// What the agent's `.git` holds.
#[derive(Debug)]
pub(super) struct Brought {
    /// For the branch.
    pub(super) head: Found,
    /// The ref that HEAD is, by its name inside.
    pub(super) head_is: String,
    /// Beside it.
    pub(super) refs: Vec<BroughtRef>,
    /// What stays out, in words.
    pub(super) left: Vec<String>,
}

/// Most bytes that the refs take in the event of the last commit, beside its files and submodules.
const REFS_BYTES_IN_EVENT: usize = 20 << 10;

/// What a ref takes there: its names, with what quotes become, and those of the members.
pub(super) fn ref_bytes(outside: &str, inside: &str, object: &GitOid) -> usize {
    let text = |text: &str| text.len() + text.bytes().filter(|b| *b == b'"').count();
    text(outside) + text(inside) + object.as_str().len() + 40
}

fn file_error(path: &Path) -> impl FnOnce(std::io::Error) -> OutputError {
    let path = path.to_owned();
    |source| OutputError::File { path, source }
}

/// Brings the agent's commits into the quarantine `objects`.
pub(super) fn bring(
    unit: &Unit<'_>,
    scratch: &Path,
    objects: &Path,
) -> Result<Brought, OutputError> {
    let request = unit.request;
    let mut refs = Refs::read(unit)?;
    let head = fresh_head(unit, &refs)?;
    let digits = unit.base.as_str().len();
    refs.moved.retain(|moved| moved.object.as_str().len() == digits);
    refs.left_behind.retain(|commit| commit.as_str().len() == digits && commit != unit.base);
    let mut brought = Brought {
        head: Found::Nothing,
        head_is: refs.head_is.clone(),
        refs: Vec::new(),
        left: std::mem::take(&mut refs.unread),
    };
    if head.is_none() && refs.moved.is_empty() && refs.left_behind.is_empty() {
        return Ok(brought);
    }
    let untrusted = scratch.join("untrusted");
    let git = request.mirror.git().with_objects(&untrusted, &request.mirror.objects());
    if let Err(why) = copied(unit, &git, &untrusted)? {
        match head {
            Some(_) => brought.head = Found::Unusable(why),
            None => brought.left.push(format!("the refs that it made are not kept: {why}")),
        }
        return Ok(brought);
    }
    if let Some(head) = head {
        // The mirror is sound; what fails here fails because of what was copied.
        brought.head = match take(unit, &git, &head, objects) {
            Err(OutputError::Git(GitError::Failed { stderr, .. })) => {
                Found::Unusable(format!("git can't take its commits: {stderr}"))
            }
            found => found?,
        };
        if matches!(brought.head, Found::Unusable(_)) {
            refs.add_head(unit);
        }
    }
    let commits = forgotten(unit, &git, &refs)?;
    refs.add_left_behind(unit, commits);
    let limit = request.limits.refs;
    if refs.moved.len() > limit {
        let more = refs.moved.len() - limit;
        brought.left.push(format!("{more} of the refs that it made stay out: more than {limit}"));
        refs.moved.truncate(limit);
    }
    let mut room = REFS_BYTES_IN_EVENT;
    let fits = refs.moved.iter().take_while(|moved| {
        let cost = ref_bytes(&moved.outside, &moved.inside, &moved.object);
        room.checked_sub(cost).inspect(|left| room = *left).is_some()
    });
    let fits = fits.count();
    if fits < refs.moved.len() {
        let more = refs.moved.len() - fits;
        brought.left.push(format!(
            "{more} of the refs that it made stay out: their names have no room in the record's event"
        ));
        refs.moved.truncate(fits);
    }
    for moved in refs.moved {
        match take_ref(unit, &git, &moved, objects) {
            Ok(Ok(commits)) => brought.refs.push(BroughtRef { moved, commits }),
            Ok(Err(why)) => brought.left.push(format!("{} is not kept: {why}", moved.inside)),
            Err(OutputError::Git(GitError::Failed { stderr, .. })) => brought
                .left
                .push(format!("{} is not kept: git can't take it: {stderr}", moved.inside)),
            Err(error) => return Err(error),
        }
    }
    std::fs::remove_dir_all(&untrusted).map_err(file_error(&untrusted))?;
    Ok(brought)
}

/// HEAD's commit, if it is neither the base nor in its history.
fn fresh_head(unit: &Unit<'_>, refs: &Refs) -> Result<Option<GitOid>, OutputError> {
    let (request, base) = (unit.request, unit.base);
    let head = match &refs.head {
        Some(head) if head != base && head.as_str().len() == base.as_str().len() => head,
        Some(_) | None => return Ok(None),
    };
    let mirror = request.mirror.git();
    let in_history = request.mirror.has(head)?
        && mirror.asks(&["merge-base", "--is-ancestor", head.as_str(), base.as_str()])?;
    Ok((!in_history).then(|| head.clone()))
}

/// Copies the agent's objects, and indexes their packs. In the inner error: why they can't be taken.
fn copied(unit: &Unit<'_>, git: &Git, untrusted: &Path) -> Result<Result<(), String>, OutputError> {
    let (root, left) = (unit.request.clean, unit.request.limits.import_bytes);
    let from = unit.in_git_dir("objects");
    let mut copy = Copy { root, from: &from, to: untrusted, left, files: 0 };
    let packs = match copy.run() {
        Ok(packs) => packs,
        Err(CopyError::Refused(why)) => return Ok(Err(why)),
        Err(CopyError::Write(path, source)) => return Err(OutputError::File { path, source }),
    };
    for pack in packs {
        match git.run(&[OsStr::new("index-pack"), pack.as_os_str()]) {
            Err(GitError::Failed { stderr, .. }) => {
                return Ok(Err(format!("git can't take its objects: {stderr}")));
            }
            done => done?,
        };
    }
    Ok(Ok(()))
}

/// The refs by which the mirror has what is not this session's: sources', and those of other sessions.
const KNOWN: [&str; 3] =
    ["--glob=refs/sources", "--glob=refs/custody", "--glob=refs/heads/custody"];

/// The commits that HEAD or a branch pointed at before and no ref has any more (an amended one, one that was reset away), each
/// without those in its history. None that is not there.
fn forgotten(unit: &Unit<'_>, git: &Git, refs: &Refs) -> Result<Vec<GitOid>, OutputError> {
    if refs.left_behind.is_empty() {
        return Ok(Vec::new());
    }
    let had = refs.head.iter().chain(refs.moved.iter().map(|moved| &moved.object));
    let had = commits_of(git, had)?;
    let there = commits_of(git, refs.left_behind.iter())?;
    if there.is_empty() {
        return Ok(Vec::new());
    }
    // One whose history is not whole fails all of them: they are in nobody's branch, and are told as what can't be read.
    let mut words = vec!["rev-list", "--topo-order", "--parents"];
    words.extend(there.iter().map(GitOid::as_str));
    words.extend(["--not", unit.base.as_str()]);
    words.extend(KNOWN);
    words.extend(had.iter().map(GitOid::as_str));
    let listed = match git.run(&words) {
        Err(GitError::Failed { .. }) => return Ok(there),
        listed => listed?,
    };
    let listed = String::from_utf8_lossy(&listed);
    let mut parents = HashSet::new();
    for line in listed.lines() {
        parents.extend(line.split(' ').skip(1));
    }
    let commits = listed.lines().filter_map(|line| line.split(' ').next());
    let tips = commits.filter(|commit| !parents.contains(commit));
    Ok(tips.filter_map(|commit| commit.parse().ok()).collect())
}

/// The commits, or what tags of them mean, among objects of which some may not be there.
fn commits_of<'a>(
    git: &Git,
    objects: impl Iterator<Item = &'a GitOid>,
) -> Result<Vec<GitOid>, GitError> {
    let mut asked = String::new();
    for object in objects {
        asked.push_str(&format!("{object}^{{commit}}\n"));
    }
    if asked.is_empty() {
        return Ok(Vec::new());
    }
    let words = ["cat-file", "--batch-check=%(objectname) %(objecttype)"];
    let answer = git.run_with_input(&words, asked.as_bytes())?;
    let answer = String::from_utf8_lossy(&answer);
    let commits = answer.lines().filter_map(|line| line.strip_suffix(" commit"));
    Ok(commits.filter_map(|commit| commit.parse().ok()).collect())
}

/// Brings one ref. Its new commits, oldest first, or why it can't be taken.
fn take_ref(
    unit: &Unit<'_>,
    git: &Git,
    moved: &MovedRef,
    objects: &Path,
) -> Result<Result<Vec<GitOid>, String>, OutputError> {
    if git.run(&["check-ref-format", &moved.outside]).is_err() {
        return Ok(Err("its name is none that a ref can have".to_owned()));
    }
    let peeled = format!("{}^{{commit}}", moved.object);
    let Ok(commit) = git.run_for_oid(&["rev-parse", "--verify", "--quiet", &peeled], &[]) else {
        return Ok(Err("it points at no commit that is there".to_owned()));
    };
    let request = unit.request;
    let known = [&["--not", unit.base.as_str()], &KNOWN[..]].concat();
    let limit = request.limits.agent_commits;
    let max = format!("--max-count={}", limit + 1);
    let words = [&["rev-list", "--topo-order", &max, commit.as_str()], &known[..]].concat();
    let listed = git.run(&words)?;
    let listed = String::from_utf8_lossy(&listed);
    let mut commits: Vec<GitOid> = listed.lines().filter_map(|line| line.parse().ok()).collect();
    if commits.len() > limit {
        return Ok(Err(format!("it has more than {limit} commits")));
    }
    commits.reverse();
    let words = ["rev-list", "--objects", "--no-object-names", moved.object.as_str()];
    let wanted = git.run(&[&words[..], &known[..]].concat())?;
    pack(request, git, &wanted, objects)?;
    Ok(Ok(commits))
}

fn take(unit: &Unit<'_>, git: &Git, head: &GitOid, objects: &Path) -> Result<Found, OutputError> {
    let (request, base) = (unit.request, unit.base.as_str());
    if !git.asks(&["merge-base", "--is-ancestor", base, head.as_str()])? {
        return Ok(Found::Unusable("its HEAD does not descend from the base commit".to_owned()));
    }
    let not_base = format!("^{base}");
    let limit = format!("--max-count={}", request.limits.agent_commits + 1);
    let listed = git.run(&["rev-list", "--topo-order", &limit, head.as_str(), &not_base])?;
    let listed = String::from_utf8_lossy(&listed);
    let mut commits: Vec<GitOid> = listed.lines().filter_map(|line| line.parse().ok()).collect();
    if commits.len() > request.limits.agent_commits {
        let limit = request.limits.agent_commits;
        return Ok(Found::Unusable(format!("it has more than {limit} commits")));
    }
    commits.reverse();
    let words = ["rev-list", "--objects", "--no-object-names", head.as_str(), &not_base];
    let wanted = git.run(&words)?;
    pack(request, git, &wanted, objects)?;
    Ok(Found::Commits(commits))
}

/// Packs the named objects into the quarantine, checked as by fsck.
fn pack(
    request: &OutputRequest<'_>,
    git: &Git,
    wanted: &[u8],
    objects: &Path,
) -> Result<(), OutputError> {
    if wanted.is_empty() {
        return Ok(());
    }
    let pack = objects.join("pack");
    std::fs::create_dir_all(&pack).map_err(file_error(&pack))?;
    let target = pack.join("pack");
    let words: [&OsStr; 3] =
        [OsStr::new("pack-objects"), OsStr::new("--quiet"), target.as_os_str()];
    let name = git.run_with_input(&words, wanted)?;
    let name = String::from_utf8_lossy(&name).trim().to_owned();
    // Its index names the objects as the agent did: it goes, and is made anew from their content.
    for ending in ["idx", "rev"] {
        let path = pack.join(format!("pack-{name}.{ending}"));
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(file_error(&path)(error));
            }
            Ok(()) | Err(_) => {}
        }
    }
    let clean = request.mirror.git().with_objects(objects, &request.mirror.objects());
    let pack = pack.join(format!("pack-{name}.pack"));
    clean.run(&[OsStr::new("index-pack"), OsStr::new("--strict"), pack.as_os_str()])?;
    Ok(())
}

/// Opens it if it is a regular file; never waits for the other end of a pipe.
pub(super) fn open_regular(
    root: BorrowedFd<'_>,
    path: &Path,
) -> std::io::Result<Option<(std::fs::File, u64)>> {
    let file = beneath(root, path.as_os_str(), libc::O_RDONLY | libc::O_NONBLOCK | libc::O_NOCTTY)?;
    let file = std::fs::File::from(file);
    let found = file.metadata()?;
    Ok(found.is_file().then_some((file, found.len())))
}

enum CopyError {
    Refused(String),
    Write(PathBuf, std::io::Error),
}

/// Copies object files, by names that Custody chooses.
struct Copy<'a> {
    root: BorrowedFd<'a>,
    from: &'a Path,
    to: &'a Path,
    left: u64,
    files: usize,
}

impl Copy<'_> {
    /// Returns the packs that were copied.
    fn run(&mut self) -> Result<Vec<PathBuf>, CopyError> {
        let mut packs = Vec::new();
        self.directory(&self.to.join("pack"))?;
        for fan in self.names(self.from)? {
            if !is_hex(&fan, &[2]) {
                continue;
            }
            let from = self.from.join(&fan);
            let mut made = false;
            for name in self.names(&from)? {
                if is_hex(&name, &[38, 62]) {
                    let to = self.to.join(&fan);
                    if !made {
                        self.directory(&to)?;
                        made = true;
                    }
                    self.file(&from.join(&name), &to.join(&name))?;
                }
            }
        }
        let from = self.from.join("pack");
        for name in self.names(&from)? {
            if Path::new(&name).extension() == Some(OsStr::new("pack")) {
                let to = self.to.join(format!("pack/pack-{:040}.pack", packs.len()));
                if self.file(&from.join(&name), &to)? {
                    packs.push(to);
                }
            }
        }
        Ok(packs)
    }

    fn directory(&self, path: &Path) -> Result<(), CopyError> {
        std::fs::create_dir_all(path).map_err(|source| CopyError::Write(path.to_owned(), source))
    }

    /// The names in a directory; none, if it is not a directory.
    fn names(&self, path: &Path) -> Result<Vec<OsString>, CopyError> {
        let flags = libc::O_RDONLY | libc::O_DIRECTORY;
        let Ok(directory) = beneath(self.root, path.as_os_str(), flags) else {
            return Ok(Vec::new());
        };
        let unreadable =
            |errno| CopyError::Refused(format!("its objects can't be listed: {errno}"));
        let mut directory = nix::dir::Dir::from_fd(directory).map_err(unreadable)?;
        let mut names = Vec::new();
        for entry in directory.iter() {
            let entry = entry.map_err(unreadable)?;
            names.push(OsStr::from_bytes(entry.file_name().to_bytes()).to_owned());
            if names.len() > MAX_OBJECT_FILES {
                return Err(CopyError::Refused(format!(
                    "it has more than {MAX_OBJECT_FILES} object files"
                )));
            }
        }
        names.sort();
        Ok(names)
    }

    /// Copies a regular file; says whether it was one.
    fn file(&mut self, from: &Path, to: &Path) -> Result<bool, CopyError> {
        let Ok(Some((source, size))) = open_regular(self.root.as_fd(), from) else {
            return Ok(false);
        };
        self.files += 1;
        if size > self.left || self.files > MAX_OBJECT_FILES {
            return Err(CopyError::Refused(
                "its objects exceed what a session may put out".to_owned(),
            ));
        }
        self.left -= size;
        let write = |source: std::io::Error| CopyError::Write(to.to_owned(), source);
        let mut target = std::fs::File::create_new(to).map_err(write)?;
        std::io::copy(&mut source.take(size), &mut target).map_err(write)?;
        Ok(true)
    }
}

fn is_hex(name: &OsStr, lengths: &[usize]) -> bool {
    let bytes = name.as_bytes();
    lengths.contains(&bytes.len()) && bytes.iter().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}
