//! Statements: one for each thing to know about a session, with its events and its assurance.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::attribute::{Assurance, Attribution, Tier};
use crate::report::Looked;
use crate::summary::{EventRef, Summary, Touched};

/// What a statement is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names say it")]
pub enum Topic {
    Session,
    Record,
    Requester,
    Approval,
    Policy,
    Command,
    Base,
    Ended,
    Read,
    Wrote,
    Ran,
    Refused,
    Model,
    Review,
}

/// One thing to know.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Statement {
    /// What it is about.
    pub topic: Topic,
    /// In words.
    pub text: String,
    /// How far it can be relied on.
    pub assurance: Assurance,
    /// The events that prove it.
    pub evidence: Vec<EventRef>,
}

/// What is to be known about an attributed session.
pub(crate) fn statements(attribution: &Attribution, looked: &Looked) -> Vec<Statement> {
    let by = match attribution.tier {
        Tier::Commit => "made this commit",
        Tier::Tree => "produced this tree, in a commit that was rewritten since",
        Tier::Blob => "wrote this content at this path, in a commit that was rewritten since",
        Tier::Declared => "is named by a trailer of the commit; no content proves it",
    };
    let mut list = vec![Statement {
        topic: Topic::Session,
        text: format!("{} {by}", attribution.session),
        assurance: attribution.assurance,
        evidence: attribution.event.into_iter().collect(),
    }];
    let unknown = match looked {
        Looked::Found(..) => None,
        Looked::Unreadable { .. } => {
            Some("the record of that session can't be read, so nothing is known of it")
        }
        Looked::Hidden => Some("that session is not one that may be seen by whoever asks"),
        Looked::Absent => Some("this installation has no record of that session"),
    };
    list.extend(unknown.map(|text| absent(Topic::Record, text)));
    let Looked::Found(summary, record) = looked else { return list };
    let observed = |topic, text: String, event: EventRef| Statement {
        topic,
        text,
        assurance: Assurance::Observed,
        evidence: vec![event],
    };
    // A record that is not closed is as good as its first event: there is one, or there would be no summary.
    let end = summary.closed.or(summary.authorized).map(|moment| moment.event);
    list.push(Statement {
        topic: Topic::Record,
        text: format!(
            "integrity {}, completeness {}; {}",
            record.integrity, record.completeness, record.witnesses
        ),
        assurance: Assurance::Observed,
        evidence: end.into_iter().collect(),
    });
    // The note is signed; the control log has the event that it names.
    list.extend(record.erased.iter().map(|text| Statement {
        topic: Topic::Record,
        text: text.clone(),
        assurance: Assurance::Observed,
        evidence: Vec::new(),
    }));
    if let (Some(requester), Some(at)) = (&summary.requester, summary.authorized) {
        list.push(observed(Topic::Requester, format!("{requester}, at {}", at.time), at.event));
        let approval = match summary.approvers.as_slice() {
            [] => "the policy wanted none".to_owned(),
            names => names.iter().map(|n| n.as_str()).collect::<Vec<_>>().join(", "),
        };
        list.push(observed(Topic::Approval, approval, at.event));
        let policy = summary.policy_name.as_deref().unwrap_or_default();
        let rule = summary.rule.as_deref().unwrap_or_default();
        list.push(observed(
            Topic::Policy,
            format!("{policy}, {}, rule {rule}", summary.policy),
            at.event,
        ));
    }
    if let (Some(request), Some(at)) = (&summary.request, summary.authorized) {
        list.push(observed(Topic::Command, request.command.join(" "), at.event));
        let dirty = if request.dirty { " with uncommitted changes" } else { "" };
        let base = format!("{} of {}{dirty}", request.base_commit, request.repository);
        list.push(observed(Topic::Base, base, at.event));
    }
    if let Some(closed) = summary.closed {
        let reason = summary.reason.as_deref().unwrap_or_default();
        list.push(observed(Topic::Ended, format!("{reason}, at {}", closed.time), closed.event));
    }
    list.extend(counted(summary));
    // Never guess: what this version of Custody does not mediate is said to be unknown.
    list.push(absent(Topic::Model, "model calls were not mediated in this session: unknown"));
    list.push(absent(Topic::Review, "no reviews are connected to this installation: unknown"));
    list
}

/// How much the session did. The first event of a kind proves that there are some; the closing one, which counts the
/// events of each kind, that there are none.
fn counted(summary: &Summary) -> Vec<Statement> {
    let refused = summary.denied.iter().map(|t| t.event);
    let refused = refused.chain(summary.egress.iter().map(|t| t.event)).collect();
    let events = |touched: &[Touched]| touched.iter().map(|t| t.event).collect();
    let kinds: [(Topic, &str, Vec<EventRef>); 4] = [
        (Topic::Read, "file", events(&summary.read)),
        (Topic::Wrote, "file", events(&summary.written)),
        (Topic::Ran, "command line", summary.executed.iter().map(|t| t.event).collect()),
        (Topic::Refused, "attempt", refused),
    ];
    let closed = summary.closed.map(|moment| moment.event);
    kinds
        .into_iter()
        .map(|(topic, what, events)| {
            let total = events.len();
            let text = format!("{total} {what}{}", if total == 1 { "" } else { "s" });
            match events.first().copied().or(closed) {
                Some(event) => {
                    Statement { topic, text, assurance: Assurance::Observed, evidence: vec![event] }
                }
                None => absent(topic, &format!("{text} so far: the record is not closed")),
            }
        })
        .collect()
}

fn absent(topic: Topic, text: &str) -> Statement {
    Statement { topic, text: text.to_owned(), assurance: Assurance::Absent, evidence: Vec::new() }
}
