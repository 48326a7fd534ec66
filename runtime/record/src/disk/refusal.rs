//! Whether it is the disk that refuses. The one place that decides it: whoever waits for a disk asks here.
//!
//! The answer is by the system's error number, and not by [`io::ErrorKind`], which has no stable name for some of them.
//! What is listed heals without anybody touching what failed: somebody makes room, mounts the file system writable
//! again, mends the disk. Everything else is a mistake of this program or of whoever set it up, and stays one however
//! long it is waited. A file or directory that is gone (`ENOENT`, `ESTALE`) is not listed for that reason; that the
//! journal itself waits for its directory is the journal's own affair ([`crate::journal::Trouble`]).

use std::error::Error;
use std::io;

use crate::seal::SealError;
use crate::sink::SinkError;

/// The numbers, each with what the C library calls it in the C locale (`strerror`).
const REFUSALS: [(i32, &str); 4] = [
    // The file system is full.
    (libc::ENOSPC, "No space left on device"),
    // The user, group or project has its share of it.
    (libc::EDQUOT, "Disk quota exceeded"),
    // It was made read-only: often by the kernel, after an error below it.
    (libc::EROFS, "Read-only file system"),
    // The device failed. Network file systems and thin volumes that are full say so as well.
    (libc::EIO, "Input/output error"),
];

/// Whether this error, or one that led to it, says that a disk is full, read-only or broken: an error of the system with
/// such a number, or the journal that can't be written.
#[must_use]
pub fn is_refusal(error: &(dyn Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        let code = error.downcast_ref::<io::Error>().and_then(io::Error::raw_os_error);
        let refused = error.downcast_ref::<SinkError>().or_else(|| {
            // It shows the journal's error as its own, so that it is not among the causes.
            match error.downcast_ref::<SealError>() {
                Some(SealError::Sink(error)) => Some(error),
                Some(_) | None => None,
            }
        });
        if matches!(refused, Some(SinkError::Unwritable(_)))
            || code.is_some_and(|code| REFUSALS.iter().any(|(number, _)| *number == code))
        {
            return true;
        }
        next = error.source();
    }
    false
}

/// The error of a disk that a program tells in words, at the end of a line as `perror` puts it. It has to run in the
/// C locale.
#[must_use]
pub fn refusal_in(said: &str) -> Option<io::Error> {
    let told = |line: &str| {
        let line = line.trim_end().trim_end_matches('.');
        REFUSALS.iter().find(|(_, words)| {
            line.strip_suffix(words).is_some_and(|before| before.ends_with(": "))
        })
    };
    said.lines().find_map(told).map(|(number, _)| io::Error::from_raw_os_error(*number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_are_those_of_the_c_library() {
        for (number, words) in REFUSALS {
            let error = io::Error::from_raw_os_error(number);
            assert!(error.to_string().starts_with(words), "{error}");
            let found =
                refusal_in(&format!("fatal: unable to write file x: {words}\nmore")).unwrap();
            assert_eq!(found.raw_os_error(), Some(number));
            assert!(is_refusal(&found));
        }
        let name = "error: 'No space left on device' is no path";
        assert!(refusal_in(name).is_none() && refusal_in("fatal: x: Permission denied").is_none());
    }

    #[test]
    fn what_does_not_heal_by_waiting_is_no_refusal() {
        for number in [libc::ENOENT, libc::EACCES, libc::EINVAL, libc::ENOTDIR, libc::ESTALE] {
            assert!(!is_refusal(&io::Error::from_raw_os_error(number)), "{number}");
        }
        assert!(is_refusal(&SealError::Sink(SinkError::Unwritable("full".to_owned()))));
        assert!(!is_refusal(&SealError::NotClosed));
    }
}
