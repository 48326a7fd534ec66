//! Tokens: made from a service token when there is need, kept as long as they are good.

use std::sync::{Arc, Mutex};

use custody_api_client::Credentials;
use custody_api_types::token::CreatedToken;
use custody_model::{Clock, Timestamp};

use crate::script::{Step, answer, empty_page, over_tcp, problem};

struct At(i64);

impl Clock for At {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.0 * 1_000_000)
    }
}

fn token(text: &str, until: i64) -> String {
    let at = Timestamp::from_micros(until * 1_000_000);
    format!(
        r#"{{"token":{{"id":"0197f0a2-0000-7000-8000-000000000001","user":"dana","kind":"access","scopes":[],"label":"","issued_at":"1970-01-01T00:00:00.000000Z","expires_at":"{at}"}},"text":"{text}"}}"#
    )
}

fn created(text: &str, until: i64) -> Step {
    answer("201 Created", "application/json", &token(text, until))
}

fn bearers(requests: &[String]) -> Vec<(String, String)> {
    let bearer = |request: &str| {
        let header = request.lines().find_map(|line| {
            line.to_lowercase().starts_with("authorization: ").then(|| line[22..].to_owned())
        });
        header.unwrap_or_default()
    };
    let path = |request: &str| request.split(' ').nth(1).unwrap().to_owned();
    requests.iter().map(|request| (path(request), bearer(request))).collect()
}

#[tokio::test]
async fn an_access_token_is_made_when_it_is_needed_kept_and_renewed_before_it_ends() {
    let kept: Arc<Mutex<Vec<String>>> = Arc::default();
    let keeping = kept.clone();
    let keep = Box::new(move |token: &CreatedToken| {
        keeping.lock().unwrap().push(token.text.clone());
    });
    let old = serde_json::from_str(&token("old", 1_010)).unwrap();
    let credentials = Credentials::service("svc".into(), Some(old), Arc::new(At(1_000)), keep);
    let steps = vec![created("new", 2_000), empty_page(), empty_page()];
    let (server, client) = over_tcp(steps, credentials).await;
    client.images().take(None).await.unwrap();
    client.images().take(None).await.unwrap();
    let (images, exchange) = ("/v1/images".to_owned(), "/v1/tokens/exchange".to_owned());
    assert_eq!(
        bearers(&server.requests()),
        [
            (exchange, "svc".to_owned()),
            (images.clone(), "new".to_owned()),
            (images, "new".to_owned())
        ]
    );
    assert_eq!(*kept.lock().unwrap(), ["new"]);
}

#[tokio::test]
async fn a_token_that_is_refused_is_renewed_once() {
    let good = serde_json::from_str(&token("good", 9_000)).unwrap();
    let credentials =
        Credentials::service("svc".into(), Some(good), Arc::new(At(0)), Box::new(|_| {}));
    let no = || problem("401 Unauthorized", "unauthenticated", "");
    let steps = vec![no(), created("second", 9_000), no()];
    let (server, client) = over_tcp(steps, credentials).await;
    let error = client.images().take(None).await.unwrap_err();
    assert_eq!(error.code(), custody_model::ErrorCode::Unauthenticated);
    let carried: Vec<String> = bearers(&server.requests()).into_iter().map(|(_, b)| b).collect();
    assert_eq!(carried, ["good", "svc", "second"]);
}
