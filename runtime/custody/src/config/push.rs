//! `push`: where what is recorded is sent while it happens.

use custody_policy::quantity::Seconds;
use custody_push::{Backoff, Destination, Kind, Secret as Signing};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::time::Duration;

use super::check::Check;
use super::secret::{Environment, Secret, SecretError};
use super::section::{section, with_unit};
use super::url::HttpUrl;

/// Most destinations.
const DESTINATIONS: usize = 16;
/// Longest name, in characters.
const NAME: usize = 32;
/// Most events of one delivery.
const BATCH: u32 = 500;
/// Most types of events that are named.
const TYPES: usize = 64;

/// Where what is recorded is sent while it happens.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Push {
    /// The destinations; at most 16. A new one gets the sessions that live when the server first knows it, and those that
    /// come.
    #[schemars(length(max = DESTINATIONS))]
    pub destinations: Vec<To>,
}

section!("push": Push { destinations });

/// A destination.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct To {
    /// What it is called here: 1 to 32 of a-z, 0-9 and `-`. How far it is, is kept under this name.
    #[schemars(regex(pattern = "^[a-z0-9-]{1,32}$"))]
    pub name: String,
    /// What is sent.
    pub send: Send,
    /// How long an answer may take: 1s to 5m.
    #[serde(default = "thirty_seconds", serialize_with = "with_unit")]
    pub timeout: Seconds,
    /// The longest wait after failures, which begins with 1s and doubles: 1s to 1h.
    #[serde(default = "five_minutes", serialize_with = "with_unit")]
    pub retry_max: Seconds,
}

/// What is sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Send {
    /// Every event as a CloudEvent (1.0.2), signed by Standard Webhooks.
    Webhook(Webhook),
    /// The spans of every session once it is over, as OTLP/JSON over HTTP.
    Otlp(Otlp),
}

/// A webhook.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Webhook {
    /// What is posted to.
    pub url: HttpUrl,
    /// What deliveries are signed with: `whsec_` and 24 to 64 bytes in base64.
    pub secret: Secret,
    /// Most events of one delivery: 1 to 500. With 1 each is sent by itself, else as a CloudEvents batch.
    #[serde(default = "one_hundred")]
    #[schemars(range(min = 1, max = BATCH))]
    pub batch: u32,
    /// Types of events that are sent, as in `file.denied`, or families, as in `file`; all without it.
    #[serde(default)]
    #[schemars(length(max = TYPES))]
    pub types: Vec<String>,
}

/// A collector.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Otlp {
    /// Its endpoint for traces, as in https://collector.example.org/v1/traces.
    pub url: HttpUrl,
    /// The bearer token that it wants.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<Secret>,
}

fn thirty_seconds() -> Seconds {
    Seconds(30)
}

fn five_minutes() -> Seconds {
    Seconds(300)
}

fn one_hundred() -> u32 {
    100
}

/// Why a destination can't be used.
#[derive(Debug, thiserror::Error)]
pub enum PushSecretError {
    /// The secret is not there.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// It is none.
    #[error("the secret of destination {name}")]
    Shape {
        /// Whose.
        name: String,
        /// Why.
        #[source]
        source: custody_push::SecretError,
    },
}

impl To {
    /// With its secret.
    ///
    /// # Errors
    /// [`PushSecretError`].
    pub fn resolve(&self, environment: &Environment) -> Result<Destination, PushSecretError> {
        let (url, kind) = match &self.send {
            Send::Webhook(webhook) => {
                let secret = webhook.secret.resolve(environment)?;
                let secret = Signing::parse(secret.expose())
                    .map_err(|source| PushSecretError::Shape { name: self.name.clone(), source })?;
                let batch = usize::try_from(webhook.batch).unwrap_or(usize::MAX);
                (&webhook.url, Kind::Webhook { secret, batch, types: webhook.types.clone() })
            }
            Send::Otlp(otlp) => {
                let token =
                    otlp.token.as_ref().map(|token| token.resolve(environment)).transpose()?;
                (&otlp.url, Kind::Otlp { token: token.map(|token| token.expose().to_owned()) })
            }
        };
        Ok(Destination {
            name: self.name.clone(),
            url: url.to_string(),
            kind,
            patience: Duration::from_secs(self.timeout.0),
            backoff: Backoff {
                longest: Duration::from_secs(self.retry_max.0),
                ..Backoff::default()
            },
        })
    }

    fn check(&self, field: &str, check: &mut Check<'_>) {
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        if !(1..=NAME).contains(&self.name.len()) || !self.name.bytes().all(plain) {
            let reason = format!("{:?} is not 1 to {NAME} of a-z, 0-9 and -", self.name);
            check.refuse(&format!("{field}.name"), reason);
        }
        check.duration(&format!("{field}.timeout"), self.timeout, 1..=300);
        check.duration(&format!("{field}.retry_max"), self.retry_max, 1..=3_600);
        match &self.send {
            Send::Webhook(webhook) => {
                let field = format!("{field}.send.webhook");
                webhook.secret.check(&format!("{field}.secret"), check);
                check.number(&format!("{field}.batch"), webhook.batch, 1..=BATCH);
                check.at_most(&format!("{field}.types"), webhook.types.len(), TYPES);
            }
            Send::Otlp(otlp) => {
                if let Some(token) = &otlp.token {
                    token.check(&format!("{field}.send.otlp.token"), check);
                }
            }
        }
    }
}

impl Push {
    pub(super) fn check(&self, check: &mut Check<'_>) {
        check.at_most("push.destinations", self.destinations.len(), DESTINATIONS);
        for (at, to) in self.destinations.iter().enumerate() {
            to.check(&format!("push.destinations.{at}"), check);
            if self.destinations[..at].iter().any(|before| before.name == to.name) {
                let reason = format!("there are two destinations with the name {}", to.name);
                check.refuse(&format!("push.destinations.{at}.name"), reason);
            }
        }
    }
}
