//! Workloads in the workspace, observed and strict, beside the same natively, on a plain overlay and through bindfs: the
//! sides take turns.

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
        // What the other sides have not yet on disk is not this one's to write. What was unpacked before stays: ext4
        // looks at every inode that was freed in the last minute before it takes another one, and that search would be
        // most of the time, on the side that meets it.
        before: "mkdir -p out && { test ! -e out/now || mv out/now out/$(date +%s%N); } && mkdir out/now && { test -e /tmp/bench.tar || tar -cf /tmp/bench.tar copy-1; } && sync",
        timed: "tar -xf /tmp/bench.tar -C out/now",
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

/// Where another directory is seen through a mount; unmounted when dropped.
struct Mounted(PathBuf);

impl Mounted {
    fn bindfs(source: &Path, target: PathBuf) -> Result<Self, Box<dyn Error>> {
        std::fs::create_dir_all(&target)?;
        run(Command::new("bindfs").arg(source).arg(&target))?;
        Ok(Self(target))
    }

    /// With its layers beside it, and the kernel's own options.
    fn overlay(lower: &Path, target: PathBuf) -> Result<Self, Box<dyn Error>> {
        let (upper, work) = (target.with_extension("upper"), target.with_extension("work"));
        for directory in [&target, &upper, &work] {
            std::fs::create_dir_all(directory)?;
        }
        let options = format!(
            "lowerdir={},upperdir={},workdir={}",
            lower.display(),
            upper.display(),
            work.display()
        );
        run(Command::new("mount").args(["-t", "overlay", "overlay", "-o", &options]).arg(&target))?;
        Ok(Self(target))
    }
}

impl Drop for Mounted {
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
        let own = compared(&times, *side, place, Side::Native, 0);
        let name = format!("{}.geomean.vs_native", side.prefix());
        let mean = Figure::geometric_mean(name, &own);
        figures.extend(own);
        figures.push(mean);
    }
    let place_of = |side| options.sides.iter().position(|other| *other == side);
    if let (Some(observed), Some(overlay)) = (place_of(Side::Observed), place_of(Side::Overlay)) {
        let own = compared(&times, Side::Observed, observed, Side::Overlay, overlay);
        figures.push(Figure::geometric_mean("mount.geomean.vs_overlay".to_owned(), &own));
    }
    Ok(figures)
}

/// The medians of the side at `place`, each beside that of the side at `baseline_place`.
fn compared(
    times: &[(&str, Vec<Duration>)],
    side: Side,
    place: usize,
    baseline: Side,
    baseline_place: usize,
) -> Vec<Figure> {
    let figures = times.iter().map(|(workload, medians)| {
        let name = format!("{}.{workload}.vs_{}", side.prefix(), baseline.prefix());
        Figure::compared(name, medians[place], medians[baseline_place])
    });
    figures.collect()
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
    mounts: &mut Vec<Mounted>,
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
        Side::Overlay => {
            let mount = Mounted::overlay(&copy, places.work.join("overlay-mount"))?;
            command.current_dir(&mount.0);
            mounts.push(mount);
        }
        Side::Bindfs => {
            let mount = Mounted::bindfs(&copy, places.work.join("bindfs-mount"))?;
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
