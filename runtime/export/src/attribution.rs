//! Which lines a session wrote: the lines that its commits added, as git's diff of each commit against its one parent says.
//!
//! A wrong attribution is worse than a missing one: what git sees as moved or copied is not what the session wrote, a merge
//! has lines of others, and a file that is not text has no lines. All of that is counted and left out.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use custody_record::event::CommitCreated;
use custody_record::{Body, Event};

use crate::{Content, ExportError, Patch, Summary};

/// What git is asked, before the commit's id: everything that its configuration or the repository's attributes could change
/// about the answer is set.
pub const PATCH_ARGUMENTS: &[&str] = &[
    "-c",
    "core.quotePath=false",
    "-c",
    "core.attributesFile=/dev/null",
    "diff-tree",
    "--root",
    "--no-commit-id",
    "-r",
    "-p",
    "--unified=0",
    "--inter-hunk-context=0",
    "--diff-algorithm=histogram",
    "--find-renames=50%",
    "--find-copies=50%",
    "--find-copies-harder",
    "-l0",
    "--no-ext-diff",
    "--no-textconv",
    "--no-color",
    "--no-indent-heuristic",
    "--ignore-submodules=none",
    "--submodule=short",
    "--src-prefix=a/",
    "--dst-prefix=b/",
    "--full-index",
];

/// Lines of one file that a commit added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrittenFile {
    /// The path in the commit, raw bytes.
    pub path: Vec<u8>,
    /// Its lines, from 1, in ascending order and without overlap.
    pub lines: Vec<RangeInclusive<u64>>,
}

/// What is wrong with a patch.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("line {line}: {what}")]
pub struct PatchError {
    /// Where, from 1.
    pub line: usize,
    /// What.
    pub what: &'static str,
}

/// The lines that a patch (git's unified format without context) adds; the number of files whose content is not text.
///
/// # Errors
/// [`PatchError`].
pub fn written(patch: &[u8]) -> Result<(Vec<WrittenFile>, u64), PatchError> {
    let mut lines = patch.split(|b| *b == b'\n').enumerate();
    let mut files: Vec<WrittenFile> = Vec::new();
    let mut binary = 0;
    while let Some((number, line)) = lines.next() {
        let wrong = |what| PatchError { line: number + 1, what };
        if line.starts_with(b"Binary files ") || line == b"GIT binary patch" {
            binary += 1;
        } else if let Some(name) = line.strip_prefix(b"+++ ") {
            let path = match name {
                b"/dev/null" => Vec::new(),
                _ => path(name).ok_or(wrong("a path in another form than git's"))?,
            };
            files.push(WrittenFile { path, lines: Vec::new() });
        } else if line.starts_with(b"@@ ") {
            let (removed, from, added) = hunk(line).ok_or(wrong("a hunk in another form"))?;
            let file = files.last_mut().ok_or(wrong("a hunk of no file"))?;
            if added > 0 {
                let end = from.checked_add(added - 1).ok_or(wrong("lines past all counting"))?;
                let before = file.lines.last().map_or(0, |lines| *lines.end());
                if from <= before || file.path.is_empty() {
                    return Err(wrong("lines where there can be none"));
                }
                file.lines.push(from..=end);
            }
            // What stands in the file can look like anything: it is counted, not looked at.
            for (mark, mut left) in [(b'-', removed), (b'+', added)] {
                while left > 0 {
                    let (number, line) = lines.next().ok_or(wrong("the hunk is cut"))?;
                    match line.first() {
                        Some(b'\\') => {}
                        Some(first) if *first == mark => left -= 1,
                        _ => return Err(PatchError { line: number + 1, what: "not of its hunk" }),
                    }
                }
            }
        }
    }
    files.retain(|file| !file.lines.is_empty());
    Ok((files, binary))
}

/// Lines removed, first line added, lines added: `@@ -a,b +c,d @@`.
fn hunk(line: &[u8]) -> Option<(u64, u64, u64)> {
    let text =
        std::str::from_utf8(line.strip_prefix(b"@@ -")?.split(|b| *b == b'@').next()?).ok()?;
    let (old, new) = text.trim_end().split_once(" +")?;
    let pair = |text: &str| -> Option<(u64, u64)> {
        match text.split_once(',') {
            Some((from, count)) => Some((from.parse().ok()?, count.parse().ok()?)),
            None => Some((text.parse().ok()?, 1)),
        }
    };
    let ((_, removed), (from, added)) = (pair(old)?, pair(new)?);
    Some((removed, from, added))
}

/// A path as git spells it behind `+++ `: with the prefix `b/`, in C's quotes if it has bytes to escape, followed by a tab
/// if it has a space.
fn path(name: &[u8]) -> Option<Vec<u8>> {
    let Some(quoted) = name.strip_prefix(b"\"") else {
        return name.strip_prefix(b"b/").map(|n| n.strip_suffix(b"\t").unwrap_or(n).to_vec());
    };
    let mut bytes = Vec::new();
    let mut rest = quoted.iter().copied();
    loop {
        match rest.next()? {
            b'"' => break,
            b'\\' => bytes.push(match rest.next()? {
                b'a' => 7,
                b'b' => 8,
                b't' => b'\t',
                b'n' => b'\n',
                b'v' => 11,
                b'f' => 12,
                b'r' => b'\r',
                byte @ (b'"' | b'\\') => byte,
                high @ b'0'..=b'3' => {
                    let digit = |b: u8| (b'0'..=b'7').contains(&b).then(|| b - b'0');
                    let (middle, low) = (digit(rest.next()?)?, digit(rest.next()?)?);
                    (high - b'0') * 64 + middle * 8 + low
                }
                _ => return None,
            }),
            byte => bytes.push(byte),
        }
    }
    bytes.strip_prefix(b"b/").map(<[u8]>::to_vec)
}

/// Lines by the path of their file.
pub(crate) type ByPath = BTreeMap<String, Vec<RangeInclusive<u64>>>;

/// The commit that an event tells of and its lines, as [`of_commit`]; every other event is counted as left out.
pub(crate) fn of_event<'a>(
    event: &'a Event,
    content: &dyn Content,
    summary: &mut Summary,
) -> Result<Option<(&'a CommitCreated, ByPath)>, ExportError> {
    summary.read(event);
    let Body::CommitCreated(commit) = &event.body else {
        summary.drop(event.body.type_name());
        return Ok(None);
    };
    Ok(of_commit(commit, content, summary)?.map(|files| (commit, files)))
}

/// The lines of a commit that the session wrote, by path; what is left out is counted. `None` if nothing can be said of
/// the commit at all.
fn of_commit(
    commit: &CommitCreated,
    content: &dyn Content,
    summary: &mut Summary,
) -> Result<Option<ByPath>, ExportError> {
    if commit.parents.len() > 1 {
        summary.drop("commit that merges");
        return Ok(None);
    }
    // Its paths are those of another repository than the document's.
    if commit.submodule.is_some() {
        summary.drop("commit of a submodule");
        return Ok(None);
    }
    let patch = match content.patch(commit)? {
        Patch::Changes(patch) => patch,
        Patch::Absent => {
            summary.drop("commit that the repository lacks");
            return Ok(None);
        }
        Patch::TooLong => {
            summary.drop("commit whose changes are too long");
            return Ok(None);
        }
    };
    let (files, binary) = written(&patch)
        .map_err(|source| ExportError::Patch { commit: commit.commit.to_string(), source })?;
    summary.drop_many("file that is not text", binary);
    let mut by_path = ByPath::new();
    for file in files {
        match String::from_utf8(file.path) {
            Ok(path) => {
                by_path.insert(path, file.lines);
            }
            Err(_) => summary.drop("file whose path is not UTF-8"),
        }
    }
    Ok(Some(by_path))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn files(patch: &str) -> Vec<(String, Vec<(u64, u64)>)> {
        let (files, _) = written(patch.as_bytes()).unwrap();
        let pairs =
            |file: &WrittenFile| file.lines.iter().map(|l| (*l.start(), *l.end())).collect();
        files
            .iter()
            .map(|file| (String::from_utf8_lossy(&file.path).into_owned(), pairs(file)))
            .collect()
    }

    #[test]
    fn added_lines_are_taken_and_contents_that_look_like_headers_are_not_believed() {
        let patch = "diff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -1,2 +1,3 @@ +++ b/y\n--- a/evil\n-@@ -1 +1 @@\n+++ b/evil\n+@@ -0,0 +1,99 @@\n+x\n\\ No newline at end of file\n@@ -9 +9,0 @@\n-gone\n@@ -11,0 +12 @@\n+one\n";
        assert_eq!(files(patch), [("x".to_owned(), vec![(1, 3), (12, 12)])]);
    }

    #[test]
    fn paths_are_read_as_git_spells_them() {
        let patch = "--- /dev/null\n+++ \"b/a\\\"\\\\\\t\\303\\251\"\n@@ -0,0 +1 @@\n+x\n--- /dev/null\n+++ b/with space\t\n@@ -0,0 +1 @@\n+x\n--- a/gone\n+++ /dev/null\n@@ -1 +0,0 @@\n-x\n";
        let found = files(patch);
        assert_eq!(found[0].0, "a\"\\\té");
        assert_eq!(found[1].0, "with space");
        assert_eq!(found.len(), 2);
    }

    #[test]
    fn what_git_does_not_write_is_refused() {
        for patch in [
            "@@ -1 +1 @@\n-x\n+y\n",
            "+++ b/x\n@@ -0,0 +1,2 @@\n+x\n",
            "+++ b/x\n@@ -0,0 +1 @@\nx\n",
            "+++ b/x\n@@ -0,0 +5 @@\n+x\n@@ -0,0 +5 @@\n+x\n",
            "+++ /dev/null\n@@ -0,0 +5 @@\n+x\n",
            "+++ b/x\n@@ -0,0 +18446744073709551615,2 @@\n+x\n+x\n",
        ] {
            assert!(written(patch.as_bytes()).is_err(), "{patch}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_patch_or_an_error(bytes: Vec<u8>, text in "(\\+\\+\\+ b/x\n|@@ -[0-9]{1,2}(,[0-9])? \\+[0-9]{1,2}(,[0-9])? @@\n|\\+x\n|-x\n|\\\\ No\n){0,12}") {
            let _ = written(&bytes);
            if let Ok((files, _)) = written(text.as_bytes()) {
                for file in files {
                    prop_assert!(file.lines.windows(2).all(|w| w[0].end() < w[1].start()));
                }
            }
        }
    }
}
