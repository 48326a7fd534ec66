//! A disk that fills up under a session, and has room again.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::mpsc::{Receiver, channel};

use custody_record::event::{Body, SessionPaused};
use custody_tests::deadline::{PATIENCE, until};
use custody_tests::{Installation, Repository, Server};

/// Bytes of the file system that fills up.
const ROOM: u64 = 32 << 20;

/// Says what it did for each line.
const SCRIPT: &str = "while read -r line; do cat README.md >/dev/null; echo did-$line; done";

/// The shell that runs the script, as a process of the machine.
fn shell() -> Option<PathBuf> {
    fs::read_dir("/proc").expect("proc is mounted").flatten().map(|entry| entry.path()).find(
        |process| {
            let line = fs::read(process.join("cmdline")).unwrap_or_default();
            line.starts_with(b"sh\0-c\0") && String::from_utf8_lossy(&line).contains(SCRIPT)
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

fn fill(place: &Path) -> PathBuf {
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
    let process = until("the shell", shell);

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
            Body::SessionPaused(SessionPaused { reason })
                if reason.contains("can't be written") =>
            {
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
