//! What people expect of a command that runs their command: its exit codes, its end when nobody reads any more, Ctrl-C at
//! a terminal, and what programs find of the system.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::ffi::OsStringExt as _;
use std::process::{Command, Stdio};

use custody_tests::{Installation, Repository, binary};

#[test]
fn a_program_that_is_not_there_or_cant_be_run_has_the_exit_code_of_a_shell() {
    let (installation, repository) = (Installation::new(), Repository::example());
    repository.file("plain", "no program\n");
    repository.script("homeless", "#!/nonexistent/interpreter\n");
    repository.commit("Files that are no programs");
    for (program, code) in [
        ("no-such-program", 127),
        ("./missing", 127),
        ("./plain/below", 127),
        ("./homeless", 127),
        ("./plain", 126),
        ("/workspace", 126),
        ("/etc/passwd", 126),
    ] {
        let output = installation.custody(repository.path(), &["run", "-q", "--", program]);
        assert_eq!(output.code, Some(code), "{program}: {}", output.text());
        assert!(output.stderr.contains(program), "{program}: {}", output.stderr);
        // A shell inside agrees.
        let shell = installation.run(&repository, &["-q"], program);
        assert_eq!(shell.code, Some(code), "{program}: {}", shell.text());
    }
}

#[test]
fn a_session_whose_output_nobody_reads_any_more_ends() {
    let (installation, repository) = (Installation::new(), Repository::example());
    for (redirection, script) in
        [("", "yes"), ("", "while :; do echo again; done"), (" >&2", "yes")]
    {
        let script = format!("{script}{redirection}");
        let mut child = installation.start(&repository, &["-q"], &script);
        let mut first = String::new();
        if redirection.is_empty() {
            let mut output = BufReader::new(child.stdout.take().expect("a pipe"));
            output.read_line(&mut first).expect("a line");
        } else {
            let mut output = BufReader::new(child.stderr.take().expect("a pipe"));
            output.read_line(&mut first).expect("a line");
        }
        // The pipe is closed now, as `head -1` closes it.
        let status = child.wait().expect("it ends");
        assert_eq!(status.code(), Some(128 + libc::SIGPIPE), "{script}");
        let shown =
            installation.custody(repository.path(), &["session", "show", "last", "-o", "json"]);
        assert!(shown.stdout.contains("nobody reads its output"), "{}", shown.stdout);
    }
}

#[test]
fn ctrl_c_twice_at_a_terminal_ends_the_session() {
    let (installation, repository) = (Installation::new(), Repository::example());
    // A terminal of its own, by the program script of util-linux, which takes what is typed from a pipe.
    let inside = "trap '' INT; echo ready; sleep 600";
    let line = format!("'{}' run -q -- sh -c \"{inside}\"", binary().display());
    let mut child = Command::new("script")
        .args(["--quiet", "--return", "--command", &line, "/dev/null"])
        .current_dir(repository.path())
        .env("CUSTODY_STATE", installation.state())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("script of util-linux starts");
    let mut keys = child.stdin.take().expect("a pipe");
    let mut output = BufReader::new(child.stdout.take().expect("a pipe"));
    let mut seen = Vec::new();
    while !seen.ends_with(b"ready") {
        let mut byte = [0];
        output.read_exact(&mut byte).expect("it says that it is ready");
        seen.push(byte[0]);
    }
    keys.write_all(b"\x03").expect("typed");
    keys.write_all(b"\x03").expect("typed");
    let mut rest = Vec::new();
    output.read_to_end(&mut rest).expect("the rest");
    let _code = child.wait().expect("it ends");
    let shown = installation.custody(repository.path(), &["session", "show", "last", "-o", "json"]);
    assert!(shown.stdout.contains("Ctrl-C was typed twice"), "{}", shown.stdout);
}

#[test]
fn a_state_directory_may_have_a_path_of_any_length() {
    let repository = Repository::example();
    let root = tempfile::TempDir::new().expect("a directory");
    let base = root.path().as_os_str().len() + 1;
    // Around each length at which one of the sockets' paths gets too long for the 107 bytes of the kernel.
    for length in [44, 45, 46, 80, 90, 107, 108, 180] {
        let name = std::ffi::OsString::from_vec(vec![b's'; length - base]);
        let state = root.path().join(name);
        let run = |arguments: &[&str]| {
            Command::new(binary())
                .args(arguments)
                .current_dir(repository.path())
                .env("CUSTODY_STATE", &state)
                .stdin(Stdio::null())
                .output()
                .expect("custody starts")
        };
        let output = run(&["run", "-q", "--", "echo", "it ran"]);
        assert_eq!(output.status.code(), Some(0), "{length}: {output:?}");
        assert_eq!(output.stdout, b"it ran\n", "{length}: {output:?}");
        assert!(output.stderr.is_empty(), "{length}: {output:?}");
        assert_eq!(run(&["verify", "last"]).status.code(), Some(0), "{length}");
    }
}

#[test]
fn programs_find_the_settings_of_the_system_and_what_is_installed() {
    let (installation, repository) = (Installation::new(), Repository::example());
    let output = installation
        .run(
            &repository,
            &["-q"],
            "dpkg-query --show --showformat='${Version}' dpkg && test -d /etc/dpkg",
        )
        .succeeded();
    let outside = Command::new("dpkg-query")
        .args(["--show", "--showformat=${Version}", "dpkg"])
        .output()
        .expect("dpkg-query starts");
    assert_eq!(output.stdout.as_bytes(), outside.stdout);
    for script in ["echo x >>/var/lib/dpkg/status", "ls /var/cache/debconf", "ls /var/log"] {
        assert_ne!(installation.run(&repository, &["-q"], script).code, Some(0), "{script}");
    }
    // What is to be writable still is.
    let _ =
        installation.run(&repository, &["-q"], "echo x >/var/tmp/x && cat /var/tmp/x").succeeded();
}

#[test]
fn a_connect_that_blocks_is_interrupted_by_signals_as_without_custody() {
    const SCRIPT: &str = include_str!("signals/connect.pl");
    let (installation, repository) = (Installation::new(), Repository::example());
    repository.file("connect.pl", SCRIPT);
    repository.commit("Connects under signals");
    let path = repository.path().join("connect.pl");
    let outside = Command::new("perl").arg(path).output().expect("perl starts");
    let outside = String::from_utf8(outside.stdout).expect("text");
    assert_eq!(outside.lines().count(), 6, "{outside}");
    let inside = installation.run(&repository, &["-q"], "perl connect.pl").succeeded();
    assert_eq!(inside.stdout, outside);
}
