//! How long it takes from the start of `custody run` to the agent's first instruction, beside `runc run` and
//! `docker run`: all three run the same static program, which prints the monotonic clock.

use std::error::Error;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use custody_tests::Repository;

use crate::Places;
use crate::docker::Docker;
use crate::figures::{Figure, median};
use crate::fixture::run;
use crate::options::Options;
use crate::runc::Bundle;

/// Runs each `rounds` times in turn; a small repository: what is measured is the session, not the size of a checkout.
pub(crate) fn measure(places: &Places, options: &Options) -> Result<Vec<Figure>, Box<dyn Error>> {
    let agent = compile(places)?;
    let repository = Repository::example();
    std::fs::copy(&agent, repository.path().join("agent"))?;
    repository.commit("Bring the agent along");
    let bundle = Bundle::make(&places.work, &agent)?;
    let docker = Docker::start(&places.work)?;
    let custody = || {
        let mut command = Command::new(&places.custody);
        command.current_dir(repository.path()).arg("--state").arg(places.work.join("state"));
        command.args(["run", "--quiet", "--no-terminal", "--", "/workspace/agent"]);
        command
    };
    let mut times = [Vec::new(), Vec::new(), Vec::new()];
    for round in 0..=options.rounds {
        let commands = [custody(), bundle.command(round), docker.command()];
        for (command, times) in commands.into_iter().zip(&mut times) {
            let took = until_first_instruction(command)?;
            // The first of each fills caches: Custody's base checkout, docker's image store.
            if round > 0 {
                times.push(took);
            }
        }
    }
    let [custody, runc, docker] = times.map(median);
    eprintln!("bench: start        custody {custody:.1?}, runc {runc:.1?}, docker {docker:.1?}");
    Ok(vec![
        Figure::compared("start.namespace.vs_runc".to_owned(), custody, runc),
        Figure::compared("start.namespace.vs_docker".to_owned(), custody, docker),
    ])
}

fn compile(places: &Places) -> Result<PathBuf, Box<dyn Error>> {
    let agent = places.work.join("agent");
    let source = places.checkout.join("tests/bench/agent.c");
    run(Command::new("cc").args(["-O2", "-static", "-o"]).arg(&agent).arg(source))?;
    Ok(agent)
}

/// Starts it and reads the time that the agent printed.
fn until_first_instruction(mut command: Command) -> Result<Duration, Box<dyn Error>> {
    let began = monotonic()?;
    let output = command.stdin(Stdio::null()).output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let printed = text.split_whitespace().find_map(|word| word.parse().ok()).ok_or_else(|| {
        format!("{command:?} printed no time: {text}{}", String::from_utf8_lossy(&output.stderr))
    })?;
    Ok(Duration::from_nanos(printed).saturating_sub(began))
}

/// The clock that the agent prints; that of `Instant` can't be read as a number.
fn monotonic() -> Result<Duration, Box<dyn Error>> {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `now` is a timespec that lives through the call.
    if unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut now) } != 0 {
        return Err(std::io::Error::last_os_error().into());
    }
    Ok(Duration::new(now.tv_sec.try_into()?, now.tv_nsec.try_into()?))
}
