//! A record that is as it was written is never called broken: not in the first moments of an installation, while its first
//! session begins, lives and is sealed, nor on a disk that is really full, nor after it.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

use custody_model::SessionId;
use custody_record::verify::Integrity;
use custody_record::{KeyChoice, Verifier, VerifyOptions, verify};
use custody_tests::deadline::until;
use custody_tests::{Installation, Repository, binary, keeper};

use crate::full_disk::fill;

/// New installations that are looked at from their first moment on.
const INSTALLATIONS: usize = 6;

/// Looks inside of this process between two by the programs, which take longer.
const BETWEEN_PROGRAMS: usize = 40;

/// Lines of input that a session gets on a full disk, at most: small events find room in what is allocated.
const MOST_LINES: usize = 4000;

#[derive(Debug, Default)]
struct Looks {
    inside: usize,
    programs: usize,
    /// While the session was open, and when it was whole.
    open: usize,
    whole: usize,
}

/// Looks at every session that there is, as a library and now and then by both programs.
fn look(installation: &Installation, looks: &mut Looks) {
    let state = installation.state();
    for session in installation.sessions() {
        let record = installation.directory(session).join("record");
        let Ok(key) = Verifier::of_installation(&state.join("keys")) else { continue };
        // Before its first byte there is a directory and no record.
        if ["journal", "checkpoint"].iter().all(|name| !record.join(name).exists()) {
            continue;
        }
        let options = VerifyOptions::new(KeyChoice::Installation(key.clone()))
            .with_installation_log(&state.join("log"));
        let report = verify(&record, &options);
        assert_eq!(report.integrity, Integrity::Intact, "look {}: {report}", looks.inside);
        match report.is_good() {
            true => looks.whole += 1,
            false => looks.open += 1,
        }
        looks.inside += 1;
        if looks.inside % BETWEEN_PROGRAMS == 1 {
            programs(installation, session, &record, &key);
            looks.programs += 1;
        }
    }
}

fn programs(installation: &Installation, session: SessionId, record: &Path, key: &Verifier) {
    let verifier = binary().with_file_name("custody-verify");
    let mut offline = Command::new(verifier);
    offline.arg("--key").arg(key.to_string()).arg(record);
    let id = session.to_string();
    let own = installation.command(installation.state(), &["verify", &id]);
    for mut command in [offline, own] {
        let output = command.output().expect("it starts");
        let text = format!(
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        assert_ne!(output.status.code(), Some(68), "{command:?}: {text}");
        assert!(!text.contains("BROKEN"), "{command:?}: {text}");
    }
}

#[test]
fn the_first_session_of_a_fresh_installation_is_never_called_broken() {
    let mut looks = Looks::default();
    for _ in 0..INSTALLATIONS {
        let (installation, repository) = (Installation::new(), Repository::example());
        let script = "for i in 1 2 3 4 5 6 7 8; do echo $i >made-$i; sleep 0.05; done";
        let mut child = installation.start(&repository, &["-q"], script);
        let status = loop {
            let ended = child.try_wait().expect("it can be waited for");
            look(&installation, &mut looks);
            if let Some(status) = ended {
                break status;
            }
        };
        assert!(status.success(), "{status}");
        assert_eq!(installation.verify(installation.session()).code, Some(0));
    }
    println!("{looks:?}");
    assert!(looks.open > INSTALLATIONS && looks.whole >= INSTALLATIONS, "{looks:?}");
}

/// Says what it did for each line.
const SCRIPT: &str =
    "while read -r line; do cat README.md >/dev/null; echo \"made $line\" >>made; done; echo over";

/// A session whose whole installation has no room any more, while it is looked at; then there is room again, after `meanwhile`.
fn on_a_full_disk(meanwhile: impl FnOnce(SessionId)) -> (Installation, Looks) {
    let installation = Installation::with_small_file_system("", crate::full_disk::ROOM);
    let repository = Repository::example();
    let mut child = installation
        .command(repository.path(), &["run", "-q", "--", "sh", "-c", SCRIPT])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("custody starts");
    let mut input = child.stdin.take().expect("a pipe");
    let mut output = BufReader::new(child.stdout.take().expect("a pipe"));
    writeln!(input, "0").expect("taken");
    let mut looks = Looks::default();
    until("the session runs", || {
        look(&installation, &mut looks);
        (!installation.sessions().is_empty() && looks.inside > 3).then_some(())
    });
    let filler = fill(installation.state());
    let session = installation.session();
    let grown = |from: u64| {
        let journal = installation.directory(session).join("record/journal");
        std::fs::metadata(journal).map_or(from, |found| found.len())
    };
    // Until nothing more finds its way to the disk.
    let (mut last, mut same) = (0, 0);
    for line in 0..MOST_LINES {
        writeln!(input, "{line}").expect("taken");
        look(&installation, &mut looks);
        let size = grown(last);
        same = if size == last { same + 1 } else { 0 };
        last = size;
        if same > 200 {
            break;
        }
    }
    meanwhile(session);
    look(&installation, &mut looks);
    std::fs::remove_file(filler).expect("removed");
    drop(input);
    let mut line = String::new();
    while output.read_line(&mut line).is_ok_and(|read| read > 0) {
        look(&installation, &mut looks);
    }
    let _status = child.wait().expect("it ends");
    look(&installation, &mut looks);
    (installation, looks)
}

#[test]
fn a_record_on_a_full_disk_is_never_called_broken() {
    let (installation, looks) = on_a_full_disk(|_| ());
    println!("{looks:?}");
    assert_eq!(installation.verify(installation.session()).code, Some(0));
}

#[test]
fn a_record_whose_keeper_died_on_a_full_disk_is_never_called_broken() {
    let (installation, mut looks) = on_a_full_disk(|session| {
        assert!(keeper::kill(session), "its keeper lives");
        until("its keeper is gone", || keeper::find(session).is_none().then_some(()));
    });
    // The next command closes what it left.
    let _ = installation.custody(installation.state(), &["session", "list"]).succeeded();
    let session = installation.session();
    until("its record is closed", || {
        look(&installation, &mut looks);
        let shown = installation.custody(installation.state(), &["session", "list", "-o", "json"]);
        shown.stdout.contains("interrupted").then_some(())
    });
    println!("{looks:?}");
    assert_eq!(installation.verify(session).code, Some(69), "{looks:?}");
}
