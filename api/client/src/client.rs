//! The client: one server, who calls it, and how long it is waited for.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use custody_api_types::token::{CreatedToken, ExchangeToken};
use custody_api_types::{ApiCode, Method, Operation};
use reqwest::Response;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use serde::de::DeserializeOwned;

use crate::address::ServerAddress;
use crate::answer::{self, Failed};
use crate::call::Call;
use crate::credentials::Credentials;
use crate::error::ClientError;
use crate::patience::{Patience, Tries};
use crate::tls;

/// How long a connection may take.
const CONNECT_TIME: Duration = Duration::from_secs(10);

/// How long a call may take: a little more than the longest that a server can be configured to.
const CALL_TIME: Duration = Duration::from_secs(11 * 60);

/// The client of one server. Clones share their connections.
#[derive(Clone, Debug)]
pub struct Client {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    http: reqwest::Client,
    address: ServerAddress,
    credentials: Credentials,
    patience: Patience,
    /// The server answered once: it is there, and if not, it comes back.
    answered: AtomicBool,
}

impl Client {
    /// A client of the server at `address`. Nothing is sent yet.
    ///
    /// # Errors
    /// [`ClientError::Http`], [`ClientError::Tls`]: it can't be made on this machine.
    pub fn new(
        address: ServerAddress,
        credentials: Credentials,
        patience: Patience,
    ) -> Result<Self, ClientError> {
        let mut builder = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIME)
            .redirect(reqwest::redirect::Policy::none())
            .referer(false);
        if address.is_tls() {
            tls::install_provider();
        } else {
            builder = builder.tls_backend_preconfigured(tls::none()?);
        }
        if let ServerAddress::Unix(path) = &address {
            builder = builder.unix_socket(path.clone());
        }
        let http = builder.build().map_err(ClientError::Http)?;
        let answered = AtomicBool::new(false);
        Ok(Self { shared: Arc::new(Shared { http, address, credentials, patience, answered }) })
    }

    /// Where the server is.
    #[must_use]
    pub fn address(&self) -> &ServerAddress {
        &self.shared.address
    }

    /// How long the server is waited for now.
    pub(crate) fn patience(&self) -> Duration {
        match self.shared.answered.load(Ordering::Relaxed) {
            true => self.shared.patience.later,
            false => self.shared.patience.first,
        }
    }

    /// The JSON that an operation gives.
    pub(crate) async fn json<T: DeserializeOwned>(&self, call: Call) -> Result<T, ClientError> {
        let mut tries = None;
        loop {
            let response = self.send(&call, Some(CALL_TIME)).await?;
            match answer::json(self.address(), call.operation(), response).await {
                Ok(value) => return Ok(value),
                // The connection broke in the middle of the answer.
                Err(error) => {
                    let tries = tries.get_or_insert_with(|| Tries::new(self.patience()));
                    self.wait(&call, tries, error.into()).await?;
                }
            }
        }
    }

    /// The answer of an operation, once it is one of success.
    pub(crate) async fn send(
        &self,
        call: &Call,
        time: Option<Duration>,
    ) -> Result<Response, ClientError> {
        let mut tries = None;
        let mut renewed = false;
        loop {
            let bearer = self.bearer().await?;
            let failed = match self.once(call, bearer.as_deref(), time).await {
                Ok(response) => return Ok(response),
                Err(failed) => failed,
            };
            if failed.error.api_code() == Some(ApiCode::Unauthenticated)
                && !renewed
                && self.forget(bearer.as_deref()).await
            {
                renewed = true;
                continue;
            }
            let tries = tries.get_or_insert_with(|| Tries::new(self.patience()));
            self.wait(call, tries, failed).await?;
        }
    }

    /// Waits until the call may be sent again; the error if it may not.
    async fn wait(
        &self,
        call: &Call,
        tries: &mut Tries,
        failed: Failed,
    ) -> Result<(), ClientError> {
        let Failed { error, retry_after } = failed;
        let wanted = call.again_after(&error, retry_after);
        let Some(wait) = wanted.and_then(|wanted| tries.next(wanted)) else { return Err(error) };
        tracing::info!(operation = call.operation(), %error, ?wait, "the call is sent again");
        tokio::time::sleep(wait).await;
        Ok(())
    }

    async fn once(
        &self,
        call: &Call,
        bearer: Option<&str>,
        time: Option<Duration>,
    ) -> Result<Response, Failed> {
        let address = self.address();
        let method = match call.endpoint.method {
            Method::Get => reqwest::Method::GET,
            Method::Post => reqwest::Method::POST,
            Method::Put => reqwest::Method::PUT,
            Method::Delete => reqwest::Method::DELETE,
        };
        let mut url = format!("{}{}", address.base(), call.path);
        if !call.query.is_empty() {
            let query = form(&call.query);
            url.push('?');
            url.push_str(&query);
        }
        let mut request = self.shared.http.request(method, url);
        if let Some(time) = time {
            request = request.timeout(time);
        }
        if let Some(bearer) = bearer {
            let mut value = HeaderValue::from_str(&format!("Bearer {bearer}"))
                .map_err(|_| ClientError::Handshake("the token can't be sent".to_owned()))?;
            value.set_sensitive(true);
            request = request.header(AUTHORIZATION, value);
        }
        if let Some(key) = &call.key {
            request = request.header("Idempotency-Key", key);
        }
        for (name, value) in &call.headers {
            request = request.header(*name, value);
        }
        if let Some(body) = &call.body {
            request = request.header(CONTENT_TYPE, "application/json").body(body.clone());
        }
        let response = request.send().await.map_err(|e| answer::failed(address, e))?;
        self.shared.answered.store(true, Ordering::Relaxed);
        let wanted = call.endpoint.success.status;
        let status = response.status();
        if status.is_success() || status.as_u16() == wanted {
            return Ok(response);
        }
        Err(answer::problem(address, response).await)
    }

    /// The token that calls carry, made or renewed if need be.
    async fn bearer(&self) -> Result<Option<String>, ClientError> {
        let exchange = match &self.shared.credentials {
            Credentials::None => return Ok(None),
            Credentials::Access(token) => return Ok(Some(token.clone())),
            Credentials::Service(exchange) => exchange,
        };
        let mut current = exchange.current.lock().await;
        if let Some(token) = current.as_ref().filter(|token| exchange.is_good(token)) {
            return Ok(Some(token.text.clone()));
        }
        let call = Call::new(Operation::TokenExchange, &[]).body(&ExchangeToken::default())?;
        let mut tries = Tries::new(self.patience());
        let response = loop {
            match self.once(&call, Some(&exchange.service), Some(CALL_TIME)).await {
                Ok(response) => break response,
                Err(failed) => self.wait(&call, &mut tries, failed).await?,
            }
        };
        let token: CreatedToken = answer::json(self.address(), call.operation(), response).await?;
        exchange.keep(&token);
        let text = token.text.clone();
        *current = Some(token);
        Ok(Some(text))
    }

    /// Throws an access token away that the server does not take; `false` if no other one can be made.
    async fn forget(&self, bearer: Option<&str>) -> bool {
        let Credentials::Service(exchange) = &self.shared.credentials else { return false };
        let mut current = exchange.current.lock().await;
        if current.as_ref().is_some_and(|token| Some(token.text.as_str()) == bearer) {
            *current = None;
        }
        true
    }
}

fn form(pairs: &[(String, String)]) -> String {
    let mut url = reqwest::Url::parse("http://localhost").ok();
    if let Some(url) = &mut url {
        url.query_pairs_mut().extend_pairs(pairs);
    }
    url.as_ref().and_then(reqwest::Url::query).unwrap_or_default().to_owned()
}
