//! What the control log knows of sessions, held against their directories, the installation log and the vault.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use custody_keeper::layout::StateDir;
use custody_keeper::spec::SessionSpec;
use custody_model::error::chain;
use custody_model::{Digest, SessionId};
use custody_policy::PolicyVersion;
use custody_record::control::{ControlBody, ControlEvent};
use custody_record::event::Decision;
use custody_record::{Blobs, Erasure, Scope, Vault};

use super::Damage;

/// What the vault's findings have as their place.
const VAULT: &str = "vault";

/// The last step of a session that the control log has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Course {
    /// It was requested, and may still run.
    Waiting,
    /// A keeper was to be started.
    Launched,
    /// Its launch failed before there was a record.
    Abandoned,
    /// It is lost.
    Lost,
    /// It was refused, rejected or cancelled.
    Over,
}

#[derive(Clone, Copy, Debug)]
struct Known {
    course: Course,
    /// Its contents were to be erased.
    erased: bool,
    /// The policy version that it was evaluated under.
    policy: Digest,
}

/// The sessions that the control log tells of.
#[derive(Debug, Default)]
pub(super) struct KnownSessions(BTreeMap<SessionId, Known>);

impl KnownSessions {
    /// Takes the next event of the log.
    pub(super) fn take(&mut self, event: &ControlEvent) {
        let mut of = |session: &SessionId, course| {
            if let Some(known) = self.0.get_mut(session) {
                known.course = course;
            }
        };
        match &event.body {
            ControlBody::SessionRequested(asked) => {
                let course = match asked.decision {
                    Decision::Allow | Decision::NeedsApproval => Course::Waiting,
                    Decision::Deny => Course::Over,
                };
                let known = Known { course, erased: false, policy: asked.policy };
                self.0.insert(asked.session, known);
            }
            ControlBody::SessionLaunched(launched) => of(&launched.session, Course::Launched),
            ControlBody::SessionAbandoned(about) => of(&about.session, Course::Abandoned),
            ControlBody::SessionLost(about) => of(&about.session, Course::Lost),
            ControlBody::ApprovalRejected(about) | ControlBody::SessionCancelled(about) => {
                of(&about.session, Course::Over);
            }
            ControlBody::RetentionDeleted(about) => {
                if let Some(known) = self.0.get_mut(&about.session) {
                    known.erased = true;
                }
            }
            ControlBody::ServerStarted(_)
            | ControlBody::CallRequested(_)
            | ControlBody::RecordAccessed(_)
            | ControlBody::CallCompleted(_)
            | ControlBody::ProjectCreated(_)
            | ControlBody::PolicyCreated(_)
            | ControlBody::PolicyActivated(_)
            | ControlBody::RepositoryRegistered(_)
            | ControlBody::UserCreated(_)
            | ControlBody::UserGranted(_)
            | ControlBody::UserDisabled(_)
            | ControlBody::UserEnabled(_)
            | ControlBody::TokenIssued(_)
            | ControlBody::TokenRevoked(_)
            | ControlBody::KeyRotated(_)
            | ControlBody::ApprovalGranted(_)
            | ControlBody::RetentionHeld(_)
            | ControlBody::RetentionReleased(_)
            | ControlBody::SessionStopRequested(_)
            | ControlBody::SessionSignalled(_)
            | ControlBody::SessionAttached(_)
            | ControlBody::EvidenceExported(_)
            | ControlBody::FileQuarantined(_)
            | ControlBody::VaultRewrapStarted(_)
            | ControlBody::VaultRewrapped(_)
            | ControlBody::WitnessRefused(_)
            | ControlBody::WitnessRestored(_)
            | ControlBody::RedactionApplied(_) => {}
        }
    }

    /// The sessions and their last steps.
    pub(super) fn courses(&self) -> impl Iterator<Item = (SessionId, Course)> {
        self.0.iter().map(|(session, known)| (*session, known.course))
    }

    /// What does not fit: `there` are the sessions that have a directory, `heads` those that the installation log has heads of.
    pub(super) fn compare(
        &self,
        state: &StateDir,
        vault: &Vault,
        there: &BTreeSet<SessionId>,
        heads: &BTreeSet<SessionId>,
    ) -> Vec<Damage> {
        let mut damage = Vec::new();
        for (session, known) in &self.0 {
            let place = session.to_string();
            let needed = match known.course {
                Course::Waiting => "it waits, and its request is gone",
                Course::Launched => "it was launched, and its directory is gone",
                Course::Abandoned | Course::Lost | Course::Over => "",
            };
            if there.contains(session) {
                damage.extend(request(state, vault, *session, known));
            } else if !needed.is_empty() && !heads.contains(session) {
                damage.push(Damage::kept(&place, "session_missing", needed, None));
            }
        }
        let unknown = there.iter().filter(|session| state.session(**session).record().exists());
        for session in unknown.chain(heads).collect::<BTreeSet<_>>() {
            if !self.0.contains_key(session) {
                let what = "it has a record or heads, and the control log does not know it";
                damage.push(Damage::kept(&session.to_string(), "session_unknown", what, None));
            }
        }
        damage.extend(self.compare_vault(vault, there));
        damage
    }

    fn compare_vault(&self, vault: &Vault, there: &BTreeSet<SessionId>) -> Vec<Damage> {
        let scopes = match vault.scopes() {
            Ok(scopes) => scopes,
            Err(error) => {
                return vec![Damage::kept(VAULT, "vault_unreadable", chain(&error), None)];
            }
        };
        let unknown = scopes.into_iter().filter_map(|scope| match scope {
            Scope::Session(session) => {
                (!self.0.contains_key(&session) && !there.contains(&session)).then_some(session)
            }
            Scope::Control => None,
        });
        let what = "there is a key of a session that neither log nor a directory has";
        unknown
            .map(|session| Damage::kept(&session.to_string(), "key_foreign", what, None))
            .collect()
    }
}

/// The request of a session, its policy and its key.
fn request(state: &StateDir, vault: &Vault, session: SessionId, known: &Known) -> Option<Damage> {
    let (dir, place) = (state.session(session), session.to_string());
    let damage = |code, what: String| Some(Damage::kept(&place, code, what, None));
    let key = vault.key(Scope::Session(session));
    // Whether the note is genuine is found with the record.
    let noted = matches!(Erasure::read(&dir.record()), Ok(Some(_)));
    match key {
        Err(error) => return damage("key_damaged", chain(&error)),
        Ok(Some(_)) if known.erased && noted => {
            return damage(
                "key_returned",
                "its content was erased, and its key is there".to_owned(),
            );
        }
        Ok(None) if !known.erased && !noted => {
            let sealed = Blobs::has_sealed(&dir.record());
            let what = "its key is gone, and no erasure explains it";
            let lost = if sealed { ": its contents can't be opened" } else { "" };
            return damage("key_missing", format!("{what}{lost}"));
        }
        Ok(Some(_) | None) => {}
    }
    if !known.erased
        && let Err(error) = SessionSpec::read(state, session, vault)
    {
        return damage("request_damaged", chain(&error));
    }
    let policy = fs::read_to_string(dir.policy()).map_err(|error| error.to_string());
    let policy = policy.and_then(|text| PolicyVersion::parse(&text).map_err(|e| chain(&e)));
    match policy {
        Ok(policy) if policy.digest() == known.policy => None,
        Ok(_) => damage("policy_differs", "policy.yaml is another version".to_owned()),
        Err(error) => damage("policy_differs", format!("policy.yaml: {error}")),
    }
}
