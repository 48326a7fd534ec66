//! Asking, as the server does: git on threads of its own, records of the named sessions verified and read.

use std::time::{Duration, Instant};

use custody_control::ControlPlane;
use custody_investigate::Summary;
use custody_investigate::attribute::{Assurance, Sources, attribute};
use custody_investigate::blocking::Blocking;
use custody_investigate::history::HistoryError;
use custody_investigate::neighbour::{Nearby, Reach};
use custody_investigate::question::Question;
use custody_investigate::report::{Answer, Looked, RecordVerdicts, Records, answer};
use custody_model::SessionId;
use custody_record::verify::{KeyChoice, VerifyOptions, verify};
use custody_record::{ReadError, Reader};
use custody_store::Visibility;

use super::Failed;
use super::history::History;
use super::population::Population;

struct Threads;

impl Blocking for Threads {
    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, HistoryError> + Send + 'static,
    ) -> Result<T, HistoryError> {
        tokio::task::spawn_blocking(work).await.map_err(|_| HistoryError::Ended)?
    }
}

impl Records for Population {
    type Error = Failed;

    async fn look_up(&self, session: SessionId) -> Result<Looked, Failed> {
        let dir = self.record(session);
        let options = VerifyOptions::new(KeyChoice::Installation(self.verifier()));
        let looked = tokio::task::spawn_blocking(move || {
            let report = verify(&dir, &options);
            let record = RecordVerdicts {
                integrity: format!("{:?}", report.integrity),
                completeness: format!("{:?}", report.completeness),
                witnesses: report.witnesses,
                erased: None,
            };
            Ok::<_, ReadError>((Summary::of(&Reader::open(&dir)?)?, record))
        });
        let (summary, record) = looked.await??;
        let summary = summary.ok_or_else(|| format!("{session} has no events"))?;
        Ok(Looked::Found(Box::new(summary), record))
    }
}

/// Asks everything twice; how long each answer of the second time took, sorted.
pub(crate) async fn ask_all(
    population: &Population,
    plane: &ControlPlane,
    history: &History,
) -> Result<Vec<Duration>, Failed> {
    let questions = history.questions();
    let mut times = Vec::new();
    for timed in [false, true] {
        for question in &questions {
            let began = Instant::now();
            let answer = ask(population, plane, history, question).await?;
            let took = began.elapsed();
            if timed {
                times.push(took);
            }
            check(&answer)?;
        }
    }
    times.sort();
    Ok(times)
}

async fn ask(
    population: &Population,
    plane: &ControlPlane,
    history: &History,
    text: &str,
) -> Result<Answer, Failed> {
    let question: Question = text.parse()?;
    let mirror = |_: &str| history.repository.path().to_owned();
    let sources = Sources {
        repository: &history.repository,
        store: plane.store(),
        mirrors: &mirror,
        blocking: &Threads,
    };
    let attributed = attribute(&question, sources).await?;
    let (store, visible) = (plane.store(), Visibility::everything());
    let nearby = Nearby { store, visible: &visible, reach: Reach::default() };
    answer(&question, attributed, population, nearby).await
}

/// An answer that is quick and wrong is no figure.
fn check(answer: &Answer) -> Result<(), Failed> {
    let right = answer.findings.iter().any(|finding| {
        let near = finding.neighbours.as_ref();
        finding.attribution.assurance == Assurance::Observed
            && near.is_some_and(|near| !near.sessions.is_empty())
    });
    if right {
        Ok(())
    } else {
        Err(format!("{} has no session: {answer:?}", answer.question).into())
    }
}
