//! The answer to a question: the sessions, and one statement for each thing to know, with its event and its assurance.

use std::future::Future;

use custody_model::{GitOid, SessionId};
use custody_record::witness::WitnessAssurance;
use custody_store::StoreError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::attribute::{Attributed, Attribution};
use crate::neighbour::{Nearby, Neighbours};
use crate::question::Question;
use crate::statement::{Statement, statements};
use crate::summary::Summary;

/// What is known.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
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
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unread: Vec<UnreadRecord>,
}

/// A session whose record can't be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct UnreadRecord {
    /// The session.
    pub session: SessionId,
    /// Why, in words.
    pub reason: String,
}

/// One session of the answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Finding {
    /// How the session was found.
    pub attribution: Attribution,
    /// Whether its record holds, as `verify` sees it.
    pub record: RecordVerdicts,
    /// What is to be known, each with its proof.
    pub statements: Vec<Statement>,
    /// The session in a page; absent if this installation has no such record that can be read.
    pub summary: Option<Summary>,
    /// Other sessions that touched the same files; absent without a summary, and if the index does not know the session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub neighbours: Option<Neighbours>,
}

/// The verdicts on the record that a finding rests on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RecordVerdicts {
    /// Is what is there unaltered?
    pub integrity: String,
    /// Is everything there?
    pub completeness: String,
    /// Who but the installation vouches for it.
    #[serde(default)]
    pub witnesses: WitnessAssurance,
    /// That its content was erased: by whom, when and why, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub erased: Option<String>,
}

impl RecordVerdicts {
    fn both(word: &str) -> Self {
        Self {
            integrity: word.to_owned(),
            completeness: word.to_owned(),
            witnesses: WitnessAssurance::none(),
            erased: None,
        }
    }
}

/// What came of looking up a session's record.
#[derive(Clone, Debug, PartialEq)]
pub enum Looked {
    /// It can be read.
    Found(Box<Summary>, RecordVerdicts),
    /// It is there and can't be read.
    Unreadable {
        /// Why, in words.
        reason: String,
        /// What `verify` says.
        record: RecordVerdicts,
    },
    /// Whoever asks may not see that session.
    Hidden,
    /// This installation has no such record.
    Absent,
}

/// Where sessions are looked up: whoever knows where records lie and who may see them.
pub trait Records: Send + Sync {
    /// Why it can't be looked up at all.
    type Error: From<StoreError>;

    /// Looks a session up, and nothing but this session.
    ///
    /// # Errors
    /// [`Records::Error`].
    fn look_up(
        &self,
        session: SessionId,
    ) -> impl Future<Output = Result<Looked, Self::Error>> + Send;
}

/// Builds the answer. Of records, only those of the sessions that it names are read.
///
/// # Errors
/// Those of the records and of the store.
pub async fn answer<R: Records>(
    question: &Question,
    attributed: Attributed,
    records: &R,
    nearby: Nearby<'_>,
) -> Result<Answer, R::Error> {
    let Attributed { commit, path, text, attributions, notes } = attributed;
    let (mut findings, mut unread) = (Vec::new(), Vec::new());
    for attribution in attributions {
        let session = attribution.session;
        let looked = records.look_up(session).await?;
        let statements = statements(&attribution, &looked);
        let (summary, record) = match looked {
            Looked::Found(summary, record) => (Some(*summary), record),
            Looked::Unreadable { reason, record } => {
                unread.push(UnreadRecord { session, reason });
                (None, record)
            }
            Looked::Hidden => (None, RecordVerdicts::both("hidden")),
            Looked::Absent => (None, RecordVerdicts::both("absent")),
        };
        let neighbours = match &summary {
            Some(summary) => nearby.of(summary, path.as_ref()).await?,
            None => None,
        };
        findings.push(Finding { attribution, record, statements, summary, neighbours });
    }
    Ok(Answer { question: question.to_string(), commit, text, findings, notes, unread })
}
