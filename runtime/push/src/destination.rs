//! Where something is sent.

use std::time::Duration;

use crate::backoff::Backoff;
use crate::signature::Secret;

/// What is sent, and how.
#[derive(Clone, Debug)]
pub enum Kind {
    /// CloudEvents 1.0.2 over HTTP: one event in structured mode, or several in batched mode.
    Webhook {
        /// What deliveries are signed with.
        secret: Secret,
        /// Most events of one delivery.
        batch: usize,
        /// Types of events that are sent, as in `file.denied`, or families, as in `file`; all if there are none.
        types: Vec<String>,
    },
    /// The spans of each session once its record is closed, as OTLP/JSON over HTTP.
    Otlp {
        /// What the collector wants as a bearer token.
        token: Option<String>,
    },
}

/// Where something is sent.
#[derive(Clone, Debug)]
pub struct Destination {
    /// What it is called here, and its position's file.
    pub name: String,
    /// The URL that is posted to.
    pub url: String,
    /// What is sent.
    pub kind: Kind,
    /// How long an answer may take.
    pub patience: Duration,
    /// How long to wait after failures.
    pub backoff: Backoff,
}

impl Destination {
    /// Whether events of this type are sent.
    pub(crate) fn wants(&self, of: &str) -> bool {
        match &self.kind {
            Kind::Otlp { .. } => true,
            Kind::Webhook { types, .. } => {
                let family = |wanted: &String| {
                    of == wanted
                        || of
                            .strip_prefix(wanted.as_str())
                            .is_some_and(|rest| rest.starts_with('.'))
                };
                types.is_empty() || types.iter().any(family)
            }
        }
    }
}
