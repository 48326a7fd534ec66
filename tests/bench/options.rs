//! The command line of the benchmarks.

use std::error::Error;

/// What to measure.
pub(crate) struct Options {
    only: Vec<String>,
    /// Where workloads run; `native` is the baseline and always first.
    pub(crate) sides: Vec<Side>,
    /// Runs of each short measurement; long ones are repeated a third as often.
    pub(crate) rounds: usize,
    /// Sessions of the installation that is investigated: at least 1,000.
    pub(crate) sessions: usize,
    /// Events of the longest record whose growth is measured: at least 100,000.
    pub(crate) events: u64,
}

/// Where a workload runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// On a checkout on the disk.
    Native,
    /// On an overlay of the kernel over a checkout, without Custody: what a session can't be below.
    Overlay,
    /// On a checkout seen through bindfs, the plain FUSE mirror.
    Bindfs,
    /// In a session.
    Observed,
    /// In a session with `--strict`.
    Strict,
}

impl Side {
    const ALL: [Self; 5] =
        [Self::Native, Self::Overlay, Self::Bindfs, Self::Observed, Self::Strict];

    /// As in the command line.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Overlay => "overlay",
            Self::Bindfs => "bindfs",
            Self::Observed => "observed",
            Self::Strict => "strict",
        }
    }

    /// First part of the names of its figures.
    pub(crate) const fn prefix(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Overlay => "overlay",
            Self::Bindfs => "bindfs",
            Self::Observed => "mount",
            Self::Strict => "strict",
        }
    }
}

impl Options {
    /// From the arguments after the program's name.
    pub(crate) fn parse(
        mut arguments: impl Iterator<Item = String>,
    ) -> Result<Self, Box<dyn Error>> {
        let mut options = Self {
            only: Vec::new(),
            sides: Side::ALL.to_vec(),
            rounds: 15,
            sessions: 100_000,
            events: 10_000_000,
        };
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or(format!("{argument} needs a value"));
            match argument.as_str() {
                // Cargo says so to every benchmark.
                "--bench" => {}
                "--only" => options.only.push(value()?),
                "--rounds" => options.rounds = value()?.parse()?,
                "--sessions" => options.sessions = value()?.parse::<usize>()?.max(1_000),
                "--events" => options.events = value()?.parse::<u64>()?.max(100_000),
                "--sides" => {
                    let names = value()?;
                    let chosen = Side::ALL.into_iter().filter(|side| {
                        *side == Side::Native || names.split(',').any(|name| name == side.name())
                    });
                    options.sides = chosen.collect();
                }
                other => return Err(format!("{other} is not an option").into()),
            }
        }
        Ok(options)
    }

    /// Whether a part is to be measured.
    pub(crate) fn wants(&self, part: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only == part)
    }
}
