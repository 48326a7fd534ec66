//! The verdict on an evidence pack, for programs and for people.

use std::fmt;

use custody_model::{Digest, SessionId, Timestamp, UserName};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::event::Outcome;
use crate::verify::{Completeness, Contents, Finding, Integrity, KeySource, Verdict};
use crate::witness::WitnessAssurance;

/// What the attestation in the pack says, once it is believed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Attested {
    /// Who asked for the session.
    pub requester: Option<UserName>,
    /// Who approved it.
    pub approvers: Vec<UserName>,
    /// The policy's name.
    pub policy_name: Option<String>,
    /// Digest of the policy version.
    pub policy: Digest,
    /// The repository.
    pub repository: Option<String>,
    /// The command and its arguments.
    pub command: Vec<String>,
    /// When the record was closed.
    pub closed: Timestamp,
    /// How the session ended.
    pub outcome: Outcome,
    /// The commits that it produced.
    pub commits: Vec<String>,
}

/// The verdict on an evidence pack.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EvidenceReport {
    /// The session that the pack says it is of.
    pub session: Option<SessionId>,
    /// Is what is disclosed what was recorded?
    pub integrity: Integrity,
    /// Was everything recorded that happened? What is withheld from the pack does not change it.
    pub completeness: Completeness,
    /// Where the key came from.
    pub key_source: KeySource,
    /// Name and hash of the key that signed the seal.
    pub key: Option<String>,
    /// Number of the record's events.
    pub events: u64,
    /// How many of them are disclosed.
    pub disclosed_events: u64,
    /// Number of contents that are disclosed, and were checked.
    pub blobs: u64,
    /// Number of contents that disclosed events name and that are withheld.
    pub withheld_blobs: u64,
    /// RFC 6962 root over the events.
    pub root: Digest,
    /// Size of the installation log whose signed head is shown to contain the record's.
    pub installation_log: Option<u64>,
    /// Who but the installation vouches for that head.
    pub witnesses: WitnessAssurance,
    /// What the attestation says; absent if it is not believed.
    pub attested: Option<Attested>,
    /// Everything that was found, at most [`crate::verify::MAX_FINDINGS`].
    pub findings: Vec<Finding>,
    /// How many more there were.
    pub findings_omitted: u64,
}

impl EvidenceReport {
    /// The verdicts alone.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        let contents = match (self.blobs, self.withheld_blobs) {
            (0, 0) => Contents::None,
            (_, 0) => Contents::Opened,
            (_, _) => Contents::Withheld,
        };
        Verdict {
            integrity: self.integrity,
            completeness: self.completeness,
            key: self.key_source,
            contents,
            witnesses: self.witnesses.level,
        }
    }

    /// Intact and complete.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.verdict().is_good()
    }
}

impl fmt::Display for EvidenceReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.verdict())?;
        match self.session {
            Some(session) => writeln!(f, "evidence of    session {session}")?,
            None => writeln!(f, "evidence of    nothing that could be read")?,
        }
        let integrity = match self.integrity {
            Integrity::Intact => {
                "intact: all that is shown is what was recorded, and nothing was left out unsaid"
            }
            Integrity::Broken => "BROKEN: this is not what was recorded",
        };
        let completeness = match self.completeness {
            Completeness::Complete => {
                "complete: the record was closed, sealed, and tells of no gap"
            }
            Completeness::Incomplete => {
                "INCOMPLETE: something is known to be missing from the record"
            }
            Completeness::Open => "open: the record was not closed",
        };
        let key = self.key_source.words("pack");
        writeln!(f, "integrity      {integrity}")?;
        writeln!(f, "completeness   {completeness}")?;
        let withheld = self.events.saturating_sub(self.disclosed_events);
        writeln!(
            f,
            "events         {}, of which {withheld} are withheld; root {}",
            self.events, self.root
        )?;
        writeln!(f, "contents       {} shown, {} withheld", self.blobs, self.withheld_blobs)?;
        match &self.key {
            Some(id) => writeln!(f, "key            {id}: {key}")?,
            None => writeln!(f, "key            {key}")?,
        }
        if let Some(size) = self.installation_log {
            writeln!(f, "log            in the installation log of {size} heads")?;
        }
        writeln!(f, "witnesses      {}", clean(&self.witnesses.statement))?;
        if let Some(said) = &self.attested {
            let by =
                said.requester.as_ref().map_or_else(|| "nobody".to_owned(), ToString::to_string);
            writeln!(f, "asked for by   {}", clean(&by))?;
            let names: Vec<String> = said.approvers.iter().map(|n| clean(&n.to_string())).collect();
            writeln!(
                f,
                "approved by    {}",
                if names.is_empty() {
                    "nobody: the policy wants no approval".to_owned()
                } else {
                    names.join(", ")
                }
            )?;
            let policy = said.policy_name.as_deref().unwrap_or("unnamed");
            writeln!(f, "policy         {} ({})", clean(policy), said.policy)?;
            writeln!(f, "command        {}", clean(&said.command.join(" ")))?;
            writeln!(f, "closed         {}, {:?}", said.closed, said.outcome)?;
            for commit in &said.commits {
                writeln!(f, "commit         {commit}")?;
            }
        }
        for finding in &self.findings {
            writeln!(f, "- {finding}")?;
        }
        if self.findings_omitted > 0 {
            writeln!(f, "- and {} more", self.findings_omitted)?;
        }
        Ok(())
    }
}

/// Foreign text for a terminal: control characters are shown, not sent.
fn clean(text: &str) -> String {
    text.chars()
        .flat_map(|c| if c.is_control() { c.escape_default().collect() } else { vec![c] })
        .collect()
}
