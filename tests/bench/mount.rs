//! Workloads in the workspace, observed and strict, beside the same natively and through bindfs: the sides take turns.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use custody_tests::toolchain;

use crate::Places;
use crate::figures::{Figure, median};
use crate::fixture::{self, run};
use crate::options::{Options, Side};
use crate::worker::Worker;

/// One workload: what happens before each run, and what is timed.
struct Workload {
    name: &'static str,
    before: &'static str,
    timed: &'static str,
    /// Takes seconds: is repeated a third as often.
    long: bool,
}

const fn short(name: &'static str, timed: &'static str) -> Workload {
    Workload { name, before: ":", timed, long: false }
}

const fn long(name: &'static str, before: &'static str, timed: &'static str) -> Workload {
    Workload { name, before, timed, long: true }
}

/// The workloads that the project promises figures for.
const WORKLOADS: &[Workload] = &[
    short("find", "find . -type f >/dev/null"),
    short("git_status", "git status --porcelain >/dev/null"),
    short("ripgrep", "rg --no-ignore --count mandoc copy-1 copy-2 copy-3 copy-4 copy-5 >/dev/null"),
    // GNU tar reads nothing when it writes to /dev/null itself.
    short("tar", "tar -cf - copy-1 copy-2 copy-3 copy-4 copy-5 | cat >/dev/null"),
    Workload {
        name: "untar",
        // What the other sides have not yet on disk is not this one's to write.
        before: "rm -rf out && mkdir out && { test -e /tmp/bench.tar || tar -cf /tmp/bench.tar copy-1; } && sync",
        timed: "tar -xf /tmp/bench.tar -C out",
        long: false,
    },
    long(
        "cargo_check",
        "rm -rf rust/target",
        "cd rust && CARGO_HOME=/tmp/cargo PATH=/opt/rust/bin:$PATH RUSTFLAGS=--cap-lints=allow cargo check --offline --locked --quiet",
    ),
    long(
        "npm_ci",
        "rm -rf node/node_modules",
        "cd node && npm ci --offline --no-audit --no-fund --silent --cache .npm-cache",
    ),
    long(
        "c_build",
        "cd copy-1 && { test -e config.h || ./configure >/dev/null 2>&1; } && make clean >/dev/null",
        "cd copy-1 && make -j2 >/dev/null 2>&1",
    ),
];

/// A directory that bindfs shows another one in; unmounted when dropped.
struct Bindfs(PathBuf);

impl Bindfs {
    fn mount(source: &Path, target: PathBuf) -> Result<Self, Box<dyn Error>> {
        std::fs::create_dir_all(&target)?;
        run(Command::new("bindfs").arg(source).arg(&target))?;
        Ok(Self(target))
    }
}

impl Drop for Bindfs {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

/// Runs everything; the figures of each side, geometric means last.
pub(crate) fn measure(places: &Places, options: &Options) -> Result<Vec<Figure>, Box<dyn Error>> {
    let repository = fixture::make(places)?;
    let mut mounts = Vec::new();
    let mut workers = Vec::new();
    for side in &options.sides {
        eprintln!("bench: starts the worker of {}", side.name());
        let command = worker_command(*side, places, &repository, &mut mounts)?;
        workers.push(Worker::start(command)?);
    }
    let mut times = Vec::new();
    for workload in WORKLOADS {
        times.push((workload.name, take_turns(workload, &mut workers, options.rounds)?));
    }
    drop(workers);
    drop(mounts);
    let mut figures = Vec::new();
    for (place, side) in options.sides.iter().enumerate().filter(|(_, side)| **side != Side::Native)
    {
        let own: Vec<Figure> = times
            .iter()
            .map(|(name, medians)| {
                let name = format!("{}.{name}.vs_native", side.prefix());
                Figure::compared(name, medians[place], medians[0])
            })
            .collect();
        let name = format!("{}.geomean.vs_native", side.prefix());
        let mean = Figure::geometric_mean(name, &own);
        figures.extend(own);
        figures.push(mean);
    }
    Ok(figures)
}

/// Runs one workload on all sides in turn, after one run each that is not counted. The medians, by side.
fn take_turns(
    workload: &Workload,
    workers: &mut [Worker],
    rounds: usize,
) -> Result<Vec<Duration>, Box<dyn Error>> {
    let rounds = if workload.long { (rounds / 3).max(1) } else { rounds };
    let mut times = vec![Vec::new(); workers.len()];
    for round in 0..=rounds {
        for (worker, times) in workers.iter_mut().zip(&mut times) {
            worker.run("before", workload.before)?;
            let took = worker.run(workload.name, workload.timed)?;
            if round > 0 {
                times.push(took);
            }
        }
    }
    let medians: Vec<Duration> = times.into_iter().map(median).collect();
    eprintln!("bench: {:<12} {medians:.1?}", workload.name);
    Ok(medians)
}

/// What starts a side's worker in its own copy of the repository.
fn worker_command(
    side: Side,
    places: &Places,
    repository: &Path,
    mounts: &mut Vec<Bindfs>,
) -> Result<Command, Box<dyn Error>> {
    let copy = places.work.join(side.name());
    run(Command::new("git").args(["clone", "--quiet"]).arg(repository).arg(&copy))?;
    let mut command = toolchain::shown();
    // Cargo's own settings for the benchmark are not for the workloads.
    command.env_remove("CARGO_TARGET_DIR").env_remove("RUSTFLAGS").env_remove("CARGO");
    match side {
        Side::Native => {
            command.current_dir(&copy);
        }
        Side::Bindfs => {
            let mount = Bindfs::mount(&copy, places.work.join("bindfs-mount"))?;
            command.current_dir(&mount.0);
            mounts.push(mount);
        }
        Side::Observed | Side::Strict => {
            command
                .current_dir(&copy)
                .arg(&places.custody)
                .arg("--state")
                .arg(places.work.join("state"));
            command.args(["run", "--quiet", "--no-terminal"]);
            if side == Side::Strict {
                command.arg("--strict");
            }
            command.arg("--");
        }
    }
    Ok(command)
}
