//! The limits of calls, each with an error of its own.

use std::time::Duration;

use custody_store::MAX_PAGE;

use crate::error::ApiError;
use custody_api_types::ApiCode;

/// Longest address with its query, in bytes.
pub const MAX_TARGET_BYTES: usize = 8 << 10;

/// What one call, and all calls of one caller, may use.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Largest body, in bytes: `body_too_large`.
    pub body: usize,
    /// Items of a page of which nothing else is said.
    pub page_default: u32,
    /// Most items of a page: `page_too_large`. Never more than a store gives, [`MAX_PAGE`].
    pub page_max: u32,
    /// Calls of one caller in a minute, in the long run: `rate_limited`.
    pub requests_per_minute: u32,
    /// Calls of one caller at once.
    pub burst: u32,
    /// Open streams of one caller: `too_many_streams`.
    pub streams_per_caller: u32,
    /// Open streams of all.
    pub streams: u32,
    /// How long a body may take to come (`timeout`), and an answer to begin (`slow`).
    pub request_time: Duration,
    /// Life of an access token of which nothing else is said.
    pub access_lifetime: Duration,
    /// Longest life of a service token.
    pub service_lifetime_max: Duration,
    /// How often a stream says that it lives, and whether its caller still may listen is looked at.
    pub heartbeat: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body: 4 << 20,
            page_default: 100,
            page_max: 500,
            requests_per_minute: 3000,
            burst: 300,
            streams_per_caller: 32,
            streams: 512,
            request_time: Duration::from_secs(60),
            access_lifetime: Duration::from_secs(custody_api_types::token::DEFAULT_ACCESS_SECONDS),
            service_lifetime_max: custody_identity::MAX_SERVICE_LIFETIME,
            heartbeat: Duration::from_secs(15),
        }
    }
}

impl Limits {
    /// The number of items that a page gets.
    ///
    /// # Errors
    /// `page_too_large`, and `invalid` for none.
    pub fn page(&self, asked: Option<u32>) -> Result<usize, ApiError> {
        let most = self.page_max.min(u32::try_from(MAX_PAGE).unwrap_or(u32::MAX));
        match asked.unwrap_or(self.page_default.min(most)) {
            0 => Err(ApiError::invalid("limit", "a page has at least one item")),
            limit if limit > most => {
                let detail = format!("{limit} items are asked for, and {most} are the most");
                Err(ApiError::new(ApiCode::PageTooLarge, detail).field("limit"))
            }
            limit => Ok(limit as usize),
        }
    }
}
