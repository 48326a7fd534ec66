//! `custody token`.

use std::io::IsTerminal;
use std::process::ExitCode;

use custody_api_types::token::{CreateToken, Token, TokenQuery};

use crate::cli::{Format, TokenCommand};
use crate::connect::Connection;
use crate::failure::Failure;
use crate::wire::Wire;
use crate::{output, render};

/// `custody token create|list|revoke`.
pub fn run(wire: &Wire, command: TokenCommand) -> Result<ExitCode, Failure> {
    let server = Connection::open(wire)?;
    let client = server.client();
    match command {
        TokenCommand::Create { user, kind, scopes, lifetime, label } => {
            let scopes = (!scopes.is_empty()).then(|| scopes.into_iter().collect());
            let asked = CreateToken { user, kind, scopes, lifetime_seconds: lifetime.0, label };
            let created = server.wait(client.create_token(&asked))?;
            if wire.format == Format::Text && std::io::stderr().is_terminal() {
                eprintln!(
                    "custody: token {} of {}, until {}; it is shown this once:",
                    created.token.id, created.token.user, created.token.expires_at
                );
            }
            output::result(wire.format, &created, || created.text.clone())?;
        }
        TokenCommand::List { user, limit } => {
            let query = TokenQuery { user, ..TokenQuery::default() };
            let tokens = server.wait(client.tokens(&query).take(limit))?;
            output::result(wire.format, &tokens, || list(&tokens))?;
        }
        TokenCommand::Revoke { token, reason } => {
            let token = server.wait(client.revoke_token(token, reason.as_deref()))?;
            output::result(wire.format, &token, || list(std::slice::from_ref(&token)))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn list(tokens: &[Token]) -> String {
    let rows: Vec<_> = tokens
        .iter()
        .map(|token| {
            let scopes: Vec<&str> = token.scopes.iter().map(|scope| scope.as_str()).collect();
            let until = match token.revoked_at {
                Some(at) => format!("revoked {at}"),
                None => format!("until {}", token.expires_at),
            };
            [
                token.id.to_string(),
                token.user.to_string(),
                token.kind.to_string(),
                until,
                scopes.join(","),
                token.label.clone(),
            ]
        })
        .collect();
    render::table(["TOKEN", "USER", "KIND", "", "SCOPES", "LABEL"], &rows)
}
