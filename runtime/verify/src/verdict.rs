//! From what was given to a verdict.

use std::fs::{self, File};
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};

use custody_model::ErrorCode;
use custody_model::error::chain;
use custody_record::evidence::{EvidenceOptions, EvidenceReport, verify_evidence};
use custody_record::tlog::{
    HistoryError, InvalidVerifier, MAX_POLICY_BYTES, PolicyError, TlogPolicy,
};
use custody_record::{KeyChoice, KeyHistory, Report, Verifier, VerifyOptions, verify};
use serde::Serialize;

use crate::arguments::Arguments;

/// Longest history of keys that is read, in bytes.
const MAX_HISTORY: usize = custody_record::tlog::MAX_HISTORY_BYTES;

/// Why there is no verdict.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The key is none.
    #[error("--key")]
    Key(#[from] InvalidVerifier),
    /// The history does not fit.
    #[error("--key-history")]
    History(#[from] HistoryError),
    /// The policy is none.
    #[error("--policy")]
    Policy(#[from] PolicyError),
    /// The policy is no text.
    #[error("--policy")]
    Text(#[from] std::string::FromUtf8Error),
    /// A file.
    #[error("{path} can't be read")]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Neither a file nor a directory.
    #[error("{0} is neither a file nor a directory")]
    Kind(PathBuf),
    /// The verdict has no JSON form.
    #[error("the verdict can't be printed")]
    Json(#[from] serde_json::Error),
}

impl Failure {
    pub(crate) fn code(&self) -> ErrorCode {
        match self {
            Self::Key(_) | Self::History(_) | Self::Policy(_) | Self::Text(_) => ErrorCode::Usage,
            Self::Io { .. } | Self::Kind(_) => ErrorCode::Io,
            Self::Json(_) => ErrorCode::Internal,
        }
    }

    pub(crate) fn shown(&self, json: bool) -> String {
        let text = chain(self);
        match json {
            true => {
                serde_json::json!({ "error": { "code": self.code(), "message": text } }).to_string()
            }
            false => format!("custody-verify: {text}"),
        }
    }
}

/// What was checked, with its report.
#[derive(Debug, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(crate) enum Verdict {
    /// A record's directory.
    Record(Box<Report>),
    /// An evidence pack.
    Evidence(Box<EvidenceReport>),
}

impl Verdict {
    /// `wanted`: a policy that was given wants witnesses.
    fn exit_code(&self, wanted: bool) -> u8 {
        let verdict = match self {
            Self::Record(report) => report.verdict(),
            Self::Evidence(report) => report.verdict(),
        };
        verdict.exit_code(wanted)
    }

    pub(crate) fn shown(&self, json: bool) -> String {
        if json {
            return serde_json::to_string_pretty(self)
                .unwrap_or_else(|error| Failure::Json(error).shown(true));
        }
        match self {
            Self::Record(report) => report.to_string(),
            Self::Evidence(report) => report.to_string(),
        }
    }
}

/// Checks what the arguments name; the verdict, and the exit code that goes with it.
pub(crate) fn reach(arguments: &Arguments) -> Result<(Verdict, u8), Failure> {
    let policy = policy(arguments)?;
    let verdict = check(arguments, policy.as_ref())?;
    let code = verdict.exit_code(policy.is_some_and(|policy| policy.wants_witnesses()));
    Ok((verdict, code))
}

fn check(arguments: &Arguments, policy: Option<&TlogPolicy>) -> Result<Verdict, Failure> {
    let path = &arguments.path;
    let io = |source| Failure::Io { path: path.clone(), source };
    let key = key(arguments)?;
    let kind = fs::metadata(path).map_err(io)?.file_type();
    if kind.is_dir() {
        let mut options = VerifyOptions::new(key);
        options.installation_log = arguments.installation_log.clone();
        options.blob_limit = arguments.blob_limit;
        options.witnesses = policy.cloned();
        return Ok(Verdict::Record(Box::new(verify(path, &options))));
    }
    if !kind.is_file() {
        return Err(Failure::Kind(path.clone()));
    }
    let file = BufReader::with_capacity(1 << 20, File::open(path).map_err(io)?);
    let options = EvidenceOptions { key, witnesses: policy.cloned() };
    let report = verify_evidence(file, &options);
    Ok(Verdict::Evidence(Box::new(report)))
}

fn key(arguments: &Arguments) -> Result<KeyChoice, Failure> {
    let Some(text) = &arguments.key else { return Ok(KeyChoice::Record) };
    let key: Verifier = text.trim().parse()?;
    Ok(KeyChoice::Given(match &arguments.key_history {
        Some(path) => KeyHistory::parse(&read(path, MAX_HISTORY)?)?.trusting(&key)?,
        None => key,
    }))
}

fn policy(arguments: &Arguments) -> Result<Option<TlogPolicy>, Failure> {
    let Some(path) = &arguments.policy else { return Ok(None) };
    let text = String::from_utf8(read(path, MAX_POLICY_BYTES)?)?;
    Ok(Some(TlogPolicy::parse(&text)?))
}

/// A file, and one byte more than `limit` if it is longer: who parses it says so.
fn read(path: &Path, limit: usize) -> Result<Vec<u8>, Failure> {
    use std::io::Read as _;
    let io = |source| Failure::Io { path: path.to_owned(), source };
    let mut bytes = Vec::new();
    File::open(path).map_err(io)?.take(limit as u64 + 1).read_to_end(&mut bytes).map_err(io)?;
    Ok(bytes)
}
