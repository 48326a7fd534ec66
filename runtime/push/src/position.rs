//! The files of positions: one for each destination, replaced whole and durably.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use crate::place::Place;

/// Where the positions are kept.
#[derive(Clone, Debug)]
pub struct Positions(PathBuf);

/// Why a position can't be kept.
#[derive(Debug, thiserror::Error)]
pub enum PositionError {
    /// A file.
    #[error("{path} can't be used")]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It is not what was written. Without it nobody knows what was sent.
    #[error("{0} is no position; remove it to begin with what happens from now on")]
    Damaged(PathBuf),
}

impl Positions {
    /// In this directory, which is made.
    ///
    /// # Errors
    /// [`PositionError::Io`].
    pub fn open(dir: &Path) -> Result<Self, PositionError> {
        fs::create_dir_all(dir)
            .map_err(|source| PositionError::Io { path: dir.to_owned(), source })?;
        Ok(Self(dir.to_owned()))
    }

    fn path(&self, destination: &str) -> PathBuf {
        self.0.join(format!("{destination}.json"))
    }

    /// How far a destination is; `None` if it is new.
    ///
    /// # Errors
    /// [`PositionError`].
    pub fn load(&self, destination: &str) -> Result<Option<Place>, PositionError> {
        let path = self.path(destination);
        match fs::read(&path) {
            Ok(bytes) => match serde_json::from_slice::<Place>(&bytes) {
                Ok(place) if place.is_known() => Ok(Some(place)),
                Ok(_) | Err(_) => Err(PositionError::Damaged(path)),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(PositionError::Io { path, source }),
        }
    }

    /// Keeps how far a destination is. A crash leaves the old position or the new one.
    ///
    /// # Errors
    /// [`PositionError::Io`].
    pub fn save(&self, destination: &str, place: &Place) -> Result<(), PositionError> {
        let path = self.path(destination);
        let new = path.with_extension("new");
        let written = || {
            let mut file = File::create(&new)?;
            file.write_all(&serde_json::to_vec(place)?)?;
            file.sync_all()?;
            fs::rename(&new, &path)?;
            File::open(&self.0)?.sync_all()
        };
        written().map_err(|source| PositionError::Io { path: path.clone(), source })
    }
}
