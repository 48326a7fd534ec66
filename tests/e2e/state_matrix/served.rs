//! Each kind of file of a state directory harmed in each way, and then served: the server refuses to start and says why, or it
//! starts, lists every session as it was, answers of each session's commit what was true before the harm or what it
//! can't read, and verifies no harmed record. Nothing else in the state directory changes.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;

use custody_keeper::layout::StateDir;
use custody_record::{ControlLog, Keys, Vault};
use custody_tests::binary;
use custody_tests::deadline::until;
use serde_json::Value;

use super::{
    Ground, HARMS, Harm, class, copy, files, harmless, launches, of_record, precious, put,
    whole_matrix,
};

/// Cells at once; each waits for its server most of the time.
const AT_ONCE: usize = 2;

/// What was true before any harm, and the token of somebody who may ask.
struct Truth {
    /// The state of each session.
    states: BTreeMap<String, String>,
    /// The commit of each session that left one.
    commits: Vec<(String, String)>,
    /// The events of the control log, as they are written down.
    control: Vec<String>,
    token: String,
    repository: PathBuf,
}

/// What a harmed state directory was served as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Served {
    Refused,
    Started,
}

/// A server on a copy of the state directory.
struct Standing {
    process: Child,
    url: String,
}

impl Standing {
    /// Starts it; what it said, if it refuses.
    fn start(state: &Path, home: &Path) -> Result<Self, String> {
        let (address, said) = (home.join("address"), home.join("server.log"));
        let log = fs::File::create(&said).expect("writable");
        let mut process = Command::new(binary())
            .args(["serve", "--listen", "127.0.0.1:0", "--address-file"])
            .arg(&address)
            .arg("--admin-token-file")
            .arg(home.join("admin.token"))
            .env("CUSTODY_STATE", state)
            .env("HOME", home)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("custody starts");
        let started = until("the server to listen or to refuse", || {
            if let Some(ended) = process.try_wait().expect("a child") {
                let said = fs::read_to_string(&said).expect("readable");
                return Some(Err(format!("{ended}: {said}")));
            }
            let url = fs::read_to_string(&address).ok()?;
            url.ends_with('\n').then(|| Ok(url.trim().to_owned()))
        });
        started.map(|url| Self { process, url })
    }

    fn stop(&mut self) {
        let pid = i32::try_from(self.process.id()).expect("a pid");
        // SAFETY: kill has no preconditions; the child was not waited for, so its pid is still its own.
        assert_eq!(unsafe { libc::kill(pid, libc::SIGTERM) }, 0);
        until("the server to end", || self.process.try_wait().expect("a child"));
    }
}

impl Truth {
    /// Takes over what each session left, and notes what is true. The ground is as it will be harmed afterwards.
    fn of(ground: &mut Ground) -> Self {
        let (installation, repository) = (&ground.installation, &ground.repository);
        let mut commits = Vec::new();
        for session in installation.sessions() {
            let id = session.to_string();
            let applied = installation.custody(repository.path(), &["session", "apply", &id]);
            if applied.code == Some(0) {
                let file = ["one.txt", "two.txt", "three.txt"][commits.len()];
                let adds = ["log", "--no-merges", "--diff-filter=A", "--format=%H", "--", file];
                commits.push((id, repository.git(&adds)));
            }
        }
        assert_eq!(commits.len(), 3, "each session that ran left a commit");
        let listed = installation.custody(installation.state(), &["session", "list", "-o", "json"]);
        let states = states(&listed.succeeded().json());
        assert_eq!(states.len(), 4, "three that ran and a refused one");
        ground.files = files(installation.state());
        Self {
            states,
            commits,
            control: control(installation.state()).expect("a whole log"),
            token: ground.token.clone(),
            repository: repository.path().to_owned(),
        }
    }

    /// Asks, of a server or of the state directory itself.
    fn ask(&self, server: Option<&Standing>, state: &Path, words: &[&str]) -> Output {
        let mut command = Command::new(binary());
        command.args(words).current_dir(&self.repository).stdin(Stdio::null());
        match server {
            Some(server) => command
                .env_remove("CUSTODY_STATE")
                .env("CUSTODY_URL", &server.url)
                .env("CUSTODY_TOKEN", &self.token),
            None => command.env("CUSTODY_STATE", state),
        };
        let output = command.output().expect("custody starts");
        assert!(output.status.code().is_some(), "{words:?} ended by a signal");
        output
    }

    /// What is wrong with the list of sessions, if it is not what it was. One whose record is gone is lost.
    fn list(&self, server: &Standing, state: &Path) -> Option<String> {
        let output = self.ask(Some(server), state, &["session", "list", "-o", "json"]);
        let Ok(list) = serde_json::from_slice::<Value>(&output.stdout) else {
            return no_reason(&output).then(|| "no list and no reason".to_owned());
        };
        let now = states(&list);
        let differs = self
            .states
            .iter()
            .find(|(id, state)| now.get(*id).is_none_or(|now| now != *state && now != "lost"));
        let invented = now.keys().find(|id| !self.states.contains_key(*id));
        match (differs, invented) {
            (None, None) => None,
            _ => Some(format!("the sessions were {:?} and are {now:?}", self.states)),
        }
    }

    /// What is wrong with the answers of whose each commit is.
    fn investigate(&self, server: Option<&Standing>, state: &Path) -> Vec<String> {
        let mut wrong = Vec::new();
        for (session, commit) in &self.commits {
            let output = self.ask(server, state, &["investigate", commit, "-o", "json"]);
            let said = format!(
                "{}{}",
                String::from_utf8_lossy(&output.stdout),
                String::from_utf8_lossy(&output.stderr)
            );
            let Ok(answer) = serde_json::from_slice::<Value>(&output.stdout) else {
                if no_reason(&output) {
                    wrong.push(format!("investigate of {session}: no answer and no reason"));
                }
                continue;
            };
            let findings = answer["findings"].as_array().expect("findings");
            let named: Vec<&str> =
                findings.iter().filter_map(|one| one["attribution"]["session"].as_str()).collect();
            let unread = answer["unread"].as_array().is_some_and(|unread| !unread.is_empty());
            let others = named.iter().any(|named| named != session);
            if others || (named.is_empty() && !unread) {
                wrong.push(format!("investigate of {session} names {named:?}: {said}"));
            }
        }
        wrong
    }

    /// What is wrong with the control log, to which events of this cell may have been appended.
    fn control_went_on(
        &self,
        state: &Path,
        path: &Path,
        harmed: bool,
        before: &BTreeMap<PathBuf, Vec<u8>>,
    ) -> Option<String> {
        match control(state) {
            Ok(now) if now.starts_with(&self.control) => None,
            // Of a log that is gone nothing is begun anew.
            Ok(now) if now.is_empty() && path == Path::new("control") => None,
            Ok(now) => Some(format!(
                "the control log had {} events and goes on otherwise, with {}",
                self.control.len(),
                now.len()
            )),
            Err(error) if harmed => {
                let now = control_files(state, path);
                let changed = before.iter().filter(|(file, bytes)| now.get(*file) != Some(bytes));
                let changed: Vec<_> = changed.map(|(file, _)| file.display().to_string()).collect();
                let gone = !changed.is_empty();
                gone.then(|| format!("a broken control log was written to: {error}: {changed:?}"))
            }
            Err(error) => Some(format!("the control log is broken: {error}")),
        }
    }

    /// What is wrong with a cell, and how it was served.
    fn cell(&self, state: &Path, path: &Path, control_harmed: bool) -> (Served, Vec<String>) {
        let home = tempfile::TempDir::with_prefix("custody-home-").expect("a directory");
        let mut kept = precious(state, path);
        let begun = launches(state);
        let logged: BTreeMap<_, _> = control_files(state, path);
        let mut wrong = Vec::new();
        let served = match Standing::start(state, home.path()) {
            Ok(mut server) => {
                wrong.extend(self.list(&server, state));
                wrong.extend(self.investigate(Some(&server), state));
                if let Some(session) = of_record(path) {
                    let id = session.to_string();
                    let verified = self.ask(Some(&server), state, &["verify", &id]);
                    if verified.status.success() {
                        wrong.push(format!("the server verifies {id}"));
                    }
                }
                server.stop();
                Served::Started
            }
            Err(said) => {
                if !said.contains("custody") || said.contains("panicked") {
                    wrong.push(format!("the server refused without a reason: {said}"));
                }
                wrong.extend(self.investigate(None, state));
                Served::Refused
            }
        };
        wrong.extend(self.control_went_on(state, path, control_harmed, &logged));
        let now = precious(state, path);
        // The installation log may have grown, and never shrinks.
        kept.retain(|file, bytes| now.get(file) != Some(bytes) && !file.ends_with("checkpoint"));
        wrong.extend(kept.keys().map(|file| format!("{} is not what it was", file.display())));
        let more: Vec<_> = launches(state).difference(&begun).cloned().collect();
        if !more.is_empty() {
            wrong.push(format!("something was begun: {more:?}"));
        }
        (served, wrong)
    }
}

/// Whether a command failed and told nobody why.
fn no_reason(output: &Output) -> bool {
    let said = String::from_utf8_lossy(&output.stderr);
    output.status.success() || said.trim().is_empty() || said.contains("panicked")
}

fn states(list: &Value) -> BTreeMap<String, String> {
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    let list = list.as_array().expect("a list");
    list.iter().map(|one| (text(&one["id"]), text(&one["state"]["state"]))).collect()
}

/// The events of the control log.
fn control(state: &Path) -> Result<Vec<String>, String> {
    let state = StateDir::new(state);
    let keys = Keys::open(&state.keys()).map_err(|error| error.to_string())?;
    let vault = Vault::open(&state.vault()).map_err(|error| error.to_string())?;
    let log = ControlLog::open(&state.control(), &keys, Arc::new(vault));
    let log = log.map_err(|error| error.to_string())?;
    let (mut found, mut from) = (Vec::new(), 0);
    loop {
        let events = log.read(from, 1024).map_err(|error| error.to_string())?;
        if events.is_empty() {
            return Ok(found);
        }
        from += events.len() as u64;
        found.extend(events.iter().map(|event| format!("{event:?}")));
    }
}

/// The files of the control log but what the harm was done to.
fn control_files(state: &Path, harmed: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut all = files(state);
    all.retain(|path, _| {
        path.starts_with("control")
            && !path.starts_with(harmed)
            && path.extension().is_none_or(|ending| ending != "lock")
    });
    all
}

/// A harm to be served: a name, what is harmed, and how.
type Cell = (String, PathBuf, Harm);

/// Each kind of file with each harm, whose file of the kind moves on with the harm; of whole directories their removal.
/// `make test` has two harms of each kind, which move on with the kind.
fn cells(ground: &Ground) -> Vec<Cell> {
    let mut kinds: BTreeMap<String, Vec<&PathBuf>> = BTreeMap::new();
    for path in ground.files.keys() {
        kinds.entry(class(path)).or_default().push(path);
    }
    let mut cells = Vec::new();
    for (number, (kind, paths)) in kinds.iter().enumerate() {
        for (turn, harm) in HARMS.into_iter().enumerate() {
            if !whole_matrix() && turn % 3 != number % 3 {
                continue;
            }
            let harmed: Vec<_> = paths
                .iter()
                .filter(|path| harmless(&ground.files, &path.to_string_lossy(), harm).is_none())
                .filter(|path| ground.harmed(path, harm).is_some())
                .collect();
            let chosen = match whole_matrix() {
                // Each file of a small kind, and so many of a large one.
                true => harmed.len().min(3),
                false => harmed.len().min(1),
            };
            for nth in 0..chosen {
                let path = harmed[(turn + nth) % harmed.len()];
                cells.push((kind.clone(), (*path).clone(), harm));
            }
        }
    }
    let newest = ground.installation.sessions().pop().expect("sessions");
    let (newest, record) = (format!("sessions/{newest}"), format!("sessions/{newest}/record"));
    for dir in [&newest, &record, "sessions", "log", "control", "vault/sessions", "keys"] {
        cells.push((dir.to_owned(), dir.into(), Harm::Removed));
    }
    cells
}

#[test]
fn a_harmed_state_directory_is_served_truly_or_not_at_all() {
    let mut ground = Ground::new();
    let truth = Truth::of(&mut ground);
    let room = tempfile::TempDir::with_prefix("custody-matrix-").expect("a directory");
    let whole = room.path().join("whole");
    copy(ground.state(), &whole);
    let (served, wrong) = truth.cell(&whole, Path::new("nothing"), false);
    assert_eq!((served, wrong), (Served::Started, Vec::new()), "what is whole is served");

    let cells = cells(&ground);
    let run = |number: usize| {
        let (kind, path, harm) = &cells[number];
        let state = room.path().join(format!("state-{number}"));
        copy(ground.state(), &state);
        match fs::metadata(state.join(path)).is_ok_and(|found| found.is_dir()) {
            true => fs::remove_dir_all(state.join(path)).expect("removed"),
            false => {
                let bytes = ground.harmed(path, *harm).expect("it harms");
                put(&state.join(path), bytes.as_deref());
            }
        }
        let text = path.to_string_lossy();
        let control = ["control", "keys", "vault"].iter().any(|part| text.starts_with(part));
        let (served, wrong) = truth.cell(&state, path, control);
        fs::remove_dir_all(&state).expect("removed");
        let wrong: Vec<String> =
            wrong.into_iter().map(|what| format!("{kind} {harm:?}: {what}")).collect();
        (served, wrong)
    };
    let lanes: Vec<(Served, Vec<String>)> = std::thread::scope(|scope| {
        let lane = |first: usize| {
            let run = &run;
            let count = cells.len();
            scope.spawn(move || (first..count).step_by(AT_ONCE).map(run).collect::<Vec<_>>())
        };
        let lanes: Vec<_> = (0..AT_ONCE).map(lane).collect();
        lanes.into_iter().flat_map(|lane| lane.join().expect("a lane")).collect()
    });
    let refused = lanes.iter().filter(|(served, _)| *served == Served::Refused).count();
    let bad = lanes.iter().filter(|(_, wrong)| !wrong.is_empty()).count();
    println!(
        "{} cells served: {refused} refused with a reason, {} started, {bad} wrong",
        cells.len(),
        cells.len() - refused
    );
    let wrong: BTreeSet<_> = lanes.into_iter().flat_map(|(_, wrong)| wrong).collect();
    assert!(wrong.is_empty(), "{}", wrong.into_iter().collect::<Vec<_>>().join("\n"));
}
