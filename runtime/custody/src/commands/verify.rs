//! `custody verify`: a record against itself, its key and the installation log; a proof; heads against each other.

mod observed;
mod proof_file;
mod witnessed;

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use custody_model::ErrorCode;
use custody_record::evidence::{EvidenceOptions, verify_evidence};
use custody_record::tlog::TlogPolicy;
use custody_record::vault::WRAPPING_FILE;
use custody_record::verify::{KeyChoice, Report, Verdict, VerifyOptions, verify};
use custody_record::{KeyHistory, Verifier};

use super::{proof, session};
use crate::cli::VerifyArgs;
use crate::connect::Connection;
use crate::failure::{Explain, Failure};
use crate::output;
use crate::wire::Wire;

/// The file of a record that names its key.
const KEY_FILE: &str = "installation.vkey";

/// How the names of proof files end (C2SP tlog-proof).
const PROOF_EXTENSION: &str = "tlog-proof";

/// Verifies and says so by the exit code, too.
pub fn run(wire: &Wire, args: &VerifyArgs) -> Result<ExitCode, Failure> {
    if !args.checkpoint.is_empty() {
        let key = trusted(wire, args)?;
        return observed::run(wire, &args.checkpoint, args.target.as_deref(), key.as_ref());
    }
    let target = args.target.as_deref().unwrap_or_default();
    let path = Path::new(target);
    if path.extension().is_some_and(|end| end == PROOF_EXTENSION) {
        let key = trusted(wire, args)?;
        return proof_file::run(wire, path, key.as_ref(), policy(args)?.as_ref());
    }
    if path.is_file() {
        return evidence(wire, args, path);
    }
    let report = if path.is_dir() {
        verify(path, &options(wire, args)?)
    } else {
        let server = Connection::open(wire)?;
        let found = session::named(&server, target)?;
        if args.download || args.key.is_some() || args.policy.is_some() {
            downloaded(wire, args, &server, &found)?
        } else {
            server.wait(server.client().verify(found.id))?
        }
    };
    output::result(wire.format, &report, || report.to_string())?;
    code(report.verdict(), args)
}

/// Witnesses count where somebody says which.
fn code(verdict: Verdict, args: &VerifyArgs) -> Result<ExitCode, Failure> {
    let wanted = policy(args)?.is_some_and(|policy| policy.wants_witnesses());
    Ok(ExitCode::from(verdict.exit_code(wanted)))
}

/// An evidence pack, as `custody-verify` checks it.
fn evidence(wire: &Wire, args: &VerifyArgs, path: &Path) -> Result<ExitCode, Failure> {
    let file = File::open(path).explain(ErrorCode::Io, "the evidence can't be read")?;
    let options = EvidenceOptions { key: options(wire, args)?.key, witnesses: policy(args)? };
    let report = verify_evidence(BufReader::new(file), &options);
    output::result(wire.format, &report, || report.to_string())?;
    code(report.verdict(), args)
}

fn downloaded(
    wire: &Wire,
    args: &VerifyArgs,
    server: &Connection,
    session: &custody_api_types::session::Session,
) -> Result<Report, Failure> {
    let room = "there is no room for the record";
    let dir = tempfile::tempdir().explain(ErrorCode::Io, room)?;
    let tar = dir.path().join("record.tar");
    let mut file = File::create(&tar).explain(ErrorCode::Io, room)?;
    session::download(server, session, &mut file)?;
    let record = dir.path().join("record");
    let archive = File::open(&tar).explain(ErrorCode::Io, room)?;
    // Unpacking leaves out whatever would lie outside of the directory.
    tar::Archive::new(archive)
        .unpack(&record)
        .explain(ErrorCode::VerificationFailed, "the record can't be unpacked")?;
    let (record, mut options) = (root_of(&record), options(wire, args)?);
    if args.key.is_none() && !server.target().is_own() {
        // It is another installation's: what this machine may have of its own has nothing to do with it.
        (options.key, options.vault) = (KeyChoice::Record, None);
    }
    if matches!(options.key, KeyChoice::Record) && record.join(KEY_FILE).exists() {
        options.key = KeyChoice::Server(named_by_server(server, &record)?);
    }
    let report = verify(&record, &options);
    Ok(match &options.witnesses {
        Some(policy) if options.installation_log.is_none() => {
            let assurance = witnessed::judge(wire, &record, &options.key, policy)?;
            report.with_witnesses(assurance)
        }
        Some(_) | None => report,
    })
}

/// The key that the record names, if the server publishes it: all of it, for its short id says too little.
fn named_by_server(server: &Connection, record: &Path) -> Result<Verifier, Failure> {
    let key = Verifier::read(&record.join(KEY_FILE))
        .explain(ErrorCode::VerificationFailed, "the record's key can't be read")?;
    let published = server.wait(server.client().installation())?.keys;
    if published.contains(&key.to_string()) {
        return Ok(key);
    }
    let message = format!(
        "the record names the key {key}, and the server publishes {}",
        published.join(", ")
    );
    Err(Failure::new(ErrorCode::VerificationFailed, message))
}

/// The directory of the record in what was unpacked: itself, or the only one in it.
fn root_of(unpacked: &Path) -> PathBuf {
    let mut inside = std::fs::read_dir(unpacked).into_iter().flatten().flatten();
    match (inside.next(), inside.next()) {
        (Some(only), None) if only.path().is_dir() => only.path(),
        _ => unpacked.to_owned(),
    }
}

/// The key to check single statements with.
fn trusted(wire: &Wire, args: &VerifyArgs) -> Result<Option<Verifier>, Failure> {
    let key = proof::key(wire, args.key.as_deref())?;
    match (key, &args.key_history) {
        (Some(key), Some(path)) => with_history(&key, path).map(Some),
        (key, _) => Ok(key),
    }
}

/// The witnesses that are wanted.
fn policy(args: &VerifyArgs) -> Result<Option<TlogPolicy>, Failure> {
    let Some(path) = &args.policy else { return Ok(None) };
    let text = std::fs::read_to_string(path)
        .explain(ErrorCode::Io, format!("{} can't be read", path.display()))?;
    TlogPolicy::parse(&text).map(Some).explain(ErrorCode::Invalid, "--policy")
}

fn options(wire: &Wire, args: &VerifyArgs) -> Result<VerifyOptions, Failure> {
    let installation: PathBuf = wire.state.keys().join("installation.vkey");
    let key = match args.key.as_deref() {
        Some(text) => {
            let key = text.parse::<Verifier>().explain(ErrorCode::Usage, "--key")?;
            KeyChoice::Given(match &args.key_history {
                Some(path) => with_history(&key, path)?,
                None => key,
            })
        }
        None if installation.exists() && wire.url.is_none() => {
            let verifier = Verifier::of_installation(&wire.state.keys())
                .explain(ErrorCode::Io, "the installation's key can't be read")?;
            KeyChoice::Installation(verifier)
        }
        None => KeyChoice::Record,
    };
    let mut options = VerifyOptions::new(key);
    options.witnesses = policy(args)?;
    options.installation_log = args.installation_log.clone();
    // Whoever may read this installation's vault sees contents checked, too; nothing is made where there is none.
    if wire.url.is_some() || wire.state.vault().read_dir().is_err() {
        return Ok(options);
    }
    let settings = wire.config()?.settings.vault;
    let wrapped = settings.wrapping.is_some() || wire.state.vault().join(WRAPPING_FILE).exists();
    Ok(if wrapped { options.with_vault(wire.vault(&settings)?) } else { options })
}

/// The key with those that the history in this file ties to it.
fn with_history(key: &Verifier, path: &Path) -> Result<Verifier, Failure> {
    let unusable = format!("{} is no history of the key", path.display());
    let bytes = std::fs::read(path).explain(ErrorCode::Io, unusable.clone())?;
    let history = KeyHistory::parse(&bytes).explain(ErrorCode::Invalid, unusable.clone())?;
    history.trusting(key).explain(ErrorCode::Invalid, unusable)
}
