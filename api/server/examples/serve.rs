//! An installation of its own on a free port, with sessions, a record and tokens, for programs that try the API from
//! outside: `cargo run -p custody-api-server --example serve`. It prints one JSON object with its address and the tokens,
//! and serves until its standard input ends.

#[path = "../tests/api/installation.rs"]
#[expect(dead_code, reason = "the tests use more of it")]
mod installation;
#[path = "../tests/api/recording.rs"]
#[expect(dead_code, reason = "the tests use more of it")]
mod recording;

use custody_api_server::Limits;
use custody_model::{Scope, TokenKind};
use installation::{APPROVED, Installation, PEOPLE};
use tokio::io::AsyncReadExt as _;

#[tokio::main]
async fn main() {
    let limits = Limits {
        requests_per_minute: 1_000_000,
        burst: 1_000_000,
        heartbeat: std::time::Duration::from_millis(200),
        ..Limits::default()
    };
    let installation = Installation::with(limits).await;
    let sealed = recording::sealed(&installation, 3).await;
    installation.session(Some(APPROVED)).await;
    let mut tokens = serde_json::Map::new();
    for name in PEOPLE.map(|(name, _, _)| name).into_iter().chain(["everyone"]) {
        tokens.insert(name.to_owned(), installation.token(name).into());
    }
    let service = installation.mint("everyone", TokenKind::Service, Scope::ALL.into()).await;
    let found = serde_json::json!({
        "url": format!("http://{}", installation.address),
        "tokens": tokens,
        "service": service,
        "session": sealed.id,
        "repository": installation.repository,
        "policy": installation.policy,
    });
    println!("{found}");
    let mut input = Vec::new();
    tokio::io::stdin().read_to_end(&mut input).await.expect("standard input ends");
    installation.stop().await;
}
