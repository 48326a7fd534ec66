//! Recordings of terminals: the program of the asciinema people reads them.

use std::path::Path;
use std::process::Command;

use custody_keeper::asciicast::Recording;
use custody_keeper::asciicast::read::{ReadError, Size, What, read};
use custody_keeper::spec::Window;
use custody_model::Timestamp;
use custody_record::Redactor;
use custody_record::event::ExitStatus;
use custody_tests::{Installation, Repository};
use serde_json::{Value, json};

use crate::validator::tool;

/// What the program makes of a recording.
fn converted(format: &str, from: &Path, to: &Path) {
    let home = to.parent().expect("a directory");
    let read = Command::new(tool("bin/asciinema"))
        .args(["convert", "--overwrite", "--output-format", format])
        .args([from, to])
        .env("HOME", home)
        .output()
        .expect("asciinema starts");
    assert!(read.status.success(), "{}", String::from_utf8_lossy(&read.stderr));
}

/// What happens in a recording: when, in microseconds since its beginning, the event's code, and its data.
type Course = Vec<(u64, String, String)>;

/// The header and the course of a recording as the program reads them: asciicast v2 has times since the beginning, and is written
/// with all their digits, which its v3 is not.
fn theirs(cast: &Path) -> (Value, Course) {
    let converted_to = cast.with_extension("v2");
    converted("asciicast-v2", cast, &converted_to);
    let text = std::fs::read_to_string(&converted_to).expect("UTF-8");
    let mut lines = text.lines();
    let header = serde_json::from_str(lines.next().expect("a header")).expect("JSON");
    let course = lines.map(|line| {
        let (time, code, data): (f64, String, String) =
            serde_json::from_str(line).expect("an event");
        ((time * 1e6).round() as u64, code, data)
    });
    (header, course.collect())
}

/// The same as our own reader has it.
fn ours(cast: &Path) -> (Size, Course) {
    let text = std::fs::read_to_string(cast).expect("UTF-8");
    let (size, events) = read(&text).expect("a recording");
    let mut at = 0;
    let course = events.map(|event| {
        let event = event.expect("an event");
        at += u64::try_from(event.interval.as_micros()).expect("not for ever");
        let (code, data) = match event.what {
            What::Output(text) => ("o".to_owned(), text),
            What::Input(text) => ("i".to_owned(), text),
            What::Resize(size) => ("r".to_owned(), format!("{}x{}", size.columns, size.rows)),
            What::Marker(text) => ("m".to_owned(), text),
            What::Exit(status) => ("x".to_owned(), status.to_string()),
            What::Other(code) => panic!("the code {code:?}"),
        };
        (at, code, data)
    });
    (size, course.collect())
}

/// The first line of a file, and its comments.
fn header_and_comments(cast: &Path) -> (Value, Vec<String>) {
    let text = std::fs::read_to_string(cast).expect("UTF-8");
    let header = serde_json::from_str(text.lines().next().expect("a header")).expect("JSON");
    (header, text.lines().filter(|line| line.starts_with('#')).map(str::to_owned).collect())
}

#[test]
fn every_header_field_event_and_moment_is_what_their_program_reads() {
    let place = tempfile::tempdir().expect("a directory");
    let cast = place.path().join("made.cast");
    let (start, secret) = (1_795_461_120_654_321, "held outside of it");
    let at = |micros: i64| Timestamp::from_micros(start + micros);
    let redactor = Redactor::new([1; 32], &[secret], &[]).expect("a redactor");
    let command = ["sh", "-c", "echo held outside of it"].map(str::to_owned);
    let window = Window { rows: 24, columns: 80 };
    let file = std::fs::File::create(&cast).expect("made");
    let mut recording =
        Recording::start(file, at(0), window, &command, 1 << 20, redactor.into()).expect("begun");
    let done = "written";
    recording.output(at(7), b"\x1b[31mcaf\xc3").expect(done);
    recording.output(at(1_000_007), b"\xa9\x1b[0m\r\n\x07\x00\xff").expect(done);
    recording.resize(at(1_000_008), Window { rows: 50, columns: 132 }).expect(done);
    // In two pieces, and not at the same time.
    recording.output(at(1_500_000), b"it is held out").expect(done);
    recording.output(at(61_500_000), b"side of it\n").expect(done);
    recording.input(12);
    recording.finish(at(61_500_001), Some(ExitStatus::Signal(15))).expect(done);

    let (header, comments) = header_and_comments(&cast);
    let told = header["command"].as_str().expect("a command").to_owned();
    assert!(told.starts_with("sh -c echo [redacted:injected-value:"), "{told}");
    let seconds = start / 1_000_000;
    let term = json!({ "cols": 80, "rows": 24 });
    let wanted = json!({ "version": 3, "term": term, "timestamp": seconds, "command": told });
    assert_eq!((header, comments.len()), (wanted, 0));
    let (header, course) = theirs(&cast);
    let wanted =
        json!({ "version": 2, "width": 80, "height": 24, "timestamp": seconds, "command": told });
    assert_eq!(header, wanted);
    let marker = told.trim_start_matches("sh -c echo ");
    let event = |at: u64, code: &str, data: &str| (at, code.to_owned(), data.to_owned());
    let wanted = [
        event(7, "o", "\u{1b}[31mcaf"),
        event(1_000_007, "o", "é\u{1b}[0m\r\n\u{7}\0\u{fffd}"),
        event(1_000_008, "r", "132x50"),
        event(1_500_000, "o", &format!("it is {marker}")),
        event(61_500_000, "o", "\n"),
        event(61_500_001, "x", "143"),
    ];
    assert_eq!(course, wanted);
    assert_eq!(ours(&cast), (Size { columns: 80, rows: 24 }, course));
}

#[test]
fn a_recording_is_read_by_the_program_of_the_asciinema_people() {
    let repository = Repository::example();
    let installation = Installation::new();
    let script =
        "printf 'caf\\303\\251 \\342\\202\\254\\r\\n'; sleep 0.1; printf 'second\\r\\n'; exit 3";
    let output = installation.run(&repository, &["--quiet"], script);
    assert_eq!(output.code, Some(3), "{}", output.text());
    let place = tempfile::tempdir().expect("a directory");
    let (cast, text) = (place.path().join("session.cast"), place.path().join("session.txt"));
    let file = cast.to_str().expect("UTF-8");
    let said = installation
        .custody(repository.path(), &["export", "last", "--format", "asciicast", "--file", file])
        .succeeded();
    assert!(said.stdout.contains("written as asciicast 3"), "{}", said.stdout);
    let lines = std::fs::read_to_string(&cast).expect("the recording");
    let (header, comments) = header_and_comments(&cast);
    assert_eq!(
        lines.lines().last(),
        comments.last().map(String::as_str),
        "one comment, at the end"
    );
    assert!(
        comments.len() == 1 && comments[0].starts_with("# {\"custody_export\":"),
        "{comments:?}"
    );
    converted("txt", &cast, &text);
    let (converted, course) = theirs(&cast);
    let members =
        |header: &Value| header.as_object().map(|all| all.keys().cloned().collect::<Vec<_>>());
    assert_eq!(
        members(&header).expect("an object"),
        ["command", "term", "timestamp", "version"],
        "{header}"
    );
    for (own, other) in [
        (&header["term"]["cols"], &converted["width"]),
        (&header["term"]["rows"], &converted["height"]),
        (&header["timestamp"], &converted["timestamp"]),
        (&header["command"], &converted["command"]),
    ] {
        assert_eq!(own, other, "{header} {converted}");
    }
    assert_eq!(ours(&cast).1, course, "the same events at the same moments");
    let exit = course.last().expect("an end");
    assert_eq!((exit.1.as_str(), exit.2.as_str()), ("x", "3"), "{course:?}");
    assert!(exit.0 >= 100_000, "it slept for a tenth of a second: {course:?}");
    let text = std::fs::read_to_string(&text).expect("the text");
    assert_eq!(text.lines().map(str::trim_end).collect::<Vec<_>>(), ["café €", "second"]);
}

#[test]
fn public_recordings_are_read_as_their_own_program_reads_them_and_other_versions_refused() {
    let vectors = tool("asciinema/casts/full-v3.cast");
    let vectors = vectors.parent().expect("a directory");
    let place = tempfile::tempdir().expect("a directory");
    let (mut taken, mut refused) = (0, 0);
    for entry in std::fs::read_dir(vectors).expect("the vectors") {
        let path = entry.expect("a vector").path();
        let cast = std::fs::read_to_string(&path).expect("UTF-8");
        let name = path.file_name().and_then(|name| name.to_str()).expect("a name").to_owned();
        if !name.contains("v3") {
            refused += 1;
            let Err(error) = read(&cast) else { panic!("{name} is read") };
            // Version 1 is one JSON document of several lines.
            let other = matches!(error, ReadError::Version(1 | 2) | ReadError::Header(_));
            assert!(other, "{name}: {error}");
            continue;
        }
        taken += 1;
        let copy = place.path().join(&name);
        std::fs::write(&copy, &cast).expect("copied");
        let (header, course) = theirs(&copy);
        let (size, read) = ours(&copy);
        assert_eq!(size, Size { columns: 100, rows: 50 }, "{name}");
        assert_eq!((&header["width"], &header["height"]), (&json!(100), &json!(50)), "{name}");
        assert!(!course.is_empty() && read == course, "{name}: {read:?}\n{course:?}");
    }
    println!("{taken} public recordings of version 3 are read, {refused} of others refused");
    assert!(taken >= 2 && refused >= 5);
}
