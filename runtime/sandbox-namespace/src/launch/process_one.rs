//! What becomes process 1: from a copy of the launcher in new namespaces to the execution of init.

use std::convert::Infallible;
use std::ffi::CStr;
use std::io::{self, BufRead, BufReader, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;

use custody_sandbox::spec::WORKSPACE_INSIDE;
use serde::{Deserialize, Serialize};

use super::step::{During, Failure};
use super::{identity, mount, root, verify};
use crate::plan::Plan;

/// What process 1 tells the launcher.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Said {
    /// It has entered its user namespace and wants its id maps.
    WantsMaps,
    /// Everything took.
    Ready(std::collections::BTreeMap<String, String>),
    /// A step failed.
    Failed { step: String, reason: String },
}

/// What the launcher answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Told {
    /// It is in its cgroups.
    Placed,
    /// Its id maps are written.
    Mapped,
    /// Execute init.
    Start,
}

/// One line of JSON.
pub(super) fn send(stream: &mut UnixStream, message: &impl Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    stream.write_all(&line)
}

/// Does everything, executes init, and returns only if something failed.
pub(super) fn run(plan: &Plan, stream: UnixStream, errors: OwnedFd) -> Result<Infallible, Failure> {
    let spec = &plan.spec;
    let mut reader = BufReader::new(stream.try_clone().during(|| "copy the pipe".to_owned())?);
    let mut stream = stream;
    identity::die_with_parent()?;
    identity::reset_signals()?;
    nix::unistd::setsid().during(|| "start a session".to_owned())?;
    nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o022));
    mount::make_private()?;
    let sources = root::Sources::open(spec)?;
    let nesting = sources.build(spec)?;
    nix::unistd::sethostname(&spec.hostname).during(|| "set the host name".to_owned())?;
    nix::unistd::chdir(WORKSPACE_INSIDE).during(|| "enter the workspace".to_owned())?;

    expect(&mut reader, Told::Placed)?;
    identity::enter_cgroup_namespace()?;
    identity::enter_user_namespace()?;
    send(&mut stream, &Said::WantsMaps).during(|| "ask for the id maps".to_owned())?;
    expect(&mut reader, Told::Mapped)?;
    nesting.forbid()?;
    identity::become_agent(spec.identity)?;
    identity::die_with_parent()?;
    set_streams(&errors)?;
    let protections = verify::read_back(spec)?;
    send(&mut stream, &Said::Ready(protections)).during(|| "report".to_owned())?;
    expect(&mut reader, Told::Start)?;
    execute()
}

/// Reads what the launcher says; the end of the stream is the launcher's death.
fn expect(reader: &mut BufReader<UnixStream>, wanted: Told) -> Result<(), Failure> {
    let mut line = String::new();
    reader.read_line(&mut line).during(|| "listen to the launcher".to_owned())?;
    let told: Told = serde_json::from_str(&line).during(|| "listen to the launcher".to_owned())?;
    if told == wanted {
        Ok(())
    } else {
        Err(Failure {
            step: "listen to the launcher".to_owned(),
            reason: format!("{told:?} was said, {wanted:?} was due"),
        })
    }
}

/// Nothing to read, nowhere to write, complaints to the launcher; everything else closes when init is executed.
fn set_streams(errors: &OwnedFd) -> Result<(), Failure> {
    let null = std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/null")
        .during(|| "open /dev/null".to_owned())?;
    for (from, to) in [(null.as_fd(), 0), (null.as_fd(), 1), (errors.as_fd(), 2)] {
        // SAFETY: dup2 on open descriptors; 0, 1 and 2 are owned by nobody in this process.
        if unsafe { libc::dup2(from.as_raw_fd(), to) } < 0 {
            return Err(io::Error::last_os_error()).during(|| "set the streams".to_owned());
        }
    }
    // SAFETY: the arguments are numbers; descriptors stay open until execve(2).
    let closed =
        unsafe { libc::close_range(3, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC.cast_signed()) };
    if closed < 0 {
        return Err(io::Error::last_os_error()).during(|| "close what is open".to_owned());
    }
    Ok(())
}

fn execute() -> Result<Infallible, Failure> {
    const ARGUMENTS: [&CStr; 3] = [c"custody-init", c"--control", c"/custody/control.sock"];
    const ENVIRONMENT: [&CStr; 1] =
        [c"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"];
    nix::unistd::execve(c"/custody/init", &ARGUMENTS, &ENVIRONMENT)
        .during(|| "execute init".to_owned())
}
