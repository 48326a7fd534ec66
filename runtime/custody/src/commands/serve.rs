//! `custody serve`: the API, until a signal ends it.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use custody_model::ErrorCode;
use serde_json::json;

use crate::cli::{Format, ServeArgs};
use crate::failure::{Explain, Failure};
use crate::server::serving::{self, Serving};
use crate::wire::Wire;
use crate::{logging, output};

/// How long threads that wait for something may keep the process, once all is served.
const THREADS_END: Duration = Duration::from_secs(1);

/// Serves.
pub fn run(wire: &Wire, args: ServeArgs) -> Result<ExitCode, Failure> {
    let config = wire.config()?;
    logging::init(&config.settings.log);
    super::run::only_as_root("custody serve")?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .explain(ErrorCode::Io, "no threads can be made")?;
    let settings = &config.settings;
    let listen = args.listen.unwrap_or(settings.server.listen);
    if !listen.ip().is_loopback() && !settings.server.allow_remote {
        let message = format!("other machines can reach {listen}, and Custody speaks plain HTTP");
        return Err(Failure::new(ErrorCode::Invalid, message)
            .hint("listen on a loopback address behind a proxy that terminates TLS, or set server.allow_remote"));
    }
    let public = settings.server.public_url.as_ref().map(ToString::to_string);
    let ready = |serving: Serving| {
        let url = format!("http://{}", serving.address);
        say(wire, &args, &serving, &url, public.as_deref().unwrap_or(&url))?;
        // The last: by it others know that all is there.
        match &args.address_file {
            Some(path) => private(path, &format!("{url}\n")),
            None => Ok(()),
        }
    };
    let finished =
        runtime.block_on(serving::run(wire, settings, listen, args.faults.clone(), ready));
    runtime.shutdown_timeout(THREADS_END);
    Ok(match finished? {
        true => ExitCode::SUCCESS,
        false => ExitCode::from(ErrorCode::Unavailable.exit_code()),
    })
}

fn say(
    wire: &Wire,
    args: &ServeArgs,
    serving: &Serving,
    url: &str,
    public: &str,
) -> Result<(), Failure> {
    let token = match (&serving.first, &args.admin_token_file) {
        (Some(first), Some(path)) => {
            private(path, &format!("{}\n", first.text))?;
            None
        }
        (first, _) => first.as_ref().map(|first| first.text.as_str()),
    };
    let user = serving.first.as_ref().map(|first| first.user.as_str());
    if wire.format == Format::Json {
        let value = json!({ "url": url, "admin": user, "admin_token": token });
        return output::raw(format!("{value}\n").as_bytes());
    }
    let mut text = format!("custody: serving {url}\n");
    if let Some(user) = user {
        text.push_str(&format!("custody: this is the first start: the user {user} is made\n"));
        match (token, &args.admin_token_file) {
            (Some(token), _) => text.push_str(&format!(
                "\n{token}\n\nThat is the token of {user}, shown this once. Keep it, and log in with it:\n  \
                 custody login {public}\n"
            )),
            (None, Some(path)) => text.push_str(&format!(
                "custody: its token is in {path}; log in with it, and keep it somewhere else:\n  \
                 custody login {public} --token-file {path}\n",
                path = path.display()
            )),
            (None, None) => {}
        }
    }
    output::raw(text.as_bytes())
}

/// Writes a file that nobody else may read, whole or not at all.
fn private(path: &Path, text: &str) -> Result<(), Failure> {
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let written = (|| {
        let mut file = tempfile::Builder::new()
            .prefix(".new-")
            .permissions(std::fs::Permissions::from_mode(0o600))
            .tempfile_in(dir)?;
        file.write_all(text.as_bytes())?;
        file.as_file().sync_all()?;
        file.persist(path)?;
        Ok::<_, std::io::Error>(())
    })();
    written.explain(ErrorCode::Io, format!("{} can't be written", path.display()))
}
