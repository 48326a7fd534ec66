//! Events of the Open Cybersecurity Schema Framework, version [`VERSION`], one a line.
//!
//! Each event becomes one of the class that fits it; the device is the sandbox. What the class has no attribute for is not
//! lost: the event's own data stand in `unmapped`. The last line is an event of the base class that sums the export up.

mod class;
mod file;
mod network;
mod object;
mod process;
mod session;

use custody_model::Timestamp;
use custody_record::{Body, Event};
use serde_json::{Map, Value, json};

use crate::format::Format;
use crate::summary::Summary;
use crate::{Content, Export, ExportError, line};
use class::{Activity, Severity};

/// The schema's version.
pub(crate) const VERSION: &str = "1.8.0";

/// What an event says beyond what all of them say.
struct Mapped {
    activity: Activity,
    severity: Severity,
    /// Members of the class.
    members: Map<String, Value>,
}

impl Mapped {
    fn new(activity: Activity, members: Value) -> Self {
        let members = match members {
            Value::Object(members) => members,
            Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::String(_)
            | Value::Array(_) => Map::new(),
        };
        Self { activity, severity: Severity::Informational, members }
    }

    fn severe(self, severity: Severity) -> Self {
        Self { severity, ..self }
    }

    /// It was refused (profile Security Control).
    fn denied(mut self) -> Self {
        let members = json!({
            "action": "Denied", "action_id": 2,
            "disposition": "Blocked", "disposition_id": 2,
            "status": "Failure", "status_id": 2,
        });
        if let Value::Object(members) = members {
            self.members.extend(members);
        }
        self.severe(Severity::Medium)
    }
}

pub(crate) struct Ocsf {
    summary: Summary,
    version: &'static str,
    last: Option<Timestamp>,
}

impl Ocsf {
    pub(crate) fn new(version: &'static str) -> Self {
        Self { summary: Summary::new(Format::Ocsf), version, last: None }
    }

    fn metadata(&self) -> Value {
        json!({
            "version": VERSION,
            "product": { "name": "Custody", "vendor_name": "Custody", "version": self.version },
            "profiles": ["host", "security_control"],
            "log_name": "session",
        })
    }
}

/// Milliseconds since 1970, OCSF's `timestamp_t`.
fn millis(at: Timestamp) -> i64 {
    at.as_micros().div_euclid(1000)
}

/// The class and its members; `None` if no class fits.
fn mapped(event: &Event) -> Option<Mapped> {
    match &event.body {
        Body::SessionAuthorized(authorized) => Some(session::authorized(event, authorized)),
        Body::SessionProvisioned(_) => Some(session::lifecycle(Activity::Provision)),
        Body::SessionStarted(_) => Some(session::lifecycle(Activity::Start)),
        Body::SessionPaused(_) => Some(session::lifecycle(Activity::Pause)),
        Body::SessionResumed(_) => Some(session::lifecycle(Activity::Resume)),
        Body::SessionClosed(closed) => Some(session::closed(closed)),
        Body::PolicyDecided(decided) => session::decided(event, decided),
        Body::PolicyViolated(violated) => Some(session::violated(event, violated)),
        Body::ProcessExecuted(executed) => Some(process::executed(executed)),
        Body::ProcessExited(exited) => Some(process::exited(exited)),
        Body::FileOpened(opened) => Some(file::opened(opened)),
        Body::FileReopened(reopened) => Some(file::reopened(reopened)),
        Body::FileWritten(written) => Some(file::written(written)),
        Body::FileRenamed(renamed) => Some(file::renamed(renamed)),
        Body::FileRemoved(removed) => Some(file::removed(removed)),
        Body::FileLinked(linked) => Some(file::linked(linked)),
        Body::FileSymlinked(symlinked) => Some(file::symlinked(symlinked)),
        Body::AttributesChanged(changed) => Some(file::changed(changed)),
        Body::FileDenied(denied) => Some(file::denied(denied)),
        Body::FileOutside(outside) => Some(file::outside(outside)),
        Body::EgressDenied(denied) => Some(network::denied(event, denied)),
        Body::RecorderGap(gap) => Some(session::gap(&gap.reason)),
        Body::RecorderDegraded(degraded) => Some(session::degraded(degraded)),
        Body::RecorderRestored(_) => Some(session::lifecycle(Activity::Resume)),
        Body::WorkspaceCompared(compared) => session::compared(compared),
        // No class tells of a recording, of a commit or of what was left out of other events.
        Body::TerminalRecorded(_) | Body::CommitCreated(_) | Body::RedactionApplied(_) => None,
    }
}

impl Export for Ocsf {
    fn event(
        &mut self,
        event: &Event,
        canonical: &[u8],
        _: &dyn Content,
        out: &mut Vec<u8>,
    ) -> Result<(), ExportError> {
        self.summary.read(event);
        self.last = Some(event.time);
        let Some(Mapped { activity, severity, members }) = mapped(event) else {
            self.summary.drop(event.body.type_name());
            return Ok(());
        };
        let mut metadata = self.metadata();
        metadata["uid"] = json!(event.id);
        metadata["sequence"] = json!(event.seq);
        metadata["correlation_uid"] = json!(event.session);
        metadata["event_code"] = json!(event.body.type_name());
        metadata["original_time"] = json!(event.time);
        let mut all = activity.members();
        all.extend(severity.members());
        if activity.class().has_actor() {
            all.insert("actor".to_owned(), object::actor(event));
        }
        all.insert("device".to_owned(), object::device(event.session));
        all.insert("metadata".to_owned(), metadata);
        all.insert("time".to_owned(), json!(millis(event.time)));
        let original: Value = serde_json::from_slice(canonical)?;
        all.insert(
            "unmapped".to_owned(),
            json!({
                "type": original["type"], "data": original["data"], "cause": original["cause"],
                "policy": original["policy"], "prev": original["prev"], "blobs": original["blobs"],
            }),
        );
        all.extend(members);
        self.summary.written += 1;
        line(out, &all)?;
        Ok(())
    }

    fn finish(self: Box<Self>, out: &mut Vec<u8>) -> Result<Summary, ExportError> {
        let Some(last) = self.last else { return Ok(self.summary) };
        let mut all = Activity::Export.members();
        all.extend(Severity::Informational.members());
        all.insert("metadata".to_owned(), self.metadata());
        all.insert("time".to_owned(), json!(millis(last)));
        all.insert("message".to_owned(), json!(self.summary.sentence()));
        all.insert("unmapped".to_owned(), json!({ "custody_export": self.summary }));
        line(out, &all)?;
        Ok(self.summary)
    }
}
