//! After the death of a keeper: cut the torn tail off and go on appending.

use std::fs::File;
use std::io::{self, BufReader, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;

use super::begin::lock;
use super::frame::{FrameError, FrameReader};
use super::{Head, JOURNAL_FILE, Journal, JournalError, JournalHeader, JournalOptions, Resume};
use crate::blob::Blobs;
use crate::disk::{self, Disk};
use crate::durable;
use crate::event::{BlobRef, Event, EventType};
use crate::reader::Reader;
use crate::seal;
use crate::standing::{CHECKPOINT_FILE, Logged, Vouching};
use crate::tlog::{Frontier, leaf_hash};

/// What was cut off a journal: never a whole event that is in its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    /// Where it began in the journal, in bytes.
    pub offset: u64,
    /// How much.
    pub bytes: u64,
    /// What was wrong with it, in words.
    pub reason: String,
    /// What was cut off, kept: to be named by the `recorder.gap` that tells of it.
    pub blob: BlobRef,
}

/// A journal that goes on.
#[derive(Debug)]
pub struct Recovered {
    /// To append to, and to seal.
    pub journal: Journal,
    /// What was lost, if the end was torn.
    pub cut: Option<Cut>,
    /// The last event that is there.
    pub last: Option<Event>,
    /// `session.closed` is there: only [`Journal::seal`] is left to do.
    pub closed: bool,
}

/// Opens the journal in `dir` after the death of its writer. Of a session that was sealed, by what is signed in its record or
/// in the installation log beside it, nothing goes on but the seal itself: if its writer died in the middle of it.
///
/// # Errors
/// [`JournalError::InUse`] if the writer lives, [`JournalError::Sealed`] if nothing is left to do,
/// [`JournalError::Stale`] if it was sealed with other events than the journal has, [`JournalError::Gone`] if there is no
/// journal and the installation log knows the session, [`JournalError::Foreign`] if the journal is another session's, [`JournalError::Empty`] if nothing was recorded, and those of the file.
pub fn recover(dir: &Path, options: JournalOptions) -> Result<Recovered, JournalError> {
    recover_on(disk::real(), dir, options)
}

/// As [`recover`], written through a file layer of the caller's.
///
/// # Errors
/// As [`recover`].
pub fn recover_on(
    disk: Arc<dyn Disk>,
    dir: &Path,
    options: JournalOptions,
) -> Result<Recovered, JournalError> {
    let io = |source| JournalError::Io { path: dir.to_owned(), source };
    let path = dir.join(JOURNAL_FILE);
    let by = Vouching::of(dir)?;
    let look = || by.as_ref().map_or(Logged::Nothing, |by| by.known(dir));
    let file = disk.open(&path).map_err(|source| {
        let sealed = dir.join(CHECKPOINT_FILE).exists();
        match source.kind() {
            io::ErrorKind::NotFound if sealed => JournalError::Sealed(dir.to_owned()),
            // Whoever hears that nothing was recorded may begin anew: not on an error's word alone, nor where more is known.
            io::ErrorKind::NotFound if !path.exists() => match look() {
                Logged::Nothing => JournalError::Empty(dir.to_owned()),
                Logged::Living | Logged::Sealed(_) => JournalError::Gone(dir.to_owned()),
            },
            _ => io(source),
        }
    })?;
    lock(&file, dir)?;
    // Between the open and the lock the living writer may have sealed the record.
    if !dir.join(JOURNAL_FILE).exists() {
        return Err(JournalError::Sealed(dir.to_owned()));
    }
    // Now that no other writer can change it.
    let known = look();
    let empty = || match known {
        Logged::Nothing => JournalError::Empty(dir.to_owned()),
        Logged::Living => JournalError::Gone(dir.to_owned()),
        Logged::Sealed(_) => JournalError::Stale(dir.to_owned()),
    };
    let mut reader = FrameReader::new(BufReader::new(file.try_clone().map_err(io)?)).map_err(
        |error| match error {
            FrameError::Cut { .. } => empty(),
            other @ (FrameError::Damaged { .. } | FrameError::Io(_)) => other.into(),
        },
    )?;
    let header = match reader.next() {
        // Whole events may follow: to begin anew would lose them.
        Ok(Some(payload)) => JournalHeader::parse(payload)
            .ok_or(FrameError::Damaged { offset: 0, reason: "its first frame is no header" })?,
        Ok(None) | Err(FrameError::Cut { .. }) => return Err(empty()),
        Err(FrameError::Io(error)) => return Err(io(error)),
        Err(damaged @ FrameError::Damaged { .. }) => return Err(damaged.into()),
    };
    if let Some(session) = by.as_ref().and_then(|by| by.session)
        && session != header.session
    {
        return Err(JournalError::Foreign { path: dir.to_owned(), session: header.session });
    }

    let mut resume = Resume::default();
    let mut last = None;
    let torn = loop {
        let payload = match reader.next() {
            Ok(Some(payload)) => payload,
            Ok(None) => break None,
            Err(FrameError::Io(error)) => return Err(io(error)),
            Err(torn @ (FrameError::Cut { .. } | FrameError::Damaged { .. })) => {
                break Some(torn.to_string());
            }
        };
        let seq = resume.frontier.size();
        let event = Event::from_canonical(payload).map_err(|source| JournalError::Event {
            path: dir.to_owned(),
            seq,
            source,
        })?;
        let leaf = leaf_hash(payload);
        resume.frontier.push(leaf);
        resume.prev = Some(leaf);
        *resume.counts.entry(event.body.event_type()).or_insert(0) += 1;
        resume.last = Some(event.body.event_type());
        last = Some(event);
    };
    if let (Some(by), Logged::Sealed(sealed)) = (&by, known) {
        let found = Head { size: resume.frontier.size(), root: resume.frontier.root() };
        if torn.is_some() || found != sealed {
            return Err(JournalError::Stale(dir.to_owned()));
        }
        if by.is_finished(dir) && tiles_give(dir, sealed) {
            seal::remove_journal(&*disk, dir).map_err(|e| io(io::Error::other(e)))?;
            return Err(JournalError::Sealed(dir.to_owned()));
        }
    }
    let cut = match torn {
        Some(reason) => Some(cut_off(&disk, dir, &file, reader.offset(), reason)?),
        None => None,
    };
    let closed = resume.last == Some(EventType::SessionClosed);
    // The dead writer's last fsync may have failed: a later one says nothing of those bytes, so they are written again.
    let length = reader.offset();
    rewrite(&*disk, &file, length).map_err(io)?;
    // Nor need it have been the last to make the names durable.
    disk.sync_dir(dir).map_err(io)?;
    disk.sync_dir(dir.parent().unwrap_or(dir)).map_err(io)?;
    durable::remove_unnamed(&*disk, dir);
    Blobs::on(Arc::clone(&disk), dir).remove_unnamed();
    let journal = Journal::start(disk, dir, header, options, (file, length), resume)?;
    Ok(Recovered { journal, cut, last, closed })
}

/// Whether the sealed events are there and give that head: the journal is not needed any more then.
fn tiles_give(dir: &Path, head: Head) -> bool {
    let Ok(entries) = Reader::open(dir).and_then(|reader| reader.entries()) else { return false };
    let mut frontier = Frontier::default();
    for entry in entries {
        let Ok(entry) = entry else { return false };
        frontier.push(leaf_hash(&entry));
    }
    Head { size: frontier.size(), root: frontier.root() } == head
}

fn cut_off(
    disk: &Arc<dyn Disk>,
    dir: &Path,
    mut file: &File,
    offset: u64,
    reason: String,
) -> Result<Cut, JournalError> {
    let io = |source| JournalError::Io { path: dir.to_owned(), source };
    let bytes = file.metadata().map_err(io)?.len().saturating_sub(offset);
    file.seek(SeekFrom::Start(offset)).map_err(io)?;
    let blob = Blobs::on(Arc::clone(disk), dir).put_reader(
        "cut",
        "application/octet-stream",
        &mut file.take(bytes),
    )?;
    disk.set_len(file, offset).map_err(io)?;
    Ok(Cut { offset, bytes, reason, blob })
}

/// Writes what is there over itself, and makes it durable.
fn rewrite(disk: &dyn Disk, file: &File, length: u64) -> io::Result<()> {
    let mut chunk = vec![0; 1 << 20];
    let mut at = 0;
    while at < length {
        let want = usize::try_from(length - at).map_or(chunk.len(), |left| left.min(chunk.len()));
        file.read_exact_at(&mut chunk[..want], at)?;
        disk::write_all_at(disk, file, &chunk[..want], at)?;
        at += want as u64;
    }
    disk.sync_data(file)
}
