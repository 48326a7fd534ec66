//! The installation's keys on disk: `installation.key`, `installation.vkey`, and `history.json` after the first
//! rotation.
//!
//! A rotation writes the next key, then the history, then puts the next key in place. The history decides: whoever finds
//! a key that it does not end with puts the next one in place, as the process would have done that died there.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use super::history::{HISTORY_FILE, KeyHistory};
use super::key::{KeyError, Keys, Verifier};
use crate::disk;
use crate::durable;

const KEY: &str = "installation.key";
const VKEY: &str = "installation.vkey";

/// The key that a rotation puts in place last.
const NEXT: &str = "installation.key.next";

/// Readings of a directory in which another process rotates meanwhile.
const TRIES: usize = 20;

fn io_at(path: &Path) -> impl Fn(io::Error) -> KeyError + use<'_> {
    |source| KeyError::Io { path: path.to_owned(), source }
}

fn history_length(dir: &Path) -> io::Result<u64> {
    match fs::metadata(dir.join(HISTORY_FILE)) {
        Ok(found) => Ok(found.len()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
        Err(error) => Err(error),
    }
}

fn read_key(path: &Path) -> Result<Option<Keys>, KeyError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(
            Keys::parse(text.trim_end()).ok_or_else(|| KeyError::Malformed(path.to_owned()))?,
        )),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(io_at(path)(error)),
    }
}

impl Keys {
    /// Opens the keys in `dir` (`installation.key`, mode 0600, and `installation.vkey`) and makes them at first use,
    /// with the name `custody/` and 16 random hex digits.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn open(dir: &Path) -> Result<Self, KeyError> {
        let path = dir.join(KEY);
        DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(io_at(&path))?;
        for _ in 0..TRIES {
            let length = history_length(dir).map_err(io_at(&path))?;
            let keys = match read_key(&path)? {
                Some(keys) => keys,
                None if length > 0 || dir.join(VKEY).exists() => {
                    // Another process may just have made the first one.
                    read_key(&path)?.ok_or_else(|| KeyError::Gone(path.clone()))?
                }
                None => make(dir, &path)?,
            };
            let public = dir.join(VKEY);
            if length == 0 && !public.exists() {
                write_public(dir, &keys.verifier())?;
            }
            let history = KeyHistory::read(dir)?;
            if *history.current() != keys.verifier() {
                // Either somebody rotates just now, or died at it.
                put_in_place(dir, &history)?;
                continue;
            }
            if length > 0 && Verifier::read(&public).ok().as_ref() != Some(history.current()) {
                write_public(dir, history.current())?;
            }
            return Ok(keys.within(&history, Some((dir.to_owned(), length))));
        }
        Err(KeyError::NotInForce(path))
    }

    /// These keys among all that the history knows.
    pub(super) fn within(mut self, history: &KeyHistory, place: Option<(PathBuf, u64)>) -> Self {
        self.known = history.verifier().shared_keys();
        self.place = place;
        self
    }

    /// The keys as they are now: another process may have rotated them. Costs one look at a file if nobody has.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn renewed(&self) -> Result<Self, KeyError> {
        let Some((dir, length)) = &self.place else { return Ok(self.clone()) };
        if history_length(dir).map_err(io_at(dir))? == *length {
            return Ok(self.clone());
        }
        Self::open(dir)
    }
}

fn write_public(dir: &Path, key: &Verifier) -> Result<(), KeyError> {
    let path = dir.join(VKEY);
    durable::replace(&*disk::real(), &path, format!("{key}\n").as_bytes()).map_err(io_at(&path))
}

/// A new key of this name.
pub(super) fn fresh(name: Option<&str>) -> Result<Keys, KeyError> {
    let mut random = [0; 40];
    getrandom::fill(&mut random).map_err(KeyError::Random)?;
    let (seed, id) = random.split_at(32);
    let id = id.iter().map(|b| format!("{b:02x}")).collect::<String>();
    let mut bytes = [0; 32];
    bytes.copy_from_slice(seed);
    Ok(Keys::from_seed(name.unwrap_or(&format!("custody/{id}")), bytes))
}

/// Writes a private key to a file that nobody else can read, durably.
fn write_private(path: &Path, keys: &Keys) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(format!("{}\n", keys.private_text()).as_bytes())?;
    file.sync_all()
}

fn make(dir: &Path, path: &Path) -> Result<Keys, KeyError> {
    let io = io_at(path);
    let keys = fresh(None)?;
    let temporary = dir.join(format!(".{KEY}.{}", keys.name().replace('/', "-")));
    write_private(&temporary, &keys).map_err(&io)?;
    // A link never replaces: of two processes that start at once, one key wins.
    let linked = fs::hard_link(&temporary, path);
    fs::remove_file(&temporary).map_err(&io)?;
    disk::real().sync_dir(dir).map_err(&io)?;
    match linked {
        Ok(()) => Ok(keys),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            read_key(path)?.ok_or_else(|| KeyError::Malformed(path.to_owned()))
        }
        Err(error) => Err(io(error)),
    }
}

/// Writes down the key that comes next. One that a dead rotation left never signed anything: it is replaced.
pub(super) fn write_next(dir: &Path, keys: &Keys) -> Result<(), KeyError> {
    let path = dir.join(NEXT);
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(io_at(&path)(error)),
        Ok(()) | Err(_) => {}
    }
    write_private(&path, keys).and_then(|()| disk::real().sync_dir(dir)).map_err(io_at(&path))
}

/// Writes the history, by which the next key is in force.
pub(super) fn write_history(dir: &Path, history: &KeyHistory) -> Result<(), KeyError> {
    let path = dir.join(HISTORY_FILE);
    let bytes = history
        .to_bytes()
        .map_err(|source| KeyError::History { path: path.clone(), source: source.into() })?;
    durable::replace(&*disk::real(), &path, &bytes).map_err(io_at(&path))
}

/// Puts the next key in place if it is the one that the history ends with.
pub(super) fn put_in_place(dir: &Path, history: &KeyHistory) -> Result<(), KeyError> {
    let (next, path) = (dir.join(NEXT), dir.join(KEY));
    let Some(keys) = read_key(&next)? else { return Ok(()) };
    if keys.verifier() != *history.current() {
        return Ok(());
    }
    match fs::rename(&next, &path) {
        // Another process did the same.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        other => other.map_err(io_at(&path))?,
    }
    write_public(dir, history.current())
}
