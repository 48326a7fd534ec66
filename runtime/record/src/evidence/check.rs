//! Checks an evidence pack in one pass, offline, in memory that grows with the number of its files, not with their contents.

mod compare;
mod events;
mod signed;

use std::collections::BTreeSet;
use std::io::Read;

use custody_model::Digest;
use sha2::{Digest as _, Sha256};

use super::container::{ContainerError, Reader};
use super::manifest::{FileEntry, MANIFEST, MAX_MANIFEST_BYTES, Manifest, PackFile};
use super::report::{Attested, EvidenceReport};
use crate::seal::{MAX_ENVELOPE_BYTES, Statement};
use crate::tlog::{
    Checkpoint, MAX_HISTORY_BYTES, MAX_NOTE_BYTES, MAX_PROOF_BYTES, Term, TlogPolicy, TlogProof,
    Verifier,
};
use crate::verify::{
    Code, Completeness, Concern, Finding, Integrity, KeyChoice, KeySource, MAX_FINDINGS,
};
use crate::witness::WitnessAssurance;
use events::Events;

/// Longest policy document that is read, in bytes.
const MAX_POLICY_BYTES: usize = 16 << 20;

/// The options of a verification.
#[derive(Clone, Debug)]
pub struct EvidenceOptions {
    /// The key. One that is given has to occur in the pack's history of keys, which both keys of each rotation signed.
    pub key: KeyChoice,
    /// Whose cosignatures of the installation log's head count; without a policy nobody's are known.
    pub witnesses: Option<TlogPolicy>,
}

impl EvidenceOptions {
    /// Checks with this key, and without knowing any witness.
    #[must_use]
    pub fn new(key: KeyChoice) -> Self {
        Self { key, witnesses: None }
    }

    /// And with these witnesses.
    #[must_use]
    pub fn with_witnesses(self, policy: &TlogPolicy) -> Self {
        Self { witnesses: Some(policy.clone()), ..self }
    }
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
    witnesses: WitnessAssurance,
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
            witnesses: WitnessAssurance::not_looked_for(options.witnesses.as_ref()),
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
            witnesses: self.witnesses,
            attested,
            findings: self.findings,
            findings_omitted: self.omitted,
        }
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
