//! The one table of endpoints: what can be called, by whom, with what, and what comes back.
//!
//! Routing, authorisation, audit, the OpenAPI document and the tests that enumerate are driven by it.

mod control;
mod log;
mod record;
mod retention;
mod server;
mod session;
mod setting;
mod token;
mod user;

use std::fmt;

use custody_model::{Role, Scope};
use schemars::{JsonSchema, Schema, SchemaGenerator};

use crate::operation::Operation;
use crate::problem::ApiCode;

/// Gives the schema of a type.
pub type SchemaOf = fn(&mut SchemaGenerator) -> Schema;

/// The schema of `T`, as the generator refers to it.
#[must_use]
pub fn schema<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

/// An HTTP method (RFC 9110).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "the names are HTTP's")]
pub enum Method {
    Get,
    Post,
    Put,
    Delete,
}

impl Method {
    /// As HTTP spells it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Delete => "DELETE",
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Who may call. Scopes narrow it further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Everybody, without a token.
    Public,
    /// Everybody who is known.
    Anyone,
    /// Everybody who is known, by a service token: the only operation that takes one.
    ServiceToken,
    /// Who has one of these roles over the installation.
    Installation(&'static [Role]),
    /// Everybody, without a token, where the installation publishes this part of its log; else who has one of these roles
    /// over the installation, and if none is named everybody who is known.
    Published(Part, &'static [Role]),
    /// Who has one of these roles in the project that the path names. Who has no role in it at all is not told that there is
    /// one.
    Project(&'static [Role]),
    /// The same for the project of the repository that the path names.
    Repository(&'static [Role]),
    /// Who has one of these roles in the project that the body names.
    Asked(&'static [Role]),
    /// Who has one of these roles anywhere; the answer holds what they may see.
    Listed(&'static [Role]),
    /// Who has one of these roles in the project of the session that the path names, and, where `own` says so, who asked for
    /// the session. Admins, auditors and the requester may see it; nobody else is told that there is one.
    Session {
        /// The roles.
        roles: &'static [Role],
        /// Whether the requester may without any of them.
        own: bool,
    },
    /// Whose token it is that the path names, and who has one of these roles over the installation.
    Token(&'static [Role]),
    /// The user whom the path names, and who has one of these roles over the installation.
    User(&'static [Role]),
}

/// A part of the installation log, as far as it says more than the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// Its signed heads and the hashes of its tree: that it only grows, and how fast.
    Hashes,
    /// Its entries: which sessions there are, and when each had how many events.
    Entries,
}

/// A body that is sent.
#[derive(Clone, Copy)]
pub struct Body {
    /// Its schema.
    pub schema: SchemaOf,
    /// Without one the defaults hold.
    pub optional: bool,
}

/// A header that is sent.
#[derive(Clone, Copy)]
pub struct Header {
    /// Its name.
    pub name: &'static str,
    /// What it is for.
    pub description: &'static str,
    /// What it may be, as a regular expression (ECMA-262).
    pub pattern: &'static str,
}

/// What comes back when all goes well.
#[derive(Clone, Copy)]
pub struct Success {
    /// HTTP status (RFC 9110).
    pub status: u16,
    /// Media type.
    pub media_type: &'static str,
    /// Those that it may have instead.
    pub also: &'static [&'static str],
    /// Schema of the JSON; absent for everything else.
    pub schema: Option<SchemaOf>,
}

/// JSON (RFC 8259).
pub const JSON: &str = "application/json";
/// Server-sent events (WHATWG HTML).
pub const EVENT_STREAM: &str = "text/event-stream";
/// A recording of a terminal: asciicast v3.
pub const ASCIICAST: &str = "application/x-asciicast";
/// A unified diff.
pub const DIFF: &str = "text/x-diff";
/// A git bundle (gitformat-bundle).
pub const BUNDLE: &str = "application/x-git-bundle";
/// Newline-delimited JSON.
pub const JSON_LINES: &str = "application/x-ndjson";
/// A tar archive (POSIX.1-2001).
pub const TAR: &str = "application/x-tar";
/// A signed note, as C2SP tlog-tiles wants it served.
pub const CHECKPOINT: &str = "text/plain; charset=utf-8";
/// Bytes, as C2SP tlog-tiles wants tiles served.
pub const OCTETS: &str = "application/octet-stream";

impl Success {
    pub(crate) const fn json(status: u16, schema: SchemaOf) -> Self {
        Self { status, media_type: JSON, also: &[], schema: Some(schema) }
    }

    pub(crate) const fn other(status: u16, media_type: &'static str) -> Self {
        Self { status, media_type, also: &[], schema: None }
    }
}

/// One operation: an entry of the table.
pub struct Endpoint {
    /// Which.
    pub operation: Operation,
    /// By which method.
    pub method: Method,
    /// At which path, its parameters in braces (RFC 6570, level 1).
    pub path: &'static str,
    /// Where the document lists it.
    pub tag: &'static str,
    /// What it does, in a line.
    pub summary: &'static str,
    /// What else there is to know.
    pub description: &'static str,
    /// Who may call.
    pub access: Access,
    /// The scope that the token has to have.
    pub scope: Option<Scope>,
    /// It changes something: a `call.requested` is durable before.
    pub changes: bool,
    /// It shows sessions, records or settings: for an auditor a `record.accessed` is durable before.
    pub looks_up: bool,
    /// The parameters of its query: a struct.
    pub query: Option<SchemaOf>,
    /// Headers that it reads.
    pub headers: &'static [Header],
    /// The body that it reads.
    pub body: Option<Body>,
    /// What comes back.
    pub success: Success,
    /// How it may fail, besides what may happen to every call: [`Endpoint::errors`].
    pub failures: &'static [ApiCode],
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} ({})", self.method, self.path, self.operation)
    }
}

impl Endpoint {
    /// The names of the path's parameters, in order.
    pub fn path_parameters(&self) -> impl Iterator<Item = &'static str> {
        let segments = self.path.split('/');
        segments.filter_map(|segment| {
            let name = segment.strip_prefix('{')?.strip_suffix('}')?;
            Some(name.strip_prefix('*').unwrap_or(name))
        })
    }

    /// The path as OpenAPI writes it, which knows no parameter that goes on to the end (`{*tile}`).
    #[must_use]
    pub fn template(&self) -> String {
        self.path.replace("{*", "{")
    }

    /// The path with its parameters filled in (percent-encoded), in their order.
    #[must_use]
    pub fn path_with(&self, parameters: &[&str]) -> String {
        let mut left = parameters.iter();
        let mut path = String::new();
        for segment in self.path.split('/').skip(1) {
            path.push('/');
            if !segment.starts_with('{') {
                path.push_str(segment);
                continue;
            }
            let value = left.next().copied().unwrap_or_default();
            if segment.starts_with("{*") {
                // The rest of the path: its slashes are the path's.
                for (n, part) in value.split('/').enumerate() {
                    if n > 0 {
                        path.push('/');
                    }
                    escape(part, &mut path);
                }
            } else {
                escape(value, &mut path);
            }
        }
        path
    }

    /// Every code with which it may fail.
    #[must_use]
    pub fn errors(&self) -> Vec<ApiCode> {
        let mut codes = vec![
            ApiCode::Malformed,
            ApiCode::MethodNotAllowed,
            ApiCode::Timeout,
            ApiCode::BodyTooLarge,
            ApiCode::Internal,
            ApiCode::Unavailable,
            ApiCode::Slow,
        ];
        if self.access != Access::Public {
            codes.extend([
                ApiCode::Unauthenticated,
                ApiCode::Forbidden,
                ApiCode::RateLimited,
                ApiCode::Io,
                ApiCode::RecordUnwritable,
            ]);
        }
        if self.path.contains('{') {
            codes.push(ApiCode::NotFound);
        }
        if self.body.is_some() {
            codes.extend([ApiCode::UnsupportedMediaType, ApiCode::Invalid]);
        }
        if self.query.is_some() {
            codes.extend([ApiCode::Invalid, ApiCode::PageTooLarge]);
        }
        codes.extend(self.failures);
        codes.sort_unstable();
        codes.dedup();
        codes
    }
}

/// RFC 3986, section 2.1: everything but unreserved characters.
fn escape(text: &str, out: &mut String) {
    use fmt::Write as _;
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                out.push(char::from(byte));
            }
            _ => {
                // Writing to a string does not fail.
                let _ = write!(out, "%{byte:02X}");
            }
        }
    }
}

/// The endpoints, in the order of the document.
pub static ENDPOINTS: [&[Endpoint]; 9] = [
    server::ENDPOINTS,
    session::ENDPOINTS,
    record::ENDPOINTS,
    retention::ENDPOINTS,
    setting::ENDPOINTS,
    user::ENDPOINTS,
    token::ENDPOINTS,
    control::ENDPOINTS,
    log::ENDPOINTS,
];

/// All endpoints, in the order of the document.
pub fn endpoints() -> impl Iterator<Item = &'static Endpoint> {
    ENDPOINTS.iter().copied().flatten()
}

/// The entry of an operation.
///
/// # Panics
/// If the table lacks it, which a test rules out.
#[must_use]
pub fn endpoint(operation: Operation) -> &'static Endpoint {
    match endpoints().find(|endpoint| endpoint.operation == operation) {
        Some(endpoint) => endpoint,
        None => panic!("the table of endpoints lacks {operation}"),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_operation_has_one_entry_and_every_entry_one_place() {
        let operations: Vec<_> = endpoints().map(|endpoint| endpoint.operation).collect();
        let distinct: BTreeSet<_> = operations.iter().copied().collect();
        assert_eq!(distinct, Operation::ALL.iter().copied().collect());
        assert_eq!(operations.len(), distinct.len());
        let places: BTreeSet<_> = endpoints().map(|e| (e.method, e.path)).collect();
        assert_eq!(places.len(), operations.len());
    }

    #[test]
    fn what_changes_something_is_no_get_and_wants_a_scope() {
        for endpoint in endpoints() {
            let public = endpoint.access == Access::Public;
            assert_eq!(public, !endpoint.path.starts_with("/v1/"), "{endpoint:?}");
            assert!(!public || (!endpoint.changes && !endpoint.looks_up), "{endpoint:?}");
            let exempt = matches!(
                endpoint.access,
                Access::Anyone | Access::ServiceToken | Access::Published(Part::Hashes, [])
            );
            assert!(public || exempt || endpoint.scope.is_some(), "{endpoint:?}");
            // A WebSocket begins with GET, whatever it carries.
            let socket = endpoint.operation == Operation::SessionAttach;
            assert!(!endpoint.changes || endpoint.method != Method::Get || socket, "{endpoint:?}");
        }
    }

    #[test]
    fn the_rest_of_a_path_keeps_its_slashes() {
        let tile = endpoint(Operation::SessionTile);
        let parameters: Vec<_> = tile.path_parameters().collect();
        assert_eq!(parameters, ["session", "tile"]);
        assert_eq!(tile.template(), "/v1/sessions/{session}/log/tile/{tile}");
        assert_eq!(
            tile.path_with(&["last", "0/x001/234.p/5"]),
            "/v1/sessions/last/log/tile/0/x001/234.p/5"
        );
    }

    #[test]
    fn a_path_is_filled_in_and_escaped() {
        let diff = endpoint(Operation::PolicyDiff);
        let parameters: Vec<_> = diff.path_parameters().collect();
        assert_eq!(parameters, ["project", "policy"]);
        assert_eq!(
            diff.path_with(&["a b", "sha256:0/"]),
            "/v1/projects/a%20b/policies/sha256%3A0%2F/diff"
        );
    }
}
