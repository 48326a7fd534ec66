//! Checks an evidence pack in one pass, offline, in memory that grows with the number of its files, not with their contents.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;

use custody_model::{Digest, UserName};
use sha2::{Digest as _, Sha256};

use super::container::{ContainerError, Reader};
use super::export::WithheldLine;
use super::manifest::{FileEntry, MANIFEST, MAX_MANIFEST_BYTES, Manifest, PackFile};
use super::report::{Attested, EvidenceReport};
use crate::canonical;
use crate::event::{Body, Event, MAX_EVENT_BYTES, SessionClosed};
use crate::installation::SessionHead;
use crate::seal::{DsseError, Envelope, LogReference, MAX_ENVELOPE_BYTES, Statement, Summary};
use crate::tlog::{
    Checkpoint, Frontier, KeyHistory, MAX_HISTORY_BYTES, MAX_NOTE_BYTES, MAX_PROOF_BYTES, Note,
    NoteError, Term, TlogProof, Verifier, leaf_hash,
};
use crate::verify::{
    Code, Completeness, Concern, Finding, Integrity, KeyChoice, KeySource, MAX_FINDINGS,
};

/// Longest policy document that is read, in bytes.
const MAX_POLICY_BYTES: usize = 16 << 20;

/// What to check with.
#[derive(Clone, Debug)]
pub struct EvidenceOptions {
    /// The key. One that is given has to occur in the pack's history of keys, which both keys of each rotation signed.
    pub key: KeyChoice,
}

/// Checks a pack.
#[must_use]
pub fn verify_evidence(input: impl Read, options: &EvidenceOptions) -> EvidenceReport {
    let mut check = Check::new(options);
    let mut reader = Reader::new(input);
    if let Err((name, error)) = check.read(&mut reader) {
        let code = match error {
            ContainerError::Io(_) => Code::Unreadable,
            ContainerError::Cut => Code::PackTruncated,
            ContainerError::Header { .. } | ContainerError::Padding | ContainerError::End => {
                Code::PackMalformed
            }
        };
        let finding = Finding::new(code, error.to_string()).file(name).offset(reader.offset());
        check.found(finding);
        check.whole = false;
    }
    check.finish()
}

struct Check<'a> {
    options: &'a EvidenceOptions,
    findings: Vec<Finding>,
    omitted: u64,
    broken: bool,
    incomplete: bool,
    /// The archive was read to its end.
    whole: bool,
    manifest: Option<Manifest>,
    key_source: KeySource,
    verifier: Option<Verifier>,
    /// The key of the seal, and the terms of the keys that signed seal and checkpoint.
    signer: Option<Verifier>,
    terms: Vec<Term>,
    checkpoint: Option<(Vec<u8>, Checkpoint)>,
    seal: Option<Vec<u8>>,
    statement: Option<Statement>,
    installation: Option<TlogProof>,
    policy: Option<Digest>,
    events: Events,
    blobs: BTreeSet<Digest>,
    installation_log: Option<u64>,
    cosigners: Vec<String>,
}

/// What was read of the events.
#[derive(Default)]
struct Events {
    line: Vec<u8>,
    frontier: Frontier,
    before: Option<Digest>,
    shown: u64,
    shared: Option<(custody_model::SessionId, Digest, Option<UserName>)>,
    summary: Option<Summary>,
    /// With its place.
    closed: Option<(u64, SessionClosed)>,
    counts: BTreeMap<String, u64>,
    blobs: BTreeMap<Digest, u64>,
    /// Leaf hashes of those of which there are proofs.
    proved: BTreeMap<u64, Digest>,
}

impl<'a> Check<'a> {
    fn new(options: &'a EvidenceOptions) -> Self {
        Self {
            options,
            findings: Vec::new(),
            omitted: 0,
            broken: false,
            incomplete: false,
            whole: true,
            manifest: None,
            key_source: KeySource::Absent,
            verifier: None,
            signer: None,
            terms: Vec::new(),
            checkpoint: None,
            seal: None,
            statement: None,
            installation: None,
            policy: None,
            events: Events::default(),
            blobs: BTreeSet::new(),
            installation_log: None,
            cosigners: Vec::new(),
        }
    }

    /// Takes a finding. A pack made to be found fault with everywhere takes no more room than a few lines.
    fn found(&mut self, finding: Finding) {
        match finding.concern {
            Concern::Integrity => self.broken = true,
            Concern::Completeness | Concern::Open => self.incomplete = true,
            Concern::Note => {}
        }
        if self.findings.len() < MAX_FINDINGS {
            self.findings.push(finding);
        } else {
            self.omitted += 1;
        }
    }

    fn at(&mut self, file: PackFile, code: Code, what: impl Into<String>) {
        self.found(Finding::new(code, what).file(file.to_string()));
    }

    fn read<R: Read>(&mut self, reader: &mut Reader<R>) -> Result<(), (String, ContainerError)> {
        let named = |name: &str| {
            let name = name.to_owned();
            move |error| (name, error)
        };
        let bytes = reader.first(MANIFEST, MAX_MANIFEST_BYTES).map_err(named(MANIFEST))?;
        let manifest = match Manifest::parse(&bytes) {
            Ok(manifest) => manifest,
            Err(error) => {
                let finding = Finding::new(Code::PackMalformed, error.to_string()).file(MANIFEST);
                self.found(finding);
                self.whole = false;
                return Ok(());
            }
        };
        for entry in &manifest.files {
            if let PackFile::Proof(seq) = entry.path {
                self.events.proved.insert(seq, Digest::of(&[]));
            }
        }
        self.manifest = Some(manifest.clone());
        for entry in &manifest.files {
            self.file(reader, entry).map_err(named(&entry.path.to_string()))?;
        }
        reader.end().map_err(named("the end"))
    }

    fn file<R: Read>(
        &mut self,
        reader: &mut Reader<R>,
        entry: &FileEntry,
    ) -> Result<(), ContainerError> {
        let name = entry.path.to_string();
        let limit = match entry.path {
            PackFile::Checkpoint => MAX_NOTE_BYTES,
            PackFile::Seal => MAX_ENVELOPE_BYTES,
            PackFile::Keys => MAX_HISTORY_BYTES,
            PackFile::Installation | PackFile::Proof(_) => MAX_PROOF_BYTES,
            PackFile::Policy => MAX_POLICY_BYTES,
            PackFile::Events | PackFile::Blob(_) => 0,
        };
        let mut hash = Sha256::new();
        let mut content = Vec::new();
        reader.file(&name, entry.size, |bytes| {
            hash.update(bytes);
            if entry.path == PackFile::Events {
                self.lines(bytes);
            } else if content.len() < limit {
                content.extend_from_slice(bytes);
            }
        })?;
        if Digest::from_bytes(hash.finalize().into()) != entry.sha256 {
            self.at(entry.path, Code::PackAltered, "it is not the file that the manifest names");
        }
        if limit > 0 && entry.size > limit as u64 {
            self.at(entry.path, Code::PackMalformed, format!("it has more than {limit} bytes"));
            return Ok(());
        }
        match entry.path {
            PackFile::Checkpoint => match Checkpoint::peek(&content) {
                Ok(checkpoint) => self.checkpoint = Some((content, checkpoint)),
                Err(error) => {
                    self.at(entry.path, Code::CheckpointMalformed, error.to_string());
                }
            },
            PackFile::Seal => self.seal = Some(content),
            PackFile::Keys => {
                self.keys(&content);
                self.signatures();
            }
            PackFile::Installation => match TlogProof::parse(&content) {
                Ok(proof) if proof.to_bytes() == content => self.installation = Some(proof),
                Ok(_) => self.at(entry.path, Code::ProofBroken, "it is not as it was written"),
                Err(error) => self.at(entry.path, Code::ProofBroken, error.to_string()),
            },
            PackFile::Policy => self.policy = Some(Digest::of(&content)),
            PackFile::Events => self.end_of_lines(),
            PackFile::Proof(seq) => self.proof(seq, &content),
            PackFile::Blob(digest) => self.blob(digest, entry),
        }
        Ok(())
    }

    /// Chooses the keys: those of the pack, if the one that is trusted is among them.
    fn keys(&mut self, content: &[u8]) {
        let history = match KeyHistory::parse(content) {
            Ok(history) => history,
            Err(error) => {
                let mut text = error.to_string();
                if let Some(cause) = std::error::Error::source(&error) {
                    text = format!("{text}: {cause}");
                }
                return self.at(PackFile::Keys, Code::KeyFileDamaged, text);
            }
        };
        let (trusted, source) = match &self.options.key {
            KeyChoice::Given(key) => (Some(key), KeySource::Given),
            KeyChoice::Installation(key) => (Some(key), KeySource::Installation),
            KeyChoice::Record => (None, KeySource::Record),
        };
        self.key_source = source;
        match trusted {
            None => {
                let what = "the key was taken from the pack itself: whose it is was not checked";
                self.found(Finding::new(Code::KeyFromRecord, what));
                self.verifier = Some(history.verifier());
            }
            Some(key) => match history.trusting(&key.alone()) {
                Ok(verifier) => self.verifier = Some(verifier),
                // Who exported it may not have known of a newer key that this verifier knows.
                Err(_) if key.knows(history.current()) => self.verifier = Some(key.clone()),
                Err(error) => self.at(PackFile::Keys, Code::KeyDiffers, error.to_string()),
            },
        }
    }

    /// Checks what checkpoint and seal are signed with.
    fn signatures(&mut self) {
        let Some(verifier) = self.verifier.clone() else { return };
        if let Some((bytes, checkpoint)) = &self.checkpoint {
            let signed = Note::parse(bytes)
                .and_then(|note| note.signer(&verifier.named(&checkpoint.origin)));
            match signed {
                Ok((_, term)) => self.terms.push(term),
                Err(error @ NoteError::UnknownKey(_)) => {
                    self.at(PackFile::Checkpoint, Code::CheckpointKeyUnknown, error.to_string());
                }
                Err(error) => {
                    self.at(PackFile::Checkpoint, Code::CheckpointSignature, error.to_string());
                }
            }
        }
        let Some(seal) = self.seal.take() else { return };
        let opened = Envelope::parse(&seal).and_then(|envelope| envelope.opened(&verifier));
        let (payload, key, term) = match opened {
            Ok(opened) => opened,
            Err(error) => {
                let code = match &error {
                    DsseError::UnknownKey(_) => Code::SealKeyUnknown,
                    DsseError::BadSignature(_) => Code::SealSignature,
                    DsseError::TooLong
                    | DsseError::Shape(_)
                    | DsseError::NotCanonical
                    | DsseError::Encode(_)
                    | DsseError::PayloadType(_)
                    | DsseError::Base64(_) => Code::SealMalformed,
                };
                return self.at(PackFile::Seal, code, error.to_string());
            }
        };
        let statement = serde_json::from_slice::<Statement>(&payload).ok();
        let canonical =
            |statement: &Statement| canonical::to_vec(statement).is_ok_and(|b| b == payload);
        match statement.filter(canonical) {
            Some(statement) => {
                self.statement = Some(statement);
                self.signer = Some(key);
                self.terms.push(term);
            }
            None => {
                let what = "the payload is no statement of an agent session";
                self.at(PackFile::Seal, Code::SealMalformed, what);
            }
        }
    }

    /// Takes bytes of the file of events.
    fn lines(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while let Some(at) = rest.iter().position(|byte| *byte == b'\n') {
            let mut line = std::mem::take(&mut self.events.line);
            line.extend_from_slice(&rest[..at]);
            self.line(&line);
            line.clear();
            self.events.line = line;
            rest = &rest[at + 1..];
        }
        // One byte more than an event may have is enough to see that it is too long.
        let room = (MAX_EVENT_BYTES + 1).saturating_sub(self.events.line.len());
        self.events.line.extend_from_slice(&rest[..rest.len().min(room)]);
    }

    fn end_of_lines(&mut self) {
        if !self.events.line.is_empty() {
            self.at(PackFile::Events, Code::PackMalformed, "the last line has no end");
        }
    }

    fn line(&mut self, line: &[u8]) {
        let seq = self.events.frontier.size();
        let at = |code, what: String| {
            Finding::new(code, what).file(PackFile::Events.to_string()).seq(seq)
        };
        if line.starts_with(br#"{"withheld":"#) {
            let withheld = serde_json::from_slice::<WithheldLine>(line).ok();
            let withheld =
                withheld.filter(|w| canonical::to_vec(w).is_ok_and(|bytes| bytes == line));
            match withheld {
                Some(WithheldLine { withheld }) => self.leaf(withheld),
                None => {
                    self.found(at(Code::EventMalformed, "no leaf hash stands there".into()));
                    self.leaf(leaf_hash(line));
                }
            }
            return;
        }
        match Event::from_canonical(line) {
            Ok(event) => {
                if event.seq != seq {
                    let what = format!("event {} stands in the place of event {seq}", event.seq);
                    self.found(at(Code::EventOutOfOrder, what));
                }
                if event.prev != self.events.before {
                    let what = "it does not name the hash of the event before it".to_owned();
                    self.found(at(Code::ChainBroken, what));
                }
                if let Body::RecorderGap(gap) = &event.body {
                    self.found(at(Code::Gap, gap.reason.clone()));
                }
                if let Some(foreign) = self.events.take(event) {
                    self.found(at(Code::EventForeign, foreign.to_owned()));
                }
            }
            Err(error) => self.found(at(Code::EventMalformed, error.to_string())),
        }
        self.events.shown += 1;
        self.leaf(leaf_hash(line));
    }

    fn leaf(&mut self, leaf: Digest) {
        let events = &mut self.events;
        if let Some(proved) = events.proved.get_mut(&events.frontier.size()) {
            *proved = leaf;
        }
        events.before = Some(leaf);
        events.frontier.push(leaf);
    }

    fn proof(&mut self, seq: u64, content: &[u8]) {
        let file = PackFile::Proof(seq);
        let (Some(verifier), Some((_, head))) = (&self.verifier, &self.checkpoint) else { return };
        let leaf = self.events.proved.get(&seq).copied().unwrap_or(Digest::of(&[]));
        let checked = TlogProof::parse(content).and_then(|proof| {
            let written = proof.index == seq && proof.to_bytes() == content;
            proof.verify(leaf, &head.origin, verifier).map(|shown| written && shown == *head)
        });
        match checked {
            Ok(true) => {}
            Ok(false) => self.at(file, Code::ProofBroken, "it is of another event or head"),
            Err(error) => {
                let cause = std::error::Error::source(&error).map(ToString::to_string);
                let what = cause.map_or_else(|| error.to_string(), |c| format!("{error}: {c}"));
                self.at(file, Code::ProofBroken, what);
            }
        }
    }

    fn blob(&mut self, digest: Digest, entry: &FileEntry) {
        if entry.sha256 != digest {
            self.at(entry.path, Code::BlobSwapped, "the manifest names other content");
        }
        match self.events.blobs.get(&digest) {
            Some(size) if *size == entry.size => {}
            Some(size) => {
                let what = format!("it has {} bytes, and the event says {size}", entry.size);
                self.at(entry.path, Code::BlobSize, what);
            }
            None => {
                self.at(entry.path, Code::PackMalformed, "no disclosed event names this content");
            }
        }
        self.blobs.insert(digest);
    }

    fn finish(mut self) -> EvidenceReport {
        if self.whole {
            self.compare();
        }
        let events = std::mem::take(&mut self.events);
        let manifest = self.manifest.take();
        let total = events.frontier.size();
        if total > events.shown {
            let what =
                format!("{} events are withheld: their hashes are there", total - events.shown);
            self.found(Finding::new(Code::EventsWithheld, what));
        }
        let mut attested = None;
        if let Some(statement) = self.statement.take() {
            attested = Some(attestation(statement));
        }
        let integrity = if self.broken { Integrity::Broken } else { Integrity::Intact };
        let completeness = match self.incomplete || !self.whole {
            true => Completeness::Incomplete,
            false => Completeness::Complete,
        };
        EvidenceReport {
            session: manifest.as_ref().map(|m| m.session),
            integrity,
            completeness,
            key_source: self.key_source,
            key: self.signer.as_ref().or(self.verifier.as_ref()).map(Verifier::id),
            events: total,
            disclosed_events: events.shown,
            blobs: self.blobs.len() as u64,
            withheld_blobs: manifest.map_or(0, |m| m.withheld_blobs.len() as u64),
            root: events.frontier.root(),
            installation_log: self.installation_log,
            cosigners: self.cosigners,
            attested,
            findings: self.findings,
            findings_omitted: self.omitted,
        }
    }

    /// Compares the parts with each other, once all of them were read.
    fn compare(&mut self) {
        let Some(manifest) = self.manifest.clone() else { return };
        let events = std::mem::take(&mut self.events);
        let (total, root) = (events.frontier.size(), events.frontier.root());
        if manifest.events != total || manifest.withheld_events != total - events.shown {
            let what = "the manifest counts other events than are there";
            self.found(Finding::new(Code::PackAltered, what).file(MANIFEST));
        }
        let session = events.shared.as_ref().map(|(session, ..)| *session);
        if session != Some(manifest.session) {
            let what = "the manifest names another session than the events";
            self.found(Finding::new(Code::PackAltered, what).file(MANIFEST));
        }
        if let Some((_, head)) = &self.checkpoint {
            let origin = self.verifier.as_ref().zip(session).map(|(v, s)| v.session_origin(s));
            if origin.is_some_and(|origin| origin != head.origin) {
                let what = format!("it is of the log {}", head.origin);
                self.at(PackFile::Checkpoint, Code::CheckpointMalformed, what);
            } else if head.size != total {
                let code = if total < head.size { Code::LogTruncated } else { Code::RootMismatch };
                let what = format!("it says {} events, and {total} are there", head.size);
                self.at(PackFile::Checkpoint, code, what);
            } else if head.root != root {
                let what = "the events do not give the root that it says";
                self.at(PackFile::Checkpoint, Code::RootMismatch, what);
            }
        }
        self.compare_contents(&manifest, &events);
        self.compare_closing(&events);
        self.compare_statement(&events);
        self.events = events;
    }

    fn compare_contents(&mut self, manifest: &Manifest, events: &Events) {
        for withheld in &manifest.withheld_blobs {
            if events.blobs.get(&withheld.digest) != Some(&withheld.size)
                || self.blobs.contains(&withheld.digest)
            {
                let what = format!("{} is not withheld from the events", withheld.digest);
                self.found(Finding::new(Code::PackAltered, what).file(MANIFEST));
            } else {
                let what = format!(
                    "a content of {} bytes is withheld: {}",
                    withheld.size, withheld.digest
                );
                self.found(Finding::new(Code::BlobWithheld, what));
            }
        }
        let withheld: BTreeSet<Digest> =
            manifest.withheld_blobs.iter().map(|blob| blob.digest).collect();
        for digest in events.blobs.keys() {
            if !self.blobs.contains(digest) && !withheld.contains(digest) {
                let file = PackFile::Blob(*digest);
                self.at(file, Code::BlobMissing, "it is neither there nor said to be withheld");
            }
        }
    }

    fn compare_closing(&mut self, events: &Events) {
        let total = events.frontier.size();
        let Some((seq, closed)) = &events.closed else {
            let what = "the closing event is not there";
            return self.found(Finding::new(Code::ClosingMissing, what));
        };
        if seq + 1 != total {
            let what = format!("{} events stand after the closing event", total - seq - 1);
            self.found(Finding::new(Code::EventAfterClosing, what).seq(seq + 1));
        }
        let withheld = total - events.shown;
        // With events withheld no more can be there of a type than it counts, and the rest has to add up.
        let fits = match withheld {
            0 => events.counts == closed.counts,
            _ => {
                let known = events.counts.iter();
                let sum = closed.counts.values().try_fold(0_u64, |sum, n| sum.checked_add(*n));
                known.clone().all(|(kind, n)| closed.counts.get(kind).is_some_and(|all| n <= all))
                    && sum == Some(total)
            }
        };
        if !fits {
            let what = "it counts other events than are there";
            self.found(Finding::new(Code::ClosingCounts, what).seq(*seq));
        }
        let gaps =
            |counts: &BTreeMap<String, u64>| counts.get("recorder.gap").copied().unwrap_or(0);
        if gaps(&closed.counts) > gaps(&events.counts) {
            let what = "gaps that the closing event counts are withheld";
            self.found(Finding::new(Code::Gap, what).seq(*seq));
        }
    }

    fn compare_statement(&mut self, events: &Events) {
        let (Some(statement), Some((bytes, head))) = (&self.statement, &self.checkpoint) else {
            return;
        };
        let log = LogReference {
            origin: head.origin.clone(),
            size: events.frontier.size(),
            root: events.frontier.root(),
        };
        let said = &statement.predicate.log;
        if (said.size, said.root) != (log.size, log.root) {
            let what = format!("the seal names {} events with the root {}", said.size, said.root);
            self.at(PackFile::Seal, Code::SealNamesAnotherRoot, what);
            return;
        }
        let position = statement.predicate.installation_log.clone();
        let says = events
            .summary
            .as_ref()
            .is_some_and(|s| s.is_told_by(statement, &log, position.as_ref(), bytes));
        let differs = !says;
        let policy = self.policy.filter(|found| *found != statement.predicate.policy);
        let head = SessionHead {
            session: statement.predicate.session,
            size: said.size,
            root: said.root,
            time: statement.predicate.closed,
            sealed: true,
        };
        if differs {
            self.at(
                PackFile::Seal,
                Code::SealDiffers,
                "the seal says something else than the events",
            );
        }
        if let Some(found) = policy {
            let what = format!("the document has the digest {found}, which no event names");
            self.at(PackFile::Policy, Code::PolicyDiffers, what);
        }
        let Some(position) = position else {
            let what = "the seal names no place in the installation log";
            return self.at(PackFile::Seal, Code::SealNotInInstallationLog, what);
        };
        if !self.terms.iter().all(|term| term.covers_log(position.size)) {
            let what = "the key that signed it was not in force when the record was sealed";
            self.at(PackFile::Seal, Code::KeyOutOfTerm, what);
        }
        self.compare_installation(&head, position.index);
    }

    fn compare_installation(&mut self, head: &SessionHead, index: u64) {
        let (Some(proof), Some(verifier)) = (&self.installation, &self.verifier) else { return };
        let origin = verifier.log_origin();
        let leaf = canonical::to_vec(head).map(|leaf| leaf_hash(&leaf));
        let shown = leaf.ok().filter(|_| proof.index == index).map(|leaf| {
            let shown = proof.verify(leaf, &origin, verifier);
            shown.map_err(|error| {
                let cause = std::error::Error::source(&error).map(ToString::to_string);
                cause.map_or_else(|| error.to_string(), |cause| format!("{error}: {cause}"))
            })
        });
        match shown {
            Some(Ok(checkpoint)) => {
                let note = Note::parse(&proof.checkpoint);
                let names = note.iter().flat_map(|note| note.signatures());
                self.cosigners =
                    names.map(|line| line.name.clone()).filter(|name| *name != origin).collect();
                self.installation_log = Some(checkpoint.size);
            }
            Some(Err(what)) => self.at(PackFile::Installation, Code::ProofBroken, what),
            None => {
                let what = "it is of another place than the seal names";
                self.at(PackFile::Installation, Code::ProofBroken, what);
            }
        }
    }
}

impl Events {
    /// Takes an event that is well formed; what is foreign about it, if something is.
    fn take(&mut self, event: Event) -> Option<&'static str> {
        let shared = (event.session, event.policy, event.on_behalf_of.clone());
        let foreign = self.shared.as_ref().is_some_and(|known| *known != shared);
        let summary = self.summary.get_or_insert_with(|| Summary::new(event.session, event.policy));
        summary.take(&event);
        self.shared.get_or_insert(shared);
        *self.counts.entry(event.body.event_type().as_str().to_owned()).or_insert(0) += 1;
        self.blobs.extend(event.blobs.iter().map(|blob| (blob.digest, blob.size)));
        if let Body::SessionClosed(closed) = event.body {
            self.closed = Some((self.frontier.size(), closed));
        }
        foreign.then_some("it is of another session, policy or requester than the first one")
    }
}

fn attestation(statement: Statement) -> Attested {
    let commits = statement.subject.iter().filter_map(|s| s.digest.get("gitCommit").cloned());
    let commits = commits.collect();
    let said = statement.predicate;
    Attested {
        requester: said.requester,
        approvers: said.approvers,
        policy_name: said.policy_name,
        policy: said.policy,
        repository: said.repository,
        command: said.command,
        closed: said.closed,
        outcome: said.outcome,
        commits,
    }
}
