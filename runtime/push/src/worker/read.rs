//! What is next in a record, read and put into the form in which it is sent.

use std::path::Path;

use custody_export::{CLOUD_EVENT, Content, ContentError, Format, Patch, cloud_event, export};
use custody_model::Digest;
use custody_record::event::CommitCreated;
use custody_record::tlog::leaf_hash;
use custody_record::{Event, ReadError, Reader, Tail};

use crate::destination::{Destination, Kind};
use crate::place::Session;

/// Events that are read at once.
const READ: usize = 512;

/// Bytes of one delivery, but for a single event that is longer.
const BODY: usize = 1 << 20;

/// Bytes of spans that are held at once.
const SPANS: usize = 8 << 20;

/// CloudEvents in batched mode.
const BATCH: &str = "application/cloudevents-batch+json";

/// What is next in a session.
pub(super) enum Found {
    /// Nothing now.
    Nothing,
    /// It is not the record that was sent before.
    Other,
    /// This.
    Events {
        /// What is sent; absent if the destination wants none of it.
        batch: Option<Batch>,
        /// Events that it does not want.
        filtered: u64,
        /// Where it stands after that.
        to: Session,
    },
}

/// One delivery.
pub(super) struct Batch {
    pub(super) id: String,
    pub(super) media_type: &'static str,
    pub(super) body: Vec<u8>,
    pub(super) events: u64,
}

/// Whether it never gets better.
pub(super) fn is_damage(error: &ReadError) -> bool {
    match error {
        ReadError::NoRecord(_) | ReadError::Io { .. } | ReadError::Key(_) => false,
        ReadError::Frame(_)
        | ReadError::Header(_)
        | ReadError::Foreign { .. }
        | ReadError::Note(_)
        | ReadError::Checkpoint(_)
        | ReadError::Bundle { .. }
        | ReadError::Event { .. } => true,
    }
}

fn parsed(seq: u64, entry: &[u8]) -> Result<Event, ReadError> {
    Event::from_canonical(entry).map_err(|source| ReadError::Event { seq, source })
}

/// The next events of a record after `from`.
pub(super) fn events(
    record: &Path,
    from: &Session,
    destination: &Destination,
) -> Result<Found, ReadError> {
    let limit = match &destination.kind {
        Kind::Webhook { batch, .. } => *batch,
        Kind::Otlp { .. } => 1,
    };
    let fresh = Tail::new(record, from.next).read(READ)?;
    if fresh.entries.is_empty() {
        if !fresh.end {
            return Ok(Found::Nothing);
        }
        let same = is_last(record, from)?;
        let done = Session { done: true, ..from.clone() };
        return Ok(match same {
            true => Found::Events { batch: None, filtered: 0, to: done },
            false => Found::Other,
        });
    }
    let (mut bodies, mut bytes, mut ids) = (Vec::new(), 0, Vec::new());
    let (mut filtered, mut to) = (0, from.clone());
    for entry in &fresh.entries {
        let event = parsed(to.next, entry)?;
        if event.prev != to.last {
            return Ok(Found::Other);
        }
        if destination.wants(event.body.type_name()) {
            // What is canonical is JSON.
            let body = cloud_event(&event, entry).unwrap_or_default();
            if bodies.len() == limit || (!bodies.is_empty() && bytes + body.len() > BODY) {
                break;
            }
            bytes += body.len();
            ids.push((event.id, event.seq));
            bodies.push(body);
        } else {
            filtered += 1;
        }
        to.next += 1;
        to.last = Some(leaf_hash(entry));
    }
    let taken = usize::try_from(to.next - from.next).unwrap_or(usize::MAX);
    to.done = fresh.end && taken == fresh.entries.len();
    let events = bodies.len() as u64;
    let batch = match (ids.as_slice(), limit) {
        ([], _) => None,
        ([(id, _)], 1) => Some(Batch {
            id: id.to_string(),
            media_type: CLOUD_EVENT,
            body: bodies.concat(),
            events,
        }),
        ([(id, first), .., (_, last)], _) => Some(batched(format!("{id}.{first}-{last}"), &bodies)),
        ([(id, first)], _) => Some(batched(format!("{id}.{first}-{first}"), &bodies)),
    };
    Ok(Found::Events { batch, filtered, to })
}

fn batched(id: String, bodies: &[Vec<u8>]) -> Batch {
    let body = [b"[".as_slice(), &bodies.join(&b','), b"]"].concat();
    Batch { id, media_type: BATCH, body, events: bodies.len() as u64 }
}

/// Whether a sealed record ends with the event that was sent last.
fn is_last(record: &Path, from: &Session) -> Result<bool, ReadError> {
    let reader = Reader::open(record)?;
    let last = match from.next.checked_sub(1) {
        Some(seq) => reader.entry(seq)?.map(|entry| leaf_hash(&entry)),
        None => None,
    };
    Ok(last == from.last && reader.entry(from.next)?.is_none())
}

/// Lines of an export.
pub(super) struct Lines {
    pub(super) lines: Vec<Vec<u8>>,
    /// They are the last ones.
    pub(super) end: bool,
}

/// Spans are made of events alone.
struct NoContent;

impl Content for NoContent {
    fn blob(&self, _: &Digest) -> Result<Option<Vec<u8>>, ContentError> {
        Ok(None)
    }

    fn patch(&self, _: &CommitCreated) -> Result<Patch, ContentError> {
        Ok(Patch::Absent)
    }
}

/// The lines of spans from line `from` on; `None` if the record is not closed yet.
pub(super) fn spans(record: &Path, from: u64) -> Result<Option<Lines>, ReadError> {
    let reader = match Reader::open(record) {
        Ok(reader) if reader.is_sealed() => reader,
        Ok(_) | Err(ReadError::NoRecord(_)) => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut spans = export(Format::Otlp, env!("CARGO_PKG_VERSION"));
    let (mut out, mut lines, mut seen, mut held) = (Vec::new(), Vec::new(), 0_u64, 0);
    let mut take = |out: &mut Vec<u8>, lines: &mut Vec<Vec<u8>>| {
        for line in out.split(|b| *b == b'\n').filter(|line| !line.is_empty()) {
            if seen >= from {
                held += line.len();
                lines.push(line.to_vec());
            }
            seen += 1;
        }
        out.clear();
        held > SPANS
    };
    for (seq, entry) in (0..).zip(reader.entries()?) {
        let entry = entry?;
        let event = parsed(seq, &entry)?;
        // It reads no content, and what is canonical is JSON.
        let _ = spans.event(&event, &entry, &NoContent, &mut out);
        if take(&mut out, &mut lines) {
            return Ok(Some(Lines { lines, end: false }));
        }
    }
    let _ = spans.finish(&mut out);
    take(&mut out, &mut lines);
    Ok(Some(Lines { lines, end: true }))
}

/// Spans that a collector says it did not take (`ExportTraceServiceResponse`).
pub(super) fn rejected(answer: &[u8]) -> u64 {
    let Ok(answer) = serde_json::from_slice::<serde_json::Value>(answer) else { return 0 };
    let count = &answer["partialSuccess"]["rejectedSpans"];
    count.as_u64().or_else(|| count.as_str()?.parse().ok()).unwrap_or(0)
}
