//! From what was given to a verdict.

use std::fs::{self, File};
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};

use custody_model::ErrorCode;
use custody_record::evidence::{EvidenceOptions, EvidenceReport, verify_evidence};
use custody_record::tlog::{HistoryError, InvalidVerifier};
use custody_record::verify::{Completeness, Integrity};
use custody_record::{KeyChoice, KeyHistory, Report, Verifier, VerifyOptions, verify};
use serde::Serialize;

use crate::arguments::Arguments;

/// Longest history of keys that is read, in bytes.
const MAX_HISTORY: u64 = custody_record::tlog::MAX_HISTORY_BYTES as u64 + 1;

/// Why there is no verdict.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The key is none.
    #[error("--key")]
    Key(#[from] InvalidVerifier),
    /// The history does not fit.
    #[error("--key-history")]
    History(#[from] HistoryError),
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
            Self::Key(_) | Self::History(_) => ErrorCode::Usage,
            Self::Io { .. } | Self::Kind(_) => ErrorCode::Io,
            Self::Json(_) => ErrorCode::Internal,
        }
    }

    pub(crate) fn shown(&self, json: bool) -> String {
        let mut text = self.to_string();
        let mut next = std::error::Error::source(self);
        while let Some(cause) = next {
            text.push_str(&format!(": {cause}"));
            next = cause.source();
        }
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
    pub(crate) fn exit_code(&self) -> u8 {
        let (integrity, completeness) = match self {
            Self::Record(report) => (report.integrity, report.completeness),
            Self::Evidence(report) => (report.integrity, report.completeness),
        };
        match (integrity, completeness) {
            (Integrity::Broken, _) => ErrorCode::VerificationFailed.exit_code(),
            (Integrity::Intact, Completeness::Complete) => custody_model::error::EXIT_OK,
            (Integrity::Intact, Completeness::Incomplete | Completeness::Open) => {
                ErrorCode::RecordIncomplete.exit_code()
            }
        }
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

/// Checks what the arguments name.
pub(crate) fn reach(arguments: &Arguments) -> Result<Verdict, Failure> {
    let path = &arguments.path;
    let io = |source| Failure::Io { path: path.clone(), source };
    let key = key(arguments)?;
    let kind = fs::metadata(path).map_err(io)?.file_type();
    if kind.is_dir() {
        let mut options = VerifyOptions::new(key);
        options.installation_log = arguments.installation_log.clone();
        options.blob_limit = arguments.blob_limit;
        return Ok(Verdict::Record(Box::new(verify(path, &options))));
    }
    if !kind.is_file() {
        return Err(Failure::Kind(path.clone()));
    }
    let file = BufReader::with_capacity(1 << 20, File::open(path).map_err(io)?);
    let report = verify_evidence(file, &EvidenceOptions { key });
    Ok(Verdict::Evidence(Box::new(report)))
}

fn key(arguments: &Arguments) -> Result<KeyChoice, Failure> {
    let Some(text) = &arguments.key else { return Ok(KeyChoice::Record) };
    let key: Verifier = text.trim().parse()?;
    Ok(KeyChoice::Given(match &arguments.key_history {
        Some(path) => KeyHistory::parse(&read(path)?)?.trusting(&key)?,
        None => key,
    }))
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    use std::io::Read as _;
    let io = |source| Failure::Io { path: path.to_owned(), source };
    let mut bytes = Vec::new();
    File::open(path).map_err(io)?.take(MAX_HISTORY).read_to_end(&mut bytes).map_err(io)?;
    Ok(bytes)
}
