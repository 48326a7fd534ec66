//! `custody witness`: a key, and a witness that is served until a signal ends it.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use custody_model::ErrorCode;
use custody_record::Verifier;
use custody_record::tlog::WitnessKey;
use custody_record::witness::Ledger;
use custody_witness::{router, serve};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use crate::cli::{KeygenArgs, WitnessArgs, WitnessCommand};
use crate::failure::{Explain, Failure};
use crate::output;
use crate::wire::Wire;

/// `custody witness keygen|serve`.
pub fn run(wire: &Wire, command: &WitnessCommand) -> Result<ExitCode, Failure> {
    match command {
        WitnessCommand::Keygen(args) => keygen(wire, args)?,
        WitnessCommand::Serve(args) => witness(wire, args)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn keygen(wire: &Wire, args: &KeygenArgs) -> Result<(), Failure> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(|e| {
        Failure::new(ErrorCode::Io, format!("the system gives no random bytes: {e}"))
    })?;
    let key = WitnessKey::from_seed(&args.name, seed).ok_or_else(|| {
        Failure::new(ErrorCode::Usage, format!("{:?} can't name a key", args.name))
            .hint("a name has no white space and no +")
    })?;
    let unwritable = format!("{} can't be written", args.file.display());
    // A key that is there may be in use: it is never replaced.
    let written = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&args.file);
    written
        .and_then(|mut file| {
            file.write_all(format!("{}\n", key.private_text()).as_bytes())?;
            file.sync_all()
        })
        .explain(ErrorCode::Io, unwritable)?;
    let vkey = key.cosigner().to_string();
    output::result(wire.format, &json!({ "vkey": vkey, "file": args.file }), || vkey.clone())
}

fn verifier(text: &str, option: &str) -> Result<Verifier, Failure> {
    text.trim().parse::<Verifier>().explain(ErrorCode::Usage, option)
}

fn witness(wire: &Wire, args: &WitnessArgs) -> Result<(), Failure> {
    let unreadable = format!("{} holds no key of a witness", args.key.display());
    let text = std::fs::read_to_string(&args.key).explain(ErrorCode::Io, unreadable.clone())?;
    let key = WitnessKey::parse(text.trim_end());
    let key = key.ok_or_else(|| Failure::new(ErrorCode::Invalid, unreadable))?;
    let mut logs = Vec::new();
    for text in &args.installation {
        let installation = verifier(text, "--installation")?;
        logs.push(installation.named(&installation.log_origin()));
        logs.push(installation.named(&installation.control_origin()));
    }
    for text in &args.log {
        logs.push(verifier(text, "--log")?);
    }
    let ledger = Ledger::open(&args.memory, key, logs)
        .explain(ErrorCode::Io, "the witness's memory can't be used")?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .explain(ErrorCode::Io, "no threads can be made")?;
    runtime.block_on(listen(wire, args, Arc::new(ledger)))
}

async fn listen(wire: &Wire, args: &WitnessArgs, ledger: Arc<Ledger>) -> Result<(), Failure> {
    let signals = "signals can't be caught";
    let mut terminate = signal(SignalKind::terminate()).explain(ErrorCode::Io, signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).explain(ErrorCode::Io, signals)?;
    let listener = TcpListener::bind(args.listen)
        .await
        .explain(ErrorCode::Io, format!("{} can't be listened at", args.listen))?;
    let address = listener.local_addr().explain(ErrorCode::Io, "the socket has no address")?;
    let url = format!("http://{address}");
    let vkey = ledger.key().cosigner().to_string();
    let origins: Vec<String> = ledger.logs().iter().map(|log| log.name().to_owned()).collect();
    output::result(wire.format, &json!({ "url": url, "vkey": vkey, "logs": origins }), || {
        format!("custody: witnessing {} at {url} as {vkey}", origins.join(", "))
    })?;
    // The last: by it others know that all is there.
    if let Some(path) = &args.address_file {
        whole(path, &format!("{url}\n"))?;
    }
    let ended = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    let served = serve(listener, router(ledger, wire.clock.clone()), ended).await;
    served.explain(ErrorCode::Io, "the witness can't be served")
}

/// Writes a file whole or not at all.
fn whole(path: &Path, text: &str) -> Result<(), Failure> {
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let written = (|| {
        let mut file = tempfile::NamedTempFile::new_in(dir)?;
        file.write_all(text.as_bytes())?;
        file.persist(path)?;
        Ok::<_, std::io::Error>(())
    })();
    written.explain(ErrorCode::Io, format!("{} can't be written", path.display()))
}
