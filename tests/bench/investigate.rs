//! How long an answer takes in an installation of a hundred thousand sessions, beside one of a thousand, and how many
//! sessions a second are indexed.
//!
//! Every session is written by the real writer, sealed, and indexed from its record. All of it lies in memory, so that
//! no disk is measured: a hundred thousand records take a few GiB there, and some minutes.

mod history;
mod population;
mod questions;

use std::error::Error;
use std::time::{Duration, Instant};

use history::History;
use population::Population;

use crate::figures::{Figure, median, percentile};
use crate::options::Options;

/// Sessions of the installation that the other is compared with.
const FEW: usize = 1_000;

/// The file system that is in memory.
const MEMORY: &str = "/dev/shm";

/// Why there is no figure; writers have threads.
type Failed = Box<dyn Error + Send + Sync>;

struct Measured {
    /// Of each answer, sorted.
    times: Vec<Duration>,
    sessions_per_s: f64,
}

/// Makes both installations, one after the other, and asks the same questions.
pub(crate) fn measure(options: &Options) -> Result<Vec<Figure>, Box<dyn Error>> {
    let (few, many) = both(options).map_err(|error| -> Box<dyn Error> { error })?;
    let compared = |name: &str, of: fn(&Measured) -> Duration| {
        Figure::compared(name.to_owned(), of(&many), of(&few))
    };
    Ok(vec![
        compared("investigate.p50_ms", |measured| median(measured.times.clone())),
        compared("investigate.p99_ms", |measured| percentile(&measured.times, 99)),
        Figure::rate(
            "reindex.sessions_per_s".to_owned(),
            "sessions/s",
            many.sessions_per_s,
            few.sessions_per_s,
        ),
    ])
}

fn both(options: &Options) -> Result<(Measured, Measured), Failed> {
    Ok((in_memory(FEW)?, in_memory(options.sessions)?))
}

fn in_memory(sessions: usize) -> Result<Measured, Failed> {
    let place = tempfile::Builder::new().prefix("custody-bench-").tempdir_in(MEMORY)?;
    let history = History::make(&place.path().join("repository"))?;
    let began = Instant::now();
    let population = Population::write(place.path(), sessions, &history)?;
    let wrote = began.elapsed();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (times, indexed) = runtime.block_on(async {
        let plane = population.plane().await?;
        let began = Instant::now();
        population.reindex(&plane).await?;
        let indexed = began.elapsed();
        Ok::<_, Failed>((questions::ask_all(&population, &plane, &history).await?, indexed))
    })?;
    #[expect(clippy::cast_precision_loss, reason = "far below 2⁵³")]
    let sessions_per_s = sessions as f64 / indexed.as_secs_f64();
    eprintln!(
        "bench: investigate  {sessions} sessions: written in {wrote:.1?}, indexed in {indexed:.1?}; {} answers, p50 \
         {:.1?}, p99 {:.1?}",
        times.len(),
        median(times.clone()),
        percentile(&times, 99)
    );
    Ok(Measured { times, sessions_per_s })
}
