//! How long it takes from the start of `custody run` to the agent's first instruction, beside `runc run` and
//! `docker run`: all three run the same static program, which prints the time.

use std::error::Error;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use custody_tests::Repository;

use crate::Places;
use crate::docker::Docker;
use crate::figures::{Figure, median};
use crate::options::Options;
use crate::runc::Bundle;

/// The agent: prints nanoseconds since 1970 as soon as it runs.
pub(crate) const AGENT: [&str; 3] = ["/bin/busybox", "date", "+%s%N"];

/// A small repository: what is measured is the session, not the size of a checkout.
pub(crate) fn measure(places: &Places, options: &Options) -> Result<Vec<Figure>, Box<dyn Error>> {
    let repository = Repository::example();
    let bundle = Bundle::make(&places.work)?;
    let docker = Docker::start(&places.work)?;
    let custody = || {
        let mut command = Command::new(&places.custody);
        command
            .current_dir(repository.path())
            .arg("--state")
            .arg(places.work.join("state"));
        command
            .args(["run", "--quiet", "--no-terminal", "--"])
            .args(AGENT);
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

/// Starts it and reads the time that the agent printed.
fn until_first_instruction(mut command: Command) -> Result<Duration, Box<dyn Error>> {
    #[expect(
        clippy::disallowed_methods,
        reason = "the agent can only print the time of day"
    )]
    let began = SystemTime::now().duration_since(UNIX_EPOCH)?;
    let output = command.stdin(Stdio::null()).output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let printed = text
        .split_whitespace()
        .find_map(|word| {
            word.parse::<u64>()
                .ok()
                .filter(|time| *time > 1_000_000_000_000_000_000)
        })
        .ok_or_else(|| {
            format!(
                "{command:?} printed no time: {text}{}",
                String::from_utf8_lossy(&output.stderr)
            )
        })?;
    Duration::from_nanos(printed)
        .checked_sub(began)
        .ok_or_else(|| "the clock was set back during a measurement".into())
}
