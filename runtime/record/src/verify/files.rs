//! The files of a record's directory: which of them belong to the record, and what is not a file at all.

use std::fs;
use std::path::{Path, PathBuf};

use super::{Check, Code, Finding};
use crate::erasure::ERASURE_FILE;
use crate::journal::JOURNAL_FILE;
use crate::living::{LIVING_CHECKPOINT, LIVING_PLACE};
use crate::seal::{KEY_FILE, SEAL_FILE};
use crate::standing::CHECKPOINT_FILE;
use crate::tlog::{entry_path, hash_path, widths};

impl Check<'_> {
    /// Whether the directory holds nothing but files and directories.
    pub(super) fn refuse_special_files(&mut self) -> bool {
        let mut stack = vec![PathBuf::new()];
        let mut found = Vec::new();
        while let Some(relative) = stack.pop() {
            for entry in fs::read_dir(self.dir.join(&relative)).into_iter().flatten().flatten() {
                let path = relative.join(entry.file_name());
                match entry.file_type() {
                    Ok(kind) if kind.is_dir() => stack.push(path),
                    Ok(kind) if kind.is_file() => {}
                    Ok(_) | Err(_) => found.push(path.display().to_string()),
                }
            }
        }
        found.sort();
        let followed = found.is_empty();
        for path in found {
            let what = "it is neither a file nor a directory: nothing was read";
            self.findings.push(Finding::new(Code::SpecialFile, what).file(path));
        }
        followed
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
        let mut stack = vec![PathBuf::new()];
        let mut found = Vec::new();
        while let Some(relative) = stack.pop() {
            let Ok(entries) = fs::read_dir(self.dir.join(&relative)) else { continue };
            for entry in entries.flatten() {
                let path = relative.join(entry.file_name());
                let top = path.components().count() == 1;
                if top && (path == Path::new("blobs") || (live && path == Path::new("tile"))) {
                    continue;
                }
                if entry.file_type().is_ok_and(|t| t.is_dir()) {
                    stack.push(path);
                } else if !known.contains(&path) {
                    found.push(path.display().to_string());
                }
            }
        }
        found.sort();
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
