//! OpenTelemetry spans as OTLP/JSON (opentelemetry-proto 1), one `TracesData` a line, with the semantic conventions of
//! [`CONVENTIONS`].
//!
//! The session is the GenAI span `invoke_agent`; each process image is a span with the attributes `process.*` below that
//! of the image that started it. A process is not called a tool's execution, because nothing was seen that says so, and
//! there are no spans of models where no model was seen. Refusals, violations and gaps are events of the session's span.

mod attributes;
mod spans;

use std::collections::BTreeMap;

use custody_model::{ImageId, Timestamp};
use custody_record::event::{ExitStatus, Outcome, ProcessExecuted, SessionClosed};
use custody_record::{Body, Event};
use serde_json::{Value, json};

use crate::format::Format;
use crate::summary::Summary;
use crate::{Content, Export, ExportError, line};
use attributes::{attributes, list, number, text};
use spans::{Span, SpanId, TraceId};

/// The semantic conventions of OpenTelemetry.
pub(crate) const CONVENTIONS: &str = "semconv/1.44.0";

const SCHEMA_URL: &str = "https://opentelemetry.io/schemas/1.44.0";

/// Spans of one line.
const BATCH: usize = 100;

/// Events that a span may have: the default limit of OpenTelemetry's specification.
const MAX_SPAN_EVENTS: usize = 128;

pub(crate) struct Otlp {
    summary: Summary,
    version: &'static str,
    session: Option<Session>,
    /// What runs, by its process.
    running: BTreeMap<u32, Span>,
    /// The span of every image.
    images: BTreeMap<ImageId, SpanId>,
    ready: Vec<Value>,
}

/// What the session's own span is made of.
struct Session {
    trace: TraceId,
    id: SpanId,
    began: Timestamp,
    last: Timestamp,
    agent: String,
    attributes: Vec<Value>,
    events: Vec<Value>,
    /// Events past the limit.
    uncounted: u64,
    closed: Option<SessionClosed>,
}

impl Otlp {
    pub(crate) fn new(version: &'static str) -> Self {
        Self {
            summary: Summary::new(Format::Otlp),
            version,
            session: None,
            running: BTreeMap::new(),
            images: BTreeMap::new(),
            ready: Vec::new(),
        }
    }

    fn executed(&mut self, event: &Event, executed: &ProcessExecuted, root: SpanId) {
        if executed.corrects.is_some() || executed.failed.is_some() {
            // Of a call that another event tells of, or that started nothing.
            return self.summary.drop(event.body.type_name());
        }
        let parent = executed.parent_image.and_then(|image| self.images.get(&image).copied());
        let id = SpanId::of(&event.id.to_string());
        self.images.insert(executed.image, id);
        let span = Span {
            id,
            parent: parent.unwrap_or(root),
            name: file_name(&executed.exe).to_owned(),
            began: event.time,
            attributes: attributes([
                Some(number("process.pid", executed.pid)),
                executed.parent.map(|pid| number("process.parent_pid", pid)),
                Some(text("process.executable.path", &executed.exe)),
                Some(list("process.command_args", &executed.argv)),
                executed.cwd.as_deref().map(|cwd| text("process.working_directory", cwd)),
                Some(text("dev.custody.event.id", &event.id.to_string())),
            ]),
        };
        // An image that executes another one ends with it.
        if let Some(before) = self.running.insert(executed.pid, span) {
            self.ended(before, event.time, None);
        }
    }

    fn ended(&mut self, mut span: Span, at: Timestamp, status: Option<ExitStatus>) {
        let Some(session) = &self.session else { return };
        span.attributes.extend(status.map(|status| match status {
            ExitStatus::Code(code) => number("process.exit.code", code),
            // As a shell would say it.
            ExitStatus::Signal(signal) => number("process.exit.code", 128 + u32::from(signal)),
        }));
        self.ready.push(span.finished(&session.trace, at));
        self.summary.written += 1;
    }

    fn note(&mut self, event: &Event, what: Vec<Value>) {
        let Some(session) = &mut self.session else { return };
        if session.events.len() == MAX_SPAN_EVENTS {
            session.uncounted += 1;
            return self.summary.drop(event.body.type_name());
        }
        session.events.push(json!({
            "timeUnixNano": spans::nanos(event.time),
            "name": format!("dev.custody.{}", event.body.type_name()),
            "attributes": what,
        }));
        self.summary.written += 1;
    }

    fn flush(&mut self, out: &mut Vec<u8>) -> Result<(), ExportError> {
        if self.ready.is_empty() {
            return Ok(());
        }
        let spans = std::mem::take(&mut self.ready);
        line(
            out,
            &json!({ "resourceSpans": [{
            "resource": { "attributes": [text("service.name", "custody"), text("service.version", self.version)] },
            "scopeSpans": [{
                "scope": { "name": "dev.custody.export", "version": self.version },
                "spans": spans,
                "schemaUrl": SCHEMA_URL,
            }],
            "schemaUrl": SCHEMA_URL,
        }] }),
        )?;
        Ok(())
    }
}

fn file_name(path: &str) -> &str {
    path.rsplit('/').next().filter(|name| !name.is_empty()).unwrap_or(path)
}

impl Export for Otlp {
    fn event(
        &mut self,
        event: &Event,
        _: &[u8],
        _: &dyn Content,
        out: &mut Vec<u8>,
    ) -> Result<(), ExportError> {
        self.summary.read(event);
        let session = self.session.get_or_insert_with(|| Session {
            trace: TraceId::of(event.session),
            id: SpanId::of(&event.session.to_string()),
            began: event.time,
            last: event.time,
            agent: "agent".to_owned(),
            attributes: Vec::new(),
            events: Vec::new(),
            uncounted: 0,
            closed: None,
        });
        session.last = session.last.max(event.time);
        let root = session.id;
        match &event.body {
            Body::SessionAuthorized(authorized) => {
                let request = &authorized.request;
                session.agent =
                    request.command.first().map_or("agent", |c| file_name(c)).to_owned();
                session.attributes = attributes([
                    Some(text("enduser.id", authorized.requester.as_str())),
                    Some(text("vcs.repository.name", &request.repository)),
                    Some(text("vcs.ref.base.revision", request.base_commit.as_str())),
                    Some(text("dev.custody.policy", &event.policy.to_string())),
                ]);
            }
            Body::SessionStarted(_) => session.began = event.time,
            Body::SessionClosed(closed) => session.closed = Some(closed.clone()),
            Body::ProcessExecuted(executed) => self.executed(event, executed, root),
            Body::ProcessExited(exited) => match self.running.remove(&exited.pid) {
                Some(span) => self.ended(span, event.time, exited.status),
                // A fork that never executed anything has no image, and no span.
                None => self.summary.drop("process.exited"),
            },
            Body::FileDenied(denied) => {
                let path = denied.path.to_text();
                self.note(
                    event,
                    vec![text("file.path", &path), text("dev.custody.rule", &denied.rule)],
                );
            }
            Body::EgressDenied(denied) => {
                let host = denied.host.as_deref().or(denied.address.as_deref());
                let what = attributes([
                    host.map(|host| text("server.address", host)),
                    denied.port.map(|port| number("server.port", port)),
                    Some(text("dev.custody.reason", &denied.reason)),
                ]);
                self.note(event, what);
            }
            Body::PolicyViolated(violated) => {
                let path = violated.path.to_text();
                self.note(
                    event,
                    vec![text("file.path", &path), text("dev.custody.rule", &violated.rule)],
                );
            }
            Body::PolicyDecided(decided) => {
                self.note(
                    event,
                    vec![
                        text("dev.custody.action", &decided.action),
                        text("dev.custody.rule", &decided.rule),
                    ],
                );
            }
            Body::RecorderGap(gap) => {
                self.note(event, vec![text("dev.custody.reason", &gap.reason)]);
            }
            Body::SessionPaused(paused) => {
                self.note(event, vec![text("dev.custody.reason", &paused.reason)]);
            }
            Body::RecorderDegraded(degraded) => {
                self.note(event, vec![text("dev.custody.reason", &degraded.error)]);
            }
            Body::SessionResumed(_) | Body::RecorderRestored(_) | Body::RedactionApplied(_) => {
                self.note(event, Vec::new());
            }
            Body::CommitCreated(commit) => {
                self.note(event, vec![text("vcs.ref.head.revision", commit.commit.as_str())]);
            }
            Body::SessionProvisioned(_)
            | Body::FileOpened(_)
            | Body::FileOutside(_)
            | Body::FileReopened(_)
            | Body::FileWritten(_)
            | Body::FileRenamed(_)
            | Body::FileRemoved(_)
            | Body::FileLinked(_)
            | Body::FileSymlinked(_)
            | Body::AttributesChanged(_)
            | Body::TerminalRecorded(_)
            | Body::WorkspaceCompared(_) => self.summary.drop(event.body.type_name()),
        }
        if self.ready.len() >= BATCH {
            self.flush(out)?;
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>, out: &mut Vec<u8>) -> Result<Summary, ExportError> {
        let Some(last) = self.session.as_ref().map(|session| session.last) else {
            return Ok(self.summary);
        };
        for span in std::mem::take(&mut self.running).into_values() {
            // How it ended is not on record: its end is that of the record.
            self.ended(span, last, None);
        }
        self.flush(out)?;
        if let Some(session) = self.session.take() {
            self.summary.written += 1;
            let dropped = session.uncounted;
            let span = session.span(&self.summary);
            let mut value = span.0.finished_root(&span.1, last, span.2, span.3);
            value["droppedEventsCount"] = json!(dropped);
            self.ready.push(value);
            self.flush(out)?;
        }
        Ok(self.summary)
    }
}

impl Session {
    /// The session's span, with all that was dropped.
    fn span(self, summary: &Summary) -> (Span, TraceId, Vec<Value>, Value) {
        let outcome = self.closed.as_ref().map(|closed| match closed.outcome {
            Outcome::Completed => "completed",
            Outcome::Stopped => "stopped",
            Outcome::Refused => "refused",
            Outcome::Failed => "failed",
            Outcome::Interrupted => "interrupted",
        });
        let failed = self.closed.as_ref().is_some_and(|closed| match closed.outcome {
            Outcome::Completed | Outcome::Stopped => false,
            Outcome::Refused | Outcome::Failed | Outcome::Interrupted => true,
        });
        let mut all = self.attributes;
        all.extend(attributes([
            Some(text("gen_ai.operation.name", "invoke_agent")),
            // Who provides the agent to its users; which models it asked was not seen.
            Some(text("gen_ai.provider.name", "custody")),
            Some(text("gen_ai.agent.name", &self.agent)),
            Some(text("gen_ai.conversation.id", &self.trace.session)),
            outcome.map(|outcome| text("dev.custody.outcome", outcome)),
            outcome.filter(|_| failed).map(|outcome| text("error.type", outcome)),
            Some(text("dev.custody.export.version", &summary.version)),
            Some(number("dev.custody.export.events", summary.events)),
            Some(number("dev.custody.export.written", summary.written)),
            Some(text("dev.custody.export.complete", &summary.complete.to_string())),
        ]));
        for (reason, count) in &summary.dropped {
            all.push(number(&format!("dev.custody.export.dropped.{reason}"), *count));
        }
        let status = match (failed, &self.closed) {
            (true, Some(closed)) => json!({ "code": 2, "message": closed.reason }),
            (true, None) | (false, _) => json!({}),
        };
        let span = Span {
            id: self.id,
            parent: self.id,
            name: format!("invoke_agent {}", self.agent),
            began: self.began,
            attributes: all,
        };
        (span, self.trace, self.events, status)
    }
}
