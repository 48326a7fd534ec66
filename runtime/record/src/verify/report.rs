//! What verification found, for programs and for people.

use std::fmt;

use custody_model::{Digest, SessionId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::verdict::{Completeness, Contents, Integrity, KeySource, Verdict};
use crate::witness::{WitnessAssurance, WitnessLevel};

/// What a finding says something about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Concern {
    /// The integrity is broken.
    Integrity,
    /// The record is incomplete.
    Completeness,
    /// The record is open.
    Open,
    /// Neither verdict changes.
    Note,
}

macro_rules! codes {
    ($($(#[$doc:meta])* $code:ident => $concern:ident,)*) => {
        /// Stable names of what can be found.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
        #[serde(rename_all = "snake_case")]
        pub enum Code {
            $($(#[$doc])* $code,)*
        }

        impl Code {
            /// Which verdict it changes.
            #[must_use]
            pub const fn concern(self) -> Concern {
                match self { $(Self::$code => Concern::$concern,)* }
            }
        }
    };
}

codes! {
    /// There is no record in the directory.
    NoRecord => Integrity,
    /// An event's bytes are not the canonical form of an event.
    EventMalformed => Integrity,
    /// An event's bytes are not those that were hashed when it was recorded.
    EventAltered => Integrity,
    /// An event is not where its number says that one is.
    EventMissing => Integrity,
    /// An event is there twice.
    EventDuplicated => Integrity,
    /// An event stands after one with a higher number.
    EventOutOfOrder => Integrity,
    /// An event stands after the closing event.
    EventAfterClosing => Integrity,
    /// An event is of another session, or under another policy or requester than the first.
    EventForeign => Integrity,
    /// An event does not name the hash of the one before it.
    ChainBroken => Integrity,
    /// The log ends before the size that its checkpoint says.
    LogTruncated => Integrity,
    /// A bundle has other entries than its name says.
    BundleDamaged => Integrity,
    /// A tile is missing.
    TileMissing => Integrity,
    /// A tile holds other hashes than the events give.
    TileAltered => Integrity,
    /// The events do not give the root of the checkpoint.
    RootMismatch => Integrity,
    /// A frame of the journal is damaged before the journal's end.
    JournalDamaged => Integrity,
    /// The journal ends inside of a frame.
    JournalTorn => Completeness,
    /// There are tiles and no checkpoint.
    CheckpointMissing => Integrity,
    /// The checkpoint is not well formed, or one of another log.
    CheckpointMalformed => Integrity,
    /// The checkpoint's signature does not fit.
    CheckpointSignature => Integrity,
    /// The checkpoint is not signed with the key that the record was checked with.
    CheckpointKeyUnknown => Integrity,
    /// The record's own key file is missing, or no verifier key.
    KeyFileDamaged => Integrity,
    /// The record names another key than the one that it was checked with.
    KeyDiffers => Integrity,
    /// The seal's key was not in force when the record was sealed.
    KeyOutOfTerm => Integrity,
    /// No key was there to check signatures with.
    KeyMissing => Integrity,
    /// The key was taken from the record itself.
    KeyFromRecord => Note,
    /// A blob that an event names is missing.
    BlobMissing => Integrity,
    /// A blob holds other content.
    BlobSwapped => Integrity,
    /// A blob can't be read.
    BlobDamaged => Integrity,
    /// A blob's size is not the one that the event says.
    BlobSize => Integrity,
    /// Blobs are sealed, no key was given, and the events do not name their files: they were not checked.
    ContentLocked => Note,
    /// Blobs are sealed, and no key was given: their files are the recorded ones, and were not opened.
    ContentUnopened => Note,
    /// Blobs are sealed, the vault has no key of their session, and no erasure explains it: their content is lost.
    ContentKeyMissing => Completeness,
    /// The session's content was erased, which a genuine note says: who, when and why.
    ContentErased => Note,
    /// A note says that content was erased, and it is not this installation's, or not of this session.
    ErasureNotGenuine => Integrity,
    /// A blob that no event names.
    BlobUnreferenced => Note,
    /// A journal, or a file of a running session, lies beside the seal. It is ignored.
    UnsealedBesideSeal => Note,
    /// A seal or a checkpoint lies beside the journal of an unsealed session, and belongs to another record.
    ForeignSeal => Note,
    /// The record belongs to another session than the requested one.
    SessionDiffers => Integrity,
    /// The times of events run backwards: the clock was set back while the session ran.
    ClockSetBack => Note,
    /// The control log has the session as lost: its record was missing.
    SessionLost => Note,
    /// A file that is no part of a record.
    UnexpectedFile => Note,
    /// Something in the record's directory is neither a file nor a directory: a link, a device, a pipe.
    SpecialFile => Integrity,
    /// A file can't be read.
    Unreadable => Integrity,
    /// The record is closed and has no seal.
    SealMissing => Completeness,
    /// The seal is not well formed.
    SealMalformed => Integrity,
    /// The seal's signature does not fit.
    SealSignature => Integrity,
    /// The seal is not signed with the key that the record was checked with.
    SealKeyUnknown => Integrity,
    /// The seal names another size or root than the events give.
    SealNamesAnotherRoot => Integrity,
    /// The seal says something else than the events.
    SealDiffers => Integrity,
    /// The record is sealed without a closing event.
    ClosingMissing => Completeness,
    /// The closing event counts other events than are there.
    ClosingCounts => Integrity,
    /// An event says that something could not be recorded.
    Gap => Completeness,
    /// The session's record is not closed.
    NotClosed => Open,
    /// No installation log was given to compare with.
    InstallationLogNotGiven => Note,
    /// The installation log can't be read or believed.
    InstallationLogBroken => Integrity,
    /// The installation log has no head of this session.
    NotInInstallationLog => Completeness,
    /// The installation log has a head of this session that is longer than the record.
    OlderThanInstallationLog => Completeness,
    /// The installation log has a head of this session with another root.
    InstallationLogDiffers => Integrity,
    /// The sealed head is not in the installation log, or not where the seal says.
    SealNotInInstallationLog => Completeness,
    /// An evidence pack is not in the form in which it was written.
    PackMalformed => Integrity,
    /// An evidence pack ends too early.
    PackTruncated => Integrity,
    /// A file of an evidence pack is not the one that its manifest names, or the manifest says something else than they.
    PackAltered => Integrity,
    /// A proof of an evidence pack proves nothing.
    ProofBroken => Integrity,
    /// The policy document is not the one that the events name.
    PolicyDiffers => Integrity,
    /// A line under a log's head that should be the cosignature of a witness of the policy is not.
    CosignatureInvalid => Integrity,
    /// Events are withheld from an evidence pack.
    EventsWithheld => Note,
    /// A content is withheld from an evidence pack.
    BlobWithheld => Note,
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

/// One thing that was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Finding {
    /// Its stable name.
    pub code: Code,
    /// What it says something about.
    pub concern: Concern,
    /// In words.
    pub what: String,
    /// In which file, below the record's directory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// At which event.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seq: Option<u64>,
    /// At which byte of the file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offset: Option<u64>,
}

impl Finding {
    pub(crate) fn new(code: Code, what: impl Into<String>) -> Self {
        Self {
            code,
            concern: code.concern(),
            what: what.into(),
            file: None,
            seq: None,
            offset: None,
        }
    }

    pub(crate) fn file(mut self, file: impl Into<String>) -> Self {
        self.file = Some(file.into());
        self
    }

    pub(crate) fn seq(mut self, seq: u64) -> Self {
        self.seq = Some(seq);
        self
    }

    pub(crate) fn offset(mut self, offset: u64) -> Self {
        self.offset = Some(offset);
        self
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.what)?;
        if let Some(seq) = self.seq {
            write!(f, " [event {seq}]")?;
        }
        if let Some(file) = &self.file {
            write!(f, " [{file}")?;
            if let Some(offset) = self.offset {
                write!(f, " at byte {offset}")?;
            }
            write!(f, "]")?;
        }
        Ok(())
    }
}

/// The verdict on a record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Report {
    /// The session that the record says it is of.
    pub session: Option<SessionId>,
    /// Is what is there what was recorded?
    pub integrity: Integrity,
    /// Is everything there?
    pub completeness: Completeness,
    /// Where the key came from.
    pub key_source: KeySource,
    /// Name and hash of the key.
    pub key: Option<String>,
    /// Number of events that were read.
    pub events: u64,
    /// RFC 6962 root over them.
    pub root: Digest,
    /// Number of blobs that events name.
    pub blobs: u64,
    /// How far they were checked.
    #[serde(default)]
    pub contents: Contents,
    /// The record is in its final form.
    pub sealed: bool,
    /// It was compared with the installation log.
    pub installation_log: bool,
    /// Who but the installation vouches for that log, as far as the session's newest head in it.
    #[serde(default)]
    pub witnesses: WitnessAssurance,
    /// Everything that was found, at most [`MAX_FINDINGS`](super::MAX_FINDINGS).
    pub findings: Vec<Finding>,
    /// How many more there were.
    pub findings_omitted: u64,
}

impl Report {
    /// The verdicts alone.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        Verdict {
            integrity: self.integrity,
            completeness: self.completeness,
            key: self.key_source,
            contents: self.contents,
            witnesses: self.witnesses.level,
        }
    }

    /// With what witnesses vouch for, where that was looked at elsewhere.
    #[must_use]
    pub fn with_witnesses(mut self, witnesses: WitnessAssurance) -> Self {
        if witnesses.level == WitnessLevel::InvalidCosignature {
            self.integrity = Integrity::Broken;
            self.findings.push(Finding::new(Code::CosignatureInvalid, &*witnesses.statement));
        }
        Self { witnesses, ..self }
    }

    /// The same, with the control log's statement about a session whose record was missing.
    #[must_use]
    pub fn of_lost_session(mut self, reason: &str) -> Self {
        let what = match self.events {
            0 => format!("the session is lost: {reason}"),
            _ => format!("the session was lost, and its record is there again: {reason}"),
        };
        self.findings.push(Finding::new(Code::SessionLost, what));
        self
    }

    /// Intact and complete.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.verdict().is_good()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.verdict())?;
        match self.session {
            Some(session) => writeln!(f, "session       {session}")?,
            None => writeln!(f, "session       unknown")?,
        }
        let integrity = match self.integrity {
            Integrity::Intact => "intact: nothing was changed, removed, added or moved",
            Integrity::Broken => "BROKEN: this is not what was recorded",
        };
        let completeness = match self.completeness {
            Completeness::Complete => "complete: closed, sealed, and without a gap",
            Completeness::Incomplete => "INCOMPLETE: something is known to be missing",
            Completeness::Open => "open: the session is not closed",
        };
        let key = self.key_source.words("record");
        writeln!(f, "integrity     {integrity}")?;
        writeln!(f, "completeness  {completeness}")?;
        writeln!(f, "events        {}, root {}", self.events, self.root)?;
        writeln!(f, "blobs         {}", self.blobs)?;
        match &self.key {
            Some(id) => writeln!(f, "key           {id}, {key}")?,
            None => writeln!(f, "key           {key}")?,
        }
        writeln!(f, "witnesses     {}", self.witnesses)?;
        for finding in &self.findings {
            writeln!(f, "- {finding}")?;
        }
        if self.findings_omitted > 0 {
            writeln!(f, "- and {} more", self.findings_omitted)?;
        }
        Ok(())
    }
}
