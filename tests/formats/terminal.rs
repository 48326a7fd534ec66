//! Recordings of terminals: the program of the asciinema people reads them.

use std::process::Command;

use custody_tests::{Installation, Repository};

use crate::validator::tool;

#[test]
fn a_recording_is_read_by_the_program_of_the_asciinema_people() {
    let repository = Repository::example();
    let installation = Installation::new();
    let script = "printf 'caf\\303\\251 \\342\\202\\254\\n'; sleep 0.1; printf 'second\\n'; exit 3";
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
    for (format, to) in [("txt", &text), ("asciicast-v2", &place.path().join("v2.cast"))] {
        let read = Command::new(tool("bin/asciinema"))
            .args(["convert", "--overwrite", "--output-format", format])
            .args([&cast, to])
            .env("HOME", place.path())
            .output()
            .expect("asciinema starts");
        assert!(read.status.success(), "{}", String::from_utf8_lossy(&read.stderr));
    }
    let text = std::fs::read_to_string(&text).expect("the text");
    assert_eq!(text.lines().map(str::trim_end).collect::<Vec<_>>(), ["café €", "second"]);
}
