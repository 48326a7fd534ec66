//! `make bench`: what Custody costs, as ratios of medians, measured in one run beside what it is compared with.
//!
//! Prints a Markdown table and writes `bench.json` into cargo's target directory: a list of
//! `{name, unit, value, baseline, ratio}`. Names are stable; later figures are added, none is renamed.
//!
//! usage: bench [--only start|mount|record|service|investigate]… [--sides native,overlay,bindfs,observed,strict] [--rounds N]
//! [--sessions N] [--events N]

mod docker;
mod figures;
mod fixture;
mod investigate;
mod mount;
mod options;
mod record;
mod runc;
mod service;
mod start;
mod worker;

use std::error::Error;
use std::path::Path;
use std::process::ExitCode;

use figures::Figure;
use options::Options;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let options = Options::parse(std::env::args().skip(1))?;
    let places = Places::find()?;
    let mut figures: Vec<Figure> = Vec::new();
    if options.wants("start") {
        figures.extend(start::measure(&places, &options)?);
    }
    if options.wants("mount") {
        figures.extend(mount::measure(&places, &options)?);
    }
    if options.wants("record") {
        figures.extend(record::measure(&places, &options)?);
    }
    if options.wants("service") {
        figures.extend(service::measure(&places, &options)?);
    }
    if options.wants("investigate") {
        figures.extend(investigate::measure(&options)?);
    }
    println!("{}", figures::table(&figures, &figures::machine()));
    let file = places.target.join("bench.json");
    std::fs::write(&file, serde_json::to_vec_pretty(&figures)?)?;
    println!("written to {}", file.display());
    Ok(())
}

/// Where things lie.
struct Places {
    /// Cargo's target directory.
    target: std::path::PathBuf,
    /// What the benchmarks make, below it; emptied at the start.
    work: std::path::PathBuf,
    /// The release binary.
    custody: std::path::PathBuf,
    /// The checkout of Custody.
    checkout: std::path::PathBuf,
}

impl Places {
    fn find() -> Result<Self, Box<dyn Error>> {
        let program = std::env::current_exe()?;
        let release = program.ancestors().nth(2).ok_or("no <target>/release above the program")?;
        let target = release.parent().ok_or("no <target> above the program")?.to_path_buf();
        let checkout =
            Path::new(env!("CARGO_MANIFEST_DIR")).parent().ok_or("no checkout")?.to_path_buf();
        let work = target.join("bench");
        if work.exists() {
            std::fs::remove_dir_all(&work)?;
        }
        std::fs::create_dir_all(&work)?;
        Ok(Self { custody: release.join("custody"), target, work, checkout })
    }
}
