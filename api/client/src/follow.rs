//! A session's record as it grows: a stream that is resumed where it broke, without a lost or a doubled event.

use std::collections::VecDeque;
use std::time::Duration;

use custody_api_types::Operation;
use custody_api_types::event::{CanonicalEvent, STREAM_END, StreamEnd, StreamQuery};
use custody_model::SessionId;
use reqwest::Response;

use crate::call::Call;
use crate::client::Client;
use crate::error::ClientError;
use crate::patience::Tries;
use crate::sse::{Reader, StreamEvent};

/// A stream on which nothing comes for this long, not even a sign of life, is taken for broken.
const SILENCE: Duration = Duration::from_secs(60);

/// Something of a stream.
#[derive(Debug)]
pub enum Followed {
    /// The next event of the record.
    Event {
        /// Its place.
        seq: u64,
        /// The event, as it was recorded.
        event: CanonicalEvent,
    },
    /// The record is sealed and complete: nothing follows.
    End(StreamEnd),
}

/// A record that is followed.
#[derive(Debug)]
pub struct Following {
    client: Client,
    session: SessionId,
    next: u64,
    stream: Option<(Response, Reader)>,
    read: VecDeque<StreamEvent>,
    tries: Option<Tries>,
    ended: bool,
}

impl Client {
    /// Follows the record of a session from its event `from` on.
    #[must_use]
    pub fn follow(&self, session: SessionId, from: u64) -> Following {
        Following {
            client: self.clone(),
            session,
            next: from,
            stream: None,
            read: VecDeque::new(),
            tries: None,
            ended: false,
        }
    }
}

impl Following {
    /// What comes next; `None` after the end. May be dropped while it waits, and called again.
    ///
    /// # Errors
    /// [`ClientError`]; of a broken connection only after the client's patience.
    pub async fn next(&mut self) -> Result<Option<Followed>, ClientError> {
        loop {
            if self.ended {
                return Ok(None);
            }
            if let Some(event) = self.read.pop_front() {
                if let Some(followed) = self.take(event)? {
                    self.tries = None;
                    return Ok(Some(followed));
                }
                continue;
            }
            if self.stream.is_none() {
                self.stream = Some((self.connect().await?, Reader::default()));
            }
            self.read_on().await?;
        }
    }

    async fn connect(&self) -> Result<Response, ClientError> {
        let session = self.session.to_string();
        let mut call = Call::new(Operation::SessionStream, &[&session]);
        if let Some(last) = self.next.checked_sub(1) {
            call = call.header("Last-Event-ID", last.to_string());
        } else {
            call = call.query(&StreamQuery::default())?;
        }
        self.client.send(&call.header("Accept", "text/event-stream"), None).await
    }

    /// Reads what comes, or finds out that the connection is broken.
    async fn read_on(&mut self) -> Result<(), ClientError> {
        let Some((response, reader)) = &mut self.stream else { return Ok(()) };
        let broken = match tokio::time::timeout(SILENCE, response.chunk()).await {
            Ok(Ok(Some(bytes))) => {
                let events = reader.push(&bytes).map_err(|e| ClientError::Stream(e.to_string()))?;
                self.read.extend(events);
                return Ok(());
            }
            Ok(Ok(None)) => None,
            Ok(Err(error)) => Some(crate::answer::failed(self.client.address(), error)),
            Err(_silent) => None,
        };
        self.stream = None;
        let tries = self.tries.get_or_insert_with(|| Tries::new(self.client.patience()));
        let Some(wait) = tries.next(Duration::ZERO) else {
            let ended = || ClientError::Stream("it breaks off again and again".to_owned());
            return Err(broken.unwrap_or_else(ended));
        };
        tracing::info!(session = %self.session, next = self.next, "the stream is resumed");
        tokio::time::sleep(wait).await;
        Ok(())
    }

    fn take(&mut self, event: StreamEvent) -> Result<Option<Followed>, ClientError> {
        let broken = |what: String| Err(ClientError::Stream(what));
        if event.name == STREAM_END {
            let Ok(end) = serde_json::from_str::<StreamEnd>(&event.data) else {
                return broken("its end can't be read".to_owned());
            };
            if end.events != self.next {
                let (has, got) = (end.events, self.next);
                return broken(format!("the record has {has} events, and {got} came"));
            }
            self.ended = true;
            self.stream = None;
            return Ok(Some(Followed::End(end)));
        }
        let Some(seq) = event.id.as_deref().and_then(|id| id.parse::<u64>().ok()) else {
            return broken("an event has no number".to_owned());
        };
        if seq < self.next {
            // It was on its way twice.
            return Ok(None);
        }
        if seq > self.next {
            return broken(format!("event {} was left out", self.next));
        }
        let Ok(event) = CanonicalEvent::from_bytes(event.data.into_bytes()) else {
            return broken(format!("event {seq} is no JSON"));
        };
        self.next += 1;
        Ok(Some(Followed::Event { seq, event }))
    }
}
