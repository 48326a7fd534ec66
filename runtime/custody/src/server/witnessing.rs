//! Has witnesses cosign the newest heads of the installation's logs, again and again.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use custody_api_server::{Lifecycle, Transparency};
use custody_control::{Author, ControlPlane};
use custody_keeper::layout::StateDir;
use custody_model::ErrorCode;
use custody_record::Verifier;
use custody_record::control::ControlBody;
use custody_record::witness::forget_cosigned;
use custody_witness::{Asking, Collector, LogPlace, Outcome, Round, Standings};

use crate::failure::{Explain, Failure};

/// How often there may be a new head.
const PERIOD: Duration = Duration::from_secs(1);

/// Begins to ask; it ends when the server drains. Without witnesses there is nothing to ask, and no head waits for them.
pub(super) fn begin(
    lifecycle: &Lifecycle,
    state: &StateDir,
    transparency: &Transparency,
    plane: &Arc<ControlPlane>,
) -> Result<(), Failure> {
    let policy = &transparency.witnesses;
    let verifier = Verifier::of_installation(&state.keys())
        .explain(ErrorCode::Io, "the installation's key can't be read")?;
    let logs = [(state.log(), verifier.log_origin()), (state.control(), verifier.control_origin())];
    if !policy.wants_witnesses() {
        for (dir, _) in logs {
            forget_cosigned(&dir)
                .explain(ErrorCode::Io, "a head that witnesses cosigned can't be removed")?;
        }
        return Ok(());
    }
    let asking = Asking::new().explain(ErrorCode::Io, "witnesses can't be asked")?;
    for (dir, origin) in logs {
        let place = LogPlace { dir, origin: origin.clone(), verifier: verifier.clone() };
        let collector = Collector::new(place, Arc::clone(policy), asking.clone());
        lifecycle.run(keep_asking(lifecycle.clone(), origin, collector, plane.clone()));
    }
    Ok(())
}

async fn keep_asking(
    lifecycle: Lifecycle,
    origin: String,
    mut collector: Collector,
    plane: Arc<ControlPlane>,
) {
    let mut said = BTreeMap::new();
    let mut untold = VecDeque::new();
    let mut standings = Standings::new(origin.clone());
    loop {
        tokio::select! {
            round = collector.round() => match round {
                Ok(Some(round)) => {
                    tell(&origin, &round, &mut said);
                    untold.extend(standings.take(&round, Instant::now()));
                }
                Ok(None) => {}
                Err(error) => {
                    tracing::error!(log = origin, error = %custody_api_server::error::chain(&error), "no witness can be asked");
                }
            },
            () = lifecycle.drained() => return,
        }
        record(&plane, &origin, &mut untold).await;
        tokio::select! {
            () = tokio::time::sleep(PERIOD) => {}
            () = lifecycle.drained() => return,
        }
    }
}

/// Puts on record how witnesses stand; what can't be written now stays for the next time.
async fn record(plane: &ControlPlane, origin: &str, untold: &mut VecDeque<ControlBody>) {
    while let Some(change) = untold.front() {
        if let Err(error) = plane.note(&Author::server(), change.clone()).await {
            let error = custody_api_server::error::chain(&error);
            tracing::error!(log = origin, error, "how a witness stands can't be recorded");
            return;
        }
        untold.pop_front();
    }
}

/// Says what changed: a witness that stays away is told of once.
fn tell(origin: &str, round: &Round, said: &mut BTreeMap<String, String>) {
    for name in &round.cosigned {
        if said.remove(name).is_some() {
            tracing::info!(log = origin, witness = name, "the witness cosigns again");
        }
    }
    for (name, outcome) in &round.missing {
        let text = custody_api_server::error::chain(outcome);
        if said.insert(name.clone(), text.clone()).as_ref() == Some(&text) {
            continue;
        }
        match outcome {
            Outcome::Late => {}
            Outcome::Ahead { .. } | Outcome::Cosignature(_) | Outcome::Tiles(_) => {
                tracing::error!(
                    log = origin,
                    witness = name,
                    outcome = text,
                    "a witness can't cosign"
                );
            }
            Outcome::Asked(custody_witness::AskError::Forked(_)) => {
                tracing::error!(
                    log = origin,
                    witness = name,
                    outcome = text,
                    "A WITNESS SAW ANOTHER LOG"
                );
            }
            Outcome::Asked(_) | Outcome::NoCosignature | Outcome::NoUrl | Outcome::Broken(_) => {
                tracing::warn!(
                    log = origin,
                    witness = name,
                    outcome = text,
                    quorum = round.quorum,
                    "a witness does not cosign"
                );
            }
        }
    }
}
