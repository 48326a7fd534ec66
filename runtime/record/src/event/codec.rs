//! Events to canonical bytes and back, byte for byte.
//!
//! An event's members in canonical order are `actor, blobs, cause, data, id, on_behalf_of, policy, prev, seq,
//! session, time, type, v`. All but `prev` and `seq` are known before the event has its place, so whoever appends
//! encodes them ([`Encoder`]) and the one writer only fills the gap between the two parts.

use std::fmt::Write as _;

use custody_model::{Actor, Digest, EventId, SessionId, Timestamp, UserName};
use serde::de::{Deserialize, Deserializer, Error as _};
use serde_json::value::RawValue;

use super::{
    AttributesChanged, BlobRef, Body, CommitCreated, Draft, ENVELOPE_VERSION, EgressDenied, Event,
    FileDenied, FileLinked, FileOpened, FileRemoved, FileRenamed, FileReopened, FileSymlinked,
    FileWritten, Gap, MAX_EVENT_BYTES, PolicyDecided, PolicyViolated, ProcessExecuted,
    ProcessExited, SessionAuthorized, SessionClosed, SessionPaused, SessionProvisioned,
    SessionResumed, SessionStarted, TerminalRecorded, WorkspaceCompared,
};
use crate::canonical::{self, CanonicalError};

/// Why an event has no canonical bytes, or bytes are not an event.
#[derive(Debug, thiserror::Error)]
pub enum EventError {
    /// Longer than [`MAX_EVENT_BYTES`].
    #[error(
        "the event {kind} has {size} bytes in canonical form, and {MAX_EVENT_BYTES} are the most: larger content is a blob"
    )]
    TooLong {
        /// Its type.
        kind: &'static str,
        /// Bytes.
        size: usize,
    },
    /// More than [`MAX_EVENT_BYTES`] bytes were given to be read.
    #[error("{size} bytes are no event: {MAX_EVENT_BYTES} are the most")]
    InputTooLong {
        /// Bytes.
        size: usize,
    },
    /// A value that canonical JSON can't hold.
    #[error("the event {kind} has no canonical form")]
    NotEncodable {
        /// Its type.
        kind: &'static str,
        /// The value.
        #[source]
        source: CanonicalError,
    },
    /// Not JSON, or not the shape of an event.
    #[error("the bytes are not an event of version {ENVELOPE_VERSION}")]
    Shape(#[source] serde_json::Error),
    /// A version that this reader does not know.
    #[error("the event has version {0}, and this reader knows version {ENVELOPE_VERSION}")]
    Version(u32),
    /// The shape of an event, but not its one canonical spelling: a member that is unknown, in another place,
    /// written in another way, or missing.
    #[error("the bytes are not the canonical form of their event: they differ at byte {offset}")]
    NotCanonical {
        /// Where the first difference is.
        offset: usize,
    },
}

macro_rules! bodies {
    ($($name:literal $variant:ident($data:ty);)*) => {
        /// The type of an event.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Deserialize, serde::Serialize)]
        #[expect(missing_docs, reason = "each is documented at the type that the body carries")]
        pub enum EventType {
            $(#[serde(rename = $name)] $variant,)*
        }

        impl EventType {
            /// Every type.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// Its name in the record, as in `file.opened`.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }
        }

        impl Body {
            /// The type.
            #[must_use]
            pub const fn event_type(&self) -> EventType {
                match self { $(Self::$variant(_) => EventType::$variant,)* }
            }

            fn append_data(&self, out: &mut Vec<u8>) -> Result<(), CanonicalError> {
                match self { $(Self::$variant(data) => canonical::append(out, data),)* }
            }

            fn from_parts(kind: EventType, data: &RawValue) -> Result<Self, serde_json::Error> {
                Ok(match kind {
                    $(EventType::$variant => Self::$variant(serde_json::from_str::<$data>(data.get())?),)*
                })
            }
        }
    };
}

bodies! {
    "session.authorized" SessionAuthorized(SessionAuthorized);
    "session.provisioned" SessionProvisioned(SessionProvisioned);
    "session.started" SessionStarted(SessionStarted);
    "session.paused" SessionPaused(SessionPaused);
    "session.resumed" SessionResumed(SessionResumed);
    "session.closed" SessionClosed(SessionClosed);
    "policy.decided" PolicyDecided(PolicyDecided);
    "policy.violated" PolicyViolated(PolicyViolated);
    "process.executed" ProcessExecuted(ProcessExecuted);
    "process.exited" ProcessExited(ProcessExited);
    "file.opened" FileOpened(FileOpened);
    "file.reopened" FileReopened(FileReopened);
    "file.written" FileWritten(FileWritten);
    "file.renamed" FileRenamed(FileRenamed);
    "file.removed" FileRemoved(FileRemoved);
    "file.linked" FileLinked(FileLinked);
    "file.symlinked" FileSymlinked(FileSymlinked);
    "file.attributes_changed" AttributesChanged(AttributesChanged);
    "file.denied" FileDenied(FileDenied);
    "egress.denied" EgressDenied(EgressDenied);
    "terminal.recorded" TerminalRecorded(TerminalRecorded);
    "workspace.compared" WorkspaceCompared(WorkspaceCompared);
    "commit.created" CommitCreated(CommitCreated);
    "recorder.gap" RecorderGap(Gap);
}

impl Body {
    /// The type's name in the record, as in `file.opened`.
    #[must_use]
    pub const fn type_name(&self) -> &'static str {
        self.event_type().as_str()
    }
}

/// Most bytes that `prev` and `seq` take.
const GAP_BYTES: usize = r#""sha256:""#.len() + 64 + r#","seq":"#.len() + 16;

/// Encodes events of one session. What all of them share is encoded once.
#[derive(Debug)]
pub(crate) struct Encoder {
    on_behalf_of: Vec<u8>,
    policy: String,
    session: String,
}

impl Encoder {
    pub(crate) fn new(session: SessionId, policy: Digest, on_behalf_of: Option<&UserName>) -> Self {
        let on_behalf_of = canonical::to_vec(&on_behalf_of).unwrap_or_else(|_| b"null".to_vec());
        Self { on_behalf_of, policy: policy.to_string(), session: session.to_string() }
    }

    /// Appends both parts of an event to `out` and returns where the gap for `prev` and `seq` is.
    pub(crate) fn parts(
        &self,
        out: &mut Vec<u8>,
        id: EventId,
        draft: &Draft,
    ) -> Result<usize, EventError> {
        let start = out.len();
        let kind = draft.body.type_name();
        let gap = self
            .append_parts(out, id, draft)
            .map_err(|source| EventError::NotEncodable { kind, source })?;
        let size = out.len() - start + GAP_BYTES;
        if size > MAX_EVENT_BYTES { Err(EventError::TooLong { kind, size }) } else { Ok(gap) }
    }

    fn append_parts(
        &self,
        out: &mut Vec<u8>,
        id: EventId,
        draft: &Draft,
    ) -> Result<usize, CanonicalError> {
        out.extend_from_slice(br#"{"actor":"#);
        canonical::append(out, &draft.actor)?;
        out.extend_from_slice(br#","blobs":"#);
        canonical::append(out, &draft.blobs)?;
        out.extend_from_slice(br#","cause":"#);
        canonical::append(out, &draft.cause)?;
        out.extend_from_slice(br#","data":"#);
        draft.body.append_data(out)?;
        out.extend_from_slice(br#","id":"#);
        canonical::append(out, &id)?;
        out.extend_from_slice(br#","on_behalf_of":"#);
        out.extend_from_slice(&self.on_behalf_of);
        out.extend_from_slice(br#","policy":""#);
        out.extend_from_slice(self.policy.as_bytes());
        out.extend_from_slice(br#"","prev":"#);
        let gap = out.len();
        out.extend_from_slice(br#","session":""#);
        out.extend_from_slice(self.session.as_bytes());
        out.extend_from_slice(br#"","time":"#);
        canonical::append(out, &draft.time)?;
        out.extend_from_slice(br#","type":""#);
        out.extend_from_slice(draft.body.type_name().as_bytes());
        out.extend_from_slice(br#"","v":1}"#);
        Ok(gap)
    }
}

/// Appends what stands in the gap: the values of `prev` and `seq`.
pub(crate) fn append_gap(out: &mut Vec<u8>, prev: Option<Digest>, seq: u64) {
    let mut text = String::with_capacity(GAP_BYTES);
    let written = match prev {
        Some(prev) => write!(text, r#""{prev}","seq":{seq}"#),
        None => write!(text, r#"null,"seq":{seq}"#),
    };
    debug_assert!(written.is_ok(), "a String takes everything");
    out.extend_from_slice(text.as_bytes());
}

impl Event {
    /// Its canonical bytes.
    ///
    /// # Errors
    /// [`EventError::TooLong`], [`EventError::NotEncodable`], [`EventError::Version`].
    pub fn to_canonical(&self) -> Result<Vec<u8>, EventError> {
        let mut out = Vec::with_capacity(1024);
        self.append_canonical(&mut out)?;
        Ok(out)
    }

    fn append_canonical(&self, out: &mut Vec<u8>) -> Result<(), EventError> {
        if self.v != ENVELOPE_VERSION {
            return Err(EventError::Version(self.v));
        }
        let kind = self.body.type_name();
        let start = out.len();
        self.append_parts(out).map_err(|source| EventError::NotEncodable { kind, source })?;
        let size = out.len() - start;
        if size > MAX_EVENT_BYTES { Err(EventError::TooLong { kind, size }) } else { Ok(()) }
    }

    fn append_parts(&self, out: &mut Vec<u8>) -> Result<(), CanonicalError> {
        out.extend_from_slice(br#"{"actor":"#);
        canonical::append(out, &self.actor)?;
        out.extend_from_slice(br#","blobs":"#);
        canonical::append(out, &self.blobs)?;
        out.extend_from_slice(br#","cause":"#);
        canonical::append(out, &self.cause)?;
        out.extend_from_slice(br#","data":"#);
        self.body.append_data(out)?;
        out.extend_from_slice(br#","id":"#);
        canonical::append(out, &self.id)?;
        out.extend_from_slice(br#","on_behalf_of":"#);
        canonical::append(out, &self.on_behalf_of)?;
        out.extend_from_slice(br#","policy":"#);
        canonical::append(out, &self.policy)?;
        out.extend_from_slice(br#","prev":"#);
        canonical::append(out, &self.prev)?;
        out.extend_from_slice(br#","seq":"#);
        canonical::append(out, &self.seq)?;
        out.extend_from_slice(br#","session":"#);
        canonical::append(out, &self.session)?;
        out.extend_from_slice(br#","time":"#);
        canonical::append(out, &self.time)?;
        out.extend_from_slice(br#","type":""#);
        out.extend_from_slice(self.body.type_name().as_bytes());
        out.extend_from_slice(br#"","v":1}"#);
        Ok(())
    }

    /// Reads an event and refuses every spelling but the canonical one.
    ///
    /// # Errors
    /// [`EventError`].
    pub fn from_canonical(bytes: &[u8]) -> Result<Self, EventError> {
        Self::from_canonical_with(bytes, &mut Vec::with_capacity(bytes.len()))
    }

    /// As [`Event::from_canonical`], with a buffer that is used again.
    pub(crate) fn from_canonical_with(
        bytes: &[u8],
        scratch: &mut Vec<u8>,
    ) -> Result<Self, EventError> {
        if bytes.len() > MAX_EVENT_BYTES {
            return Err(EventError::InputTooLong { size: bytes.len() });
        }
        let raw: Raw<&RawValue> = serde_json::from_slice(bytes).map_err(EventError::Shape)?;
        let event = raw.into_event().map_err(EventError::Shape)?;
        scratch.clear();
        event.append_canonical(scratch)?;
        if scratch == bytes {
            return Ok(event);
        }
        let same = scratch.iter().zip(bytes).take_while(|(a, b)| a == b).count();
        Err(EventError::NotCanonical { offset: same })
    }
}

/// The envelope with its data not yet read, because `data` stands before `type`.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw<D> {
    actor: Actor,
    blobs: Vec<BlobRef>,
    cause: Option<EventId>,
    data: D,
    id: EventId,
    on_behalf_of: Option<UserName>,
    policy: Digest,
    prev: Option<Digest>,
    seq: u64,
    session: SessionId,
    time: Timestamp,
    r#type: EventType,
    v: u32,
}

impl<D: std::ops::Deref<Target = RawValue>> Raw<D> {
    fn into_event(self) -> Result<Event, serde_json::Error> {
        Ok(Event {
            v: self.v,
            id: self.id,
            session: self.session,
            seq: self.seq,
            prev: self.prev,
            time: self.time,
            actor: self.actor,
            on_behalf_of: self.on_behalf_of,
            policy: self.policy,
            cause: self.cause,
            body: Body::from_parts(self.r#type, &self.data)?,
            blobs: self.blobs,
        })
    }
}

/// Any JSON spelling of an event (from an API, for example); the record itself is read with
/// [`Event::from_canonical`]. Works with `serde_json` alone.
impl<'de> Deserialize<'de> for Event {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw: Raw<Box<RawValue>> = Raw::deserialize(deserializer)?;
        raw.into_event().map_err(D::Error::custom)
    }
}
