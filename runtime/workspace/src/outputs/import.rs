//! Takes the agent's own commits out of the workspace's `.git`, none of whose bytes is to be trusted.
//!
//! Its configuration, hooks, alternates, index, replacements and every other file are left alone: read are only
//! `HEAD`, one ref, and objects. No link is followed, nothing outside `.git` is opened. The objects are copied, listed by
//! a git that only knows Custody's configuration, and packed; that pack is indexed anew with `--strict`: each name is
//! computed from the content, each object checked as by fsck, each link followed.

use std::ffi::{OsStr, OsString};
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use custody_model::GitOid;

use super::{OutputError, OutputRequest};
use crate::git::{Git, GitError};
use crate::mount::beneath;

/// Longest `HEAD` or ref file that is read, in bytes.
const MAX_REF_BYTES: u64 = 4096;
/// Longest `packed-refs` that is read, in bytes.
const MAX_PACKED_REFS_BYTES: u64 = 16 << 20;
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

fn file_error(path: &Path) -> impl FnOnce(std::io::Error) -> OutputError {
    let path = path.to_owned();
    |source| OutputError::File { path, source }
}

/// Brings the agent's commits into the quarantine `objects`.
pub(super) fn bring(
    request: &OutputRequest<'_>,
    scratch: &Path,
    objects: &Path,
) -> Result<Found, OutputError> {
    let base = request.base.commit();
    let head = match read_head(request.clean) {
        Some(head) if head != *base && head.as_str().len() == base.as_str().len() => head,
        Some(_) | None => return Ok(Found::Nothing),
    };
    let mirror = request.mirror.git();
    let in_history = request.mirror.has(&head)?
        && mirror.asks(&["merge-base", "--is-ancestor", head.as_str(), base.as_str()])?;
    if in_history {
        return Ok(Found::Nothing);
    }
    let untrusted = scratch.join("untrusted");
    let mut copy =
        Copy { root: request.clean, to: &untrusted, left: request.limits.import_bytes, files: 0 };
    let packs = match copy.run() {
        Ok(packs) => packs,
        Err(CopyError::Refused(why)) => return Ok(Found::Unusable(why)),
        Err(CopyError::Write(path, source)) => return Err(OutputError::File { path, source }),
    };
    let git = mirror.clone().with_objects(&untrusted, &request.mirror.objects());
    let found = take(request, &git, &head, &packs, objects);
    let done = match found {
        Ok(found) => found,
        // The mirror is sound; what fails here fails because of what was copied.
        Err(OutputError::Git(GitError::Failed { stderr, .. })) => {
            Found::Unusable(format!("git can't take its commits: {stderr}"))
        }
        Err(error) => return Err(error),
    };
    std::fs::remove_dir_all(&untrusted).map_err(file_error(&untrusted))?;
    Ok(done)
}

fn take(
    request: &OutputRequest<'_>,
    git: &Git,
    head: &GitOid,
    packs: &[PathBuf],
    objects: &Path,
) -> Result<Found, OutputError> {
    let base = request.base.commit().as_str();
    for pack in packs {
        git.run(&[OsStr::new("index-pack"), pack.as_os_str()])?;
    }
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
    let pack = objects.join("pack");
    std::fs::create_dir_all(&pack).map_err(file_error(&pack))?;
    let target = pack.join("pack");
    let words: [&OsStr; 3] =
        [OsStr::new("pack-objects"), OsStr::new("--quiet"), target.as_os_str()];
    let name = git.run_with_input(&words, &wanted)?;
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
    Ok(Found::Commits(commits))
}

/// The commit that the workspace's HEAD names, as far as its files say so.
fn read_head(root: BorrowedFd<'_>) -> Option<GitOid> {
    let mut name = OsString::from("HEAD");
    // Git allows symbolic refs that point at symbolic refs; nobody needs more than a few.
    for _ in 0..5 {
        let text = read_small(root, &name, MAX_REF_BYTES).or_else(|| packed_ref(root, &name))?;
        let text = text.trim_ascii();
        match text.strip_prefix(b"ref:") {
            Some(target) => {
                let target = target.trim_ascii();
                if !target.starts_with(b"refs/") {
                    return None;
                }
                name = OsStr::from_bytes(target).to_owned();
            }
            None => return std::str::from_utf8(text).ok()?.parse().ok(),
        }
    }
    None
}

fn packed_ref(root: BorrowedFd<'_>, name: &OsStr) -> Option<Vec<u8>> {
    let packed = read_small(root, OsStr::new("packed-refs"), MAX_PACKED_REFS_BYTES)?;
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

/// Opens it if it is a regular file; never waits for the other end of a pipe.
fn open_regular(
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
    to: &'a Path,
    left: u64,
    files: usize,
}

impl Copy<'_> {
    /// Returns the packs that were copied.
    fn run(&mut self) -> Result<Vec<PathBuf>, CopyError> {
        let mut packs = Vec::new();
        self.directory(&self.to.join("pack"))?;
        for fan in self.names(Path::new(".git/objects"))? {
            if !is_hex(&fan, &[2]) {
                continue;
            }
            let from = Path::new(".git/objects").join(&fan);
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
        let from = Path::new(".git/objects/pack");
        for name in self.names(from)? {
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
