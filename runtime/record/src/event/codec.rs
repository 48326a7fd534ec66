//! Events to canonical bytes and back, byte for byte.
//!
//! An event's members in canonical order are `actor, blobs, cause, data, id, on_behalf_of, policy, prev, seq,
//! session, time, type, v`. All but `prev` and `seq` are known before the event has its place, so whoever appends
//! encodes them ([`Encoder`]) and the one writer only fills the gap between the two parts.
//!
//! Reading has two ways with one meaning. The strict one ([`Form`]) takes the canonical spelling and nothing else. What
//! it refuses is decoded by serde and written again by serde, which tells where and why the bytes are not canonical.

use std::ops::Range;

use custody_model::{Actor, Digest, EventId, SessionId, Timestamp, UserName};
use serde::de::{Deserialize, Deserializer, Error as _};
use serde_json::value::RawValue;

use super::form::{Cursor, Form};
use super::{
    AttributesChanged, BlobRef, Body, CommitCreated, Draft, ENVELOPE_VERSION, EgressDenied, Event,
    FileDenied, FileLinked, FileOpened, FileOutside, FileRemoved, FileRenamed, FileReopened,
    FileSymlinked, FileWritten, Gap, MAX_EVENT_BYTES, PolicyDecided, PolicyViolated,
    ProcessExecuted, ProcessExited, RecorderDegraded, RecorderRestored, RedactionApplied,
    SessionAuthorized, SessionClosed, SessionPaused, SessionProvisioned, SessionResumed,
    SessionStarted, TerminalRecorded, WorkspaceCompared,
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

        impl EventType {
            /// The type of this name.
            fn from_name(name: &str) -> Option<Self> {
                match name {
                    $($name => Some(Self::$variant),)*
                    _ => None,
                }
            }
        }

        impl Body {
            /// The type.
            #[must_use]
            pub const fn event_type(&self) -> EventType {
                match self { $(Self::$variant(_) => EventType::$variant,)* }
            }

            fn append_data(&self, out: &mut Vec<u8>) -> Result<(), CanonicalError> {
                match self { $(Self::$variant(data) => data.write(out),)* }
            }

            fn read_data(kind: EventType, input: &mut Cursor<'_>) -> Option<Self> {
                match kind { $(EventType::$variant => Form::read(input).map(Self::$variant),)* }
            }

            /// The data as serde writes it.
            fn append_data_with_serde(&self, out: &mut Vec<u8>) -> Result<(), CanonicalError> {
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
    "file.outside" FileOutside(FileOutside);
    "egress.denied" EgressDenied(EgressDenied);
    "terminal.recorded" TerminalRecorded(TerminalRecorded);
    "workspace.compared" WorkspaceCompared(WorkspaceCompared);
    "commit.created" CommitCreated(CommitCreated);
    "redaction.applied" RedactionApplied(RedactionApplied);
    "recorder.gap" RecorderGap(Gap);
    "recorder.degraded" RecorderDegraded(RecorderDegraded);
    "recorder.restored" RecorderRestored(RecorderRestored);
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

/// What stands after the name of the type.
const END: &[u8] = br#"","v":1}"#;

/// Encodes events of one session. What all of them share is encoded once.
#[derive(Debug)]
pub(crate) struct Encoder {
    /// From `on_behalf_of` to the gap, and from the gap to `time`.
    before_gap: Vec<u8>,
    after_gap: Vec<u8>,
}

/// Where the parts of an event are in the bytes that [`Encoder::parts`] appended to.
#[derive(Clone, Debug)]
pub(crate) struct Parts {
    /// Where the event begins.
    pub(crate) start: usize,
    /// The value of `data`.
    pub(crate) data: Range<usize>,
    /// Where the values of `prev` and `seq` go.
    pub(crate) gap: usize,
    /// Most bytes that the event has.
    pub(crate) size: usize,
}

impl Encoder {
    pub(crate) fn new(session: SessionId, policy: Digest, on_behalf_of: Option<&UserName>) -> Self {
        let user = canonical::to_vec(&on_behalf_of).unwrap_or_else(|_| b"null".to_vec());
        let policy = format!(r#","policy":"{policy}","prev":"#);
        let before_gap = [br#","on_behalf_of":"#, &*user, policy.as_bytes()].concat();
        let after_gap = format!(r#","session":"{session}","time":"#).into_bytes();
        Self { before_gap, after_gap }
    }

    /// Appends both parts of an event to `out`: what stands before the gap for `prev` and `seq`, and what stands after it.
    /// Whether it has room is the writer's to judge.
    pub(crate) fn parts(
        &self,
        out: &mut Vec<u8>,
        id: EventId,
        draft: &Draft,
    ) -> Result<Parts, EventError> {
        let start = out.len();
        let kind = draft.body.type_name();
        let (data, gap) = self
            .append_parts(out, id, draft)
            .map_err(|source| EventError::NotEncodable { kind, source })?;
        Ok(Parts { start, data, gap, size: out.len() - start + GAP_BYTES })
    }

    fn append_parts(
        &self,
        out: &mut Vec<u8>,
        id: EventId,
        draft: &Draft,
    ) -> Result<(Range<usize>, usize), CanonicalError> {
        out.extend_from_slice(br#"{"actor":"#);
        draft.actor.write(out)?;
        out.extend_from_slice(br#","blobs":"#);
        draft.blobs.write(out)?;
        out.extend_from_slice(br#","cause":"#);
        draft.cause.write(out)?;
        out.extend_from_slice(br#","data":"#);
        let start = out.len();
        draft.body.append_data(out)?;
        let data = start..out.len();
        out.extend_from_slice(br#","id":"#);
        id.write(out)?;
        out.extend_from_slice(&self.before_gap);
        let gap = out.len();
        out.extend_from_slice(&self.after_gap);
        draft.time.write(out)?;
        out.extend_from_slice(br#","type":""#);
        out.extend_from_slice(draft.body.type_name().as_bytes());
        out.extend_from_slice(END);
        Ok((data, gap))
    }
}

/// Appends what stands in the gap: the values of `prev` and `seq`.
pub(crate) fn append_gap(out: &mut Vec<u8>, prev: Option<Digest>, seq: u64) {
    let written = append_gap_checked(out, prev, seq);
    debug_assert!(written.is_ok(), "no journal has 2^53 events");
}

fn append_gap_checked(
    out: &mut Vec<u8>,
    prev: Option<Digest>,
    seq: u64,
) -> Result<(), CanonicalError> {
    prev.write(out)?;
    out.extend_from_slice(br#","seq":"#);
    seq.write(out)
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
        self.append_with(out, Self::append_members)
    }

    fn append_with(
        &self,
        out: &mut Vec<u8>,
        append: impl FnOnce(&Self, &mut Vec<u8>) -> Result<(), CanonicalError>,
    ) -> Result<(), EventError> {
        if self.v != ENVELOPE_VERSION {
            return Err(EventError::Version(self.v));
        }
        let kind = self.body.type_name();
        let start = out.len();
        append(self, out).map_err(|source| EventError::NotEncodable { kind, source })?;
        let size = out.len() - start;
        if size > MAX_EVENT_BYTES { Err(EventError::TooLong { kind, size }) } else { Ok(()) }
    }

    fn append_members(&self, out: &mut Vec<u8>) -> Result<(), CanonicalError> {
        out.extend_from_slice(br#"{"actor":"#);
        self.actor.write(out)?;
        out.extend_from_slice(br#","blobs":"#);
        self.blobs.write(out)?;
        out.extend_from_slice(br#","cause":"#);
        self.cause.write(out)?;
        out.extend_from_slice(br#","data":"#);
        self.body.append_data(out)?;
        out.extend_from_slice(br#","id":"#);
        self.id.write(out)?;
        out.extend_from_slice(br#","on_behalf_of":"#);
        self.on_behalf_of.write(out)?;
        out.extend_from_slice(br#","policy":"#);
        self.policy.write(out)?;
        out.extend_from_slice(br#","prev":"#);
        append_gap_checked(out, self.prev, self.seq)?;
        out.extend_from_slice(br#","session":"#);
        self.session.write(out)?;
        out.extend_from_slice(br#","time":"#);
        self.time.write(out)?;
        out.extend_from_slice(br#","type":""#);
        out.extend_from_slice(self.body.type_name().as_bytes());
        out.extend_from_slice(END);
        Ok(())
    }

    fn append_members_with_serde(&self, out: &mut Vec<u8>) -> Result<(), CanonicalError> {
        out.extend_from_slice(br#"{"actor":"#);
        canonical::append(out, &self.actor)?;
        out.extend_from_slice(br#","blobs":"#);
        canonical::append(out, &self.blobs)?;
        out.extend_from_slice(br#","cause":"#);
        canonical::append(out, &self.cause)?;
        out.extend_from_slice(br#","data":"#);
        self.body.append_data_with_serde(out)?;
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
        out.extend_from_slice(END);
        Ok(())
    }

    /// Reads an event and refuses every spelling but the canonical one.
    ///
    /// # Errors
    /// [`EventError`].
    pub fn from_canonical(bytes: &[u8]) -> Result<Self, EventError> {
        if bytes.len() > MAX_EVENT_BYTES {
            return Err(EventError::InputTooLong { size: bytes.len() });
        }
        match Self::read_strictly(bytes) {
            Some(event) => Ok(event),
            None => Self::read_and_compare(bytes),
        }
    }

    /// Reads the canonical spelling and nothing else.
    pub(super) fn read_strictly(bytes: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?;
        // `data` stands before `type`, and only the type says what it is: look ahead. That the type is where it was
        // looked for is checked when the reading gets there.
        let end = std::str::from_utf8(END).ok()?;
        let (_, name) = text.strip_suffix(end)?.rsplit_once('"')?;
        let kind = EventType::from_name(name)?;

        let mut input = Cursor::new(text);
        input.expect(r#"{"actor":"#)?;
        let actor = Form::read(&mut input)?;
        input.expect(r#","blobs":"#)?;
        let blobs = Form::read(&mut input)?;
        input.expect(r#","cause":"#)?;
        let cause = Form::read(&mut input)?;
        input.expect(r#","data":"#)?;
        let body = Body::read_data(kind, &mut input)?;
        input.expect(r#","id":"#)?;
        let id = Form::read(&mut input)?;
        input.expect(r#","on_behalf_of":"#)?;
        let on_behalf_of = Form::read(&mut input)?;
        input.expect(r#","policy":"#)?;
        let policy = Form::read(&mut input)?;
        input.expect(r#","prev":"#)?;
        let prev = Form::read(&mut input)?;
        input.expect(r#","seq":"#)?;
        let seq = Form::read(&mut input)?;
        input.expect(r#","session":"#)?;
        let session = Form::read(&mut input)?;
        input.expect(r#","time":"#)?;
        let time = Form::read(&mut input)?;
        input.expect(r#","type":""#)?;
        input.expect(name)?;
        input.expect(end)?;
        let v = ENVELOPE_VERSION;
        input.is_at_end().then_some(Self {
            v,
            id,
            session,
            seq,
            prev,
            time,
            actor,
            on_behalf_of,
            policy,
            cause,
            body,
            blobs,
        })
    }

    /// Decodes with serde, writes again with serde and compares.
    pub(super) fn read_and_compare(bytes: &[u8]) -> Result<Self, EventError> {
        let raw: Raw<&RawValue> = serde_json::from_slice(bytes).map_err(EventError::Shape)?;
        let event = raw.into_event().map_err(EventError::Shape)?;
        let mut again = Vec::with_capacity(bytes.len());
        event.append_with(&mut again, Self::append_members_with_serde)?;
        if again == bytes {
            return Ok(event);
        }
        let same = again.iter().zip(bytes).take_while(|(a, b)| a == b).count();
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
