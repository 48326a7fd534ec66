//! Verification of a record: offline, without network, database or the installation that made it.
//!
//! Two verdicts that do not mix: *integrity* (what is there is what was recorded) and *completeness* (everything is
//! there), with the findings that led to them.

mod blobs;
mod events;
mod files;
mod installation;
mod journal;
mod living;
mod options;
mod report;
mod scan;
mod sealed;
mod verdict;

use std::fs;
use std::path::Path;

use custody_model::SessionId;

use crate::installation::{InstallationLeaves, LogError, LogPosition};
use crate::journal::JOURNAL_FILE;
use crate::seal::{KEY_FILE, SEAL_FILE, Summary};
use crate::standing::{CHECKPOINT_FILE, Standing, Vouching};
use crate::tlog::{Term, Verifier};
use crate::witness::WitnessAssurance;
pub use options::{DEFAULT_BLOB_LIMIT, KeyChoice, VerifyOptions};
pub use report::{Code, Concern, Finding, Report};
use scan::Scan;
pub use verdict::{Completeness, Contents, Integrity, KeySource, Verdict};

/// Most findings that a report lists.
pub const MAX_FINDINGS: usize = 1000;

/// How much older than the events before it an event may be, in microseconds: 5 s. Each observer reads the clock before it waits
/// for its turn to append.
pub const CLOCK_TOLERANCE: i64 = 5_000_000;

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
}
