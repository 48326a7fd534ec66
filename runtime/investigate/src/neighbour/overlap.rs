//! How two sessions overlap: which files, who did what to them, and when. Pure: rows in, a ranking out.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use custody_model::{SessionId, Timestamp, WorkspacePath};
use custody_store::FileRow;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// When a session ran.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// From here …
    pub from: Timestamp,
    /// … to here; absent while it lives.
    pub until: Option<Timestamp>,
}

/// When a neighbour touched the shared files, beside the session.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Relation {
    /// While it ran, or from before it until after.
    During,
    /// Before it began.
    Before,
    /// After it had ended.
    After,
}

/// What a session did to a file.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Deed {
    /// Opened it for its content, or ran it.
    Read,
    /// Created, wrote or truncated it, or renamed something to it.
    Written,
    /// Removed it or renamed it away.
    Removed,
    /// Was refused access.
    Denied,
}

/// Who changed a shared file and who read it, the most telling first. To change is to write or to remove.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum WhoDid {
    /// Both changed it.
    BothChanged,
    /// The neighbour read what the session changed.
    NeighbourRead,
    /// The neighbour changed what the session read.
    NeighbourChanged,
    /// Both read it.
    BothRead,
    /// One of them was refused access, and did nothing else to it.
    Refused,
}

/// One session's part in a shared file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Side {
    /// What it did to it.
    pub deeds: BTreeSet<Deed>,
    /// When first.
    pub first_at: Timestamp,
    /// When last.
    pub last_at: Timestamp,
    /// The event of its record that tells of it first: its place in the log …
    pub first_seq: u64,
    /// … and that of the last one.
    pub last_seq: u64,
}

/// A file that both touched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SharedPath {
    /// Which.
    pub path: WorkspacePath,
    /// Who changed it and who read it.
    pub who: WhoDid,
    /// What the session did.
    pub session: Side,
    /// What the neighbour did.
    pub neighbour: Side,
}

/// How a neighbour overlaps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Overlap {
    /// When.
    pub relation: Relation,
    /// The most telling of what happened to a shared file.
    pub who: WhoDid,
    /// Shared files, the most telling first.
    pub paths: Vec<SharedPath>,
    /// How many there are.
    pub path_count: u64,
}

/// The sessions of `theirs` that overlap with `own`, the most telling first: those that touched `first`; then by who
/// changed and who read, whether they ran during the session, how many such files there are, how near they are in
/// time. At most `paths` files are named of each.
#[must_use]
pub fn overlaps(
    own: &[FileRow],
    theirs: &[FileRow],
    span: Span,
    first: Option<&WorkspacePath>,
    paths: usize,
) -> Vec<(SessionId, Overlap)> {
    let own: HashMap<&WorkspacePath, &FileRow> = own.iter().map(|row| (&row.path, row)).collect();
    let mut sessions: BTreeMap<SessionId, Vec<(&FileRow, &FileRow)>> = BTreeMap::new();
    for row in theirs {
        if let Some(ours) = own.get(&row.path)
            && ours.session != row.session
        {
            sessions.entry(row.session).or_default().push((ours, row));
        }
    }
    let mut found: Vec<_> = sessions
        .into_iter()
        .filter_map(|(session, shared)| ranked(session, &shared, span, first, paths))
        .collect();
    found.sort_by(|(a, ..), (b, ..)| a.cmp(b));
    found.into_iter().map(|(rank, overlap)| (rank.session, overlap)).collect()
}

/// What decides about the order, the first member first.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    misses_first: bool,
    who: WhoDid,
    relation: Relation,
    files: Reverse<usize>,
    micros_away: u64,
    session: SessionId,
}

fn ranked(
    session: SessionId,
    shared: &[(&FileRow, &FileRow)],
    span: Span,
    first: Option<&WorkspacePath>,
    paths: usize,
) -> Option<(Rank, Overlap)> {
    let began = shared.iter().map(|(_, row)| row.first_at).min()?;
    let ended = shared.iter().map(|(_, row)| row.last_at).max()?;
    let (relation, micros_away) = if ended < span.from {
        (Relation::Before, span.from.micros_since(ended))
    } else if let Some(until) = span.until.filter(|until| began > *until) {
        (Relation::After, began.micros_since(until))
    } else {
        (Relation::During, 0)
    };
    let mut named: Vec<(WhoDid, &(&FileRow, &FileRow))> =
        shared.iter().map(|pair| (who(pair.0, pair.1), pair)).collect();
    let strongest = named.iter().map(|(who, _)| *who).min()?;
    let rank = Rank {
        misses_first: first.is_some_and(|first| shared.iter().all(|(row, _)| row.path != *first)),
        who: strongest,
        relation,
        files: Reverse(named.iter().filter(|(who, _)| *who == strongest).count()),
        micros_away,
        session,
    };
    named.sort_by_key(|(who, (row, _))| (Some(&row.path) != first, *who, &row.path));
    let path_count = named.len() as u64;
    let paths = named
        .into_iter()
        .take(paths)
        .map(|(who, (ours, theirs))| SharedPath {
            path: ours.path.clone(),
            who,
            session: side(ours),
            neighbour: side(theirs),
        })
        .collect();
    Some((rank, Overlap { relation, who: strongest, paths, path_count }))
}

/// Which of a session's files are compared first.
pub(super) fn worth(row: &FileRow, first: Option<&WorkspacePath>) -> (bool, bool, bool) {
    (Some(&row.path) != first, !changed(row), !row.touch.read)
}

pub(super) fn changed(row: &FileRow) -> bool {
    row.touch.written || row.touch.removed
}

fn who(ours: &FileRow, theirs: &FileRow) -> WhoDid {
    match (changed(ours), changed(theirs)) {
        (true, true) => WhoDid::BothChanged,
        (true, false) if theirs.touch.read => WhoDid::NeighbourRead,
        (false, true) if ours.touch.read => WhoDid::NeighbourChanged,
        (false, false) if ours.touch.read && theirs.touch.read => WhoDid::BothRead,
        (true, false) | (false, true) | (false, false) => WhoDid::Refused,
    }
}

fn side(row: &FileRow) -> Side {
    let deeds = [
        (row.touch.read, Deed::Read),
        (row.touch.written, Deed::Written),
        (row.touch.removed, Deed::Removed),
        (row.touch.denied, Deed::Denied),
    ];
    Side {
        deeds: deeds.into_iter().filter(|(did, _)| *did).map(|(_, deed)| deed).collect(),
        first_at: row.first_at,
        last_at: row.last_at,
        first_seq: row.first_seq,
        last_seq: row.last_seq,
    }
}

#[cfg(test)]
mod tests;
