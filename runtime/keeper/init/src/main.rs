//! Process 1 of every sandbox, whatever the driver: `custody-init --control PATH`.
//!
//! It connects to the keeper, makes the terminal or pipes and the sockets on loopback and hands them out, puts the
//! walls around one child, lets it exec, and ends everything when that child ends or the keeper is gone. It has no
//! privilege that the agent lacks, only its place: it is process 1, and not dumpable, so that no process of the same
//! user can trace or read it.
//!
//! Invariant: no byte of the command's goes through init, so a slow or dead init delays nothing.

mod bpf;
mod child;
mod failure;
mod filter;
mod landlock;
mod network;
mod streams;
mod supervise;
mod walls;

use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::ExitCode;

use custody_init::channel::Channel;
use custody_init::protocol::{Descriptor, FromInit, Ready, Start, Step, ToInit};
use custody_init::start;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, socket};

use crate::child::Child;
use crate::failure::{Failure, Try};

/// Init ended without the command: nobody but the keeper reads it.
const EXIT_FAILED: u8 = 125;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let control = match (arguments.next(), arguments.next(), arguments.next()) {
        (Some(option), Some(path), None) if option == "--control" => PathBuf::from(path),
        _ => {
            eprintln!("usage: custody-init --control PATH");
            return ExitCode::from(2);
        }
    };
    let channel = match protect().and_then(|()| reach(&control)) {
        Ok(channel) => channel,
        Err(failure) => {
            eprintln!("custody-init: {}", failure.0.message);
            return ExitCode::from(EXIT_FAILED);
        }
    };
    match run(&channel) {
        Ok(code) => code,
        Err(failure) => {
            // If the keeper can't be told it is gone, and will see that init is too.
            let told = channel.send(&FromInit::Failed(failure.0), &[]);
            if let Err(error) = told {
                eprintln!("custody-init: {error}");
            }
            supervise::end_all();
            ExitCode::from(EXIT_FAILED)
        }
    }
}

/// Before anything else runs as this user.
fn protect() -> Result<(), Failure> {
    if std::process::id() != 1 {
        // It kills "everybody else": outside of a pid namespace of its own that would be the machine.
        return Err(Failure::new(Step::Process, None, "it must be process 1 of a pid namespace"));
    }
    nix::sys::prctl::set_dumpable(false).or_fail(Step::Process, "PR_SET_DUMPABLE")
}

fn reach(control: &std::path::Path) -> Result<Channel, Failure> {
    let socket = socket(AddressFamily::Unix, SockType::SeqPacket, SockFlag::SOCK_CLOEXEC, None)
        .or_fail(Step::Request, "socket")?;
    let address = UnixAddr::new(control).or_fail(Step::Request, "the control socket's path")?;
    connect(std::os::fd::AsRawFd::as_raw_fd(&socket), &address)
        .or_fail(Step::Request, "connecting to the keeper")?;
    Channel::new(socket).map_err(|e| Failure::new(Step::Request, None, &e.to_string()))
}

fn run(channel: &Channel) -> Result<ExitCode, Failure> {
    let start = receive_start(channel)?;
    let streams = streams::open(start.terminal, start.stdin)?;
    let network = network::listen(start.proxy_port, start.name_server)?;

    let terminal = streams.terminal();
    let mut child = Child::fork(&start, streams.inside, channel)?;
    let prepared = child.prepared()?;

    let mut descriptors = vec![(Descriptor::Notices, prepared.notices.as_fd())];
    descriptors.extend(streams.outside.iter().map(|(name, fd)| (*name, fd.as_fd())));
    descriptors.extend(network.sockets.iter().map(|(name, fd)| (*name, fd.as_fd())));
    let (names, fds): (Vec<_>, Vec<_>) = descriptors.into_iter().unzip();
    let mut protections = prepared.protections;
    protections.extend(network.protections);
    protections.insert("init".into(), "process 1, not dumpable".into());
    channel
        .send(&FromInit::Ready(Ready { descriptors: names, protections }), &fds)
        .map_err(|e| Failure::new(Step::Request, None, &e.to_string()))?;
    // The keeper has them: here they would only keep the pipes and the listener alive.
    drop((prepared.notices, network.sockets));
    drop(streams.outside);
    supervise::supervise(channel, &mut child, terminal)
}

fn receive_start(channel: &Channel) -> Result<Start, Failure> {
    match channel.receive() {
        Ok(Some((ToInit::Start(start), _))) => Ok(*start),
        Ok(Some((ToInit::StartInFile, descriptors))) => start::from_file(descriptors)
            .map_err(|error| Failure::new(Step::Request, None, &error.to_string())),
        Ok(Some((
            other @ (ToInit::Go | ToInit::Signal(_) | ToInit::Resize(_) | ToInit::Stop { .. }),
            _,
        ))) => Err(Failure::new(Step::Request, None, &format!("{other:?} before Start"))),
        Ok(None) => Err(Failure::new(Step::Request, None, "the keeper is gone")),
        Err(error) => Err(Failure::new(Step::Request, None, &error.to_string())),
    }
}
