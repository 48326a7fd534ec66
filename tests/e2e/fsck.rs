//! `custody fsck` finds and names what is damaged, moves it aside with its bytes and on record, and makes nothing up.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use custody_tests::{Installation, Output, Repository};
use serde_json::Value;

/// Exit code of an installation in which something is damaged.
const DAMAGED: i32 = 68;

fn files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut open = vec![dir.to_path_buf()];
    while let Some(next) = open.pop() {
        for entry in fs::read_dir(&next).expect("readable").flatten() {
            let path = entry.path();
            let kind = entry.file_type().expect("has a kind");
            if kind.is_dir() {
                open.push(path);
            } else if kind.is_file() {
                let bytes = fs::read(&path).expect("readable");
                found.insert(path.strip_prefix(dir).expect("below").to_path_buf(), bytes);
            }
        }
    }
    found
}

fn below<'a>(all: &'a BTreeMap<PathBuf, Vec<u8>>, part: &str) -> &'a PathBuf {
    let mut found = all.keys().filter(|path| path.to_str().is_some_and(|p| p.contains(part)));
    found.next().unwrap_or_else(|| panic!("{part} is there"))
}

fn flip(path: &Path) -> Vec<u8> {
    let mut bytes = fs::read(path).expect("readable");
    let at = bytes.len() / 2;
    bytes[at] ^= 1;
    fs::write(path, &bytes).expect("written");
    bytes
}

fn fsck(installation: &Installation, options: &[&str]) -> Output {
    let words = [&["fsck", "-o", "json"], options].concat();
    installation.custody(installation.state(), &words)
}

fn codes(report: &Value) -> Vec<(String, String)> {
    let damage = report["damage"].as_array().expect("a list");
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    damage.iter().map(|d| (text(&d["code"]), text(&d["quarantined"]))).collect()
}

#[test]
fn what_is_damaged_is_named_and_moved_aside_on_record_and_nothing_else_is_touched() {
    let (installation, repository) = (Installation::new(), Repository::example());
    for name in ["one", "two"] {
        let script = format!("cat README.md; echo {name} >{name}.txt");
        let _ = installation.run(&repository, &[], &script).succeeded();
    }
    let report = fsck(&installation, &[]).succeeded().json();
    assert_eq!(report["damage"], Value::Array(Vec::new()), "a whole installation is whole");
    assert_eq!(report["sessions"], 2);
    assert!(!installation.state().join("quarantine").exists());

    // A content, a bundle and a seal of one session; another session is gone as a whole; the index is no database.
    let state = installation.state();
    let sessions = installation.sessions();
    let victim = installation.directory(sessions[0]).join("record");
    let good = files(&victim);
    let mut damaged = BTreeMap::new();
    for part in ["blobs/sealed", "tile/entries", "seal.dsse.json"] {
        let path = victim.join(below(&good, part));
        let bytes = flip(&path);
        damaged.insert(path.strip_prefix(state).expect("below").to_path_buf(), bytes);
    }
    let gone = tempfile::TempDir::new().expect("a directory");
    let from = installation.directory(sessions[1]);
    let status = std::process::Command::new("mv").arg(&from).arg(gone.path()).status();
    assert!(status.expect("mv starts").success());
    // A page that stands in the write-ahead log as well would be read from there.
    for name in ["store.sqlite", "store.sqlite-wal"] {
        let Ok(mut bytes) = fs::read(state.join(name)) else { continue };
        let begin = bytes.len().min(64);
        bytes[..begin].fill(0x55);
        fs::write(state.join(name), &bytes).expect("written");
        damaged.insert(name.into(), bytes);
    }
    assert!(damaged.contains_key(Path::new("store.sqlite")));

    let before = files(&state.join("sessions"));
    let dry = fsck(&installation, &["--dry-run"]);
    assert_eq!(dry.code, Some(DAMAGED), "{}", dry.text());
    let named = codes(&dry.json());
    for code in
        ["session_missing", "index_differs", "root_mismatch", "seal_malformed", "blob_damaged"]
    {
        let like = |(found, _): &(String, String)| {
            found == code || (found.starts_with(&code[..4]) && code != "index_differs")
        };
        assert!(named.iter().any(like), "{code} is wanted in {named:?}");
    }
    assert!(named.iter().all(|(_, moved)| moved.is_empty()), "nothing is moved");
    assert!(files(&state.join("sessions")) == before, "nothing is changed");

    let done = fsck(&installation, &[]);
    assert_eq!(done.code, Some(DAMAGED), "{}", done.text());
    let moved = files(&state.join("quarantine"));
    for (path, bytes) in &damaged {
        let kept = moved.iter().find(|(to, _)| to.ends_with(path));
        let (_, kept) =
            kept.unwrap_or_else(|| panic!("{} was moved\n{}", path.display(), done.text()));
        assert!(kept == bytes, "the bytes of {} are as they were", path.display());
        assert!(!state.join(path).exists());
    }
    let after = files(&state.join("sessions"));
    let untouched = |path: &&PathBuf| !damaged.contains_key(&Path::new("sessions").join(path));
    assert!(before.keys().filter(untouched).all(|path| before[path] == after[path]));
    println!("{} files moved aside, {} left as they are", moved.len(), after.len());

    // The index is made anew; the moves are on record, by digest; the rest of the installation goes on.
    let _ = installation.custody(state, &["reindex", "--quiet"]);
    let events = installation.custody(state, &["control", "events", "-o", "json"]).succeeded();
    let recorded: Vec<Value> = events
        .stdout
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("JSON"))
        .filter(|event| event["type"] == "file.quarantined")
        .collect();
    assert_eq!(recorded.len(), moved.len());
    for event in &recorded {
        let to = event["data"]["to"].as_str().expect("a path").trim_start_matches("quarantine/");
        let digest = custody_model::Digest::of(&moved[Path::new(to)]).to_string();
        assert_eq!(event["data"]["digest"], digest.as_str());
    }
    let _ = installation.custody(state, &["control", "verify"]).succeeded();
    let _ = installation.run(&repository, &[], "true").succeeded();
    // What was moved is missing now, and said to be: nothing took its place.
    let again = fsck(&installation, &[]);
    assert_eq!(again.code, Some(DAMAGED), "{}", again.text());
    let named = codes(&again.json());
    for code in ["tile_missing", "seal_missing", "session_missing"] {
        assert!(named.iter().any(|(found, _)| found == code), "{code} is wanted in {named:?}");
    }
    assert!(named.iter().all(|(_, moved)| moved.is_empty()), "{}", again.text());
}

#[test]
fn the_installations_own_logs_are_never_moved() {
    let (installation, repository) = (Installation::new(), Repository::example());
    let _ = installation.run(&repository, &[], "true").succeeded();
    let state = installation.state();
    for (log, code) in [("log", "installation_log_broken"), ("control", "control_log_broken")] {
        let all = files(&state.join(log));
        let path = state.join(log).join(below(&all, "tile/entries"));
        let original = fs::read(&path).expect("readable");
        let _damaged = flip(&path);
        let found = fsck(&installation, &[]);
        assert_eq!(found.code, Some(DAMAGED), "{}", found.text());
        assert!(codes(&found.json()).iter().any(|(c, moved)| c == code && moved.is_empty()));
        assert!(path.exists(), "it stays where it is");
        fs::write(&path, &original).expect("written");
        let _ = fsck(&installation, &[]).succeeded();
    }
    assert!(!state.join("quarantine").exists());
}

#[test]
fn where_no_session_has_a_directory_none_is_called_lost() {
    let (installation, repository) = (Installation::new(), Repository::example());
    let _ = installation.run(&repository, &["-q"], "cat README.md").succeeded();
    let sessions = installation.state().join("sessions");
    let elsewhere = installation.state().join("elsewhere");
    fs::rename(&sessions, &elsewhere).expect("moved");
    let found = codes(&fsck(&installation, &[]).json());
    let found: Vec<&str> = found.iter().map(|(code, _)| code.as_str()).collect();
    assert!(found.contains(&"session_unchecked"), "{found:?}");
    assert!(!found.contains(&"session_lost"), "{found:?}");
    // A command may have made an empty one.
    let _absent = fs::remove_dir(&sessions);
    fs::rename(&elsewhere, &sessions).expect("moved back");
    let report = fsck(&installation, &[]).succeeded().json();
    assert_eq!(report["damage"], Value::Array(Vec::new()), "nothing was put on record meanwhile");
}

#[test]
fn a_cosigned_head_that_cannot_be_read_is_named() {
    let (installation, repository) = (Installation::new(), Repository::example());
    let _ = installation.run(&repository, &["-q"], "cat README.md").succeeded();
    // A directory: no process can read it as a file, whoever runs the test.
    fs::create_dir(installation.state().join("log/cosigned")).expect("made");
    let report = fsck(&installation, &[]);
    assert_eq!(report.code, Some(DAMAGED), "{}", report.text());
    let found = codes(&report.json());
    assert!(found.iter().any(|(code, _)| code == "cosigned_damaged"), "{found:?}");
}

/// Does `harm` to one file of the state directory, takes the codes that `fsck` reports, and puts the file back.
fn codes_after(installation: &Installation, file: &Path, harm: &Harm) -> Vec<String> {
    let before = fs::read(file).ok();
    match harm {
        Harm::Remove => fs::remove_file(file).expect("removed"),
        Harm::Write(bytes) => fs::write(file, bytes).expect("written"),
        Harm::Directory => fs::create_dir(file).expect("made"),
    }
    let report = fsck(installation, &["--dry-run"]);
    let found = codes(&report.json()).into_iter().map(|(code, _)| code).collect();
    match (before, harm) {
        (Some(bytes), Harm::Remove | Harm::Write(_)) => fs::write(file, bytes).expect("put back"),
        (None, Harm::Write(_)) => fs::remove_file(file).expect("removed"),
        (_, Harm::Directory | Harm::Remove) => fs::remove_dir(file).expect("removed"),
    }
    found
}

#[derive(Debug)]
enum Harm {
    Remove,
    Write(Vec<u8>),
    Directory,
}

#[test]
fn each_finding_of_the_operations_guide_has_its_code() {
    let (installation, repository) = (Installation::new(), Repository::example());
    let _ = installation.run(&repository, &["-q"], "cat README.md; echo x >x.txt").succeeded();
    let state = installation.state().to_path_buf();
    let session = installation.sessions()[0];
    let directory = installation.directory(session);
    let id = session.to_string();
    let all = files(&state.join("vault"));
    let key = state.join("vault").join(below(&all, &id));
    let wrapped = fs::read(&key).expect("a key");
    let other = id.replace(&id[id.len() - 4..], "0000");
    let foreign = PathBuf::from(key.to_str().expect("text").replace(&id, &other));
    let policy = fs::read_to_string(directory.join("policy.yaml")).expect("a policy");
    let policy = policy.replacen("name: ", "name: other-", 1);
    let cases = [
        ("anchor_missing", state.join("log.anchor"), Harm::Remove),
        ("anchor_damaged", state.join("log.anchor"), Harm::Write(b"no head".to_vec())),
        ("anchor_missing", state.join("control.anchor"), Harm::Remove),
        ("installation_log_headless", state.join("log/checkpoint"), Harm::Remove),
        ("cosigned_damaged", state.join("log/cosigned"), Harm::Write(b"no head".to_vec())),
        ("key_missing", key.clone(), Harm::Remove),
        ("key_damaged", key, Harm::Write(b"no key".to_vec())),
        ("key_foreign", foreign, Harm::Write(wrapped)),
        ("request_damaged", directory.join("spec.sealed"), Harm::Write(b"no request".to_vec())),
        ("policy_differs", directory.join("policy.yaml"), Harm::Write(policy.into_bytes())),
        ("run_beside_seal", directory.join("run"), Harm::Directory),
        ("unsealed_beside_seal", directory.join("record/journal"), Harm::Write(b"x".to_vec())),
    ];
    for (code, file, harm) in &cases {
        let found = codes_after(&installation, file, harm);
        assert!(found.iter().any(|one| one == code), "{code}: {found:?}");
    }
    let report = fsck(&installation, &[]).succeeded().json();
    assert_eq!(report["damage"], Value::Array(Vec::new()), "each file was put back");
}

/// Whoever fetches from a mirror takes what its refs point at.
#[test]
fn a_published_ref_that_was_moved_or_removed_is_found() {
    let (installation, repository) = (Installation::new(), Repository::example());
    let script = "echo x >x.txt; git tag made; git checkout -q -b other; echo y >y.txt; git add y.txt; git commit -qm y
git checkout -q -";
    let _ = installation.run(&repository, &["-q"], script).succeeded();
    let mirrors = installation.state().join("repositories");
    let mirror = fs::read_dir(mirrors).expect("mirrors").flatten().map(|entry| entry.path());
    let mirror = mirror.into_iter().find(|path| path.extension().is_some_and(|e| e == "git"));
    let mirror = mirror.expect("a mirror").to_str().expect("text").to_owned();
    let git = |words: &[&str]| repository.git(&[&["--git-dir", mirror.as_str()], words].concat());
    let refs =
        git(&["for-each-ref", "--format=%(refname) %(objectname)", "refs/heads", "refs/tags"]);
    let id = installation.session().to_string();
    let own: Vec<(&str, &str)> =
        refs.lines().filter(|line| line.contains(&id)).filter_map(|l| l.split_once(' ')).collect();
    assert!(own.len() >= 2, "{refs}");
    let base = repository.git(&["rev-parse", "HEAD~1"]);
    for (name, object) in own {
        for (code, words) in [
            ("branch_moved", vec!["update-ref", name, &base]),
            ("branch_missing", vec!["update-ref", "-d", name]),
        ] {
            git(&words);
            let report = fsck(&installation, &[]);
            let report = report.json();
            let damage = report["damage"].as_array().expect("a list");
            let found = damage.iter().find(|one| one["code"] == code);
            let found = found.unwrap_or_else(|| panic!("{code} of {name}: {report}\n{refs}"));
            let what = found["what"].as_str().expect("words");
            assert!(what.contains(name) && what.contains(object), "{what}");
            assert_eq!(found["place"], Value::String(id.clone()));
            git(&["update-ref", name, object]);
        }
    }
    let report = fsck(&installation, &[]).succeeded().json();
    assert_eq!(report["damage"], Value::Array(Vec::new()));
}
