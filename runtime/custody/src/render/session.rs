//! Sessions as the API tells them, for people.

use custody_api_types::retention::{Held, HeldWhat};
use custody_api_types::session::{Session, StateName};
use custody_model::state::session::SessionState;

use super::{command_line, count, cut, table, word};

/// A list of sessions.
pub fn list(sessions: &[Session]) -> String {
    if sessions.is_empty() {
        return "no sessions yet; `custody run -- COMMAND` makes one".to_owned();
    }
    let rows: Vec<_> = sessions
        .iter()
        .map(|session| {
            let requested = session.requested_at.to_string();
            [
                session.id.to_string(),
                short(session),
                cut(session.requester.as_str(), 20),
                session.project.to_string(),
                requested.get(..19).unwrap_or(&requested).to_owned(),
                cut(&command_line(&session.command), 60),
            ]
        })
        .collect();
    table(["SESSION", "STATE", "REQUESTER", "PROJECT", "REQUESTED", "COMMAND"], &rows)
}

/// Its state in a word or two: of a session that is over, how it ended.
pub fn short(session: &Session) -> String {
    match (&session.state, session.outcome, session.place) {
        (SessionState::Sealed { .. }, Some(outcome), _) => word(&outcome),
        (SessionState::Queued { .. }, _, Some(place)) => {
            format!("queued {}/{}", place.place, place.of)
        }
        (state, _, _) => StateName::of(state).as_str().replace('_', "-"),
    }
}

/// What a session waits for, in words; `None` if it does not wait.
pub fn waits_for(session: &Session) -> Option<String> {
    match &session.state {
        SessionState::Requested { .. } => Some("it is put on record".to_owned()),
        SessionState::AwaitingApproval { .. } => {
            let wanted = usize::try_from(session.approvals_wanted).unwrap_or(usize::MAX);
            let missing = wanted.saturating_sub(session.approvals.len());
            let who = session.approvers.join(", ");
            Some(format!("{} of {who}", count(missing, "approval", "approvals")))
        }
        SessionState::Queued { .. } => Some(match session.place {
            Some(place) => format!("room: place {} of {} in line", place.place, place.of),
            None => "room".to_owned(),
        }),
        SessionState::Provisioning { .. }
        | SessionState::Running { .. }
        | SessionState::Paused { .. }
        | SessionState::Stopping { .. }
        | SessionState::Sealed { .. }
        | SessionState::Refused { .. }
        | SessionState::Failed { .. }
        | SessionState::Interrupted { .. }
        | SessionState::Lost { .. } => None,
    }
}

/// What was asked for, in a line or two, for somebody who is to decide.
pub fn request(session: &Session) -> String {
    format!(
        "session {} of {}: {} on {} at {}\n",
        session.id,
        session.requester,
        command_line(&session.command),
        session.repository,
        session.base_commit.short(),
    )
}

/// That its content was erased, in a line; nothing if it was not.
pub fn erased(session: &Session) -> String {
    session.erased.as_ref().map_or_else(String::new, |erased| {
        let reason = super::tame(&erased.reason);
        format!("\nerased      its content, by {} at {}: {reason}\n", erased.by, erased.at)
    })
}

/// Whether it is lost.
pub fn is_lost(session: &Session) -> bool {
    StateName::of(&session.state) == StateName::Lost
}

/// That it is lost, and why, in a line; nothing if it is not.
pub fn lost(session: &Session) -> String {
    let reason = session.reason.as_deref().filter(|_| is_lost(session));
    reason.map_or_else(String::new, |reason| format!("\nlost        {}\n", super::tame(reason)))
}

/// How long its content is kept and who holds it, in a line or two; nothing where nothing is said of it.
pub fn retention(session: &Session) -> String {
    let Some(kept) = session.retention.as_ref().filter(|_| session.erased.is_none()) else {
        return String::new();
    };
    let mut page = match kept.until {
        Some(until) => format!("kept        {}: until {until}\n", kept.class),
        None if kept.class == "forever" => "kept        forever\n".to_owned(),
        None => format!("kept        {} after its closing\n", kept.class),
    };
    if let Some(held) = &kept.held {
        page.push_str(&format!("held        {}\n", hold(held)));
    }
    page
}

/// Who holds it, since when and why.
fn hold(held: &Held) -> String {
    let what = match held.what {
        HeldWhat::Session => "",
        HeldWhat::Project => ", with its whole project",
    };
    format!("by {} since {}{what}: {}", held.by, held.since, super::tame(&held.reason))
}

/// A list of what will be erased when.
pub fn retentions(sessions: &[Session]) -> String {
    if sessions.is_empty() {
        return "there is none; `retention:` in a policy gives the content of its sessions an end"
            .to_owned();
    }
    let rows: Vec<_> = sessions
        .iter()
        .filter_map(|session| {
            let kept = session.retention.as_ref()?;
            let until = kept.until.map_or_else(|| "-".to_owned(), |until| until.to_string());
            Some([
                session.id.to_string(),
                session.project.to_string(),
                kept.class.clone(),
                until.get(..19).unwrap_or(&until).to_owned(),
                kept.held.as_ref().map(hold).unwrap_or_default(),
            ])
        })
        .collect();
    table(["SESSION", "PROJECT", "CLASS", "UNTIL", "HELD"], &rows)
}

/// Where it stands, in a line.
pub fn standing(session: &Session) -> String {
    if let Some(what) = waits_for(session) {
        return format!("state       {}: it waits for {what}\n", short(session));
    }
    match &session.reason {
        Some(reason) => format!("state       {}: {}\n", short(session), super::tame(reason)),
        None => format!("state       {}\n", short(session)),
    }
}
