//! Standard input: what was typed or piped into a session arrives, all of it and in order, or the session says so.

use std::fs::File;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::thread;

use custody_tests::{Installation, Repository, Server};
use sha2::{Digest as _, Sha256};

/// Around each size at which some buffer on the way is full: pages, pipes, frames, the window of a client.
const SIZES: [usize; 10] =
    [0, 1, 4_095, 4_097, (16 << 10) + 1, 65_536, 65_537, 1 << 20, (1 << 20) + 1, 5_000_000];

/// Bytes that repeat nothing, with every value among them.
fn bytes(size: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    (0..size).map(|_| next()).collect()
}

fn digest(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Standard output of a command that gets `input` through a pipe.
fn piped(mut command: Command, input: Vec<u8>) -> String {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("starts");
    let mut pipe = child.stdin.take().expect("a pipe");
    // Whoever stops reading early breaks the pipe.
    let writer = thread::spawn(move || pipe.write_all(&input));
    let output = child.wait_with_output().expect("it ends");
    let _broken = writer.join().expect("no panic");
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

const SUM: [&str; 4] = ["run", "-q", "--", "sha256sum"];

#[test]
fn all_of_the_input_arrives_through_a_pipe_and_from_a_file() {
    let (installation, repository) = (Installation::new(), Repository::example());
    let file = tempfile::NamedTempFile::new().expect("a file");
    for size in SIZES {
        let input = bytes(size);
        let wanted = format!("{}  -\n", digest(&input));
        std::fs::write(file.path(), &input).expect("written");
        let command = installation.command(repository.path(), &SUM);
        assert_eq!(piped(command, input), wanted, "{size} bytes through a pipe");
        let mut command = installation.command(repository.path(), &SUM);
        let read = File::open(file.path()).expect("opened");
        let output = command.stdin(read).output().expect("starts");
        assert_eq!(String::from_utf8_lossy(&output.stdout), wanted, "{size} bytes from a file");
    }
}

#[test]
fn a_command_that_reads_slowly_or_stops_loses_nothing_that_it_reads() {
    let (installation, repository) = (Installation::new(), Repository::example());
    let input = bytes(3_000_000);
    for (script, wanted) in [
        // It begins late, and takes a little at a time.
        ("sleep 1; dd bs=777 status=none | sha256sum", format!("{}  -\n", digest(&input))),
        ("head -c 1000 >/dev/null; sleep 1; wc -c", "2999000\n".to_owned()),
        ("head -c 10 | wc -c", "10\n".to_owned()),
        ("echo it reads nothing", "it reads nothing\n".to_owned()),
        // What goes in and out at once blocks neither.
        ("cat | sha256sum", format!("{}  -\n", digest(&input))),
    ] {
        let command =
            installation.command(repository.path(), &["run", "-q", "--", "sh", "-c", script]);
        assert_eq!(piped(command, input.clone()), wanted, "{script}");
    }
    let mut command = installation.command(repository.path(), &["run", "-q", "--", "cat"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("starts");
    let mut pipe = child.stdin.take().expect("a pipe");
    let sent = input.clone();
    let writer = thread::spawn(move || pipe.write_all(&sent));
    let output = child.wait_with_output().expect("it ends");
    writer.join().expect("no panic").expect("all was taken");
    assert_eq!(digest(&output.stdout), digest(&input), "cat of {} bytes", output.stdout.len());
}

#[test]
fn all_of_the_input_arrives_at_a_session_on_a_server() {
    let (installation, repository) = (Installation::new(), Repository::example());
    let server = Server::start(&installation);
    let admin = server.admin();
    let policy = installation.policy(
        "version: custody/policy/v1\nname: open\nrequesters:\n  users: ['*']\nimages: [host]\ncommands:\n  - allow: [sha256sum]\n",
    );
    let here = repository.path();
    let _ = server.custody(&admin, here, &["policy", "create", &policy, "--activate"]).succeeded();
    let _ = server.custody(&admin, here, &["repo", "add", "."]).succeeded();
    let dana = server.person("dana", &["developer"]);
    for size in [0, 1, 65_537, (1 << 20) + 1, 5_000_000] {
        let input = bytes(size);
        let wanted = format!("{}  -\n", digest(&input));
        assert_eq!(piped(server.command(&dana, here, &SUM), input), wanted, "{size} bytes");
    }
}
