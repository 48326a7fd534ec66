//! Each file of a state directory removed, emptied, cut, replaced by an older copy, replaced by another one's: what verify, fsck and
//! the next command make of it. No cell is "nothing is damaged" that is not listed here with its reason, none loses or
//! reruns anything.

mod served;
mod witnessed;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use custody_keeper::layout::StateDir;
use custody_record::verify::{KeyChoice, VerifyOptions, verify};
use custody_record::{ControlLog, Keys, Vault, Verifier};
use custody_session::fsck::check;
use custody_tests::{Installation, Repository, Server, installation::binary};

/// What is done to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Harm {
    Removed,
    Emptied,
    CutInHalf,
    CutAtTheEnd,
    Older,
    Another,
}

const HARMS: [Harm; 6] =
    [Harm::Removed, Harm::Emptied, Harm::CutInHalf, Harm::CutAtTheEnd, Harm::Older, Harm::Another];

/// Bytes that are cut off the end of a file.
const TAIL: usize = 9;

/// Why a cell loses nothing of the record: the end of a path's class, the harms, and the reason.
const HARMLESS: &[(&str, &[Harm], &str)] = &[
    (
        "store.sqlite",
        &HARMS,
        "the index is derived: the next command, or `reindex`, makes it anew, and `fsck` compares it",
    ),
    ("store.sqlite-wal", &HARMS, "of the index"),
    ("store.sqlite-shm", &HARMS, "of the index"),
    (".lock", &HARMS, "a lock, whose content means nothing"),
    ("custody.serve.lock", &HARMS, "a lock"),
    ("custody.index.lock", &HARMS, "a lock"),
    ("keeper.log", &HARMS, "what a keeper said about itself: the record has what happened"),
    (
        "/begun",
        &HARMS,
        "the mark of a keeper, empty: the record itself and its heads in the installation log say it as well",
    ),
    ("sweeper.json", &HARMS, "found again from the control log"),
    ("run/", &HARMS, "sockets and addresses of a server"),
    ("bases/", &HARMS, "a cache of git's objects"),
    (
        "repositories/",
        &HARMS,
        "git's own: the record has each commit by its id, and `git fsck` checks the objects",
    ),
    (
        "keys/installation.vkey",
        &[Harm::Removed],
        "the public half: made again from the private key",
    ),
    ("issuer/", &HARMS, "the keys of tokens: whoever has one logs in again"),
    (
        "log.anchor",
        &[Harm::Older, Harm::CutInHalf, Harm::CutAtTheEnd],
        "an older head is true as well, and what fills the sector up means nothing",
    ),
    (
        "control.anchor",
        &[Harm::Older, Harm::CutInHalf, Harm::CutAtTheEnd],
        "an older head is true as well, and what fills the sector up means nothing",
    ),
];

/// Why a harm to this file loses nothing; `None` if it has to be found.
fn harmless(files: &BTreeMap<PathBuf, Vec<u8>>, path: &str, harm: Harm) -> Option<&'static str> {
    // `tile/…/000.p/7` where there is `tile/…/000.p/8`, too.
    if let Some((dir, width)) =
        path.rsplit_once(".p/").map(|(dir, width)| (format!("{dir}.p/"), width))
        && let Ok(width) = width.parse::<u64>()
        && files.keys().any(|other| {
            let other = other.to_string_lossy();
            let other = other.strip_prefix(&dir).and_then(|other| other.parse::<u64>().ok());
            other.is_some_and(|other| other > width)
        })
    {
        return Some("the partial tile of an earlier head: the newest one holds all that it held");
    }
    if path.rsplit('/').next().is_some_and(|name| name.starts_with(".new-")) {
        return Some("what a killed process had begun to write: it never had its name");
    }
    HARMLESS
        .iter()
        .find(|(class, harms, _)| {
            harms.contains(&harm)
                && (path.ends_with(class) || (class.ends_with('/') && path.contains(class)))
        })
        .map(|(_, _, why)| *why)
}

fn files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut open = vec![dir.to_path_buf()];
    while let Some(next) = open.pop() {
        for entry in fs::read_dir(&next).expect("readable").flatten() {
            let (path, kind) = (entry.path(), entry.file_type().expect("has a kind"));
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

/// The kind of a file: its path with every id, digest and number left out.
fn class(path: &Path) -> String {
    let part = |part: &str| {
        let numbered = part.chars().filter(|c| c.is_ascii_digit() || *c == '-').count() * 2;
        if part.parse::<custody_model::SessionId>().is_ok() {
            "ID".to_owned()
        } else if part.len() > 20 && numbered > part.len() / 2
            || part.trim_end_matches(".p").parse::<u64>().is_ok()
        {
            "N".to_owned()
        } else if part.len() > 40 {
            "DIGEST".to_owned()
        } else if let Some(id) = part.strip_suffix(".json")
            && id.parse::<custody_model::SessionId>().is_ok()
        {
            "ID.json".to_owned()
        } else {
            part.to_owned()
        }
    };
    path.to_string_lossy().split('/').map(part).collect::<Vec<_>>().join("/")
}

/// An installation of real sessions, and how its files were in the middle.
struct Ground {
    installation: Installation,
    repository: Repository,
    /// Of the first admin, for a server on a copy.
    token: String,
    files: BTreeMap<PathBuf, Vec<u8>>,
    older: BTreeMap<PathBuf, Vec<u8>>,
}

impl Ground {
    /// Sealed sessions, one that was refused, one whose content was erased, and control events that are not in tiles.
    fn new() -> Self {
        let (installation, repository) = (Installation::new(), Repository::example());
        let state = installation.state().to_owned();
        for name in ["one", "two"] {
            let script = format!("cat README.md; echo {name} >{name}.txt");
            let _ = installation.run(&repository, &[], &script).succeeded();
        }
        let refusing = "version: custody/policy/v1\nname: none\nrequesters: {users: ['nobody']}\nimages: ['host']\n\
                        commands:\n  - {allow: ['*']}\n";
        let policy = installation.policy(refusing);
        let refused = installation.run(&repository, &["--policy", &policy], "true");
        assert_eq!(refused.code, Some(64), "{}", refused.text());
        let older = files(&state);
        let _ =
            installation.run(&repository, &[], "cat src/main.c; echo three >three.txt").succeeded();
        let erased = installation.sessions()[0].to_string();
        let words = ["erase", &erased, "--reason", "asked"];
        let _ = installation.custody(&state, &words).succeeded();
        // A server that is killed leaves events that are durable, and in no tile.
        let mut server = Server::start(&installation);
        let token = server.admin().token().to_owned();
        server.kill9();
        drop(server);
        let files = files(&state);
        Self { installation, repository, token, files, older }
    }

    fn state(&self) -> &Path {
        self.installation.state()
    }

    /// The file's content after the harm; `None` if the harm changes nothing.
    fn harmed(&self, path: &Path, harm: Harm) -> Option<Option<Vec<u8>>> {
        let whole = &self.files[path];
        let bytes = match harm {
            Harm::Removed => return Some(None),
            Harm::Emptied => Vec::new(),
            Harm::CutInHalf => whole[..whole.len() / 2].to_vec(),
            Harm::CutAtTheEnd => whole[..whole.len().saturating_sub(TAIL)].to_vec(),
            Harm::Older => self.older.get(path)?.clone(),
            Harm::Another => self.counterpart(path)?,
        };
        (bytes != *whole).then_some(Some(bytes))
    }

    /// The file of another session, or of the other log, or another file of the same kind.
    fn counterpart(&self, path: &Path) -> Option<Vec<u8>> {
        let text = path.to_string_lossy();
        let other_log = match text.split_once('/') {
            Some(("log", rest)) => Some(format!("control/{rest}")),
            Some(("control", rest)) => Some(format!("log/{rest}")),
            _ if text == "log.anchor" => Some("control.anchor".to_owned()),
            _ if text == "control.anchor" => Some("log.anchor".to_owned()),
            _ => None,
        };
        if let Some(bytes) = other_log.and_then(|other| self.files.get(Path::new(&other))) {
            return Some(bytes.clone());
        }
        let (kind, whole) = (class(path), &self.files[path]);
        self.files
            .iter()
            .find(|(other, bytes)| *other != path && *bytes != whole && class(other) == kind)
            .map(|(_, bytes)| bytes.clone())
    }
}

/// What is said of a state directory; empty if nothing is.
fn said(state: &Path) -> Vec<String> {
    let state = StateDir::new(state);
    let mut said = Vec::new();
    let keys = match Keys::open(&state.keys()) {
        Ok(keys) => keys,
        Err(error) => return vec![format!("keys: {error}")],
    };
    let vault = match Vault::open(&state.vault()) {
        Ok(vault) => Arc::new(vault),
        Err(error) => return vec![format!("vault: {error}")],
    };
    let control = match ControlLog::open(&state.control(), &keys, vault.clone()) {
        Ok(control) => control,
        Err(error) => return vec![format!("control: {error}")],
    };
    match check(&state, &control, &mut |_| {}) {
        Ok(checked) => said.extend(checked.damage.into_iter().map(|damage| {
            assert!(!damage.code.is_empty() && !damage.what.is_empty());
            format!("fsck: {}: {}", damage.code, damage.what)
        })),
        Err(error) => said.push(format!("fsck: {error}")),
    }
    said
}

/// What `verify` says of a session's record, if it is not good.
fn verdict(state: &Path, session: custody_model::SessionId) -> Option<String> {
    let state = StateDir::new(state);
    let key = KeyChoice::Installation(Verifier::of_installation(&state.keys()).ok()?);
    let mut options = VerifyOptions::new(key).with_installation_log(&state.log());
    if let Ok(vault) = Vault::open(&state.vault()) {
        options = options.with_vault(Arc::new(vault));
    }
    let report = verify(&state.session(session).record(), &options);
    (!report.is_good()).then(|| format!("verify: {:?} {:?}", report.integrity, report.completeness))
}

/// Whose record a file belongs to.
fn of_record(path: &Path) -> Option<custody_model::SessionId> {
    let text = path.to_string_lossy();
    let (id, rest) = text.strip_prefix("sessions/")?.split_once('/')?;
    rest.starts_with("record/").then(|| id.parse().ok()).flatten()
}

/// Puts a file as it is wanted.
fn put(path: &Path, bytes: Option<&[u8]>) {
    match bytes {
        Some(bytes) => {
            fs::create_dir_all(path.parent().expect("below")).expect("made");
            fs::write(path, bytes).expect("written");
        }
        None => match fs::remove_file(path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => panic!("{error}"),
            Ok(()) | Err(_) => {}
        },
    }
}

/// Whether every file and harm is tried, as `make matrix` does, and not some of each kind.
fn whole_matrix() -> bool {
    #[expect(clippy::disallowed_methods, reason = "a test program has no arguments of its own")]
    std::env::var_os("CUSTODY_WHOLE_MATRIX").is_some()
}

#[test]
fn no_file_of_a_state_directory_is_lost_cut_or_swapped_in_silence() {
    let ground = Ground::new();
    let state = ground.state();
    assert_eq!(said(state), [""; 0], "a whole installation is whole");
    let (mut cells, mut found, mut excused) = (0, 0, BTreeMap::<&str, u32>::new());
    let mut silent = Vec::new();
    let mut by_class: BTreeMap<String, u32> = BTreeMap::new();
    for path in ground.files.keys() {
        let name = path.to_string_lossy().into_owned();
        for harm in HARMS {
            if let Some(why) = harmless(&ground.files, &name, harm) {
                *excused.entry(why).or_default() += 1;
                continue;
            }
            let Some(bytes) = ground.harmed(path, harm) else { continue };
            // Where a kind has many files, three of them stand for it.
            let seen = by_class.entry(format!("{} {harm:?}", class(path))).or_default();
            *seen += 1;
            if *seen > 3 && !whole_matrix() {
                continue;
            }
            cells += 1;
            put(&state.join(path), bytes.as_deref());
            let here = said(state);
            if let Some(session) = of_record(path)
                && verdict(state, session).is_none()
            {
                silent.push(format!("verify: {name} {harm:?}"));
            }
            if here.is_empty() {
                silent.push(format!("{name} {harm:?}"));
            } else {
                found += 1;
            }
            restore(&ground, path);
        }
    }
    println!(
        "{cells} cells: {found} found, {} silent, {} excused",
        silent.len(),
        excused.values().sum::<u32>()
    );
    for (why, count) in &excused {
        println!("{count} excused: {why}");
    }
    assert_eq!(said(state), [""; 0], "each harm was undone");
    assert!(silent.is_empty(), "in silence:\n{}", silent.join("\n"));
}

/// Undoes a harm, and whatever was made because of it.
fn restore(ground: &Ground, path: &Path) {
    put(&ground.state().join(path), Some(&ground.files[path]));
}

/// What is there to lose: everything but caches, the index, locks, and what the harm was done to.
fn precious(state: &Path, harmed: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut all = files(state);
    all.retain(|path, _| {
        let kept = ["sessions", "log", "vault", "keys"].iter().any(|part| path.starts_with(part));
        let lock = path.ends_with(".lock") || path.ends_with("keeper.log");
        kept && !lock && !path.starts_with(harmed)
    });
    all
}

fn copy(from: &Path, to: &Path) {
    let mut command = Command::new("cp");
    command.arg("--archive").arg("--no-target-directory").args([from, to]);
    assert!(command.status().expect("cp starts").success());
}

/// Runs a command of Custody on a copy; whatever it answers, it ends.
fn command(state: &Path, words: &[&str]) -> String {
    let output = Command::new(binary())
        .args(words)
        .current_dir(state)
        .env("CUSTODY_STATE", state)
        .stdin(Stdio::null())
        .output()
        .expect("custody starts");
    assert!(output.status.code().is_some(), "{words:?} ended by a signal");
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

#[test]
fn no_command_loses_or_reruns_anything_whatever_is_missing() {
    let ground = Ground::new();
    let room = tempfile::TempDir::with_prefix("custody-matrix-").expect("a directory");
    let mut places: BTreeMap<String, PathBuf> = BTreeMap::new();
    for path in ground.files.keys() {
        let name = path.to_string_lossy();
        if harmless(&ground.files, &name, Harm::Removed).is_none() {
            places.entry(class(path)).or_insert_with(|| path.clone());
        }
    }
    // Whole directories, too: of the newest session, which ran last, and of the logs.
    let newest = ground.installation.sessions().pop().expect("sessions");
    let newest = format!("sessions/{newest}");
    let record = format!("{newest}/record");
    for dir in [newest.clone(), record, "log".into(), "control".into(), "vault/sessions".into()] {
        places.insert(dir.clone(), dir.into());
    }
    let harms = match whole_matrix() {
        true => HARMS.to_vec(),
        false => vec![Harm::Removed, Harm::Emptied],
    };
    let (mut cells, mut wrong) = (0, Vec::new());
    for (kind, path) in &places {
        for harm in &harms {
            let bytes = match ground.files.contains_key(path) {
                true => ground.harmed(path, *harm),
                false => (*harm == Harm::Removed).then_some(None),
            };
            let Some(bytes) = bytes else { continue };
            cells += 1;
            let state = room.path().join(format!("state-{cells}"));
            copy(ground.state(), &state);
            match fs::metadata(state.join(path)).is_ok_and(|found| found.is_dir()) {
                true => fs::remove_dir_all(state.join(path)).expect("removed"),
                false => put(&state.join(path), bytes.as_deref()),
            }
            let (before, begun_before) = (precious(&state, path), launches(&state));
            let mut heard = command(&state, &["session", "list"]);
            heard.push_str(&command(&state, &["reindex", "--quiet"]));
            heard.push_str(&command(&state, &["session", "list"]));
            let after = precious(&state, path);
            for (file, bytes) in &before {
                // The installation log may have grown, and never shrinks.
                if after.get(file) != Some(bytes) && !file.ends_with("checkpoint") {
                    wrong.push(format!(
                        "{kind} {harm:?}: {} is not what it was\n{heard}",
                        file.display()
                    ));
                }
            }
            let begun: Vec<_> = launches(&state).difference(&begun_before).cloned().collect();
            if !begun.is_empty() {
                wrong.push(format!("{kind} {harm:?}: something was begun: {begun:?}\n{heard}"));
            }
            fs::remove_dir_all(&state).expect("removed");
        }
    }
    println!("{cells} cells, {} wrong", wrong.len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What a keeper makes that is started, and what whoever closes its record makes.
fn launches(state: &Path) -> BTreeSet<PathBuf> {
    let made = ["seal.dsse.json", "journal", "keeper.lock"];
    let all = files(state).into_keys().filter(|path| path.starts_with("sessions"));
    all.filter(|path| made.iter().any(|name| path.ends_with(name))).collect()
}
