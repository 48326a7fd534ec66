//! `custody verify` names what was done to a record: a flipped byte, a removed event, a truncated log, a swapped blob.

use std::fs;
use std::path::{Path, PathBuf};

use custody_tests::{Installation, Output, Repository};

/// Exit code of a record whose integrity is broken.
const BROKEN: i32 = 68;

/// A finished session with some files written, and its record's directory.
fn sealed() -> (Installation, PathBuf) {
    let (installation, repository) = (Installation::new(), Repository::example());
    let script = "for i in 1 2 3 4 5 6 7 8; do cp README.md copy-$i; done; cat src/main.c";
    let _ = installation.run(&repository, &[], script).succeeded();
    let record = installation.directory(installation.session()).join("record");
    (installation, record)
}

/// A copy of the record, to be altered.
fn copy(record: &Path) -> tempfile::TempDir {
    let copy = tempfile::TempDir::new().expect("a directory");
    copy_tree(record, copy.path());
    copy
}

fn copy_tree(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).expect("readable").flatten() {
        let target = to.join(entry.file_name());
        if entry.file_type().expect("has a kind").is_dir() {
            fs::create_dir(&target).expect("made");
            copy_tree(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), &target).expect("copied");
        }
    }
}

/// Files below a directory, relative to it, in a stable order.
fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![directory.to_path_buf()];
    while let Some(next) = open.pop() {
        for entry in fs::read_dir(&next).expect("readable").flatten() {
            let path = entry.path();
            if path.is_dir() {
                open.push(path);
            } else {
                found.push(path.strip_prefix(directory).expect("below").to_path_buf());
            }
        }
    }
    found.sort();
    found
}

fn verify(installation: &Installation, record: &Path) -> Output {
    let record = record.to_str().expect("UTF-8");
    installation.custody(installation.state(), &["verify", record])
}

/// The file whose path contains `part`; each alteration needs one.
fn file_with(directory: &Path, part: &str) -> PathBuf {
    let all = files(directory);
    all.iter()
        .find(|path| path.to_string_lossy().contains(part))
        .unwrap_or_else(|| panic!("no file with {part} among {all:?}"))
        .clone()
}

#[test]
fn an_untouched_record_verifies_wherever_it_lies() {
    let (installation, record) = sealed();
    let copied = copy(&record);
    let _ = verify(&installation, copied.path()).succeeded();
}

#[test]
fn one_flipped_byte_is_named_in_whichever_file_it_is() {
    let (installation, record) = sealed();
    let all = files(&record);
    assert!(all.len() >= 4, "a record has journal, tiles, checkpoint and seal: {all:?}");
    for file in all {
        let altered = copy(&record);
        let path = altered.path().join(&file);
        let mut bytes = fs::read(&path).expect("readable");
        if bytes.is_empty() {
            continue;
        }
        let middle = bytes.len() / 2;
        bytes[middle] ^= 0x01;
        fs::write(&path, bytes).expect("written");
        let verdict = verify(&installation, altered.path());
        assert_eq!(verdict.code, Some(BROKEN), "{} is altered: {}", file.display(), verdict.text());
    }
}

#[test]
fn a_swapped_blob_is_named() {
    let (installation, record) = sealed();
    let altered = copy(&record);
    let blobs: Vec<PathBuf> =
        files(&record).into_iter().filter(|path| path.starts_with("blobs")).collect();
    let [first, second, ..] = blobs.as_slice() else { panic!("two blobs are wanted: {blobs:?}") };
    fs::copy(record.join(first), altered.path().join(second)).expect("copied");
    let verdict = verify(&installation, altered.path());
    assert_eq!(verdict.code, Some(BROKEN), "{}", verdict.text());
    let name = second.file_name().expect("a name").to_string_lossy();
    let digest = name.split('.').next().expect("a first part");
    assert!(verdict.text().contains(digest), "it names {digest}: {}", verdict.text());
}

/// The last bundle of events (C2SP tlog-tiles v0.1.0: each entry after its length in two bytes, big-endian), and where
/// its entries begin and end.
fn last_bundle(record: &Path) -> (PathBuf, Vec<u8>, Vec<std::ops::Range<usize>>) {
    let mut bundles = files(record).into_iter().filter(|path| path.starts_with("tile/entries"));
    let path = bundles.next_back().expect("a sealed record has bundles");
    let bytes = fs::read(record.join(&path)).expect("readable");
    let (mut entries, mut at) = (Vec::new(), 0);
    while let Some(length) = bytes.get(at..at + 2) {
        let end = at + 2 + usize::from(u16::from_be_bytes([length[0], length[1]]));
        entries.push(at..end);
        at = end;
    }
    assert!(entries.len() > 4, "{} events", entries.len());
    (path, bytes, entries)
}

#[test]
fn a_removed_event_is_named() {
    let (installation, record) = sealed();
    let (path, bytes, entries) = last_bundle(&record);
    let gone = entries[entries.len() / 2].clone();
    let altered = copy(&record);
    let rest = [&bytes[..gone.start], &bytes[gone.end..]].concat();
    fs::write(altered.path().join(path), rest).expect("written");
    let verdict = verify(&installation, altered.path());
    assert_eq!(verdict.code, Some(BROKEN), "{}", verdict.text());
}

#[test]
fn a_truncated_log_is_named() {
    let (installation, record) = sealed();
    let (path, bytes, entries) = last_bundle(&record);
    for end in [bytes.len() - 1, entries[entries.len() - 3].start, 0] {
        let altered = copy(&record);
        fs::write(altered.path().join(&path), &bytes[..end]).expect("written");
        let verdict = verify(&installation, altered.path());
        assert_eq!(verdict.code, Some(BROKEN), "{end} bytes left: {}", verdict.text());
        let file = path.to_string_lossy();
        assert!(verdict.text().contains(&*file), "it names {file}: {}", verdict.text());
    }
}

#[test]
fn a_log_without_its_seal_is_not_complete() {
    let (installation, record) = sealed();
    let altered = copy(&record);
    fs::remove_file(altered.path().join(file_with(&record, "seal"))).expect("removed");
    let verdict = verify(&installation, altered.path());
    assert_ne!(verdict.code, Some(0), "{}", verdict.text());
}
