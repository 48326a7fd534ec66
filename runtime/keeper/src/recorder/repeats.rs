//! Repeats of the same open by the same process image: counted, not repeated.

use std::collections::{HashMap, HashSet};

use custody_model::{Digest, EventId, ImageId, ProcessRef, WorkspacePath};
use custody_record::event::{
    Access, FileOpened, FileOutside, FileRead, FileReopened, Operation, Uncertain,
};

/// Whose repeats are counted together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Owner {
    /// All processes of one image.
    Image(ImageId),
    /// A process whose image is not known.
    Process(u32),
}

impl From<ProcessRef> for Owner {
    fn from(process: ProcessRef) -> Self {
        process.image.map_or(Self::Process(process.pid), Self::Image)
    }
}

/// What was opened before, by whom, and how often since.
#[derive(Debug, Default)]
pub(super) struct Repeats {
    owners: HashMap<Owner, HashMap<(WorkspacePath, Access), Seen>>,
    /// Reads and executions outside of the workspace: recorded once, and not counted.
    outside: HashMap<Owner, HashSet<(String, Operation, Option<Digest>)>>,
}

#[derive(Debug)]
struct Seen {
    process: ProcessRef,
    first: EventId,
    content: FileRead,
    uncertain: Option<Uncertain>,
    count: u64,
}

/// Counted repeats of one open, ready for the record.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Repeat {
    pub(super) process: ProcessRef,
    pub(super) first: EventId,
    pub(super) body: FileReopened,
}

impl Repeats {
    /// Counts `opened` if it is a repeat of what the record tells already.
    pub(super) fn again(&mut self, process: ProcessRef, opened: &FileOpened) -> bool {
        let seen = self.owners.get_mut(&process.into()).and_then(|paths| {
            // A key is made for each look-up; paths are short, and a borrowed pair can't be looked up.
            paths.get_mut(&(opened.path.clone(), opened.access))
        });
        match seen {
            Some(seen)
                if (&seen.content, seen.uncertain) == (&opened.content, opened.uncertain) =>
            {
                seen.count += 1;
                true
            }
            Some(_) | None => false,
        }
    }

    /// Whether this access outside of the workspace is on record already; remembers it otherwise. Changes are recorded each
    /// time.
    pub(super) fn is_known(&mut self, process: ProcessRef, outside: &FileOutside) -> bool {
        if !matches!(outside.operation, Operation::Read | Operation::Execute | Operation::Open) {
            return false;
        }
        let digest = outside.content.as_ref().and_then(|content| content.digest);
        let key = (outside.path.clone(), outside.operation, digest);
        !self.outside.entry(process.into()).or_default().insert(key)
    }

    /// Takes the counts of another content of the same path out.
    pub(super) fn forget(&mut self, process: ProcessRef, opened: &FileOpened) -> Option<Repeat> {
        let key = (opened.path.clone(), opened.access);
        let seen = self.owners.get_mut(&process.into())?.remove(&key)?;
        told(key, seen)
    }

    /// Remembers what the record tells now by the event `first`.
    pub(super) fn first(&mut self, process: ProcessRef, opened: FileOpened, first: EventId) {
        let FileOpened { path, access, content, uncertain, kind: _ } = opened;
        let seen = Seen { process, first, content, uncertain, count: 0 };
        self.owners.entry(process.into()).or_default().insert((path, access), seen);
    }

    /// Takes all counts of `owner` out, in the order of the paths.
    pub(super) fn take(&mut self, owner: Owner) -> Vec<Repeat> {
        self.outside.remove(&owner);
        let paths = self.owners.remove(&owner).unwrap_or_default();
        let mut repeats: Vec<Repeat> =
            paths.into_iter().filter_map(|(key, seen)| told(key, seen)).collect();
        repeats.sort_by(|a, b| a.body.path.cmp(&b.body.path));
        repeats
    }

    /// Everybody who has counts.
    pub(super) fn owners(&self) -> Vec<Owner> {
        self.owners.keys().copied().collect()
    }
}

fn told((path, access): (WorkspacePath, Access), seen: Seen) -> Option<Repeat> {
    (seen.count > 0).then_some(Repeat {
        process: seen.process,
        first: seen.first,
        body: FileReopened { path, access, count: seen.count },
    })
}
