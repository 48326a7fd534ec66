//! Beginning a journal: its file, its header, its lock and its writer.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd as _;
use std::path::Path;
use std::sync::{Arc, Mutex};

use super::state::{Shared, State};
use super::{
    JOURNAL_FILE, Journal, JournalError, JournalHeader, JournalOptions, Resume, frame, place,
    writer,
};
use crate::blob::Blobs;
use crate::canonical;
use crate::disk::{self, Disk};
use crate::durable;
use crate::event::Encoder;
use crate::redact::Redactor;
use crate::seal;

/// Takes the lock that the living writer of a record holds.
pub(super) fn lock(file: &File, dir: &Path) -> Result<(), JournalError> {
    // SAFETY: flock takes any open descriptor, and this one is open.
    if unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) } == 0 {
        return Ok(());
    }
    let source = io::Error::last_os_error();
    Err(match source.kind() {
        io::ErrorKind::WouldBlock => JournalError::InUse(dir.to_owned()),
        _ => JournalError::Io { path: dir.to_owned(), source },
    })
}

impl Journal {
    /// Begins a record in `dir`, which is made if it is absent.
    ///
    /// # Errors
    /// [`JournalError::Exists`] if there is a record already, [`JournalError::Io`].
    pub fn create(
        dir: &Path,
        header: JournalHeader,
        options: JournalOptions,
    ) -> Result<Self, JournalError> {
        Self::create_on(disk::real(), dir, header, options)
    }

    /// As [`Journal::create`], written through a file layer of the caller's.
    ///
    /// # Errors
    /// As [`Journal::create`].
    pub fn create_on(
        disk: Arc<dyn Disk>,
        dir: &Path,
        header: JournalHeader,
        options: JournalOptions,
    ) -> Result<Self, JournalError> {
        let io = |source| JournalError::Io { path: dir.to_owned(), source };
        // Whoever made it may have died before it was durable in the directory above.
        if dir.is_dir()
            && let Some(above) = dir.parent()
        {
            disk.sync_dir(above).map_err(io)?;
        }
        durable::make_dir(&*disk, dir).map_err(io)?;
        if dir.join("checkpoint").exists() || dir.join(seal::SEAL_FILE).exists() {
            return Err(JournalError::Exists(dir.to_owned()));
        }
        let path = dir.join(JOURNAL_FILE);
        let file = disk.create(&path).map_err(|source| match source.kind() {
            io::ErrorKind::AlreadyExists => JournalError::Exists(dir.to_owned()),
            _ => io(source),
        })?;
        lock(&file, dir)?;
        let mut begin = frame::MAGIC.to_vec();
        let text = canonical::to_vec(&header).map_err(|e| io(io::Error::other(e)))?;
        frame::append_frame(&mut begin, |out| out.extend_from_slice(&text));
        disk::write_all_at(&*disk, &file, &begin, 0)
            .and_then(|()| disk.sync_data(&file))
            .and_then(|()| disk.sync_dir(dir))
            .map_err(|source| {
                // Nothing was recorded: another attempt must not find a record.
                let _still_there = disk.remove_file(&path);
                io(source)
            })?;
        Self::start(disk, dir, header, options, (file, begin.len() as u64), Resume::default())
    }

    pub(super) fn start(
        disk: Arc<dyn Disk>,
        dir: &Path,
        header: JournalHeader,
        options: JournalOptions,
        (file, length): (File, u64),
        resume: Resume,
    ) -> Result<Self, JournalError> {
        let io = |source| JournalError::Io { path: dir.to_owned(), source };
        let redactor = Redactor::standard().map_err(|e| io(io::Error::other(e)))?;
        let redactor = Arc::new(redactor);
        let size = resume.frontier.size();
        let state = State {
            appended: size,
            written: size,
            durable: size,
            counts: resume.counts.clone(),
            last: resume.last,
            frontier: resume.frontier.clone(),
            ..State::default()
        };
        let shared = Arc::new(Shared { state: Mutex::new(state), ..Shared::default() });
        let own = file.try_clone().map_err(io)?;
        let place = place::Place::new(Arc::clone(&disk), dir.join(JOURNAL_FILE), own, length)
            .map_err(io)?;
        let writer = writer::Writer::new(place, Arc::clone(&shared), options, resume);
        let thread = std::thread::Builder::new()
            .name("journal".to_owned())
            .spawn(|| writer.run())
            .map_err(io)?;
        Ok(Self {
            dir: dir.to_owned(),
            encoder: Encoder::new(header.session, header.policy, header.on_behalf_of.as_ref()),
            header,
            options,
            blobs: Blobs::on(Arc::clone(&disk), dir).with_redactor(redactor.clone()),
            redactor,
            disk,
            shared,
            writer: Mutex::new(Some(thread)),
            sealed: Mutex::default(),
            _lock: file,
        })
    }
}
