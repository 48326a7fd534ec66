//! The eight acts: three reads, a write, a removal, a denied file, a blocked host, a direct connection. Eight of eight
//! are in the record, with process and time.

use custody_model::Timestamp;
use custody_record::event::{Body, Coverage, Event, GapSource, Outcome, Place};
use custody_tests::deadline::until;
use custody_tests::repository::{POLICY, SECRET};
use custody_tests::{Installation, Record, Repository};

/// Each act by the program that does it; the refused ones fail, which is no failure of the script.
const ACTS: &str = "
cat README.md src/main.c >/dev/null
head -c 5 docs/guide.md >/dev/null
cp README.md notes.txt
rm src/unused.c
cat secrets/key.txt
curl --silent --max-time 5 http://blocked.example/upload
bash -c 'exec 3<>/dev/tcp/203.0.113.7/443'
";

/// The address of [`ACTS`] lies in a block that RFC 5737 reserves for documentation: nothing answers there.
const ADDRESS: &str = "203.0.113.7";

/// Finds all eight, each done by the program that did it, between the start and the end of the session.
fn assert_eight_of_eight(record: &Record) {
    let first = |what: &str, mut found: Box<dyn Iterator<Item = &Event> + '_>| -> Event {
        found.next().unwrap_or_else(|| panic!("the record lacks: {what}")).clone()
    };
    let acts = [
        ("cat", first("the first read", Box::new(record.reads("README.md")))),
        ("cat", first("the second read", Box::new(record.reads("src/main.c")))),
        ("head", first("the third read", Box::new(record.reads("docs/guide.md")))),
        ("cp", first("the write", Box::new(record.writes("notes.txt")))),
        ("rm", first("the removal", Box::new(record.removals("src/unused.c")))),
        ("cat", first("the denied file", Box::new(record.refusals("secrets/key.txt")))),
        (
            "curl",
            first(
                "the blocked host",
                Box::new(
                    record
                        .egress()
                        .filter(|(_, data)| data.host.as_deref() == Some("blocked.example"))
                        .map(|(event, _)| event),
                ),
            ),
        ),
        (
            "bash",
            first(
                "the direct connection",
                Box::new(
                    record
                        .egress()
                        .filter(|(_, data)| {
                            data.address.as_deref() == Some(ADDRESS) && data.port == Some(443)
                        })
                        .map(|(event, _)| event),
                ),
            ),
        ),
    ];
    let started: Timestamp = record
        .events()
        .iter()
        .find(|event| matches!(event.body, Body::SessionStarted(_)))
        .expect("the session started")
        .time;
    let closed = record.events().last().expect("a record has events").time;
    for (program, event) in acts {
        assert_eq!(
            record.program(&event).exe.rsplit('/').next(),
            Some(program),
            "the process of {event:?}"
        );
        assert!(started <= event.time && event.time <= closed, "the time of {event:?}");
    }
}

fn assert_secret_is_nowhere(record: &Record) {
    let text = serde_json::to_string(record.events()).expect("events are JSON");
    // The script names no secret, so only a leak could bring it here.
    assert!(!text.contains(SECRET), "the record holds the secret itself");
}

/// What a session without a gap says of each place: never more than was seen.
fn covered_today(place: Place) -> Coverage {
    match place {
        Place::Workspace | Place::Scratch | Place::Processes | Place::Network | Place::Terminal => {
            Coverage::Complete
        }
        Place::GitObjects | Place::Image => Coverage::Partial,
        Place::Models => Coverage::Absent,
    }
}

fn eight_acts(options: &[&str]) {
    let (installation, repository) = (Installation::new(), Repository::with_secrets());
    let policy = installation.policy(POLICY);
    let output = installation.run(&repository, &[&["--policy", &policy], options].concat(), ACTS);
    assert!(!output.text().contains(SECRET), "the sandbox printed the secret: {}", output.text());
    let record = installation.record(installation.session());
    assert_eight_of_eight(&record);
    assert_secret_is_nowhere(&record);
    assert_eq!(record.closed().outcome, Outcome::Completed);
    assert_eq!(record.closed().coverage, Place::coverage(covered_today));
    let shown = installation
        .custody(installation.state(), &["session", "show", &installation.session().to_string()]);
    let page = shown.succeeded().text();
    for (place, coverage) in Place::coverage(covered_today) {
        let told = format!("{} {}", place.replace('_', " "), coverage.word());
        assert!(page.contains(&told), "{told:?} is not in {page}");
    }
    let _ = installation.verify(installation.session()).succeeded();
}

#[test]
fn eight_acts_are_eight_events_when_observed() {
    eight_acts(&[]);
}

#[test]
fn eight_acts_are_eight_events_when_strict() {
    eight_acts(&["--strict"]);
}

/// Kills the keeper of a session with SIGKILL as soon as the script says that it is done.
fn kill_the_keeper_after(options: &[&str], script: &str) -> (Installation, Record) {
    let (installation, repository) = (Installation::new(), Repository::with_secrets());
    let policy = installation.policy(POLICY);
    let script = format!("{script}\nexec 2>&- \necho all-done\nexec sleep 1000");
    let mut running =
        installation.start(&repository, &[&["--policy", &policy], options].concat(), &script);
    let mut output = std::io::BufReader::new(running.stdout.take().expect("a pipe"));
    let mut seen = String::new();
    while !seen.contains("all-done") {
        let read = std::io::BufRead::read_line(&mut output, &mut seen).expect("readable");
        assert!(read > 0, "the session ended early: {seen}");
    }
    let session = installation.session();
    assert!(custody_tests::keeper::kill(session), "the session has a keeper");
    let _ = running.wait().expect("the command line ends when its keeper does");
    // Whoever looks next closes the record.
    let listed = installation.custody(installation.state(), &["session", "list"]);
    let _ = listed.succeeded();
    let record = until("the record to be closed", || {
        let record = installation.record(session);
        matches!(record.events().last()?.body, Body::SessionClosed(_)).then_some(record)
    });
    (installation, record)
}

fn assert_says_that_it_was_interrupted(record: &Record) {
    assert_eq!(record.closed().outcome, Outcome::Interrupted);
    let gap = record.events().iter().any(
        |event| matches!(&event.body, Body::RecorderGap(gap) if gap.source == GapSource::Keeper),
    );
    assert!(gap, "what the dead keeper held in memory is said to be missing");
}

#[test]
fn eight_acts_survive_kill_9_of_the_keeper() {
    for options in [&[] as &[&str], &["--strict"]] {
        let (installation, record) = kill_the_keeper_after(options, ACTS);
        assert_eight_of_eight(&record);
        assert_says_that_it_was_interrupted(&record);
        let verdict = installation.verify(installation.session());
        assert_eq!(verdict.code, Some(69), "intact, and incomplete: {}", verdict.text());
    }
}

#[test]
fn a_thousand_harmless_refusals_hide_no_later_one() {
    let (installation, repository) = (Installation::new(), Repository::with_secrets());
    let policy = installation.policy(POLICY);
    let script = format!(
        "i=0; while [ $i -lt 1000 ]; do true 2>/dev/null >>LICENSE; i=$((i+1)); done\n{ACTS}"
    );
    let _ = installation.run(&repository, &["--policy", &policy], &script);
    let record = installation.record(installation.session());
    let refused: u64 = record
        .denied()
        .filter(|(_, data)| data.path.to_string() == "LICENSE")
        .map(|(_, data)| data.count)
        .sum();
    assert!(refused >= 1000, "{refused} of 1,000 refusals are on record");
    assert_eight_of_eight(&record);
}
