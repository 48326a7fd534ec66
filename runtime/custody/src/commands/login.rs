//! `custody login`: a token is tried, and kept for the commands that follow.

use std::io::{IsTerminal, Read};
use std::path::Path;
use std::process::ExitCode;

use custody_api_client::{Credentials, ServerAddress};
use custody_model::ErrorCode;
use serde_json::json;

use crate::cli::LoginArgs;
use crate::connect::contexts::{Contexts, Server};
use crate::connect::{self, is_service_token};
use crate::failure::{Explain, Failure};
use crate::wire::Wire;
use crate::{console, output};

/// Longest token that is read, in bytes.
const MAX_TOKEN_BYTES: u64 = 16 << 10;

/// Logs in.
pub fn run(wire: &Wire, args: &LoginArgs) -> Result<ExitCode, Failure> {
    let address: ServerAddress = args.server.parse().explain(ErrorCode::Usage, "the server")?;
    if let ServerAddress::Unix(_) = address {
        let message = "nobody logs in over a Unix socket: the kernel says who calls";
        return Err(Failure::new(ErrorCode::Usage, message));
    }
    if !address.keeps_secrets() && !args.insecure {
        let message = format!("{address} would get the token in the clear");
        return Err(Failure::new(ErrorCode::Usage, message)
            .hint("use its https address; --insecure sends it all the same"));
    }
    let token = token(args.token_file.as_deref())?;
    let credentials = if is_service_token(&token) {
        Credentials::service(token.clone(), None, wire.clock.clone(), Box::new(|_| {}))
    } else {
        Credentials::Access(token.clone())
    };
    let client = connect::client(address.clone(), credentials)?;
    let me = connect::runtime()?.block_on(client.me()).map_err(|e| connect::failure_of(None, e))?;
    let mut contexts = Contexts::read(&wire.environment)?;
    let name = args.name.clone().unwrap_or_else(|| address.host());
    let server = Server { url: address.to_string(), token, user: me.user.to_string() };
    contexts.servers.insert(name.clone(), server);
    contexts.current = Some(name.clone());
    contexts.write(&wire.environment)?;
    let value = json!({ "context": name, "url": address.to_string(), "user": me.user });
    output::result(wire.format, &value, || format!("logged in to {name} as {}", me.user))?;
    Ok(ExitCode::SUCCESS)
}

fn token(file: Option<&Path>) -> Result<String, Failure> {
    let unreadable = "the token can't be read";
    let text = match file {
        Some(path) if path == Path::new("-") => {
            let mut text = String::new();
            let mut input = std::io::stdin().take(MAX_TOKEN_BYTES);
            input.read_to_string(&mut text).explain(ErrorCode::Io, unreadable)?;
            text
        }
        Some(path) => {
            let file = std::fs::File::open(path)
                .explain(ErrorCode::NotFound, format!("{} can't be read", path.display()))?;
            let mut text = String::new();
            file.take(MAX_TOKEN_BYTES)
                .read_to_string(&mut text)
                .explain(ErrorCode::Io, unreadable)?;
            text
        }
        None if std::io::stdin().is_terminal() => {
            console::secret("Token: ").explain(ErrorCode::Io, unreadable)?
        }
        None => {
            return Err(Failure::new(ErrorCode::Usage, "no token was given")
                .hint("--token-file FILE, or --token-file - for standard input"));
        }
    };
    let text = text.trim();
    if text.is_empty() || text.contains(|c: char| !c.is_ascii_graphic()) {
        return Err(Failure::new(ErrorCode::Invalid, "that is no token: one word is wanted"));
    }
    Ok(text.to_owned())
}
