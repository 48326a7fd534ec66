//! A disk of which one step fails, and which knows what a power cut would leave.
//!
//! The model is the worst that POSIX allows: content is durable by an fsync of its file alone, names by one of their
//! directory alone, and what a failed fsync was to make durable is lost, although a later fsync succeeds.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};

use custody_record::disk::Disk;

/// How a step fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It does nothing and says so.
    Error(i32),
    /// A write writes half, and says so.
    Short,
    /// A write writes half, and says that it failed.
    Torn,
}

/// What kind of step it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    CreateDir,
    Create,
    Open,
    Write,
    SetLen,
    SyncFile,
    SyncDir,
    SyncFileSystem,
    Rename,
    Link,
    Remove,
}

/// The steps from `at` on, so many, that fail.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) at: usize,
    pub(crate) times: usize,
    pub(crate) fault: Fault,
}

enum Unsynced {
    Write(u64, Vec<u8>),
    Length(u64),
}

#[derive(Default)]
struct Content {
    durable: Vec<u8>,
    unsynced: Vec<Unsynced>,
}

impl Content {
    fn sync(&mut self) {
        for change in self.unsynced.drain(..) {
            match change {
                Unsynced::Write(offset, bytes) => {
                    let offset = usize::try_from(offset).unwrap();
                    let end = offset + bytes.len();
                    if self.durable.len() < end {
                        self.durable.resize(end, 0);
                    }
                    self.durable[offset..end].copy_from_slice(&bytes);
                }
                Unsynced::Length(length) => {
                    self.durable.resize(usize::try_from(length).unwrap(), 0);
                }
            }
        }
    }
}

/// By inode; directories by theirs.
#[derive(Default)]
struct Model {
    files: BTreeMap<u64, Content>,
    names: BTreeMap<u64, BTreeMap<OsString, (bool, u64)>>,
    /// Keeps the numbers of removed files from being used again.
    _open: Vec<File>,
}

/// What was promised at a moment: a kind of log, and what is in it.
pub(crate) type Promise = (&'static str, String);

/// What a power cut before a step leaves, and what was promised until then.
pub(crate) struct Cut {
    pub(crate) root: tempfile::TempDir,
    pub(crate) promised: Vec<Promise>,
}

#[derive(Default)]
struct Inner {
    steps: Vec<Kind>,
    failed: usize,
    model: Model,
    promised: Vec<Promise>,
    cuts: Vec<Cut>,
}

pub(crate) struct FaultyDisk {
    root: PathBuf,
    plan: Option<Plan>,
    /// The steps before which it is asked what a power cut would leave.
    cut_at: std::ops::Range<usize>,
    inner: Mutex<Inner>,
}

impl std::fmt::Debug for FaultyDisk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FaultyDisk").field("plan", &self.plan).finish_non_exhaustive()
    }
}

impl FaultyDisk {
    /// On what is below `root`, an empty directory.
    pub(crate) fn new(root: &Path, plan: Option<Plan>, cut_at: std::ops::Range<usize>) -> Self {
        Self { root: root.to_owned(), plan, cut_at, inner: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap()
    }

    /// The kinds of the steps that were taken, in order.
    pub(crate) fn steps(&self) -> Vec<Kind> {
        self.lock().steps.clone()
    }

    /// How many steps failed.
    pub(crate) fn failed(&self) -> usize {
        self.lock().failed
    }

    /// Somebody was told that this is durable.
    pub(crate) fn promise(&self, log: &'static str, what: String) {
        self.lock().promised.push((log, what));
    }

    pub(crate) fn promised(&self) -> Vec<Promise> {
        self.lock().promised.clone()
    }

    pub(crate) fn take_cuts(&self) -> Vec<Cut> {
        std::mem::take(&mut self.lock().cuts)
    }

    /// What a power cut now leaves.
    pub(crate) fn cut(&self) -> Cut {
        self.cut_of(&self.lock())
    }

    fn cut_of(&self, inner: &Inner) -> Cut {
        let root = crate::in_memory();
        inner.model.restore(fs::metadata(&self.root).unwrap().ino(), root.path());
        Cut { root, promised: inner.promised.clone() }
    }

    /// Counts the step, and says whether it fails.
    fn step(&self, kind: Kind) -> (MutexGuard<'_, Inner>, Option<Fault>) {
        let mut inner = self.lock();
        let number = inner.steps.len();
        inner.steps.push(kind);
        if self.cut_at.contains(&number) {
            let cut = self.cut_of(&inner);
            inner.cuts.push(cut);
        }
        let fault = self
            .plan
            .filter(|plan| (plan.at..plan.at + plan.times).contains(&number))
            .map(|plan| plan.fault)
            .filter(|fault| kind == Kind::Write || matches!(fault, Fault::Error(_)));
        inner.failed += usize::from(fault.is_some());
        (inner, fault)
    }

    /// As [`FaultyDisk::step`], for what can only fail as a whole.
    fn whole(&self, kind: Kind) -> io::Result<MutexGuard<'_, Inner>> {
        match self.step(kind) {
            (_, Some(Fault::Error(code))) => Err(io::Error::from_raw_os_error(code)),
            (inner, Some(Fault::Short | Fault::Torn) | None) => Ok(inner),
        }
    }
}

impl Model {
    fn restore(&self, inode: u64, to: &Path) {
        for (name, (is_dir, inode)) in self.names.get(&inode).into_iter().flatten() {
            let path = to.join(name);
            if *is_dir {
                fs::create_dir(&path).unwrap();
                self.restore(*inode, &path);
            } else {
                let content = self.files.get(inode).map(|content| content.durable.as_slice());
                fs::write(&path, content.unwrap_or_default()).unwrap();
            }
        }
    }

    fn sync_dir(&mut self, dir: &Path) -> io::Result<()> {
        let names = fs::read_dir(dir)?
            .map(|entry| {
                let entry = entry.unwrap();
                let found = entry.metadata().unwrap();
                (entry.file_name(), (found.is_dir(), found.ino()))
            })
            .collect();
        self.names.insert(fs::metadata(dir)?.ino(), names);
        Ok(())
    }

    fn sync_all(&mut self, dir: &Path) -> io::Result<()> {
        self.files.values_mut().for_each(Content::sync);
        self.sync_dir(dir)?;
        for entry in fs::read_dir(dir)? {
            let path = entry?.path();
            if path.is_dir() {
                self.sync_all(&path)?;
            }
        }
        Ok(())
    }
}

impl Disk for FaultyDisk {
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        let mut inner = self.whole(Kind::CreateDir)?;
        fs::create_dir(path)?;
        inner.model._open.push(File::open(path)?);
        Ok(())
    }

    fn create(&self, path: &Path) -> io::Result<File> {
        let mut inner = self.whole(Kind::Create)?;
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(path)?;
        inner.model.files.insert(file.metadata()?.ino(), Content::default());
        // Not a duplicate, which would share its lock.
        inner.model._open.push(File::open(path)?);
        Ok(file)
    }

    fn open(&self, path: &Path) -> io::Result<File> {
        let _inner = self.whole(Kind::Open)?;
        OpenOptions::new().read(true).write(true).open(path)
    }

    fn open_lock(&self, path: &Path) -> io::Result<File> {
        let _inner = self.whole(Kind::Open)?;
        OpenOptions::new().write(true).create(true).truncate(false).open(path)
    }

    fn write_at(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let (mut inner, fault) = self.step(Kind::Write);
        let some = match fault {
            Some(Fault::Error(code)) => return Err(io::Error::from_raw_os_error(code)),
            Some(Fault::Short | Fault::Torn) => &bytes[..bytes.len().div_ceil(2)],
            None => bytes,
        };
        file.write_all_at(some, offset)?;
        let content = inner.model.files.get_mut(&file.metadata()?.ino()).expect("made here");
        content.unsynced.push(Unsynced::Write(offset, some.to_vec()));
        if fault == Some(Fault::Torn) {
            return Err(io::Error::from_raw_os_error(libc::EIO));
        }
        Ok(some.len())
    }

    fn set_len(&self, file: &File, length: u64) -> io::Result<()> {
        let mut inner = self.whole(Kind::SetLen)?;
        file.set_len(length)?;
        let content = inner.model.files.get_mut(&file.metadata()?.ino()).expect("made here");
        content.unsynced.push(Unsynced::Length(length));
        Ok(())
    }

    fn sync_data(&self, file: &File) -> io::Result<()> {
        let (mut inner, fault) = self.step(Kind::SyncFile);
        let content = inner.model.files.get_mut(&file.metadata()?.ino()).expect("made here");
        if let Some(Fault::Error(code)) = fault {
            // The pages are clean now, and never reached the disk.
            content.unsynced.clear();
            return Err(io::Error::from_raw_os_error(code));
        }
        content.sync();
        Ok(())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.whole(Kind::SyncDir)?.model.sync_dir(dir)
    }

    fn sync_file_system(&self, _: &File) -> io::Result<()> {
        let root = self.root.clone();
        let (mut inner, fault) = self.step(Kind::SyncFileSystem);
        if let Some(Fault::Error(code)) = fault {
            inner.model.files.values_mut().for_each(|content| content.unsynced.clear());
            return Err(io::Error::from_raw_os_error(code));
        }
        inner.model.sync_all(&root)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let _inner = self.whole(Kind::Rename)?;
        fs::rename(from, to)
    }

    fn link(&self, file: &Path, name: &Path) -> io::Result<()> {
        let _inner = self.whole(Kind::Link)?;
        fs::hard_link(file, name)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        let _inner = self.whole(Kind::Remove)?;
        fs::remove_file(path)
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        let _inner = self.whole(Kind::Remove)?;
        fs::remove_dir(path)
    }

    fn remove_tree(&self, path: &Path) -> io::Result<()> {
        let _inner = self.whole(Kind::Remove)?;
        fs::remove_dir_all(path)
    }
}
