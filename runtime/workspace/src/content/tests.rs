//! Hashing and the map of versions, on real files.

use std::fs::{self, File};
use std::os::unix::fs::symlink;

use proptest::prelude::*;

use super::*;

fn contents(directory: &std::path::Path, base: Vec<(WorkspacePath, BaseEntry)>) -> Contents {
    let root = File::open(directory).unwrap().into();
    Contents::new(root, GitHash::Sha1, base, HashLimits::default())
}

fn path(text: &str) -> WorkspacePath {
    text.parse().unwrap()
}

fn base(content: &str) -> BaseEntry {
    let git_blob = GitHash::Sha1.blob_of(content.as_bytes());
    BaseEntry { git_blob, mode: 0o100_644, size: content.len() as u64 }
}

#[test]
fn blobs_have_the_names_that_git_gives_them() {
    let sha1 = GitHash::Sha1.blob_of(b"hello\n");
    assert_eq!(sha1.as_str(), "ce013625030ba8dba906f756967f9e9ca394464a");
    let sha256 = GitHash::Sha256.blob_of(b"");
    let empty = "473a0f4c3be8a93681a267e3b1e9a7dcda1185436fe141f7749120a303721813";
    assert_eq!(sha256.as_str(), empty);
}

#[test]
fn both_names_of_a_file_are_made_in_one_pass_whatever_its_size() {
    let directory = tempfile::tempdir().unwrap();
    for size in [0, 1, 262_143, 262_144, 262_145, 1_000_000] {
        let content = vec![7u8; size];
        fs::write(directory.path().join("f"), &content).unwrap();
        let file = File::open(directory.path().join("f")).unwrap();
        let hashed = hash_file(file.as_fd(), GitHash::Sha1, u64::MAX).unwrap();
        let names = (custody_model::Digest::of(&content), GitHash::Sha1.blob_of(&content));
        assert_eq!((hashed.size, hashed.names), (size as u64, Some(names)));
    }
}

#[test]
fn an_unmodified_file_of_the_base_is_named_without_being_looked_at() {
    let directory = tempfile::tempdir().unwrap();
    let contents = contents(directory.path(), vec![(path("a"), base("not there"))]);
    assert_eq!(contents.opened(&path("a")).git_blob, Some(base("not there").git_blob));
}

#[test]
fn nothing_outside_of_the_view_is_read() {
    let directory = tempfile::tempdir().unwrap();
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("secret"), "secret").unwrap();
    symlink(outside.path(), directory.path().join("dir")).unwrap();
    symlink(outside.path().join("secret"), directory.path().join("file")).unwrap();
    symlink("/proc/self/root", directory.path().join("magic")).unwrap();
    let contents = contents(directory.path(), Vec::new());
    for name in ["dir/secret", "file", "magic/etc/hostname"] {
        assert_eq!(contents.opened(&path(name)), FileRead::default(), "{name}");
        assert_eq!(contents.written(&path(name)).after, FileRead::default(), "{name}");
    }
}

#[test]
fn a_version_is_known_before_and_after_each_write() {
    let directory = tempfile::tempdir().unwrap();
    let contents = contents(directory.path(), vec![(path("a"), base("old"))]);
    fs::write(directory.path().join("a"), "new").unwrap();
    let written = contents.written(&path("a"));
    assert_eq!(written.before.unwrap().git_blob, Some(base("old").git_blob));
    assert_eq!(written.after.digest, Some(custody_model::Digest::of(b"new")));
    assert!(written.changed);
    assert!(!contents.written(&path("a")).changed);
    assert_eq!(contents.opened(&path("a")), written.after);
    let removed = contents.removed(&path("a"), false);
    assert_eq!(removed.before, Some(written.after));
    assert_eq!(contents.known(&path("a")), None);
}

fn name() -> impl Strategy<Value = WorkspacePath> {
    "[ab](/[ab]){0,2}".prop_map(|text| path(&text))
}

proptest! {
    #[test]
    fn a_rename_there_and_back_changes_nothing(
        files in proptest::collection::btree_set(name(), 0..8),
        from in name(),
    ) {
        let directory = tempfile::tempdir().unwrap();
        let entries = files.iter().map(|p| (p.clone(), base(&p.to_string()))).collect();
        let contents = contents(directory.path(), entries);
        let before: Vec<_> = files.iter().map(|p| contents.known(p)).collect();
        contents.renamed(&from, &path("elsewhere/x"), true);
        for below in contents.below(&from) {
            prop_assert!(false, "{} is still there", below);
        }
        contents.renamed(&path("elsewhere/x"), &from, true);
        let after: Vec<_> = files.iter().map(|p| contents.known(p)).collect();
        // The path itself is a directory now, if no file stood there.
        prop_assert_eq!(before, after);
    }

    #[test]
    fn an_exchange_twice_changes_nothing(files in proptest::collection::btree_set(name(), 0..8)) {
        let directory = tempfile::tempdir().unwrap();
        let entries = files.iter().map(|p| (p.clone(), base(&p.to_string()))).collect();
        let contents = contents(directory.path(), entries);
        let before: Vec<_> = files.iter().map(|p| contents.known(p)).collect();
        for _ in 0..2 {
            let kind = |at| contents.kind(at).unwrap_or(FileKind::Directory);
            let (a, b) = (path("a"), path("b"));
            contents.exchanged((&a, kind(&a)), (&b, kind(&b)));
        }
        let after: Vec<_> = files.iter().map(|p| contents.known(p)).collect();
        prop_assert_eq!(before, after);
    }
}
