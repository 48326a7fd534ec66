//! `custody verify`: a record against itself, its key and the installation log, offline.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use custody_model::ErrorCode;
use custody_record::Verifier;
use custody_record::verify::{Completeness, Integrity, KeyChoice, Report, VerifyOptions, verify};
use custody_session::records;

use crate::cli::VerifyArgs;
use crate::failure::{Explain, Failure};
use crate::output;
use crate::wire::Wire;

/// Verifies and says so by the exit code, too.
pub fn run(wire: &Wire, args: &VerifyArgs) -> Result<ExitCode, Failure> {
    wire.reconcile()?;
    let path = Path::new(&args.target);
    let (dir, own) = if path.is_dir() {
        (path.to_owned(), false)
    } else {
        let session = records::find(&wire.state, &args.target)
            .explain(ErrorCode::NotFound, "there is no such record")?;
        (wire.state.session(session).record(), true)
    };
    let report = verify(&dir, &options(wire, args.key.as_deref(), own)?);
    output::result(wire.format, &report, || report.to_string())?;
    Ok(match (report.integrity, report.completeness) {
        (Integrity::Intact, Completeness::Complete) => ExitCode::SUCCESS,
        (Integrity::Intact, _) => ExitCode::from(ErrorCode::RecordIncomplete.exit_code()),
        (Integrity::Broken, _) => ExitCode::from(ErrorCode::VerificationFailed.exit_code()),
    })
}

/// The record of one of this installation's sessions, checked.
pub fn own(wire: &Wire, dir: &Path) -> Result<Report, Failure> {
    Ok(verify(dir, &options(wire, None, true)?))
}

fn options(wire: &Wire, key: Option<&str>, own: bool) -> Result<VerifyOptions, Failure> {
    let installation: PathBuf = wire.state.keys().join("installation.vkey");
    let key = match key {
        Some(text) => {
            KeyChoice::Given(text.parse::<Verifier>().explain(ErrorCode::Usage, "--key")?)
        }
        None if installation.exists() => {
            let verifier = Verifier::read(&installation)
                .explain(ErrorCode::Io, "the installation's key can't be read")?;
            KeyChoice::Installation(verifier)
        }
        None => KeyChoice::Record,
    };
    let options = VerifyOptions::new(key);
    // A directory from elsewhere has its heads in another installation's log.
    Ok(if own { options.with_installation_log(&wire.state.log()) } else { options })
}
