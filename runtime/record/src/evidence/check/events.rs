//! The events of a pack, line by line as they come.

use std::collections::BTreeMap;

use custody_model::{Digest, UserName};

use super::Check;
use crate::canonical;
use crate::event::{Body, Event, MAX_EVENT_BYTES, SessionClosed};
use crate::evidence::export::WithheldLine;
use crate::evidence::manifest::PackFile;
use crate::seal::Summary;
use crate::tlog::{Frontier, leaf_hash};
use crate::verify::{Code, Finding};

/// What was read of the events.
#[derive(Default)]
pub(super) struct Events {
    line: Vec<u8>,
    pub(super) frontier: Frontier,
    pub(super) before: Option<Digest>,
    pub(super) shown: u64,
    pub(super) shared: Option<(custody_model::SessionId, Digest, Option<UserName>)>,
    pub(super) summary: Option<Summary>,
    /// With its place.
    pub(super) closed: Option<(u64, SessionClosed)>,
    pub(super) counts: BTreeMap<String, u64>,
    pub(super) blobs: BTreeMap<Digest, u64>,
    /// Leaf hashes of those of which there are proofs.
    pub(super) proved: BTreeMap<u64, Digest>,
}

impl Check<'_> {
    /// Takes bytes of the file of events.
    pub(super) fn lines(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while let Some(at) = rest.iter().position(|byte| *byte == b'\n') {
            let mut line = std::mem::take(&mut self.events.line);
            line.extend_from_slice(&rest[..at]);
            self.line(&line);
            line.clear();
            self.events.line = line;
            rest = &rest[at + 1..];
        }
        // One byte more than an event may have is enough to see that it is too long.
        let room = (MAX_EVENT_BYTES + 1).saturating_sub(self.events.line.len());
        self.events.line.extend_from_slice(&rest[..rest.len().min(room)]);
    }

    pub(super) fn end_of_lines(&mut self) {
        if !self.events.line.is_empty() {
            self.at(PackFile::Events, Code::PackMalformed, "the last line has no end");
        }
    }

    fn line(&mut self, line: &[u8]) {
        let seq = self.events.frontier.size();
        let at = |code, what: String| {
            Finding::new(code, what).file(PackFile::Events.to_string()).seq(seq)
        };
        if line.starts_with(br#"{"withheld":"#) {
            let withheld = serde_json::from_slice::<WithheldLine>(line).ok();
            let withheld =
                withheld.filter(|w| canonical::to_vec(w).is_ok_and(|bytes| bytes == line));
            match withheld {
                Some(WithheldLine { withheld }) => self.leaf(withheld),
                None => {
                    self.found(at(Code::EventMalformed, "no leaf hash stands there".into()));
                    self.leaf(leaf_hash(line));
                }
            }
            return;
        }
        match Event::from_canonical(line) {
            Ok(event) => {
                if event.seq != seq {
                    let what = format!("event {} stands in the place of event {seq}", event.seq);
                    self.found(at(Code::EventOutOfOrder, what));
                }
                if event.prev != self.events.before {
                    let what = "it does not name the hash of the event before it".to_owned();
                    self.found(at(Code::ChainBroken, what));
                }
                if let Body::RecorderGap(gap) = &event.body {
                    self.found(at(Code::Gap, gap.reason.clone()));
                }
                if let Body::WorkspaceCompared(compared) = &event.body
                    && let Some(what) = compared.gap()
                {
                    self.found(at(Code::Gap, what));
                }
                if let Some(foreign) = self.events.take(event) {
                    self.found(at(Code::EventForeign, foreign.to_owned()));
                }
            }
            Err(error) => self.found(at(Code::EventMalformed, error.to_string())),
        }
        self.events.shown += 1;
        self.leaf(leaf_hash(line));
    }

    fn leaf(&mut self, leaf: Digest) {
        let events = &mut self.events;
        if let Some(proved) = events.proved.get_mut(&events.frontier.size()) {
            *proved = leaf;
        }
        events.before = Some(leaf);
        events.frontier.push(leaf);
    }
}

impl Events {
    /// Takes an event that is well formed; what is foreign about it, if something is.
    fn take(&mut self, event: Event) -> Option<&'static str> {
        let shared = (event.session, event.policy, event.on_behalf_of.clone());
        let foreign = self.shared.as_ref().is_some_and(|known| *known != shared);
        let summary = self.summary.get_or_insert_with(|| Summary::new(event.session, event.policy));
        summary.take(&event);
        self.shared.get_or_insert(shared);
        *self.counts.entry(event.body.event_type().as_str().to_owned()).or_insert(0) += 1;
        self.blobs.extend(event.blobs.iter().map(|blob| (blob.digest, blob.size)));
        if let Body::SessionClosed(closed) = event.body {
            self.closed = Some((self.frontier.size(), closed));
        }
        foreign.then_some("it is of another session, policy or requester than the first one")
    }
}
