//! The contents that events name: against their digests, or why they can't be.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use custody_model::{Digest, SessionId};

use super::{Check, Code, Finding, KeyChoice};
use crate::blob::{BlobError, Blobs};
use crate::erasure::{ERASURE_FILE, Erasure};
use crate::vault::Scope;

/// Why a content is not what the event says.
enum Unchecked {
    /// For one finding about all of them.
    Locked,
    Erased,
    Other(Code, String),
}

impl Check<'_> {
    pub(super) fn check_blobs(&mut self, session: Option<SessionId>) {
        let blobs = self.open_blobs(session);
        let mut sizes: BTreeMap<Digest, Result<u64, Unchecked>> = BTreeMap::new();
        let mut findings = Vec::new();
        for named in self.scan.chunks.iter().flat_map(|c| &c.blobs) {
            let size = sizes.entry(named.digest).or_insert_with(|| {
                blobs.check(&named.digest, self.options.blob_limit).map_err(unchecked)
            });
            let (code, what) = match size {
                Ok(size) if *size == named.size => continue,
                Ok(size) => (
                    Code::BlobSize,
                    format!("the blob has {size} bytes, and the event says {}", named.size),
                ),
                Err(Unchecked::Locked | Unchecked::Erased) => continue,
                Err(Unchecked::Other(code, what)) => (*code, what.clone()),
            };
            let path = self.relative(&blobs.path(&named.digest));
            findings.push(Finding::new(code, what).file(path).seq(named.seq));
        }
        self.blobs = sizes.len() as u64;
        self.findings.append(&mut findings);
        let count = |wanted: fn(&Unchecked) -> bool| {
            sizes.values().filter(|size| size.as_ref().is_err_and(wanted)).count()
        };
        let locked = count(|why| matches!(why, Unchecked::Locked));
        let erased = count(|why| matches!(why, Unchecked::Erased));
        match blobs.files() {
            Ok(files) => self.check_blob_files(&blobs, &sizes, files, locked),
            Err(error) => {
                self.findings.push(Finding::new(Code::Unreadable, error.to_string()).file("blobs"))
            }
        }
        self.check_erasure(session, erased);
    }

    fn open_blobs(&mut self, session: Option<SessionId>) -> Blobs {
        let blobs = Blobs::open(self.dir);
        let (Some(vault), Some(session)) = (&self.options.vault, session) else { return blobs };
        match vault.blobs(Scope::Session(session), self.dir) {
            Ok(blobs) => {
                // The vault is that of the installation whose record this is.
                let own = matches!(self.options.key, KeyChoice::Installation(_));
                self.key_is_gone = own && !blobs.has_key();
                blobs
            }
            Err(error) => {
                self.add(Code::Unreadable, error.to_string());
                blobs
            }
        }
    }

    /// Names files that are no content of this record, and counts what is sealed.
    fn check_blob_files(
        &mut self,
        blobs: &Blobs,
        sizes: &BTreeMap<Digest, Result<u64, Unchecked>>,
        files: Vec<PathBuf>,
        locked: usize,
    ) {
        let known: BTreeSet<PathBuf> = sizes.keys().map(|digest| blobs.path(digest)).collect();
        let root = Blobs::sealed_root(self.dir);
        let mut sealed = 0;
        for path in files {
            if known.contains(&path) {
                continue;
            }
            let file = self.relative(&path);
            if locked > 0 && path.starts_with(&root) {
                sealed += 1;
                continue;
            }
            let digest = path.file_name().and_then(|name| name.to_str()).and_then(|name| {
                format!("sha256:{}", name.strip_suffix(".zst")?).parse::<Digest>().ok()
            });
            let finding = match digest {
                Some(digest) => Finding::new(
                    Code::BlobUnreferenced,
                    format!("no event names the blob {digest}"),
                ),
                None if path.starts_with(&root) => {
                    Finding::new(Code::BlobUnreferenced, "no event names this sealed blob")
                }
                None => Finding::new(Code::UnexpectedFile, "the file is no part of a record"),
            };
            self.findings.push(finding.file(file));
        }
        if locked > sealed {
            let missing = locked - sealed;
            self.add(Code::BlobMissing, format!("{missing} of {locked} sealed blobs are missing"));
        }
        if locked > 0 && self.key_is_gone {
            let what =
                format!("{locked} blobs can't be opened: the vault has no key of their session");
            self.add(
                Code::ContentKeyMissing,
                format!("{what}, and no note of erasure explains it"),
            );
        } else if locked > 0 {
            let what = format!("{locked} blobs are sealed, and their key was not given");
            self.add(Code::ContentLocked, format!("{what}: their content was not checked"));
        }
    }

    fn check_erasure(&mut self, session: Option<SessionId>, erased: usize) {
        let note = match &self.verifier {
            Some(verifier) => Erasure::genuine(self.dir, verifier),
            None => Erasure::read(self.dir),
        };
        let finding = match note {
            Ok(None) => return,
            Ok(Some(note)) if session.is_some_and(|session| session != note.session) => {
                let what = format!("the note of erasure is of session {}", note.session);
                Finding::new(Code::ErasureNotGenuine, what)
            }
            Ok(Some(note)) => {
                let what = format!(
                    "content erased by {} at {}: {}; {erased} blobs are gone, and what is recorded of them still verifies",
                    note.by, note.at, note.reason
                );
                Finding::new(Code::ContentErased, what)
            }
            Err(error) => {
                let mut what = error.to_string();
                if let Some(cause) = std::error::Error::source(&error) {
                    what = format!("{what}: {cause}");
                }
                Finding::new(Code::ErasureNotGenuine, what)
            }
        };
        self.findings.push(finding.file(ERASURE_FILE));
    }

    fn relative(&self, path: &Path) -> String {
        path.strip_prefix(self.dir).unwrap_or(path).display().to_string()
    }
}

fn unchecked(error: BlobError) -> Unchecked {
    let code = match &error {
        BlobError::Locked(_) => return Unchecked::Locked,
        BlobError::Erased { .. } => return Unchecked::Erased,
        BlobError::Missing(_) => Code::BlobMissing,
        BlobError::Swapped(..) => Code::BlobSwapped,
        BlobError::Damaged { .. } | BlobError::TooLarge { .. } => Code::BlobDamaged,
        BlobError::Io { .. } | BlobError::Write(_) => Code::Unreadable,
    };
    Unchecked::Other(code, error.to_string())
}
