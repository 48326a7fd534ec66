//! Searches for a program: `execvp` tries each directory of the search path, and all of it is one attempt.
//!
//! Pure. A miss is kept back until it is known how the search ended: by a success, by the last directory of the search
//! path, or by anything else that the process does.

use std::collections::HashMap;

use custody_model::ImageId;

use super::Exec;

/// Most directories of one search in an event; a search path is rarely longer than ten.
const MAX_TRIED: usize = 64;

/// What is to be recorded now.
#[derive(Default)]
pub(super) struct Due {
    /// An earlier search of the process, which is over.
    pub(super) before: Option<Exec>,
    /// The exec that was given, with what was tried before it; none while its search goes on.
    pub(super) now: Option<Exec>,
}

/// The searches that go on, by process.
#[derive(Default)]
pub(super) struct Searches(HashMap<u32, Exec>);

impl Searches {
    /// Takes an exec. `path` are the directories of the process's search path, if they are known.
    pub(super) fn take(&mut self, mut exec: Exec, path: &[String]) -> Due {
        let earlier = self.0.remove(&exec.pid);
        let (continued, before) = match earlier {
            Some(earlier) if is_one_search(&earlier, &exec) => (Some(earlier), None),
            other => (None, other),
        };
        if let Some(earlier) = continued {
            let mut tried = earlier.tried.unwrap_or_default();
            if tried.len() < MAX_TRIED {
                tried.push(directory(&earlier.exe).to_owned());
            }
            exec.tried = Some(tried);
        }
        // What is named with a directory is looked for there alone.
        let named = exec.argv.first().is_none_or(|name| name.contains('/'));
        let last = path.last().is_some_and(|last| same(last, directory(&exec.exe)));
        if exec.failed.is_none() || exec.corrects.is_some() || named || last {
            return Due { before, now: Some(exec) };
        }
        self.0.insert(exec.pid, exec);
        Due { before, now: None }
    }

    /// The process does something else, or ended: its search is over.
    pub(super) fn end(&mut self, pid: u32) -> Option<Exec> {
        self.0.remove(&pid)
    }

    /// All searches are over.
    pub(super) fn end_all(&mut self) -> Vec<Exec> {
        let mut all: Vec<Exec> = self.0.drain().map(|(_, exec)| exec).collect();
        all.sort_by_key(|exec| (exec.time, exec.pid));
        all
    }
}

/// The number of the image that a process of a failed exec still runs.
pub(super) fn image_of_failed(before: Option<ImageId>) -> ImageId {
    before.unwrap_or(ImageId(0))
}

fn is_one_search(earlier: &Exec, next: &Exec) -> bool {
    next.corrects.is_none()
        && name(&earlier.exe) == name(&next.exe)
        && directory(&earlier.exe) != directory(&next.exe)
        && earlier.argv == next.argv
}

fn name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

fn directory(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(directory, _)| directory)
}

fn same(a: &str, b: &str) -> bool {
    a.trim_end_matches('/') == b.trim_end_matches('/')
}

#[cfg(test)]
mod tests {
    use custody_model::Timestamp;

    use super::*;

    fn exec(exe: &str, failed: bool) -> Exec {
        Exec {
            time: Timestamp::from_micros(7),
            pid: 7,
            parent: None,
            exe: exe.into(),
            argv: vec![name(exe).into()],
            argv_cut: false,
            cwd: None,
            failed: failed.then(|| "ENOENT".into()),
            file: None,
            corrects: None,
            tried: None,
        }
    }

    #[test]
    fn a_miss_in_every_directory_of_the_search_path_is_one_attempt() {
        let path = ["/a".to_owned(), "/b/".to_owned(), "/c".to_owned()];
        let mut searches = Searches::default();
        assert!(searches.take(exec("/a/x", true), &path).now.is_none());
        assert!(searches.take(exec("/b/x", true), &path).now.is_none());
        let told = searches.take(exec("/c/x", true), &path).now.unwrap();
        assert_eq!(told.tried.unwrap(), ["/a", "/b"]);
        assert!(searches.end_all().is_empty());
    }

    #[test]
    fn a_search_that_finds_its_program_is_one_attempt() {
        let mut searches = Searches::default();
        assert!(searches.take(exec("/a/x", true), &[]).now.is_none());
        let told = searches.take(exec("/b/x", false), &[]).now.unwrap();
        assert_eq!((told.failed, told.tried.unwrap()), (None, vec!["/a".to_owned()]));
    }

    #[test]
    fn another_program_is_another_attempt() {
        let mut searches = Searches::default();
        assert!(searches.take(exec("/a/x", true), &[]).now.is_none());
        let due = searches.take(exec("/a/y", false), &[]);
        assert_eq!(due.before.unwrap().exe, "/a/x");
        assert_eq!(due.now.unwrap().tried, None);
        // The same file again is no search.
        assert!(searches.take(exec("/a/x", true), &[]).now.is_none());
        let due = searches.take(exec("/a/x", true), &[]);
        assert_eq!(due.before.unwrap().exe, "/a/x");
        assert!(searches.end(7).is_some());
    }
}
