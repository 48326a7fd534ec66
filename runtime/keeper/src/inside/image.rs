//! The static binary of init, which `build.rs` builds and this crate carries.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use custody_model::Digest;

static IMAGE: &[u8] = include_bytes!(env!("CUSTODY_INIT_IMAGE"));

/// An ELF executable for this machine that needs no library.
#[must_use]
pub fn init_image() -> &'static [u8] {
    IMAGE
}

/// SHA-256 of [`init_image`].
#[must_use]
pub fn init_digest() -> Digest {
    Digest::of(IMAGE)
}

/// Writes init to `directory`/`init`, executable and writable by nobody, and returns that path.
///
/// # Errors
/// Those of the file system; `AlreadyExists` if something has that name.
pub fn write_init(directory: &Path) -> io::Result<PathBuf> {
    let path = directory.join("init");
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o555).open(&path)?;
    file.write_all(IMAGE)?;
    Ok(path)
}
