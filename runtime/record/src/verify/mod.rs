//! Verification of a record: offline, without network, database or the installation that made it.
//!
//! Two verdicts that do not mix: *integrity* (what is there is what was recorded) and *completeness* (everything is
//! there), with the findings that led to them.

mod blobs;
mod living;
mod report;
mod scan;
mod sealed;
mod verdict;

use std::collections::BTreeMap;
use std::fs::{self, File, TryLockError};
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use custody_model::SessionId;

use crate::erasure::ERASURE_FILE;
use crate::event::{Body, EventType};
use crate::installation::{InstallationLeaves, LogError, LogPosition};
use crate::journal::frame::FrameReader;
use crate::journal::{FrameError, JOURNAL_FILE, JournalHeader};
use crate::living::{LIVING_CHECKPOINT, LIVING_PLACE};
use crate::seal::{KEY_FILE, SEAL_FILE, Summary};
use crate::standing::{CHECKPOINT_FILE, Standing, Vouching, session_of};
use crate::tlog::{ENTRIES_PER_BUNDLE, Term, TlogPolicy, Verifier, entry_path, hash_path, widths};
use crate::vault::Vault;
use crate::witness::{WitnessAssurance, WitnessLevel};
pub use report::{Code, Concern, Finding, Report};
use scan::{Chunk, Scan};
pub use verdict::{Completeness, Contents, Integrity, KeySource, Verdict};

/// Most findings that a report lists.
pub const MAX_FINDINGS: usize = 1000;

/// How far an event's time may lie before the latest of the events before it, in microseconds: 5 s. Those who observe take the
/// time by themselves, and wait for each other when they append.
pub const CLOCK_TOLERANCE: i64 = 5_000_000;

/// Largest blob that is decompressed, in bytes: 16 GiB.
pub const DEFAULT_BLOB_LIMIT: u64 = 16 << 30;

/// The key to check with.
#[derive(Clone, Debug)]
pub enum KeyChoice {
    /// One that whoever asks brought along.
    Given(Verifier),
    /// That of this installation.
    Installation(Verifier),
    /// The one that the server names which the record came from.
    Server(Verifier),
    /// The one that the record names: shows that the record is consistent, not whose it is.
    Record,
}

/// What to check with.
#[derive(Clone, Debug)]
pub struct VerifyOptions {
    /// The key.
    pub key: KeyChoice,
    /// The session whose record it is to be, if that is known: a record of another one is not this session's.
    pub session: Option<SessionId>,
    /// Directory of the installation log, or of a copy of it.
    pub installation_log: Option<PathBuf>,
    /// Whose cosignatures of the installation log count; without a policy nobody's are known.
    pub witnesses: Option<TlogPolicy>,
    /// [`DEFAULT_BLOB_LIMIT`].
    pub blob_limit: u64,
    /// Where the keys of sealed content are; without it, sealed content is not checked.
    pub vault: Option<Arc<Vault>>,
}

impl VerifyOptions {
    /// Checks with this key, and without an installation log.
    #[must_use]
    pub fn new(key: KeyChoice) -> Self {
        Self {
            key,
            session: None,
            installation_log: None,
            witnesses: None,
            blob_limit: DEFAULT_BLOB_LIMIT,
            vault: None,
        }
    }

    /// And wants it to be the record of this session.
    #[must_use]
    pub fn of_session(self, session: SessionId) -> Self {
        Self { session: Some(session), ..self }
    }

    /// And with this installation log.
    #[must_use]
    pub fn with_installation_log(self, dir: &Path) -> Self {
        Self { installation_log: Some(dir.to_owned()), ..self }
    }

    /// And with the keys of this vault.
    #[must_use]
    pub fn with_vault(self, vault: Arc<Vault>) -> Self {
        Self { vault: Some(vault), ..self }
    }

    /// And with these witnesses of it.
    #[must_use]
    pub fn with_witnesses(self, policy: &TlogPolicy) -> Self {
        Self { witnesses: Some(policy.clone()), ..self }
    }
}

/// Most readings of a record that changes while it is read.
const MOST_READINGS: usize = 4;

/// What a record's directory holds of a session that lives, at a moment.
#[derive(PartialEq, Eq)]
struct Moment {
    /// Bytes of the journal, if there is one.
    journal: Option<u64>,
    sealed: bool,
}

impl Moment {
    fn of(dir: &Path) -> Self {
        let journal = fs::metadata(dir.join(JOURNAL_FILE)).ok().map(|file| file.len());
        Self { journal, sealed: dir.join("checkpoint").exists() }
    }

    /// It begins, lives, or is being sealed: what is read of it in parts need not be of one moment.
    fn changes(&self) -> bool {
        self.journal.is_some() || !self.sealed
    }
}

/// Checks the record in `dir`. One that changes while it is read is read again before something is found missing or broken.
#[must_use]
pub fn verify(dir: &Path, options: &VerifyOptions) -> Report {
    for _ in 1..MOST_READINGS {
        let before = Moment::of(dir);
        let report = read_once(dir, options);
        let doubtful = report.integrity == Integrity::Broken
            || report.completeness == Completeness::Incomplete;
        if !doubtful || !before.changes() || before == Moment::of(dir) {
            return report;
        }
    }
    read_once(dir, options)
}

fn read_once(dir: &Path, options: &VerifyOptions) -> Report {
    let mut check = Check {
        dir,
        options,
        findings: Vec::new(),
        verifier: None,
        key_source: KeySource::Absent,
        scan: Scan::default(),
        summary: None,
        blobs: 0,
        contents: Contents::None,
        position: None,
        witnesses: WitnessAssurance::not_looked_for(options.witnesses.as_ref()),
        signer: None,
        terms: Vec::new(),
        key_is_gone: false,
        leaves: None,
    };
    check.run()
}

struct Check<'a> {
    dir: &'a Path,
    options: &'a VerifyOptions,
    findings: Vec<Finding>,
    verifier: Option<Verifier>,
    key_source: KeySource,
    scan: Scan,
    summary: Option<Summary>,
    blobs: u64,
    contents: Contents,
    /// Where the seal says that the head is in the installation log.
    position: Option<LogPosition>,
    witnesses: WitnessAssurance,
    /// The key that signed the seal.
    signer: Option<Verifier>,
    /// The terms of the keys that signed checkpoint and seal.
    terms: Vec<Term>,
    /// The vault has no key of the session.
    key_is_gone: bool,
    /// The installation log as it was before the journal of a session that lives was read, and whether its first head was still
    /// awaited.
    leaves: Option<(Result<InstallationLeaves, LogError>, bool)>,
}

impl Check<'_> {
    fn add(&mut self, code: Code, what: impl Into<String>) {
        self.findings.push(Finding::new(code, what));
    }

    fn run(&mut self) -> Report {
        let followed = self.refuse_special_files();
        if followed {
            self.choose_key();
        }
        let live = followed && self.standing() == Standing::Journal;
        let empty = followed
            && !live
            && !self.dir.join(CHECKPOINT_FILE).exists()
            && !self.dir.join("tile").exists();
        let mut session = None;
        if !followed {
            // Following it could lead anywhere, or never end: nothing is read.
        } else if empty {
            self.add(Code::NoRecord, "the directory holds no record");
        } else {
            self.check_key(live);
            let head = if live {
                let shown = self.read_living();
                self.read_leaves();
                session = self.read_journal();
                if let Some((head, note)) = shown {
                    self.check_living(&head, &note);
                }
                None
            } else {
                self.read_sealed()
            };
            self.scan.check_neighbours();
            self.scan.check_clock();
            self.check_events(live);
            session = session.or(self.scan.shared().map(|s| s.session));
            self.check_session(session);
            self.check_blobs(session);
            if let Some(head) = &head {
                self.check_head(head);
            }
            self.check_installation_log(session, live);
            if live {
                self.check_foreign_seal();
            }
            self.check_files(live, head.as_ref().map_or(0, |h| h.size));
        }
        let mut findings = std::mem::take(&mut self.scan.findings);
        findings.append(&mut self.findings);
        let has = |concern| findings.iter().any(|f| f.concern == concern);
        let integrity = if has(Concern::Integrity) { Integrity::Broken } else { Integrity::Intact };
        let completeness = if has(Concern::Completeness) {
            Completeness::Incomplete
        } else if has(Concern::Open) {
            Completeness::Open
        } else if empty || !followed {
            Completeness::Incomplete
        } else {
            Completeness::Complete
        };
        let omitted = findings.len().saturating_sub(MAX_FINDINGS);
        findings.truncate(MAX_FINDINGS);
        Report {
            session,
            integrity,
            completeness,
            key_source: self.key_source,
            key: self.signer.as_ref().or(self.verifier.as_ref()).map(Verifier::id),
            events: self.scan.entries(),
            root: self.scan.root(),
            blobs: self.blobs,
            contents: self.contents,
            sealed: !live && !empty,
            installation_log: self.options.installation_log.is_some(),
            witnesses: std::mem::take(&mut self.witnesses),
            findings,
            findings_omitted: omitted as u64,
        }
    }

    /// Whether the directory holds nothing but files and directories.
    fn refuse_special_files(&mut self) -> bool {
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

    fn choose_key(&mut self) {
        let named = || Verifier::read(&self.dir.join(KEY_FILE)).ok();
        (self.verifier, self.key_source) = match &self.options.key {
            KeyChoice::Given(verifier) => (Some(verifier.clone()), KeySource::Given),
            KeyChoice::Installation(verifier) => (Some(verifier.clone()), KeySource::Installation),
            KeyChoice::Server(verifier) => (Some(verifier.clone()), KeySource::Server),
            KeyChoice::Record => match named() {
                Some(named) => (Some(named), KeySource::Record),
                None => (None, KeySource::Absent),
            },
        };
    }

    /// Which form of the record counts.
    fn standing(&self) -> Standing {
        match self.vouching() {
            Some(by) => by.standing(self.dir),
            None if self.dir.join(JOURNAL_FILE).exists() => Standing::Journal,
            None => Standing::Absent,
        }
    }

    fn vouching(&self) -> Option<Vouching> {
        let (session, log) = (self.options.session, self.options.installation_log.clone());
        self.verifier.clone().map(|key| Vouching { key, session, log })
    }

    /// Names what only looks like a seal beside a journal that counts.
    fn check_foreign_seal(&mut self) {
        let sealing = self.vouching().is_some_and(|by| by.has_seal(self.dir));
        for name in [SEAL_FILE, CHECKPOINT_FILE] {
            if self.dir.join(name).exists() && (name != SEAL_FILE || !sealing) {
                let what = "it is not this session's, or not signed by the key that the record was checked with: the journal counts";
                self.findings.push(Finding::new(Code::ForeignSeal, what).file(name));
            }
        }
    }

    fn check_key(&mut self, live: bool) {
        let named = Verifier::read(&self.dir.join(KEY_FILE));
        // An unsealed record has no key file yet, and nothing that is signed.
        if let Err(error) = &named
            && !live
        {
            self.findings
                .push(Finding::new(Code::KeyFileDamaged, error.to_string()).file(KEY_FILE));
        }
        if self.key_source == KeySource::Record {
            self.add(
                Code::KeyFromRecord,
                "the key was taken from the record itself: whose it is was not checked",
            );
        }
        match (&self.verifier, named.ok()) {
            (Some(verifier), Some(named)) if !live && !verifier.knows(&named) => {
                let what = format!("the record names the key {}", named.id());
                self.findings.push(Finding::new(Code::KeyDiffers, what).file(KEY_FILE));
            }
            (None, _) if !live => {
                self.add(Code::KeyMissing, "there is no key to check signatures with")
            }
            _ => {}
        }
    }

    fn check_session(&mut self, found: Option<SessionId>) {
        if let (Some(wanted), Some(found)) = (self.options.session, found)
            && wanted != found
        {
            let what = format!("the record is of session {found}, and {wanted} was asked for");
            self.add(Code::SessionDiffers, what);
        }
    }

    fn read_journal(&mut self) -> Option<SessionId> {
        let file = match File::open(self.dir.join(JOURNAL_FILE)) {
            Ok(file) => file,
            Err(error) => {
                self.findings
                    .push(Finding::new(Code::Unreadable, error.to_string()).file(JOURNAL_FILE));
                return None;
            }
        };
        let mut header = None;
        let input = BufReader::with_capacity(1 << 20, &file);
        let result = FrameReader::new(input).and_then(|mut frames| {
            let offset = frames.offset();
            let first = frames.next()?.ok_or(FrameError::Cut { offset })?;
            header = JournalHeader::parse(first);
            loop {
                let start = self.scan.entries();
                let mut payloads = Vec::new();
                let mut torn = None;
                while (payloads.len() as u64) < ENTRIES_PER_BUNDLE {
                    let offset = frames.offset();
                    match frames.next() {
                        Ok(Some(payload)) => payloads.push((offset, payload.to_vec())),
                        Ok(None) => break,
                        Err(error) => {
                            torn = Some(error);
                            break;
                        }
                    }
                }
                let entries: Vec<(u64, &[u8])> =
                    payloads.iter().map(|(at, p)| (*at, p.as_slice())).collect();
                let mut chunk = Chunk::read(start, JOURNAL_FILE, &entries, None);
                self.scan.findings.append(&mut chunk.findings);
                let last = (entries.len() as u64) < ENTRIES_PER_BUNDLE;
                self.scan.chunks.push(chunk);
                match torn {
                    Some(error) => return Err(error),
                    None if last => return Ok(()),
                    None => {}
                }
            }
        });
        let torn = matches!(result, Err(FrameError::Cut { .. }));
        match result {
            Ok(()) => {}
            Err(FrameError::Cut { .. }) if is_being_written(&file) => {}
            Err(error @ FrameError::Cut { offset }) => {
                let seq = self.scan.entries();
                let finding = Finding::new(Code::JournalTorn, error.to_string()).file(JOURNAL_FILE);
                self.findings.push(finding.offset(offset).seq(seq));
            }
            Err(error @ FrameError::Damaged { offset, .. }) => {
                let seq = self.scan.entries();
                let finding =
                    Finding::new(Code::JournalDamaged, error.to_string()).file(JOURNAL_FILE);
                self.findings.push(finding.offset(offset).seq(seq));
            }
            Err(FrameError::Io(error)) => {
                self.findings
                    .push(Finding::new(Code::Unreadable, error.to_string()).file(JOURNAL_FILE));
            }
        }
        match (&header, self.scan.shared()) {
            // Torn before its header was durable: nothing was recorded.
            (None, _) if torn => {}
            (None, _) => {
                let finding = Finding::new(Code::JournalDamaged, "the journal has no header")
                    .file(JOURNAL_FILE);
                self.findings.push(finding);
            }
            (Some(header), Some(shared))
                if header.session != shared.session
                    || header.policy != shared.policy
                    || header.on_behalf_of != shared.on_behalf_of =>
            {
                let what = "the journal's header is of another session, policy or requester than its events";
                self.findings
                    .push(Finding::new(Code::EventForeign, what).file(JOURNAL_FILE).seq(0));
            }
            (Some(_), _) => {}
        }
        header.map(|h| h.session)
    }

    /// Checks what single events say about the whole.
    fn check_events(&mut self, live: bool) {
        let mut counts: BTreeMap<EventType, u64> = BTreeMap::new();
        for chunk in &self.scan.chunks {
            for (kind, count) in &chunk.counts {
                *counts.entry(*kind).or_insert(0) += count;
            }
        }
        let total = self.scan.entries();
        let mut summary = self.scan.shared().map(|s| Summary::new(s.session, s.policy));
        let mut closed_at = None;
        let mut findings = Vec::new();
        for event in self.scan.chunks.iter().flat_map(|c| &c.notable) {
            if let Some(summary) = &mut summary {
                summary.take(event);
            }
            if let Body::RecorderGap(gap) = &event.body {
                findings.push(Finding::new(Code::Gap, gap.reason.clone()).seq(event.seq));
            }
            if let Body::WorkspaceCompared(compared) = &event.body
                && let Some(what) = compared.gap()
            {
                findings.push(Finding::new(Code::Gap, what).seq(event.seq));
            }
            if let Body::SessionClosed(closed) = &event.body {
                closed_at = Some(event.seq);
                let said: BTreeMap<&str, u64> =
                    closed.counts.iter().map(|(k, v)| (k.as_str(), *v)).collect();
                let found: BTreeMap<&str, u64> =
                    counts.iter().map(|(k, v)| (k.as_str(), *v)).collect();
                if said != found {
                    let what = "it counts other events than are there";
                    findings.push(Finding::new(Code::ClosingCounts, what).seq(event.seq));
                }
            }
        }
        match closed_at {
            Some(seq) if seq + 1 < total => {
                let what = format!("{} events stand after the closing event", total - seq - 1);
                findings.push(Finding::new(Code::EventAfterClosing, what).seq(seq + 1));
            }
            Some(_) if live => {
                findings.push(Finding::new(
                    Code::SealMissing,
                    "the record is closed and was not sealed",
                ));
            }
            Some(_) => {}
            None if live => {
                let what =
                    "the record has no closing event yet: the session lives, or its keeper died";
                findings.push(Finding::new(Code::NotClosed, what));
            }
            None => {
                findings.push(Finding::new(Code::ClosingMissing, "the record has no closing event"))
            }
        }
        self.findings.append(&mut findings);
        self.summary = summary;
    }

    /// Reads the installation log before the journal, which goes on meanwhile: so it has every event of which the log knows. The
    /// first head of a session that has just begun is on its way to the log, and may be the installation's first one, too.
    fn read_leaves(&mut self) {
        let (Some(dir), Some(verifier)) = (&self.options.installation_log, &self.verifier) else {
            return;
        };
        let awaited = !self.dir.join(LIVING_PLACE).exists();
        self.leaves = Some((InstallationLeaves::read(dir, verifier, &[]), awaited));
    }

    fn check_installation_log(&mut self, session: Option<SessionId>, live: bool) {
        let Some(dir) = &self.options.installation_log else {
            self.add(
                Code::InstallationLogNotGiven,
                "the record was not compared with an installation log",
            );
            return;
        };
        // A journal that is torn in its header does not say whose it is; where it lies may.
        let session = session.or_else(|| session_of(self.dir));
        if self.verifier.is_some() && session.is_none() && live {
            self.add(
                Code::InstallationLogNotGiven,
                "the record does not say yet whose it is: it was not compared with the installation log",
            );
            return;
        }
        let (Some(verifier), Some(session)) = (&self.verifier, session) else {
            self.add(
                Code::InstallationLogBroken,
                "without key and session the installation log says nothing",
            );
            return;
        };
        let wanted: Vec<u64> = self.position.iter().map(|p| p.size).collect();
        let (read, awaited) = match self.leaves.take() {
            Some(read) => read,
            None => (InstallationLeaves::read(dir, verifier, &wanted), false),
        };
        if awaited
            && matches!(&read, Err(LogError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound)
        {
            let what = "the installation log has no head yet";
            self.add(Code::InstallationLogNotGiven, what);
            return;
        }
        let log = match read {
            Ok(log) => log,
            Err(error) => {
                let mut text = error.to_string();
                if let Some(cause) = std::error::Error::source(&error) {
                    text = format!("{text}: {cause}");
                }
                self.add(Code::InstallationLogBroken, text);
                return;
            }
        };
        // The newest head of the session: witnesses who saw it saw all before it.
        let newest = (1_u64..).zip(&log.leaves).filter(|(_, leaf)| leaf.session == session);
        if let Some((needed, _)) = newest.last() {
            let (origin, policy) = (verifier.log_origin(), self.options.witnesses.as_ref());
            self.witnesses = WitnessAssurance::of(dir, &origin, verifier, policy, needed);
            if self.witnesses.level == WitnessLevel::InvalidCosignature {
                let finding = Finding::new(Code::CosignatureInvalid, &*self.witnesses.statement);
                self.findings.push(finding);
            }
        }
        let total = self.scan.entries();
        let mut findings = Vec::new();
        let mut known = false;
        let mut sealed = false;
        for leaf in log.leaves.iter().filter(|leaf| leaf.session == session) {
            known = true;
            if leaf.size > total {
                let what = format!(
                    "the installation log knows {} events, and {total} are there",
                    leaf.size
                );
                findings.push(Finding::new(Code::OlderThanInstallationLog, what).seq(total));
            } else if self.scan.root_at(leaf.size) != Some(leaf.root) {
                let what = format!(
                    "the installation log has another root for the first {} events",
                    leaf.size
                );
                findings.push(Finding::new(Code::InstallationLogDiffers, what));
            } else {
                sealed |= leaf.sealed && leaf.size == total;
            }
        }
        if !known && awaited {
            let what = "the installation log has no head of the session yet";
            findings.push(Finding::new(Code::InstallationLogNotGiven, what));
        } else if !known {
            findings.push(Finding::new(
                Code::NotInInstallationLog,
                "the installation log does not know the session",
            ));
        } else if !live {
            let placed = self.position.as_ref().is_none_or(|p| {
                let leaf = usize::try_from(p.index).ok().and_then(|i| log.leaves.get(i));
                log.root_at(p.size) == Some(p.root)
                    && p.size == p.index + 1
                    && leaf.is_some_and(|l| l.session == session && l.sealed && l.size == total)
            });
            if !sealed || !placed {
                let what =
                    "the sealed head is not in the installation log, or not where the seal says";
                findings.push(Finding::new(Code::SealNotInInstallationLog, what));
            }
        }
        self.findings.append(&mut findings);
    }

    /// Names files that are no part of a record.
    fn check_files(&mut self, live: bool, size: u64) {
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

/// Whether the writer of a journal lives: it holds a lock on the file. Then a frame at its end is not torn, but on its way.
fn is_being_written(journal: &File) -> bool {
    match journal.try_lock_shared() {
        Ok(()) => {
            // It goes with the descriptor at the latest.
            let _unlocked = journal.unlock();
            false
        }
        Err(TryLockError::WouldBlock) => true,
        Err(TryLockError::Error(_)) => false,
    }
}
