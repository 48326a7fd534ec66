//! Recordings of terminals: the program of the asciinema people reads them.

use std::path::Path;
use std::process::Command;

use custody_keeper::asciicast::read::{ReadError, Size, What, read};
use custody_tests::{Installation, Repository};

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
    assert!(lines.lines().last().is_some_and(|line| line.starts_with("# {\"custody_export\":")));
    converted("txt", &cast, &text);
    converted("asciicast-v2", &cast, &place.path().join("v2.cast"));
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
        let (size, events) = read(&cast).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(size, Size { columns: 100, rows: 50 }, "{name}");
        let events: Vec<_> = events.collect::<Result<_, _>>().expect("events");
        let output: String = events
            .iter()
            .filter_map(|event| match &event.what {
                What::Output(text) => Some(text.as_str()),
                What::Input(_)
                | What::Resize(_)
                | What::Marker(_)
                | What::Exit(_)
                | What::Other(_) => None,
            })
            .collect();
        let raw = place.path().join(&name);
        converted("raw", &path, &raw);
        let theirs = std::fs::read_to_string(&raw).expect("UTF-8");
        // Theirs begins with an escape sequence that sets the size.
        assert!(
            !output.is_empty() && theirs.contains(output.split('\n').next().unwrap()),
            "{name}: {theirs:?}"
        );
    }
    println!("{taken} public recordings of version 3 are read, {refused} of others refused");
    assert!(taken >= 2 && refused >= 5);
}
