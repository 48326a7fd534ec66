//! One destination's worker: what is new in the records goes out, attempt after attempt, and the position follows.

mod read;

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use custody_model::{Clock, SessionId};
use reqwest::Client;
use tokio::time::{Instant, sleep};

use crate::destination::{Destination, Kind};
use crate::place::{Place, Session};
use crate::position::{PositionError, Positions};
use crate::sender::{Delivery, client, post};
use crate::{Counted, Counter, Records, Unknown};
use read::{Found, Lines};

/// How long a session may be over without a record before it is taken for one that never gets any.
const NO_RECORD: Duration = Duration::from_secs(600);

/// What a worker is made of.
pub struct Setup {
    /// Where it sends.
    pub destination: Destination,
    /// What it reads.
    pub records: Arc<dyn Records>,
    /// Where it keeps how far it is.
    pub positions: Positions,
    /// Who counts.
    pub counter: Arc<dyn Counter>,
    /// The time, for signatures.
    pub clock: Arc<dyn Clock>,
    /// Numbers for the jitter of waiting times.
    pub random: Arc<dyn Fn() -> u32 + Send + Sync>,
    /// How often it looks for what is new.
    pub poll: Duration,
}

/// Why a worker can't begin.
#[derive(Debug, thiserror::Error)]
pub enum PushError {
    /// The position.
    #[error(transparent)]
    Position(#[from] PositionError),
    /// The sessions.
    #[error(transparent)]
    Unknown(#[from] Unknown),
    /// TLS.
    #[error("no HTTP client can be made")]
    Client(#[source] reqwest::Error),
}

/// Why a round broke off; the next one begins where it stands.
#[derive(Debug, thiserror::Error)]
enum Interrupted {
    #[error(transparent)]
    Position(#[from] PositionError),
    #[error(transparent)]
    Unknown(#[from] Unknown),
    #[error("a thread failed")]
    Thread(#[from] tokio::task::JoinError),
    #[error("a record can't be read now")]
    Read(#[from] custody_record::ReadError),
}

/// One destination's worker.
pub struct Pusher {
    setup: Setup,
    client: Client,
    place: Place,
    /// Since when sessions that are over have had no record.
    missing: BTreeMap<SessionId, Instant>,
}

impl Pusher {
    /// Begins where the destination's position is; a new destination gets what lives now and what comes.
    ///
    /// # Errors
    /// [`PushError`].
    pub async fn open(setup: Setup) -> Result<Self, PushError> {
        let client = client(setup.destination.patience).map_err(PushError::Client)?;
        let place = match setup.positions.load(&setup.destination.name)? {
            Some(place) => place,
            None => {
                let live = setup.records.live().await?;
                let place = Place::beginning(&setup.records.all().await?, &live);
                setup.positions.save(&setup.destination.name, &place)?;
                place
            }
        };
        Ok(Self { setup, client, place, missing: BTreeMap::new() })
    }

    /// Works until it is dropped, which it may be at any moment.
    pub async fn run(mut self) {
        loop {
            let moved = self.round().await.unwrap_or_else(|error| {
                let name = &self.setup.destination.name;
                tracing::error!(destination = %name, error = &error as &dyn Error, "nothing can be sent now");
                false
            });
            if !moved {
                sleep(self.setup.poll).await;
            }
        }
    }

    fn count(&self, what: Counted, more: u64) {
        if more > 0 {
            self.setup.counter.count(&self.setup.destination.name, what, more);
        }
    }

    /// Each session once, the oldest first; whether anything moved.
    async fn round(&mut self) -> Result<bool, Interrupted> {
        let live = self.setup.records.live().await?;
        let all = self.setup.records.all().await?;
        let pending = self.place.pending(&all, &live);
        self.setup.counter.pending(&self.setup.destination.name, pending.len() as u64);
        let mut moved = false;
        for session in pending {
            moved |= match self.setup.destination.kind {
                Kind::Webhook { .. } => self.events(session, &live).await?,
                Kind::Otlp { .. } => self.spans(session, &live).await?,
            };
        }
        if moved {
            self.place.settle(&all, &live);
            self.save()?;
            let left = self.place.pending(&all, &live).len() as u64;
            self.setup.counter.pending(&self.setup.destination.name, left);
        }
        Ok(moved)
    }

    fn save(&self) -> Result<(), PositionError> {
        self.setup.positions.save(&self.setup.destination.name, &self.place)
    }

    fn moved_to(&mut self, session: SessionId, to: Session) -> Result<bool, Interrupted> {
        self.place.set(session, to);
        self.save()?;
        Ok(true)
    }

    /// There is nothing to send of a session; whether that is final.
    fn nothing(
        &mut self,
        session: SessionId,
        at: Session,
        live: &BTreeSet<SessionId>,
    ) -> Result<bool, Interrupted> {
        if live.contains(&session) {
            return Ok(false);
        }
        let since = *self.missing.entry(session).or_insert_with(Instant::now);
        if since.elapsed() < NO_RECORD {
            return Ok(false);
        }
        self.missing.remove(&session);
        // Some of it was sent, and the rest is gone.
        self.count(Counted::Dropped, u64::from(at.next > 0));
        self.moved_to(session, Session { done: true, ..at })
    }

    /// It can't be read, and never will be.
    fn damaged(
        &mut self,
        session: SessionId,
        at: Session,
        error: &custody_record::ReadError,
    ) -> Result<bool, Interrupted> {
        let name = &self.setup.destination.name;
        tracing::error!(destination = %name, %session, error = error as &dyn Error, "a record is damaged: the rest of it is not sent");
        self.count(Counted::Dropped, 1);
        self.moved_to(session, Session { done: true, ..at })
    }

    /// The next events of a session.
    async fn events(
        &mut self,
        session: SessionId,
        live: &BTreeSet<SessionId>,
    ) -> Result<bool, Interrupted> {
        let at = self.place.of(session);
        let (record, from) = (self.setup.records.record(session), at.clone());
        let destination = self.setup.destination.clone();
        let found =
            tokio::task::spawn_blocking(move || read::events(&record, &from, &destination)).await?;
        match found {
            Ok(Found::Nothing) => self.nothing(session, at, live),
            Ok(Found::Other) => {
                // After a loss of power the journal may have gone back, and on in another way.
                self.count(Counted::Resent, 1);
                self.moved_to(session, Session::default())
            }
            Ok(Found::Events { batch, filtered, to }) => {
                self.missing.remove(&session);
                if let Some(batch) = batch {
                    let events = batch.events;
                    self.deliver(&batch.id, batch.media_type, batch.body).await;
                    self.count(Counted::Delivered, events);
                }
                self.count(Counted::Filtered, filtered);
                self.moved_to(session, to)
            }
            Err(error) if read::is_damage(&error) => self.damaged(session, at, &error),
            Err(error) => Err(error.into()),
        }
    }

    /// The next spans of a session whose record is closed.
    async fn spans(
        &mut self,
        session: SessionId,
        live: &BTreeSet<SessionId>,
    ) -> Result<bool, Interrupted> {
        let at = self.place.of(session);
        let (record, from) = (self.setup.records.record(session), at.next);
        let lines = tokio::task::spawn_blocking(move || read::spans(&record, from)).await?;
        match lines {
            Ok(None) => self.nothing(session, at, live),
            Ok(Some(Lines { lines, end })) => {
                self.missing.remove(&session);
                let mut at = at;
                for line in lines {
                    let answer = self.deliver("", "application/json", line).await;
                    self.count(Counted::Delivered, 1);
                    self.count(Counted::Dropped, read::rejected(&answer));
                    at.next += 1;
                    self.moved_to(session, at.clone())?;
                }
                self.moved_to(session, Session { done: end, ..at })
            }
            Err(error) if read::is_damage(&error) => self.damaged(session, at, &error),
            Err(error) => Err(error.into()),
        }
    }

    /// Posts until it is taken.
    async fn deliver(&self, id: &str, media_type: &'static str, body: Vec<u8>) -> Vec<u8> {
        let Destination { name, url, kind, backoff, .. } = &self.setup.destination;
        let mut failed = 0_u32;
        loop {
            let (headers, token) = match kind {
                Kind::Webhook { secret, .. } => {
                    let signed = secret.sign(id, self.setup.clock.now(), &body);
                    let headers = vec![
                        ("webhook-id", signed.id),
                        ("webhook-timestamp", signed.timestamp),
                        ("webhook-signature", signed.signature),
                    ];
                    (headers, None)
                }
                Kind::Otlp { token } => (Vec::new(), token.clone()),
            };
            let delivery = Delivery { media_type, headers, token, body: body.clone() };
            match post(&self.client, url, delivery).await {
                Ok(answer) => return answer,
                Err(error) => {
                    failed = failed.saturating_add(1);
                    self.count(Counted::Failed, 1);
                    // Not each time: it may go on for days.
                    if failed.is_power_of_two() {
                        tracing::warn!(destination = %name, failed, error = &error as &dyn Error, "a delivery failed");
                    }
                    let random = (self.setup.random)();
                    sleep(backoff.wait_for(failed, random, error.after())).await;
                }
            }
        }
    }
}
