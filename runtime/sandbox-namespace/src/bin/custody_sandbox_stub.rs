//! A launcher and a small init in one, for the tests of the driver and for measuring how fast a sandbox starts.
//!
//! As `… sandbox-launch` it is the launcher. As `… --control SOCKET` it is process 1: it connects, then obeys orders,
//! each a line with a JSON array of strings, and answers each with a line that holds a JSON string.

use std::ffi::OsString;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::process::{Command, ExitCode};

use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, fork, pause};

fn main() -> ExitCode {
    let mut args = std::env::args_os().skip(1);
    match args.next().as_deref().and_then(|arg| arg.to_str()) {
        Some("sandbox-launch") => custody_sandbox_namespace::launch::main(args),
        Some("--control") => obey(args.next().unwrap_or_default()),
        _ => {
            eprintln!("usage: custody-sandbox-stub sandbox-launch | --control SOCKET");
            ExitCode::from(2)
        }
    }
}

fn obey(socket: OsString) -> ExitCode {
    let Ok(mut stream) = UnixStream::connect(&socket) else {
        eprintln!("nobody listens on {}", socket.display());
        return ExitCode::from(3);
    };
    let Ok(copy) = stream.try_clone() else {
        return ExitCode::from(3);
    };
    for line in BufReader::new(copy).lines() {
        let Ok(order) = line.map_err(drop).and_then(|l| parse(&l).ok_or(())) else {
            return ExitCode::from(4);
        };
        let (first, rest) = order.split_first().map_or(("", &[][..]), |(f, r)| (f.as_str(), r));
        let number = rest.first().and_then(|text| text.parse::<usize>().ok()).unwrap_or(0);
        let answer = match first {
            "exit" => return ExitCode::from(u8::try_from(number).unwrap_or(u8::MAX)),
            "echo" => rest.join(" "),
            "complain" => {
                eprintln!("{}", rest.join(" "));
                String::new()
            }
            "allocate" => in_child(|| allocate(number)),
            "processes" => processes(number).to_string(),
            "trace" => in_child(trace_process_one),
            "run" => run(rest),
            other => format!("unknown order {other:?}"),
        };
        let sent = serde_json::to_string(&answer)
            .map_err(drop)
            .and_then(|line| writeln!(stream, "{line}").map_err(drop));
        if sent.is_err() {
            return ExitCode::from(5);
        }
    }
    // The keeper has hung up: init ends, and the whole tree with it.
    ExitCode::from(6)
}

fn parse(line: &str) -> Option<Vec<String>> {
    serde_json::from_str(line).ok()
}

/// Runs it in a child and tells how the child ended: `code N` or `signal N`.
fn in_child(work: impl FnOnce() -> u8) -> String {
    // SAFETY: this process has one thread.
    match unsafe { fork() } {
        Ok(ForkResult::Child) => {
            let code = work();
            // SAFETY: ends the copy without running what belongs to the original.
            unsafe { libc::_exit(i32::from(code)) }
        }
        Ok(ForkResult::Parent { child }) => match waitpid(child, None) {
            Ok(WaitStatus::Exited(_, code)) => format!("code {code}"),
            Ok(WaitStatus::Signaled(_, signal, _)) => format!("signal {}", signal as i32),
            other => format!("{other:?}"),
        },
        Err(error) => error.to_string(),
    }
}

/// Writes to so many bytes of memory.
fn allocate(bytes: usize) -> u8 {
    let memory = std::hint::black_box(vec![1_u8; bytes]);
    u8::from(memory.len() != bytes)
}

/// Makes so many processes that stay; says how many there came to be.
fn processes(wanted: usize) -> usize {
    (0..wanted)
        .take_while(|_| {
            // SAFETY: this process has one thread.
            match unsafe { fork() } {
                Ok(ForkResult::Child) => loop {
                    pause();
                },
                Ok(ForkResult::Parent { .. }) => true,
                Err(_) => false,
            }
        })
        .count()
}

/// 0 if process 1 could be traced, otherwise the errno.
fn trace_process_one() -> u8 {
    // SAFETY: attaches to a process by number; no memory of ours is involved.
    let result = unsafe { libc::ptrace(libc::PTRACE_ATTACH, 1, 0, 0) };
    if result == 0 {
        return 0;
    }
    u8::try_from(nix::errno::Errno::last_raw()).unwrap_or(u8::MAX)
}

/// Runs a command and answers `code`, a line feed, and what it wrote.
fn run(argv: &[String]) -> String {
    let Some((program, args)) = argv.split_first() else {
        return "no command".to_owned();
    };
    match Command::new(program).args(args).output() {
        Ok(output) => format!(
            "{}\n{}{}",
            output.status.code().unwrap_or(-1),
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
        ),
        Err(error) => error.to_string(),
    }
}
