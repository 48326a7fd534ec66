//! The contents that events name: against their digests, or why they can't be.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use custody_model::{Digest, SessionId};

use super::scan::NamedBlob;
use super::{Check, Code, Contents, Finding, KeyChoice};
use crate::blob::{BlobError, Blobs, hashed};
use crate::erasure::{ERASURE_FILE, Erasure};
use crate::event::{SealedName, StoredBlob};
use crate::vault::Scope;

/// Why a content is not what the event says.
enum Unchecked {
    /// For one finding about all of them.
    Locked,
    Erased,
    Other(Code, String),
}

/// The sealed files that events name, each hashed once.
struct SealedFiles<'a> {
    record: &'a Path,
    /// The name of the first file of each digest: what is found under another name was moved.
    names: BTreeMap<Digest, SealedName>,
    found: BTreeMap<SealedName, io::Result<Digest>>,
}

impl<'a> SealedFiles<'a> {
    fn of(record: &'a Path, named: impl Iterator<Item = &'a NamedBlob>) -> Self {
        let stored = named.filter_map(|blob| blob.stored.as_ref());
        let names = stored.map(|stored| (stored.digest, stored.name.clone())).collect();
        Self { record, names, found: BTreeMap::new() }
    }

    fn path(&self, stored: &StoredBlob) -> PathBuf {
        Blobs::path_of_sealed(self.record, &stored.name)
    }

    /// Compares a file with what an event says of it. `erased`: whether it may be gone.
    fn check(&mut self, stored: &StoredBlob, erased: bool) -> Option<(Code, String)> {
        let path = self.path(stored);
        let found = self.found.entry(stored.name.clone()).or_insert_with(|| hashed(&path));
        match found {
            Ok(found) if *found == stored.digest => None,
            Ok(found) => Some(match self.names.get(found) {
                Some(other) if *other != stored.name => {
                    let what = format!("the sealed blob holds what was stored as {other}");
                    (Code::BlobSwapped, what)
                }
                Some(_) | None => {
                    let what =
                        format!("the sealed blob was stored as {}, and is {found}", stored.digest);
                    (Code::BlobDamaged, what)
                }
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let what = "the sealed blob is missing".to_owned();
                (!erased).then_some((Code::BlobMissing, what))
            }
            Err(error) => Some((Code::Unreadable, error.to_string())),
        }
    }
}

impl Check<'_> {
    pub(super) fn check_blobs(&mut self, session: Option<SessionId>) {
        let blobs = self.open_blobs(session);
        let mut sizes: BTreeMap<Digest, Result<u64, Unchecked>> = BTreeMap::new();
        let mut findings = Vec::new();
        let named = || self.scan.chunks.iter().flat_map(|c| &c.blobs);
        let mut sealed = SealedFiles::of(self.dir, named());
        // Those that nobody can say anything about, and those of which the files alone were compared.
        let (mut locked, mut unopened) = (BTreeMap::new(), BTreeSet::new());
        // Who says of one content in which file it was sealed says so of every later one: what has no such file is in the clear.
        let telling = named().filter(|one| one.stored.is_some()).map(|one| one.seq).min();
        let is_clear = |one: &NamedBlob| telling.is_some_and(|telling| one.seq >= telling);
        for named in named() {
            let size = sizes.entry(named.digest).or_insert_with(|| {
                blobs.check(&named.digest, self.options.blob_limit).map_err(unchecked)
            });
            let stored = named.stored.as_ref();
            let (wrong, path) = match (size, stored) {
                (Ok(size), _) if *size != named.size => {
                    let what =
                        format!("the blob has {size} bytes, and the event says {}", named.size);
                    (Some((Code::BlobSize, what)), blobs.path(&named.digest))
                }
                // A record that was handed out has it in the clear.
                (Ok(_), Some(stored)) if sealed.path(stored).exists() => {
                    (sealed.check(stored, false), sealed.path(stored))
                }
                (Ok(_), Some(_) | None) | (Err(Unchecked::Erased), None) => continue,
                (Err(Unchecked::Locked), None) if is_clear(named) => {
                    let what = BlobError::Missing(named.digest).to_string();
                    (Some((Code::BlobMissing, what)), blobs.path(&named.digest))
                }
                (Err(Unchecked::Locked), None) => {
                    locked.entry(named.digest).or_insert(named.seq);
                    continue;
                }
                (Err(Unchecked::Locked), Some(stored)) => {
                    unopened.insert(named.digest);
                    (sealed.check(stored, false), sealed.path(stored))
                }
                (Err(Unchecked::Erased), Some(stored)) => {
                    (sealed.check(stored, true), sealed.path(stored))
                }
                (Err(Unchecked::Other(code, what)), _) => {
                    (Some((*code, what.clone())), blobs.path(&named.digest))
                }
            };
            if let Some((code, what)) = wrong {
                findings.push(Finding::new(code, what).file(self.relative(&path)).seq(named.seq));
            }
        }
        let erased = sizes.values().filter(|size| matches!(size, Err(Unchecked::Erased))).count();
        let mut known: BTreeSet<PathBuf> = sizes.keys().map(|digest| blobs.path(digest)).collect();
        known.extend(named().filter_map(|named| Some(sealed.path(named.stored.as_ref()?))));
        self.blobs = sizes.len() as u64;
        self.contents = if sizes.is_empty() {
            Contents::None
        } else if !locked.is_empty() {
            Contents::Unchecked
        } else if !unopened.is_empty() {
            Contents::Stored
        } else if erased > 0 {
            Contents::Erased
        } else {
            Contents::Opened
        };
        self.findings.append(&mut findings);
        match blobs.files() {
            Ok(files) => {
                let sealed = self.check_blob_files(&known, files, locked.len());
                self.check_locked(&blobs, &mut locked, sealed);
            }
            Err(error) => {
                self.findings.push(Finding::new(Code::Unreadable, error.to_string()).file("blobs"))
            }
        }
        self.check_opened(locked.len(), unopened.len());
        self.check_erasure(session, erased);
    }

    /// Reports blobs that can't be in any of the `sealed` files that no event names. As long as there is such a file, its blob is
    /// unknown without the key.
    fn check_locked(&mut self, blobs: &Blobs, locked: &mut BTreeMap<Digest, u64>, sealed: usize) {
        if sealed == 0 {
            for (digest, seq) in std::mem::take(locked) {
                let path = self.relative(&blobs.path(&digest));
                let what = format!("the blob {digest} is missing");
                self.findings.push(Finding::new(Code::BlobMissing, what).file(path).seq(seq));
            }
        } else if locked.len() > sealed {
            let (missing, all) = (locked.len() - sealed, locked.len());
            self.add(Code::BlobMissing, format!("{missing} of {all} sealed blobs are missing"));
        }
    }

    /// Says what was not opened, and why.
    fn check_opened(&mut self, locked: usize, unopened: usize) {
        let sealed = locked + unopened;
        if sealed == 0 {
            return;
        }
        if self.key_is_gone {
            let what =
                format!("{sealed} blobs can't be opened: the vault has no key of their session");
            let what = format!("{what}, and no note of erasure explains it");
            self.add(Code::ContentKeyMissing, what);
        }
        if unopened > 0 {
            let what = format!("{unopened} blobs are sealed, and their key was not given");
            let what = format!("{what}: they are stored as recorded, and were not opened");
            self.add(Code::ContentUnopened, what);
        }
        if locked > 0 {
            let what = format!("{locked} blobs are sealed, and their key was not given");
            self.add(Code::ContentLocked, format!("{what}: their content was not checked"));
        }
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

    /// Names files that are no content of this record, and counts sealed ones that may be those of `locked` blobs.
    fn check_blob_files(
        &mut self,
        known: &BTreeSet<PathBuf>,
        files: Vec<PathBuf>,
        locked: usize,
    ) -> usize {
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
        sealed
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
