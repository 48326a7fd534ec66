//! The session itself: Authorize Session (3003), Application Lifecycle (6002), Application Error (6008), and Detection
//! Finding (2004) for what a rule forbids and yet came into being.

use custody_record::Event;
use custody_record::event::{
    Decision, Outcome, PolicyDecided, PolicyViolated, RecorderDegraded, SessionAuthorized,
    SessionClosed, WorkspaceCompared,
};
use serde_json::{Value, json};

use super::Mapped;
use super::class::{Activity, Severity};
use super::object::user;

pub(super) fn authorized(event: &Event, authorized: &SessionAuthorized) -> Mapped {
    let approvers: Vec<&str> = authorized.approvers.iter().map(|name| name.as_str()).collect();
    let approved = match approvers.is_empty() {
        true => "no approval was needed".to_owned(),
        false => format!("approved by {}", approvers.join(", ")),
    };
    Mapped::new(
        Activity::AssignPrivileges,
        json!({
            "user": user(&authorized.requester),
            "session": { "uid": event.session, "issuer": "Custody" },
            "privileges": ["session.request"],
            "policy": { "name": authorized.policy_name, "uid": event.policy },
            "action": "Allowed", "action_id": 1,
            "disposition": "Allowed", "disposition_id": 1,
            "status": "Success", "status_id": 1,
            "status_detail": format!("rule {}; {approved}", authorized.rule),
        }),
    )
}

/// `None` if nobody is known whom it was about.
pub(super) fn decided(event: &Event, decided: &PolicyDecided) -> Option<Mapped> {
    let subject = event.on_behalf_of.as_ref()?;
    let mapped = Mapped::new(
        Activity::Decide,
        json!({
            "user": user(subject),
            "session": { "uid": event.session, "issuer": "Custody" },
            "privileges": [decided.action],
            "policy": { "uid": event.policy },
            "status_detail": format!("rule {}; {}", decided.rule, decided.reason),
        }),
    );
    let with = |mut mapped: Mapped, action: &str, id: u32| {
        mapped.members.insert("action".to_owned(), json!(action));
        mapped.members.insert("action_id".to_owned(), json!(id));
        mapped
    };
    Some(match decided.decision {
        Decision::Allow => with(mapped, "Allowed", 1),
        Decision::Deny => mapped.denied(),
        Decision::NeedsApproval => with(mapped, "Needs approval", 99),
    })
}

fn app() -> Value {
    json!({ "name": "Custody session", "vendor_name": "Custody" })
}

pub(super) fn lifecycle(activity: Activity) -> Mapped {
    Mapped::new(activity, json!({ "app": app() }))
}

pub(super) fn closed(closed: &SessionClosed) -> Mapped {
    let (id, name, severity) = match closed.outcome {
        Outcome::Completed | Outcome::Stopped => (1, "Success", Severity::Informational),
        Outcome::Refused | Outcome::Failed | Outcome::Interrupted => {
            (2, "Failure", Severity::Medium)
        }
    };
    let members = json!({
        "app": app(), "status_id": id, "status": name, "status_detail": closed.reason,
    });
    Mapped::new(Activity::Stop, members).severe(severity)
}

pub(super) fn violated(event: &Event, violated: &PolicyViolated) -> Mapped {
    let path = violated.path.to_text();
    let members = json!({
        "finding_info": {
            "uid": event.id,
            "title": format!("rule {} was violated", violated.rule),
            "desc": format!("{path}: {}", violated.what),
        },
        "policy": { "uid": event.policy },
    });
    Mapped::new(Activity::Finding, members).severe(Severity::High)
}

pub(super) fn gap(reason: &str) -> Mapped {
    Mapped::new(Activity::Error, json!({ "message": reason })).severe(Severity::High)
}

pub(super) fn degraded(degraded: &RecorderDegraded) -> Mapped {
    gap(&format!("the record could not be written ({}): {}", degraded.step, degraded.error))
}

/// `None` if the workspace was what the record says: no class tells of that.
pub(super) fn compared(compared: &WorkspaceCompared) -> Option<Mapped> {
    let count = compared.difference_count;
    let said = format!("{count} paths of the workspace are not as the record says");
    (count > 0).then(|| gap(&said))
}
