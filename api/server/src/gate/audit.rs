//! On record: what is asked before it has any effect or answer, and its result afterwards.

use std::collections::BTreeMap;

use axum::body::Bytes;
use axum::http::Uri;
use axum::response::Response;
use custody_api_types::Endpoint;
use custody_control::Author;
use custody_model::{Digest, EventId, Role, Transport};
use custody_record::control::{Call, CallCompleted, ControlBody};

use super::authenticate::Who;
use super::{Gate, PathParameters};
use crate::error::{ApiError, Failed};

/// A call, on record if it has to be.
pub(super) struct Noted {
    /// Who stands behind what follows from it.
    pub(super) author: Author,
    /// Its event.
    pub(super) call: Option<EventId>,
}

/// Whether a call has to be on record: it changes something, or an auditor looks something up by it.
///
/// The local operator is no auditor: the records are files of theirs.
pub(super) fn is_recorded(endpoint: &Endpoint, who: &Who) -> bool {
    let caller = &who.caller;
    let operator = who.verified.is_none() && caller.origin.transport == Transport::Unix;
    let audits = caller.grants.has_anywhere(Role::Auditor) && !operator;
    endpoint.changes || (endpoint.looks_up && audits)
}

impl Gate {
    /// Puts a call on record, if it has to be.
    pub(super) async fn note(
        &self,
        endpoint: &Endpoint,
        who: &Who,
        parameters: &PathParameters,
        uri: &Uri,
        body: Option<&Bytes>,
    ) -> Result<Noted, ApiError> {
        let author = Author::caller(&who.caller);
        if !is_recorded(endpoint, who) {
            return Ok(Noted { author, call: None });
        }
        let call = Call {
            operation: endpoint.operation.as_str().to_owned(),
            parameters: all(parameters, uri),
            body: body.filter(|bytes| !bytes.is_empty()).map(|bytes| Digest::of(bytes)),
        };
        let event = match endpoint.changes {
            true => ControlBody::CallRequested(call),
            false => ControlBody::RecordAccessed(call),
        };
        let id = self.plane.note(&author, event).await?.id;
        Ok(Noted { author: author.because(id), call: Some(id) })
    }

    /// Puts the result of a call on record that is on record itself.
    pub(super) async fn completed(&self, noted: &Noted, result: CallCompleted) {
        if noted.call.is_none() {
            return;
        }
        let completed = ControlBody::CallCompleted(result);
        if let Err(error) = self.plane.note(&noted.author, completed).await {
            // What was done is on record by itself; that it is not said here is told to whoever watches.
            self.metrics.unaudited();
            tracing::error!(error = %crate::error::chain(&error), "the result of a call can't be put on record");
        }
    }
}

/// The result that an answer is.
pub(super) fn result(response: &Response) -> CallCompleted {
    let code = response.extensions().get::<Failed>().map(|failed| failed.0.code.to_string());
    CallCompleted { status: response.status().as_u16(), code }
}

/// The parameters of path and query; of a name that comes again, all values.
fn all(path: &PathParameters, uri: &Uri) -> BTreeMap<String, String> {
    let mut all = path.clone();
    let query: Vec<(String, String)> =
        serde_html_form::from_str(uri.query().unwrap_or_default()).unwrap_or_default();
    for (name, value) in query {
        let known = all.entry(name).or_default();
        if !known.is_empty() {
            known.push(',');
        }
        known.push_str(&value);
    }
    all
}
