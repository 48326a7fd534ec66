//! Reads every event of a record, in parallel, and checks each by itself and against its neighbours.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read as _};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use custody_model::{Digest, SessionId, UserName};

use super::report::{Code, Finding};
use crate::event::{Body, Event, EventType, MAX_EVENT_BYTES, StoredBlob};
use crate::tlog::{
    ENTRIES_PER_BUNDLE, Frontier, entries_of, entry_path, hash_path, leaf_hash, root_of, widths,
};

/// Longest bundle that is read, in bytes, and one more, by which a longer one shows.
const MAX_BUNDLE_BYTES: u64 = ENTRIES_PER_BUNDLE * (2 + MAX_EVENT_BYTES as u64) + 1;

/// Longest hash tile, in bytes, and one more.
const MAX_TILE_BYTES: u64 = ENTRIES_PER_BUNDLE * 32 + 1;

/// A blob that an event names.
#[derive(Debug)]
pub(super) struct NamedBlob {
    pub(super) seq: u64,
    pub(super) digest: Digest,
    pub(super) size: u64,
    /// Its sealed file, if the event says that.
    pub(super) stored: Option<StoredBlob>,
}

/// What all events of a session have in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Shared {
    pub(super) session: SessionId,
    pub(super) policy: Digest,
    pub(super) on_behalf_of: Option<UserName>,
}

/// What was read of up to 256 events.
#[derive(Debug)]
pub(super) struct Chunk {
    /// Number of the first event, by its place.
    start: u64,
    entries: u64,
    leaves: Vec<Digest>,
    root: Digest,
    shared: Option<Shared>,
    first_prev: Option<Option<Digest>>,
    last_leaf: Option<Digest>,
    /// Number and time of its events, in microseconds; of those that can be read.
    times: Vec<(u64, i64)>,
    /// The numbers that the events say, where one is not its place; `None` for one that can't be read.
    seqs: Option<Vec<Option<u64>>>,
    pub(super) counts: BTreeMap<EventType, u64>,
    pub(super) blobs: Vec<NamedBlob>,
    /// Those that the attestation repeats, gaps, and the closing.
    pub(super) notable: Vec<Event>,
    pub(super) findings: Vec<Finding>,
}

impl Chunk {
    /// Reads the entries of a chunk. `tile`: the hashes that were stored for them.
    pub(super) fn read(
        start: u64,
        file: &str,
        entries: &[(u64, &[u8])],
        tile: Option<&[Digest]>,
    ) -> Self {
        let mut chunk = Self {
            start,
            entries: entries.len() as u64,
            leaves: entries.iter().map(|(_, entry)| leaf_hash(entry)).collect(),
            root: Digest::of(&[]),
            shared: None,
            first_prev: None,
            last_leaf: None,
            times: Vec::with_capacity(entries.len()),
            seqs: None,
            counts: BTreeMap::new(),
            blobs: Vec::new(),
            notable: Vec::new(),
            findings: Vec::new(),
        };
        chunk.root = root_of(&chunk.leaves);
        chunk.last_leaf = chunk.leaves.last().copied();
        let mut seqs = Vec::with_capacity(entries.len());
        let mut before: Option<Digest> = None;
        for ((place, (offset, entry)), leaf) in (start..).zip(entries).zip(chunk.leaves.clone()) {
            let at =
                |code, what: String| Finding::new(code, what).file(file).seq(place).offset(*offset);
            let stored = tile.and_then(|tile| tile.get(usize::try_from(place - start).ok()?));
            if stored.is_some_and(|stored| *stored != leaf) {
                chunk.findings.push(at(
                    Code::EventAltered,
                    "its hash is not the one in the log's tile".to_owned(),
                ));
            }
            match Event::from_canonical(entry) {
                Ok(event) => {
                    if before.is_some_and(|before| event.prev != Some(before)) {
                        let what = "it does not name the hash of the event before it".to_owned();
                        chunk.findings.push(at(Code::ChainBroken, what));
                    }
                    if place == start {
                        chunk.first_prev = Some(event.prev);
                    }
                    seqs.push(Some(event.seq));
                    chunk.take(event, &at);
                }
                Err(error) => {
                    seqs.push(None);
                    chunk.findings.push(at(Code::EventMalformed, error.to_string()));
                }
            }
            before = Some(leaf);
        }
        if (start..).zip(&seqs).any(|(place, seq)| seq.is_some_and(|seq| seq != place)) {
            chunk.seqs = Some(seqs);
        }
        chunk
    }

    fn take(&mut self, event: Event, at: &dyn Fn(Code, String) -> Finding) {
        *self.counts.entry(event.body.event_type()).or_insert(0) += 1;
        match &self.shared {
            None => {
                self.shared = Some(Shared {
                    session: event.session,
                    policy: event.policy,
                    on_behalf_of: event.on_behalf_of.clone(),
                });
            }
            Some(shared) => {
                if shared.session != event.session
                    || shared.policy != event.policy
                    || shared.on_behalf_of != event.on_behalf_of
                {
                    let what =
                        "it is of another session, policy or requester than the event before"
                            .to_owned();
                    self.findings.push(at(Code::EventForeign, what));
                }
            }
        }
        let seq = event.seq;
        self.times.push((seq, event.time.as_micros()));
        self.blobs.extend(event.blobs.iter().map(|b| NamedBlob {
            seq,
            digest: b.digest,
            size: b.size,
            stored: b.stored.clone(),
        }));
        if matches!(
            event.body,
            Body::SessionAuthorized(_)
                | Body::SessionClosed(_)
                | Body::CommitCreated(_)
                | Body::RecorderGap(_)
                | Body::WorkspaceCompared(_)
        ) {
            self.notable.push(event);
        }
    }
}

/// Everything that was read.
#[derive(Debug, Default)]
pub(super) struct Scan {
    /// In order.
    pub(super) chunks: Vec<Chunk>,
    pub(super) findings: Vec<Finding>,
}

fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, |n| n.get().min(8))
}

fn io_finding(path: &str, error: &io::Error) -> Finding {
    match error.kind() {
        io::ErrorKind::NotFound => {
            Finding::new(Code::TileMissing, "the file is missing").file(path)
        }
        _ => Finding::new(Code::Unreadable, error.to_string()).file(path),
    }
}

fn read_hashes(dir: &Path, path: &str, width: u64) -> Result<Vec<Digest>, Finding> {
    let mut bytes = Vec::new();
    let read = fs::File::open(dir.join(path))
        .and_then(|file| file.take(MAX_TILE_BYTES).read_to_end(&mut bytes));
    read.map_err(|e| io_finding(path, &e))?;
    let (hashes, rest) = bytes.as_chunks::<32>();
    if rest.is_empty() && hashes.len() as u64 == width {
        Ok(hashes.iter().copied().map(Digest::from_bytes).collect())
    } else {
        Err(Finding::new(
            Code::TileAltered,
            format!("the tile has {} bytes, not {}", bytes.len(), 32 * width),
        )
        .file(path))
    }
}

/// Reads a file into a buffer that is used again: a fresh one per bundle costs a page fault per page.
fn read_into(buffer: &mut Vec<u8>, path: &Path) -> io::Result<()> {
    buffer.clear();
    fs::File::open(path)?.take(MAX_BUNDLE_BYTES).read_to_end(buffer).map(drop)
}

fn read_chunk(
    dir: &Path,
    index: u64,
    width: u64,
    bundle: &mut Vec<u8>,
) -> (Option<Chunk>, Vec<Finding>) {
    let mut findings = Vec::new();
    let tile =
        read_hashes(dir, &hash_path(0, index, width), width).map_err(|f| findings.push(f)).ok();
    let path = entry_path(index, width);
    if let Err(error) = read_into(bundle, &dir.join(&path)) {
        findings.push(io_finding(&path, &error));
        return (None, findings);
    }
    let (entries, whole) = entries_of(bundle, width);
    if let Err(error) = &whole {
        findings.push(Finding::new(Code::BundleDamaged, error.to_string()).file(&path));
    }
    let entries: Vec<(u64, &[u8])> =
        entries.into_iter().map(|(at, entry)| (at as u64 + 2, entry)).collect();
    // With an entry too many or too few, every later hash would differ: the numbers say more then.
    let tile = tile.filter(|_| whole.is_ok());
    let mut chunk = Chunk::read(index * ENTRIES_PER_BUNDLE, &path, &entries, tile.as_deref());
    if let (Some(tile), true) = (&tile, whole.is_ok())
        && chunk.findings.iter().all(|f| f.code == Code::EventAltered)
        && *tile != chunk.leaves
    {
        // The events are well formed and chained: then it is more likely the tile that was changed. Say both.
        let what = "the tile holds other hashes than the events give";
        findings.push(Finding::new(Code::TileAltered, what).file(hash_path(0, index, width)));
    }
    findings.append(&mut chunk.findings);
    (Some(chunk), findings)
}

impl Scan {
    /// Reads the bundles and hash tiles of a log of `size` events.
    pub(super) fn tiles(dir: &Path, size: u64) -> Self {
        let work: Vec<(u64, u64)> = widths(0, size).collect();
        let next = AtomicU64::new(0);
        let done = Mutex::new(Vec::with_capacity(work.len()));
        let read_on = || {
            let mut bundle = Vec::new();
            loop {
                let at =
                    usize::try_from(next.fetch_add(1, Ordering::Relaxed)).unwrap_or(usize::MAX);
                let Some((index, width)) = work.get(at).copied() else { return };
                let read = read_chunk(dir, index, width, &mut bundle);
                done.lock().unwrap_or_else(PoisonError::into_inner).push((index, read));
            }
        };
        std::thread::scope(|scope| {
            for _ in 1..threads().min(work.len()) {
                scope.spawn(read_on);
            }
            read_on();
        });
        let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
        done.sort_by_key(|(index, _)| *index);
        let mut scan = Self::default();
        let mut missing = Vec::new();
        for (index, (chunk, mut findings)) in done {
            scan.findings.append(&mut findings);
            match chunk {
                Some(chunk) => scan.chunks.push(chunk),
                None => missing.push(index),
            }
        }
        let read = scan.entries();
        if let Some(last) = work.last()
            && missing.contains(&last.0)
        {
            let what = format!("the checkpoint says {size} events, and the log ends after {read}");
            scan.findings.push(Finding::new(Code::LogTruncated, what).seq(read));
        }
        if missing.is_empty() {
            scan.check_upper_tiles(dir, size);
        }
        scan
    }

    fn check_upper_tiles(&mut self, dir: &Path, size: u64) {
        let full = usize::try_from(size / ENTRIES_PER_BUNDLE).unwrap_or(usize::MAX);
        let mut nodes: Vec<Digest> = self.chunks.iter().take(full).map(|c| c.root).collect();
        let mut level = 1;
        while !nodes.is_empty() {
            for (tile, (index, width)) in nodes.chunks(256).zip(widths(level, size)) {
                let path = hash_path(level, index, width);
                match read_hashes(dir, &path, width) {
                    Ok(stored) if stored == tile => {}
                    Ok(_) => {
                        let what = "the tile holds other hashes than the events give";
                        self.findings.push(Finding::new(Code::TileAltered, what).file(path));
                    }
                    Err(finding) => self.findings.push(finding),
                }
            }
            nodes = nodes.chunks_exact(256).map(root_of).collect();
            level += 1;
        }
    }

    /// Number of events that were read.
    pub(super) fn entries(&self) -> u64 {
        self.chunks.iter().map(|c| c.entries).sum()
    }

    /// The root over the first `size` events, if every chunk before it is there and whole.
    pub(super) fn root_at(&self, size: u64) -> Option<Digest> {
        let full = usize::try_from(size / ENTRIES_PER_BUNDLE).ok()?;
        let part = usize::try_from(size % ENTRIES_PER_BUNDLE).ok()?;
        let whole = |(i, c): (u64, &Chunk)| {
            c.start == i * ENTRIES_PER_BUNDLE && c.entries == ENTRIES_PER_BUNDLE
        };
        if self.chunks.len() < full || !(0..).zip(&self.chunks[..full]).all(whole) {
            return None;
        }
        let roots: Vec<Digest> = self.chunks[..full].iter().map(|c| c.root).collect();
        let leaves = match (part, self.chunks.get(full)) {
            (0, _) => Vec::new(),
            (part, Some(chunk)) => chunk.leaves.get(..part)?.to_vec(),
            (_, None) => return None,
        };
        Some(Frontier::from_tiles(size, &[leaves, roots]).root())
    }

    /// The root over everything that was read.
    pub(super) fn root(&self) -> Digest {
        let size = self.entries();
        self.root_at(size).unwrap_or_else(|| root_of(self.chunks.iter().flat_map(|c| &c.leaves)))
    }

    /// What the first event says of the session.
    pub(super) fn shared(&self) -> Option<&Shared> {
        self.chunks.iter().find_map(|c| c.shared.as_ref())
    }

    /// Checks what only shows between chunks: the chain, the numbers, what all have in common.
    pub(super) fn check_neighbours(&mut self) {
        let mut findings = Vec::new();
        let mut before: Option<&Chunk> = None;
        let shared = self.shared().cloned();
        for chunk in &self.chunks {
            let adjacent = match before {
                None => chunk.start == 0,
                Some(before) => before.start + ENTRIES_PER_BUNDLE == chunk.start,
            };
            let expected = before.and_then(|c| c.last_leaf);
            if adjacent && chunk.first_prev.is_some_and(|prev| prev != expected) {
                let what = "it does not name the hash of the event before it";
                findings.push(Finding::new(Code::ChainBroken, what).seq(chunk.start));
            }
            if chunk.shared.is_some() && chunk.shared != shared {
                let what = "it is of another session, policy or requester than the first event";
                findings.push(Finding::new(Code::EventForeign, what).seq(chunk.start));
            }
            before = Some(chunk);
        }
        if self.chunks.iter().any(|c| c.seqs.is_some()) {
            findings.append(&mut self.check_numbers());
        }
        self.findings.append(&mut findings);
    }

    /// Says once, of the longest time that it was set back by, that the clock was set back.
    pub(super) fn check_clock(&mut self) {
        let mut latest = i64::MIN;
        let mut longest: Option<(i64, u64)> = None;
        for (seq, time) in self.chunks.iter().flat_map(|chunk| &chunk.times).copied() {
            let by = latest.saturating_sub(time);
            if latest != i64::MIN && by > super::CLOCK_TOLERANCE && longest.is_none_or(|l| by > l.0)
            {
                longest = Some((by, seq));
            }
            latest = latest.max(time);
        }
        if let Some((by, seq)) = longest {
            let what = format!(
                "the clock was set back while the session ran: this event's time is {}.{:03} s before that of one before it",
                by / 1_000_000,
                by / 1000 % 1000
            );
            self.findings.push(Finding::new(Code::ClockSetBack, what).seq(seq));
        }
    }

    fn check_numbers(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        let mut seen = std::collections::BTreeSet::new();
        let mut highest: Option<u64> = None;
        for chunk in &self.chunks {
            let places = chunk.start..chunk.start + chunk.entries;
            let numbers: Vec<(u64, Option<u64>)> = match &chunk.seqs {
                Some(seqs) => places.zip(seqs.iter().copied()).collect(),
                None => places.map(|place| (place, Some(place))).collect(),
            };
            for (place, number) in numbers {
                // One that can't be read has its own finding; it is there.
                let number = number.unwrap_or(place);
                if !seen.insert(number) {
                    let what = format!("event {number} is there again, at place {place}");
                    findings.push(Finding::new(Code::EventDuplicated, what).seq(number));
                } else if highest.is_some_and(|highest| number < highest) {
                    let what = format!(
                        "event {number} stands at place {place}, after one with a higher number"
                    );
                    findings.push(Finding::new(Code::EventOutOfOrder, what).seq(number));
                }
                highest = highest.max(Some(number));
            }
        }
        let absent_chunk = |seq: u64| !self.chunks.iter().any(|c| c.start / 256 == seq / 256);
        let mut expected = 0;
        for seq in seen {
            for missing in expected..seq {
                if findings.len() > super::MAX_FINDINGS {
                    return findings;
                }
                if !absent_chunk(missing) {
                    findings.push(
                        Finding::new(Code::EventMissing, format!("event {missing} is missing"))
                            .seq(missing),
                    );
                }
            }
            expected = seq + 1;
        }
        findings
    }
}
