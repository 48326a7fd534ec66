//! The attestation: an in-toto Statement v1 whose subjects are the git commits and trees that the session produced.
//!
//! Everything in it follows from the events, the head and the position in the installation log, so that a verifier
//! makes it again and compares.

use std::collections::BTreeMap;

use custody_model::{Digest, GitOid, SessionId, Timestamp, UserName};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::event::{
    Body, CommitCreated, Coverage, Event, EventType, ExitStatus, Outcome, SessionAuthorized,
};
use crate::installation::LogPosition;

/// The statement's type.
pub const STATEMENT_TYPE: &str = "https://in-toto.io/Statement/v1";

/// The predicate's type, version 1. Its JSON Schema is `schema/agent-session.schema.json` of this crate, and
/// `deploy/evidence.md` describes it. A name, not an address: nothing is fetched from there.
pub const PREDICATE_TYPE: &str = "https://custody.dev/attestation/agent-session/v1";

/// Where the schema of the predicate says that it belongs (`$id`).
pub const PREDICATE_SCHEMA_ID: &str =
    "https://custody.dev/attestation/agent-session/v1/agent-session.schema.json";

/// Where the schema of the whole statement says that it belongs (`$id`).
pub const STATEMENT_SCHEMA_ID: &str =
    "https://custody.dev/attestation/agent-session/v1/statement.schema.json";

/// Digests by algorithm, as in-toto's DigestSet: `gitCommit`, `gitTree`, `sha256`; lower-case hex digits.
pub type DigestSet = BTreeMap<String, String>;

/// What the attestation is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Subject {
    /// `<branch>@<commit>` for a commit, `<commit>^{tree}` for its tree, `checkpoint` for the log's checkpoint file. No two of a
    /// statement are alike, as in-toto wants it.
    pub name: String,
    /// Its digest.
    #[schemars(extend(
        "minProperties" = 1,
        "additionalProperties" = { "type": "string", "pattern": "^[0-9a-f]{40,64}$" }
    ))]
    pub digest: DigestSet,
}

/// A log's name and head.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LogReference {
    /// C2SP tlog-checkpoint origin.
    pub origin: String,
    /// Number of events.
    pub size: u64,
    /// RFC 6962 root over them.
    pub root: Digest,
}

/// The predicate: who ran what, on what, under which policy, and how it ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AgentSession {
    /// The session.
    pub session: SessionId,
    /// Who asked for it; absent if it was refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requester: Option<UserName>,
    /// Who approved it.
    pub approvers: Vec<UserName>,
    /// Digest of the policy version.
    pub policy: Digest,
    /// The policy's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy_name: Option<String>,
    /// The rule that allowed it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// The repository's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repository: Option<String>,
    /// The commit that the workspace started from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base_commit: Option<GitOid>,
    /// Its tree.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base_tree: Option<GitOid>,
    /// The command and its arguments.
    pub command: Vec<String>,
    /// The image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// When it was authorised.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub authorized: Option<Timestamp>,
    /// When it was closed.
    pub closed: Timestamp,
    /// How it ended.
    pub outcome: Outcome,
    /// How the command ended, if it ran.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exit: Option<ExitStatus>,
    /// Coverage of each place.
    pub coverage: BTreeMap<String, Coverage>,
    /// The session's log.
    pub log: LogReference,
    /// Its leaf in the installation log.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub installation_log: Option<LogPosition>,
}

/// The statement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Statement {
    /// [`STATEMENT_TYPE`].
    #[serde(rename = "_type")]
    #[schemars(extend("const" = STATEMENT_TYPE))]
    pub statement_type: String,
    /// Commits and trees, in the order of the branch, then the log's checkpoint.
    #[schemars(length(min = 1))]
    pub subject: Vec<Subject>,
    /// [`PREDICATE_TYPE`].
    #[serde(rename = "predicateType")]
    #[schemars(extend("const" = PREDICATE_TYPE))]
    pub predicate_type: String,
    /// The predicate.
    pub predicate: AgentSession,
}

/// How the subjects of a statement are named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Naming {
    /// Each in its own way.
    Unique,
    /// Every commit by its branch and every tree `tree`: so it was at first, and such records stay good.
    Repeating,
}

#[derive(Debug)]
struct Closing {
    time: Timestamp,
    outcome: Outcome,
    exit: Option<ExitStatus>,
    coverage: BTreeMap<String, Coverage>,
}

/// What the attestation repeats from the events.
#[derive(Debug)]
pub struct Summary {
    session: SessionId,
    policy: Digest,
    authorized: Option<(Timestamp, SessionAuthorized)>,
    commits: Vec<(GitOid, GitOid, String)>,
    closing: Option<Closing>,
}

/// The types of the events that a summary takes.
const TAKEN: [EventType; 3] =
    [EventType::SessionAuthorized, EventType::CommitCreated, EventType::SessionClosed];

impl Summary {
    pub(crate) fn new(session: SessionId, policy: Digest) -> Self {
        Self { session, policy, authorized: None, commits: Vec::new(), closing: None }
    }

    /// Whether canonical bytes are of an event that a summary takes: the type stands near their end.
    pub(crate) fn wants(event: &[u8]) -> bool {
        TAKEN.iter().any(|kind| {
            let end = format!(r#""type":"{}","v":1}}"#, kind.as_str());
            event.ends_with(end.as_bytes())
        })
    }

    pub(crate) fn take(&mut self, event: &Event) {
        match &event.body {
            Body::SessionAuthorized(authorized) => {
                self.authorized.get_or_insert_with(|| (event.time, authorized.clone()));
            }
            Body::CommitCreated(CommitCreated { commit, tree, branch, .. }) => {
                self.commits.push((commit.clone(), tree.clone(), branch.clone()));
            }
            Body::SessionClosed(closed) => {
                self.closing = Some(Closing {
                    time: event.time,
                    outcome: closed.outcome,
                    exit: closed.exit,
                    coverage: closed.coverage.clone(),
                });
            }
            Body::SessionProvisioned(_)
            | Body::SessionStarted(_)
            | Body::SessionPaused(_)
            | Body::SessionResumed(_)
            | Body::PolicyDecided(_)
            | Body::PolicyViolated(_)
            | Body::ProcessExecuted(_)
            | Body::ProcessExited(_)
            | Body::FileOpened(_)
            | Body::FileReopened(_)
            | Body::FileWritten(_)
            | Body::FileRenamed(_)
            | Body::FileRemoved(_)
            | Body::FileLinked(_)
            | Body::FileSymlinked(_)
            | Body::AttributesChanged(_)
            | Body::FileDenied(_)
            | Body::FileOutside(_)
            | Body::EgressDenied(_)
            | Body::TerminalRecorded(_)
            | Body::WorkspaceCompared(_)
            | Body::RedactionApplied(_)
            | Body::RecorderGap(_)
            | Body::RecorderDegraded(_)
            | Body::RecorderRestored(_) => {}
        }
    }

    pub(crate) fn closed_at(&self) -> Option<Timestamp> {
        self.closing.as_ref().map(|c| c.time)
    }

    /// Whether a statement is the one that follows from the events, as it is made now or as it was made before.
    pub(crate) fn is_told_by(
        &self,
        statement: &Statement,
        log: &LogReference,
        installation_log: Option<&LogPosition>,
        checkpoint: &[u8],
    ) -> bool {
        [Naming::Unique, Naming::Repeating].into_iter().any(|naming| {
            let made = self.named(log.clone(), installation_log.cloned(), checkpoint, naming);
            made.as_ref() == Some(statement)
        })
    }

    /// The statement; `None` if the session is not closed.
    pub(crate) fn statement(
        &self,
        log: LogReference,
        installation_log: Option<LogPosition>,
        checkpoint: &[u8],
    ) -> Option<Statement> {
        self.named(log, installation_log, checkpoint, Naming::Unique)
    }

    fn named(
        &self,
        log: LogReference,
        installation_log: Option<LogPosition>,
        checkpoint: &[u8],
        naming: Naming,
    ) -> Option<Statement> {
        let closing = self.closing.as_ref()?;
        let digest = |algorithm: &str, hex: String| DigestSet::from([(algorithm.to_owned(), hex)]);
        let mut subject: Vec<Subject> = Vec::new();
        for (commit, tree, branch) in &self.commits {
            let (of_commit, of_tree) = match naming {
                Naming::Unique => (format!("{branch}@{commit}"), format!("{commit}^{{tree}}")),
                Naming::Repeating => (branch.clone(), "tree".to_owned()),
            };
            for (name, digest) in [
                (of_commit, digest("gitCommit", commit.to_string())),
                (of_tree, digest("gitTree", tree.to_string())),
            ] {
                // A commit that two events tell of is one subject.
                if naming == Naming::Repeating || subject.iter().all(|known| known.name != name) {
                    subject.push(Subject { name, digest });
                }
            }
        }
        // A session without commits has a subject too: in-toto wants one.
        subject.push(Subject {
            name: "checkpoint".to_owned(),
            digest: digest("sha256", Digest::of(checkpoint).hex()),
        });
        let authorized = self.authorized.as_ref();
        let request = authorized.map(|(_, a)| &a.request);
        let predicate = AgentSession {
            session: self.session,
            requester: authorized.map(|(_, a)| a.requester.clone()),
            approvers: authorized.map(|(_, a)| a.approvers.clone()).unwrap_or_default(),
            policy: self.policy,
            policy_name: authorized.map(|(_, a)| a.policy_name.clone()),
            rule: authorized.map(|(_, a)| a.rule.clone()),
            repository: request.map(|r| r.repository.clone()),
            base_commit: request.map(|r| r.base_commit.clone()),
            base_tree: request.map(|r| r.base_tree.clone()),
            command: request.map(|r| r.command.clone()).unwrap_or_default(),
            image: request.map(|r| r.image.clone()),
            authorized: authorized.map(|(time, _)| *time),
            closed: closing.time,
            outcome: closing.outcome,
            exit: closing.exit,
            coverage: closing.coverage.clone(),
            log,
            installation_log,
        };
        Some(Statement {
            statement_type: STATEMENT_TYPE.to_owned(),
            subject,
            predicate_type: PREDICATE_TYPE.to_owned(),
            predicate,
        })
    }
}
