//! A disk that fills up under a session, and has room again.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::mpsc::{Receiver, channel};

use custody_record::Reader;
use custody_record::event::{Body, Outcome, PauseCode, SessionPaused};
use custody_tests::deadline::{PATIENCE, until};
use custody_tests::{Installation, Repository, Server};

/// Bytes of the file system that fills up.
pub(crate) const ROOM: u64 = 32 << 20;

/// Says what it did for each line.
const SCRIPT: &str = "while read -r line; do cat README.md >/dev/null; echo did-$line; done";

/// The shell that runs the script, as a process of the machine.
fn shell(script: &str) -> Option<PathBuf> {
    fs::read_dir("/proc").expect("proc is mounted").flatten().map(|entry| entry.path()).find(
        |process| {
            let line = fs::read(process.join("cmdline")).unwrap_or_default();
            line.starts_with(b"sh\0-c\0") && String::from_utf8_lossy(&line).contains(script)
        },
    )
}

/// Whether the control group of a process is frozen, with either version of control groups.
fn is_frozen(process: &Path) -> bool {
    let groups = fs::read_to_string(process.join("cgroup")).unwrap_or_default();
    groups.lines().any(|line| {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controller), Some(path)) = (parts.next(), parts.next()) else { return false };
        match controller {
            "freezer" => fs::read_to_string(format!("/sys/fs/cgroup/freezer{path}/freezer.state"))
                .is_ok_and(|state| state.trim() == "FROZEN"),
            "" => ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"].iter().any(|root| {
                fs::read_to_string(format!("{root}{path}/cgroup.events"))
                    .is_ok_and(|events| events.lines().any(|line| line == "frozen 1"))
            }),
            _ => false,
        }
    })
}

/// Takes all of the room, in a file that can be removed.
pub(crate) fn fill(place: &Path) -> PathBuf {
    let path = place.join("filler");
    let mut file = File::create(&path).expect("made");
    let chunk = vec![1; 4096];
    while file.write_all(&chunk).is_ok() {}
    path
}

fn lines_of(output: impl std::io::Read + Send + 'static) -> Receiver<String> {
    let (sender, lines) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    lines
}

#[test]
fn a_session_is_frozen_while_its_disk_is_full_and_goes_on_when_there_is_room_again() {
    let (installation, repository) =
        (Installation::with_small_file_system("sessions", ROOM), Repository::example());
    let mut child = installation
        .command(repository.path(), &["run", "--", "sh", "-c", SCRIPT])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("custody starts");
    let mut input = child.stdin.take().expect("a pipe");
    let output = lines_of(child.stdout.take().expect("a pipe"));
    let mut errors = child.stderr.take().expect("a pipe");
    writeln!(input, "0").expect("taken");
    assert_eq!(output.recv_timeout(PATIENCE).expect("it runs"), "did-0");
    let process = until("the shell", || shell(SCRIPT));

    let (mut asked, mut done) = (0, 0);
    for round in 1..=3 {
        let filler = fill(&installation.directory(installation.session()));
        // Small events find room in what is allocated already, for a while.
        until(format!("round {round}: the sandbox is frozen"), || {
            if is_frozen(&process) {
                return Some(());
            }
            asked += 1;
            writeln!(input, "{asked}").expect("taken");
            None
        });
        fs::remove_file(filler).expect("removed");
        until(format!("round {round}: it goes on"), || (!is_frozen(&process)).then_some(()));
        while done < asked {
            done += 1;
            let line = output.recv_timeout(PATIENCE).expect("output is late, not lost");
            assert_eq!(line, format!("did-{done}"));
        }
    }
    drop(input);
    let status = child.wait().expect("it ends");
    let mut said = String::new();
    errors.read_to_string(&mut said).expect("text");
    assert!(status.success(), "{status}\n{said}");

    let session = installation.session();
    let _ = installation.verify(session).succeeded();
    let record = installation.record(session);
    let (mut degraded, mut restored, mut paused, mut resumed) = (0, 0, 0, 0);
    let mut since = None;
    for event in record.events() {
        match &event.body {
            Body::RecorderDegraded(told) => {
                assert!(told.error.contains("No space left"), "{told:?}");
                assert!(since.replace(event.time).is_none(), "one trouble at a time");
                degraded += 1;
            }
            Body::RecorderRestored(told) => {
                assert_eq!(Some(told.since), since.take());
                assert!(told.waited > 0 && told.attempts > 0, "{told:?}");
                restored += 1;
            }
            Body::SessionPaused(SessionPaused {
                code: Some(PauseCode::RecordUnwritable),
                reason,
            }) if reason.contains("can't be written") => {
                paused += 1;
            }
            Body::SessionResumed(_) => resumed += 1,
            _ => {}
        }
    }
    assert!(degraded >= 3 && degraded == restored, "{degraded} degraded, {restored} restored");
    assert!(paused >= 3 && resumed >= paused, "{paused} paused, {resumed} resumed");
    let executed = record.executed().filter(|(_, data)| data.argv == ["cat", "README.md"]).count();
    assert_eq!(executed, asked + 1, "no observation is lost");
    println!("{degraded} times degraded and restored; {executed} commands, each on record");
}

#[test]
fn what_cannot_be_put_on_record_is_refused_and_the_next_call_works_when_the_disk_does() {
    let installation = Installation::with_small_file_system("", ROOM);
    let server = Server::start(&installation);
    let admin = server.admin();
    let create = |name: &str| {
        server.custody(&admin, installation.state(), &["user", "create", name, "--role", "auditor"])
    };
    let _ = create("before").succeeded();
    let filler = fill(installation.state());
    // What is allocated already has room for some.
    let refused = (0..200)
        .map(|number| create(&format!("during{number}")))
        .find(|output| output.text().contains("can't be put on record, so it was not done"))
        .expect("a full disk refuses");
    assert_eq!(refused.code, Some(71), "{}", refused.text());
    fs::remove_file(filler).expect("removed");
    let _ = create("after").succeeded();
    let listed = server.custody(&admin, installation.state(), &["user", "list"]).succeeded();
    assert!(listed.stdout.contains("before") && listed.stdout.contains("after"), "{listed:?}");
    let _ = server.custody(&admin, installation.state(), &["control", "verify"]).succeeded();
}

/// Bytes of a file that the session makes: its branch and its diff need as much once more.
const LARGE: u64 = 4 << 20;

/// Bytes that stay free: enough for events, and too few for [`LARGE`].
const LITTLE: u64 = 1 << 20;

/// Makes the large file, and ends with its input.
const MAKES_MUCH: &str = "head -c 4194304 /dev/urandom >large; echo made; read -r line; true";

/// A session that is about to put out more than its disk has room for.
struct Publishing {
    installation: Installation,
    repository: Repository,
    child: std::process::Child,
    filler: PathBuf,
}

impl Publishing {
    fn begin(wait: Option<&str>) -> Self {
        // All of it: what is put out gets into the mirror by a rename.
        let mut installation = Installation::with_small_file_system("", ROOM);
        if let Some(wait) = wait {
            installation.set("CUSTODY_DISK__OUTPUTS_WAIT", wait);
        }
        let repository = Repository::example();
        let mut child = installation
            .command(repository.path(), &["run", "--", "sh", "-c", MAKES_MUCH])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("custody starts");
        let output = lines_of(child.stdout.take().expect("a pipe"));
        assert_eq!(output.recv_timeout(PATIENCE).expect("it runs"), "made");
        let filler = fill(installation.state());
        let full = fs::metadata(&filler).expect("it is there").len();
        File::options()
            .write(true)
            .open(&filler)
            .and_then(|file| file.set_len(full - LITTLE))
            .expect("some room is left");
        // Its input ends, and with it the command.
        drop(child.stdin.take());
        Self { installation, repository, child, filler }
    }

    /// Waits until it waits.
    fn waits(&self) {
        let log = self.installation.directory(self.installation.session()).join("keeper.log");
        until("the outputs wait for the disk", || {
            let said = fs::read_to_string(&log).unwrap_or_default();
            (said.contains("waiting for the disk") && said.contains("the outputs")).then_some(())
        });
    }

    fn ended(self) -> (Installation, Repository, String) {
        let Self { installation, repository, child, .. } = self;
        let output: custody_tests::Output = child.wait_with_output().expect("it ends").into();
        (installation, repository, format!("{:?} {}", output.code, output.text()))
    }
}

/// The branch of a session in the mirror.
fn branch(installation: &Installation) -> Option<PathBuf> {
    let name = format!("refs/heads/custody/{}", installation.session());
    let mirrors = fs::read_dir(installation.state().join("repositories")).expect("mirrors");
    mirrors.flatten().map(|entry| entry.path()).find(|mirror| {
        let mut git = std::process::Command::new("git");
        git.arg("--git-dir").arg(mirror).args(["rev-parse", "--verify", "--quiet", &name]);
        git.output().expect("git runs").status.success()
    })
}

fn half_written(installation: &Installation) -> Vec<PathBuf> {
    let mirrors = fs::read_dir(installation.state().join("repositories")).expect("mirrors");
    let packs = mirrors.flatten().map(|entry| entry.path().join("objects/pack"));
    let files = packs.flat_map(|dir| fs::read_dir(dir).into_iter().flatten().flatten());
    files
        .map(|entry| entry.path())
        .filter(|path| {
            path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("tmp_"))
        })
        .collect()
}

#[test]
fn outputs_wait_for_a_full_disk_and_are_whole_once_it_has_room() {
    let publishing = Publishing::begin(None);
    publishing.waits();
    assert_eq!(branch(&publishing.installation), None, "nothing is half done");
    fs::remove_file(&publishing.filler).expect("removed");
    let (installation, _repository, said) = publishing.ended();
    assert!(said.starts_with("Some(0)"), "{said}");
    let mirror = branch(&installation).expect("the branch is there");
    let large = format!("custody/{}:large", installation.session());
    let mut git = std::process::Command::new("git");
    git.arg("--git-dir").arg(&mirror).args(["cat-file", "-s", &large]);
    let size = String::from_utf8(git.output().expect("git runs").stdout).expect("text");
    assert_eq!(size.trim(), LARGE.to_string());
    assert_eq!(half_written(&installation), Vec::<PathBuf>::new());
    let session = installation.session();
    let _ = installation.verify(session).succeeded();
    let record = installation.record(session);
    let (mut degraded, mut restored, mut commits, mut outcome) = (0, 0, 0, None);
    for event in record.events() {
        match &event.body {
            Body::RecorderDegraded(told) if told.step == "the outputs" => {
                assert!(told.error.contains("No space left on device"), "{told:?}");
                degraded += 1;
            }
            Body::RecorderRestored(told) => {
                assert!(told.attempts > 0, "{told:?}");
                restored += 1;
            }
            Body::CommitCreated(_) => commits += 1,
            Body::SessionClosed(closed) => outcome = Some(closed.outcome),
            _ => {}
        }
    }
    assert!(degraded >= 1 && restored >= degraded, "{degraded} {restored}");
    assert_eq!((commits, outcome), (1, Some(Outcome::Completed)));
    println!("{degraded} times the outputs waited for the disk");
}

#[test]
fn outputs_are_given_up_after_their_wait_and_what_the_session_wrote_is_kept() {
    let publishing = Publishing::begin(Some("2s"));
    let filler = publishing.filler.clone();
    let (installation, _repository, said) = publishing.ended();
    assert!(said.contains("as long as disk.outputs_wait allows"), "{said}");
    assert_eq!(branch(&installation), None);
    let session = installation.session();
    fs::remove_file(filler).expect("removed");
    let _ = installation.verify(session).succeeded();
    let closed = installation.record(session).events().last().map(|event| event.body.clone());
    let Some(Body::SessionClosed(closed)) = closed else { panic!("it is closed: {closed:?}") };
    assert_eq!(closed.outcome, Outcome::Failed);
    assert!(closed.reason.contains("is kept in workspace/upper"), "{}", closed.reason);
    let kept = installation.directory(session).join("workspace/upper/large");
    assert_eq!(fs::metadata(kept).expect("it is kept").len(), LARGE);
}

#[test]
fn a_session_whose_end_waits_too_long_is_interrupted_and_loses_nothing_that_was_durable() {
    let mut installation = Installation::with_small_file_system("sessions", ROOM);
    installation.set("CUSTODY_DISK__END_WAIT", "2s");
    let repository = Repository::example();
    let mut server = Server::start(&installation);
    let here = repository.path();
    server.let_anyone_run_sh(&installation, here);
    let script = "while :; do cat README.md >/dev/null; sleep 0.02; done";
    let words = ["run", "--detach", "--", "sh", "-c", script];
    let dana = server.person("dana", &["developer"]);
    let _ = server.custody(&dana, here, &words).succeeded();
    let session = installation.session();
    let (directory, id) = (installation.directory(session), session.to_string());
    let process = until("the shell", || shell(script));
    let filler = fill(&directory);
    until("it is frozen", || is_frozen(&process).then_some(()));
    let _ = server.custody(&dana, here, &["session", "stop", &id]);
    until("the keeper gives up", || directory.join("run/gave-up").exists().then_some(()));
    assert_eq!(server.stop(), Some(0));
    let ids = || -> Vec<String> {
        let reader = Reader::open(&directory.join("record")).expect("a record");
        let events = reader.events().expect("readable");
        events.map_while(Result::ok).map(|event| event.id.to_string()).collect()
    };
    let durable = ids();
    assert!(durable.len() > 10, "{durable:?}");
    fs::remove_file(filler).expect("removed");
    server.restart();
    until("the record is closed", || directory.join("record/checkpoint").exists().then_some(()));
    let after = ids();
    assert_eq!(after[..durable.len()], durable, "what was durable is there");
    let record = installation.record(session);
    let told = record.events().iter().filter_map(|event| match &event.body {
        Body::RecorderGap(gap) => Some(gap.reason.clone()),
        Body::SessionClosed(closed) if closed.outcome == Outcome::Interrupted => {
            Some(closed.reason.clone())
        }
        _ => None,
    });
    let told: Vec<String> = told.filter(|text| text.contains("disk.end_wait")).collect();
    assert_eq!(told.len(), 2, "a gap and the closing event: {told:?}");
    println!("{} events were durable, and {} are on record", durable.len(), after.len());
}
