//! The answer to a question: the sessions, and one statement for each thing to know, with its event and its assurance.

use custody_model::{GitOid, SessionId};
use serde::Serialize;

use crate::attribute::{Assurance, Attributed, Attribution, Question, Tier};
use crate::summary::{EventRef, Summary};

/// What is known.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Answer {
    /// What was asked.
    pub question: String,
    /// The commit that it is about.
    pub commit: Option<GitOid>,
    /// The line's text, for a line.
    pub text: Option<String>,
    /// The sessions that wrote it; empty if none is known.
    pub findings: Vec<Finding>,
    /// What else is to be known, in words.
    pub notes: Vec<String>,
    /// Sessions that the answer does not know, because their records can't be read: any of them may have written it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unread: Vec<UnreadRecord>,
}

/// A session whose record can't be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct UnreadRecord {
    /// The session.
    pub session: SessionId,
    /// Why, in words.
    pub reason: String,
}

/// One session of the answer.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Finding {
    /// How the session was found.
    pub attribution: Attribution,
    /// Whether its record holds, as `verify` sees it.
    pub record: RecordVerdicts,
    /// What is to be known, each with its proof.
    pub statements: Vec<Statement>,
    /// The session in a page; absent if this installation has no such record.
    pub summary: Option<Summary>,
}

/// The verdicts on the record that a finding rests on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RecordVerdicts {
    /// Is what is there unaltered?
    pub integrity: String,
    /// Is everything there?
    pub completeness: String,
}

/// One thing to know.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Statement {
    /// What it is about: `session`, `requester`, `approval`, `policy`, `command`, `base`, `model`, …
    pub topic: &'static str,
    /// In words.
    pub text: String,
    /// How far it can be relied on.
    pub assurance: Assurance,
    /// The events that prove it.
    pub evidence: Vec<EventRef>,
}

/// Builds the answer, with nothing unread: `look_up` gives the summary (if it can be read) and the verdicts
/// of a session's record.
///
/// # Errors
/// Those of `look_up`.
pub fn answer<E>(
    question: &Question,
    attributed: Attributed,
    mut look_up: impl FnMut(SessionId) -> Result<Option<(Option<Summary>, RecordVerdicts)>, E>,
) -> Result<Answer, E> {
    let mut findings = Vec::new();
    for attribution in attributed.attributions {
        let (summary, record) = match look_up(attribution.session)? {
            Some(found) => found,
            None => {
                (None, RecordVerdicts { integrity: "absent".into(), completeness: "absent".into() })
            }
        };
        let statements = statements(&attribution, summary.as_ref(), &record);
        findings.push(Finding { attribution, record, statements, summary });
    }
    Ok(Answer {
        question: question.to_string(),
        commit: attributed.commit,
        text: attributed.text,
        findings,
        notes: attributed.notes,
        unread: Vec::new(),
    })
}

fn statements(
    attribution: &Attribution,
    summary: Option<&Summary>,
    record: &RecordVerdicts,
) -> Vec<Statement> {
    let by = match attribution.tier {
        Tier::Commit => "made this commit",
        Tier::Tree => "produced this tree, in a commit that was rewritten since",
        Tier::Blob => "wrote this content at this path, in a commit that was rewritten since",
        Tier::Declared => "is named by a trailer of the commit; no content proves it",
    };
    let mut list = vec![Statement {
        topic: "session",
        text: format!("{} {by}", attribution.session),
        assurance: attribution.assurance,
        evidence: attribution.event.into_iter().collect(),
    }];
    let Some(summary) = summary else {
        list.push(absent(
            "record",
            "this installation has no record of that session that can be read",
        ));
        return list;
    };
    let observed = |topic, text: String, event: EventRef| Statement {
        topic,
        text,
        assurance: Assurance::Observed,
        evidence: vec![event],
    };
    list.push(Statement {
        topic: "record",
        text: format!("integrity {}, completeness {}", record.integrity, record.completeness),
        assurance: Assurance::Observed,
        evidence: summary.closed.map(|m| m.event).into_iter().collect(),
    });
    if let (Some(requester), Some(at)) = (&summary.requester, summary.authorized) {
        list.push(observed("requester", format!("{requester}, at {}", at.time), at.event));
        let approval = match summary.approvers.as_slice() {
            [] => "the policy wanted none".to_owned(),
            names => names.iter().map(|n| n.as_str()).collect::<Vec<_>>().join(", "),
        };
        list.push(observed("approval", approval, at.event));
        let policy = summary.policy_name.as_deref().unwrap_or_default();
        let rule = summary.rule.as_deref().unwrap_or_default();
        list.push(observed(
            "policy",
            format!("{policy}, {}, rule {rule}", summary.policy),
            at.event,
        ));
    }
    if let (Some(request), Some(at)) = (&summary.request, summary.authorized) {
        list.push(observed("command", request.command.join(" "), at.event));
        let dirty = if request.dirty { " with uncommitted changes" } else { "" };
        let base = format!("{} of {}{dirty}", request.base_commit, request.repository);
        list.push(observed("base", base, at.event));
    }
    if let Some(closed) = summary.closed {
        let reason = summary.reason.as_deref().unwrap_or_default();
        list.push(observed("ended", format!("{reason}, at {}", closed.time), closed.event));
    }
    for (topic, total, proof) in [
        ("read", summary.read.len(), first(summary.read.iter().map(|t| t.event))),
        ("wrote", summary.written.len(), first(summary.written.iter().map(|t| t.event))),
        ("ran", summary.executed.len(), first(summary.executed.iter().map(|t| t.event))),
        (
            "refused",
            summary.denied.len() + summary.egress.len(),
            first(
                summary
                    .denied
                    .iter()
                    .map(|t| t.event)
                    .chain(summary.egress.iter().map(|t| t.event)),
            ),
        ),
    ] {
        let what = match topic {
            "ran" => "command line",
            "refused" => "attempt",
            _ => "file",
        };
        let text = format!("{total} {what}{}", if total == 1 { "" } else { "s" });
        list.push(Statement { topic, text, assurance: Assurance::Observed, evidence: proof });
    }
    // Never guess: what this version of Custody does not mediate is said to be unknown.
    list.push(absent("model", "model calls were not mediated in this session: unknown"));
    list.push(absent("review", "no reviews are connected to this installation: unknown"));
    list
}

fn first(mut events: impl Iterator<Item = EventRef>) -> Vec<EventRef> {
    events.next().into_iter().collect()
}

fn absent(topic: &'static str, text: &str) -> Statement {
    Statement { topic, text: text.to_owned(), assurance: Assurance::Absent, evidence: Vec::new() }
}
