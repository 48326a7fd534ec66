//! The files of a record's directory: which of them belong to the record, and what is not a file at all.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::{Check, Code, Finding};
use crate::erasure::ERASURE_FILE;
use crate::journal::JOURNAL_FILE;
use crate::living::{LIVING_CHECKPOINT, LIVING_PLACE};
use crate::seal::{KEY_FILE, SEAL_FILE};
use crate::standing::CHECKPOINT_FILE;
use crate::tlog::{entry_path, hash_path, widths};

impl Check<'_> {
    /// Refuses a directory that holds more than files and directories, or that can't be listed. Whether it can be read.
    pub(super) fn refuse_special_files(&mut self) -> bool {
        let Listed { entries, unreadable } = Listed::of(self.dir, |_| false);
        let special = entries.into_iter().filter(|(_, is_file)| !is_file);
        let special = special.map(|(path, _)| {
            let what = "it is neither a file nor a directory: nothing was read";
            Finding::new(Code::SpecialFile, what).file(path.display().to_string())
        });
        let unreadable = unreadable.into_iter().map(|(path, error)| {
            let what = format!("the directory can't be listed, so nothing was read: {error}");
            let finding = Finding::new(Code::Unreadable, what);
            match path.as_os_str().is_empty() {
                true => finding,
                false => finding.file(path.display().to_string()),
            }
        });
        let before = self.findings.len();
        self.findings.extend(special.chain(unreadable));
        self.findings.len() == before
    }

    /// Names files that are no part of a record.
    pub(super) fn check_files(&mut self, live: bool, size: u64) {
        let mut known = vec![
            CHECKPOINT_FILE.to_owned(),
            SEAL_FILE.to_owned(),
            KEY_FILE.to_owned(),
            ERASURE_FILE.to_owned(),
        ];
        if live {
            known.extend([JOURNAL_FILE, LIVING_CHECKPOINT, LIVING_PLACE].map(str::to_owned));
        }
        for (index, width) in widths(0, size) {
            known.push(entry_path(index, width));
        }
        for level in 0..8 {
            known.extend(widths(level, size).map(|(index, width)| hash_path(level, index, width)));
        }
        let known: std::collections::HashSet<PathBuf> =
            known.into_iter().map(PathBuf::from).collect();
        let skipped =
            |path: &Path| path == Path::new("blobs") || (live && path == Path::new("tile"));
        let found = Listed::of(self.dir, skipped).entries.into_iter().map(|(path, _)| path);
        let found =
            found.filter(|path| !known.contains(path)).map(|path| path.display().to_string());
        for path in found {
            let finding = match path.as_str() {
                JOURNAL_FILE | LIVING_CHECKPOINT | LIVING_PLACE => Finding::new(
                    Code::UnsealedBesideSeal,
                    "the record is sealed: what lies beside the seal is no part of it, and was not read",
                ),
                _ => Finding::new(Code::UnexpectedFile, "the file is no part of a record"),
            };
            self.findings.push(finding.file(path));
        }
    }
}

/// What lies below a record's directory.
struct Listed {
    /// What is no directory, sorted by its path, and whether it is a file.
    entries: Vec<(PathBuf, bool)>,
    /// Directories that can't be listed; one that is gone by now is none.
    unreadable: Vec<(PathBuf, io::Error)>,
}

impl Listed {
    /// Everything below `dir` but the directories that `skipped` names.
    fn of(dir: &Path, skipped: impl Fn(&Path) -> bool) -> Self {
        let (mut entries, mut unreadable) = (Vec::new(), Vec::new());
        let mut left = vec![PathBuf::new()];
        while let Some(relative) = left.pop() {
            let found = fs::read_dir(dir.join(&relative));
            match found.and_then(|found| found.collect::<io::Result<Vec<_>>>()) {
                Ok(found) => {
                    for entry in found {
                        let path = relative.join(entry.file_name());
                        match entry.file_type() {
                            _ if skipped(&path) => {}
                            Ok(kind) if kind.is_dir() => left.push(path),
                            kind => entries.push((path, kind.is_ok_and(|kind| kind.is_file()))),
                        }
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => unreadable.push((relative, error)),
            }
        }
        entries.sort();
        Self { entries, unreadable }
    }
}
