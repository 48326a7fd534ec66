//! Retention: for how long the content of a session is kept, by which policy version, and who holds it.
//!
//! The class is that of the version that the session was requested under. The active version of its project may lengthen it,
//! may hold it, and may refuse that it is erased early; it never shortens it.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use custody_model::{Digest, ProjectName, Timestamp, UserName};
use custody_policy::{EarlyErasure, PolicyVersion, RetentionClass};
use custody_record::control::ControlEvent;
use custody_store::{HoldRow, ProjectRow, RetentionRow, SessionRow};

use crate::error::ControlError;
use crate::plane::ControlPlane;
use crate::projection::user_of;

/// Most policy versions of which it is kept in memory what they say.
const MAX_VERSIONS: usize = 256;

/// What policy versions say of retention: each session that is shown asks for it, and a version never says anything else.
#[derive(Debug, Default)]
pub(crate) struct KnownVersions(Mutex<HashMap<Digest, RetentionRow>>);

impl KnownVersions {
    fn get(&self, version: Digest) -> Option<RetentionRow> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&version).cloned()
    }

    fn keep(&self, version: Digest, row: &RetentionRow) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MAX_VERSIONS {
            known.clear();
        }
        known.insert(version, row.clone());
    }
}

/// Who holds a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hold {
    /// It is held itself.
    Session(HoldRow),
    /// All sessions of its project are, by the active policy version.
    Project(HoldRow),
}

impl Hold {
    /// By whom, since when, and why.
    #[must_use]
    pub fn row(&self) -> &HoldRow {
        match self {
            Self::Session(row) | Self::Project(row) => row,
        }
    }
}

/// How long the content of a session is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retention {
    /// The class that counts.
    pub class: RetentionClass,
    /// The policy version that says so: the session's own, or the active one of its project where that is longer.
    pub policy: Digest,
    /// When it ends; absent for ever, and as long as the session is not over.
    pub until: Option<Timestamp>,
    /// Who holds it, beside the class. Its own hold is named before that of its project.
    pub hold: Option<Hold>,
    /// Whether an admin may erase it before the class has ended: as far as both versions allow it.
    pub early_erasure: bool,
}

impl Retention {
    fn of(
        row: &SessionRow,
        own: &RetentionRow,
        active: Option<(Digest, &RetentionRow)>,
        project: Option<&ProjectRow>,
    ) -> Self {
        let mut class = RetentionClass::of(own.content_seconds);
        let (mut policy, mut early_erasure) = (row.policy, own.early_erasure);
        if let Some((digest, active)) = active {
            let longer = RetentionClass::of(active.content_seconds);
            if longer > class {
                (class, policy) = (longer, digest);
            }
            early_erasure = early_erasure && active.early_erasure;
        }
        let closed_at = row.state.closed_at();
        let until =
            closed_at.zip(class.seconds()).map(|(at, seconds)| at.later_by_seconds(seconds));
        let of_project = project.and_then(|project| project.hold.clone()).map(Hold::Project);
        let hold = row.hold.clone().map(Hold::Session).or(of_project);
        Self { class, policy, until, hold, early_erasure }
    }
}

/// What a document says of retention. What is no valid document any more says nothing.
pub(crate) fn of_document(document: &str) -> RetentionRow {
    PolicyVersion::parse(document).map_or_else(
        |_| RetentionRow::default(),
        |version| {
            let rules = &version.document().retention;
            RetentionRow {
                content_seconds: rules.content.seconds(),
                hold: rules.hold.clone(),
                early_erasure: match rules.early_erasure {
                    EarlyErasure::Allowed => true,
                    EarlyErasure::Refused => false,
                },
            }
        },
    )
}

/// The hold after an event that says why something is held. One that goes on keeps its beginning.
pub(crate) fn held_on(
    before: Option<HoldRow>,
    reason: Option<String>,
    event: &ControlEvent,
) -> Option<HoldRow> {
    let reason = reason?;
    let at = before.map_or(event.time, |before| before.at);
    let by = user_of(&event.actor).unwrap_or_else(UserName::system);
    Some(HoldRow { by, at, reason })
}

impl ControlPlane {
    /// How long the content of a session is kept.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn retention(&self, row: &SessionRow) -> Result<Retention, ControlError> {
        let mut one = self.retentions(std::slice::from_ref(row)).await?;
        one.pop()
            .ok_or_else(|| ControlError::Conflict("nothing is known of its retention".to_owned()))
    }

    /// The same of several sessions, in their order; each project is looked up once.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn retentions(&self, rows: &[SessionRow]) -> Result<Vec<Retention>, ControlError> {
        let mut projects: HashMap<ProjectName, Option<ProjectRow>> = HashMap::new();
        let mut found = Vec::new();
        for row in rows {
            if !projects.contains_key(&row.project) {
                projects.insert(row.project.clone(), self.store().project(&row.project).await?);
            }
            let project = projects.get(&row.project).and_then(Option::as_ref);
            let active = project.and_then(|project| project.active_policy);
            let own = self.said_by(&row.project, row.policy).await?;
            let active = match active {
                Some(digest) => Some((digest, self.said_by(&row.project, digest).await?)),
                None => None,
            };
            let active = active.as_ref().map(|(digest, said)| (*digest, said));
            found.push(Retention::of(row, &own, active, project));
        }
        Ok(found)
    }

    /// What a policy version says of retention; one that is not known (yet) says nothing.
    async fn said_by(
        &self,
        project: &ProjectName,
        version: Digest,
    ) -> Result<RetentionRow, ControlError> {
        if let Some(known) = self.versions().get(version) {
            return Ok(known);
        }
        let Some(found) = self.store().policy(project, &version).await? else {
            return Ok(RetentionRow::default());
        };
        self.versions().keep(version, &found.retention);
        Ok(found.retention)
    }
}
