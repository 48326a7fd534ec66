//! Puts the right stat data into a git index, so that git need not read a file to know that it is unchanged.
//!
//! Format: git's `index-format`, versions 2 and 3 (no path compression): a header of 12 bytes, entries, extensions,
//! and a checksum over all of it. Only the stat fields of entries change; everything keeps its place.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use custody_model::WorkspacePath;
use sha1::Digest as _;

/// Bytes of an entry before its object id: ten 32-bit numbers.
const STAT_BYTES: usize = 40;
/// The flag that says that 16 more bits of flags follow.
const EXTENDED: u16 = 0x4000;

/// Why bytes are not an index that can be completed.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("the git index is not of version 2 or 3: {0} at byte {1}")]
pub struct InvalidIndex(&'static str, usize);

/// The stat data that git keeps of a file, each cut to 32 bits as git does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct StatData {
    fields: [u32; 10],
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the format keeps the low 32 bits"
)]
impl StatData {
    /// Of the file at `path` (a link itself, not its target), with `uid` and `gid` as they are seen inside.
    pub(crate) fn of(path: &Path, mode: u32, uid: u32, gid: u32) -> std::io::Result<Self> {
        let at = std::fs::symlink_metadata(path)?;
        Ok(Self {
            fields: [
                at.ctime() as u32,
                at.ctime_nsec() as u32,
                at.mtime() as u32,
                at.mtime_nsec() as u32,
                at.dev() as u32,
                at.ino() as u32,
                mode,
                uid,
                gid,
                at.size() as u32,
            ],
        })
    }

    /// The same file with other owners.
    pub(crate) fn owned_by(mut self, uid: u32, gid: u32) -> Self {
        self.fields[7] = uid;
        self.fields[8] = gid;
        self
    }
}

/// Replaces the stat data of each entry for which `stat` (given its path and mode) has some.
///
/// # Errors
/// [`InvalidIndex`]; the bytes may be changed in part then.
pub(crate) fn complete(
    index: &mut [u8],
    oid_bytes: usize,
    mut stat: impl FnMut(&WorkspacePath, u32) -> Option<StatData>,
) -> Result<(), InvalidIndex> {
    let end = index.len().checked_sub(oid_bytes).ok_or(InvalidIndex("too short", 0))?;
    if index.get(..4) != Some(b"DIRC") {
        return Err(InvalidIndex("no signature", 0));
    }
    if !matches!(number(index, 4)?, 2 | 3) {
        return Err(InvalidIndex("another version", 4));
    }
    let count = number(index, 8)?;
    let mut at = 12;
    for _ in 0..count {
        let flags_at = at + STAT_BYTES + oid_bytes;
        let flags = index.get(flags_at..flags_at + 2).ok_or(InvalidIndex("cut off", at))?;
        let extended = u16::from_be_bytes([flags[0], flags[1]]) & EXTENDED != 0;
        let name_at = flags_at + if extended { 4 } else { 2 };
        let rest = index.get(name_at..end).ok_or(InvalidIndex("cut off", at))?;
        let length =
            rest.iter().position(|b| *b == 0).ok_or(InvalidIndex("no end of a name", at))?;
        let path = WorkspacePath::from_bytes(&rest[..length])
            .map_err(|_| InvalidIndex("not a path", name_at))?;
        let mode = number(index, at + 24)?;
        if let Some(data) = stat(&path, mode) {
            for (field, value) in data.fields.into_iter().enumerate() {
                let place = at + 4 * field;
                index[place..place + 4].copy_from_slice(&value.to_be_bytes());
            }
        }
        // One to eight NULs, so that the entry's length is a multiple of eight.
        let size = name_at - at + length;
        at += (size / 8 + 1) * 8;
    }
    if at > end {
        return Err(InvalidIndex("cut off", at));
    }
    let (content, checksum) = index.split_at_mut(end);
    if oid_bytes == 32 {
        checksum.copy_from_slice(&sha2::Sha256::digest(content));
    } else {
        checksum.copy_from_slice(&sha1::Sha1::digest(content));
    }
    Ok(())
}

fn number(index: &[u8], at: usize) -> Result<u32, InvalidIndex> {
    match index.get(at..at + 4) {
        Some(&[a, b, c, d]) => Ok(u32::from_be_bytes([a, b, c, d])),
        _ => Err(InvalidIndex("cut off", at)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_bytes_make_the_parser_panic(
            tail in proptest::collection::vec(any::<u8>(), 0..300), count in 0..4_u32,
        ) {
            let mut bytes = b"DIRC\0\0\0\x02".to_vec();
            bytes.extend_from_slice(&count.to_be_bytes());
            bytes.extend_from_slice(&tail);
            let _ = complete(&mut bytes, 20, |_, _| Some(StatData::default()));
        }
    }

    #[test]
    fn an_index_of_another_version_is_refused() {
        let mut bytes = b"DIRC\0\0\0\x04\0\0\0\0aaaaaaaaaaaaaaaaaaaa".to_vec();
        let error = complete(&mut bytes, 20, |_, _| None).unwrap_err();
        assert_eq!(error, InvalidIndex("another version", 4));
    }
}
