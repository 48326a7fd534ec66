//! What calls carry so that the server knows who calls.

use std::fmt;
use std::sync::Arc;

use custody_api_types::token::CreatedToken;
use custody_model::Clock;

/// An access token is renewed this long before it ends, in microseconds: it has to last until the server looks at it.
const EARLY_MICROS: i64 = 20_000_000;

/// What calls carry.
#[derive(Clone)]
pub enum Credentials {
    /// Nothing: on a Unix socket the kernel says who calls.
    None,
    /// This access token, as long as it lasts.
    Access(String),
    /// Access tokens that are made from a service token, each for as long as it lasts.
    Service(Arc<Exchange>),
}

/// Told of each new access token, to keep it for the next process.
pub type Keep = Box<dyn Fn(&CreatedToken) + Send + Sync>;

/// A service token, and the access token that was made from it last.
pub struct Exchange {
    pub(crate) service: String,
    pub(crate) current: tokio::sync::Mutex<Option<CreatedToken>>,
    clock: Arc<dyn Clock>,
    keep: Keep,
}

impl Credentials {
    /// Access tokens from the service token `service`, of which `current` is one that may still be good.
    #[must_use]
    pub fn service(
        service: String,
        current: Option<CreatedToken>,
        clock: Arc<dyn Clock>,
        keep: Keep,
    ) -> Self {
        let current = tokio::sync::Mutex::new(current);
        Self::Service(Arc::new(Exchange { service, current, clock, keep }))
    }
}

impl Exchange {
    /// Whether a call may still carry the token.
    pub(crate) fn is_good(&self, token: &CreatedToken) -> bool {
        let left = token.token.expires_at.as_micros().saturating_sub(self.clock.now().as_micros());
        left > EARLY_MICROS
    }

    pub(crate) fn keep(&self, token: &CreatedToken) {
        (self.keep)(token);
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::Access(_) => "Access(redacted)",
            Self::Service(_) => "Service(redacted)",
        })
    }
}
