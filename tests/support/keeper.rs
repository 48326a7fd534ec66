//! The keepers of sessions, as processes of the machine.

use std::fs;

use custody_model::SessionId;

/// Process id of a session's keeper, by its command line; `None` while none lives.
///
/// # Panics
/// If /proc can't be read.
#[must_use]
pub fn find(session: SessionId) -> Option<i32> {
    let session = session.to_string();
    fs::read_dir("/proc").expect("proc is mounted").flatten().find_map(|process| {
        let pid = process.file_name().to_str()?.parse().ok()?;
        let line = fs::read(process.path().join("cmdline")).ok()?;
        let line = String::from_utf8_lossy(&line);
        let mut words = line.split('\0');
        (words.any(|word| word == "keeper") && words.any(|word| word == session)).then_some(pid)
    })
}

/// `kill -9` of a session's keeper; `false` if none lives.
#[must_use]
pub fn kill(session: SessionId) -> bool {
    // SAFETY: kill has no preconditions; the pid is that of a keeper of the test's own session.
    find(session).is_some_and(|pid| unsafe { libc::kill(pid, libc::SIGKILL) } == 0)
}
