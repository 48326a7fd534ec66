//! One request to one witness.

use std::time::Duration;

use custody_record::tlog::{NoteError, NoteSignature};
use custody_record::witness::AddCheckpoint;

/// How long one witness may take to answer.
const ANSWER_TIME: Duration = Duration::from_secs(5);

/// Longest answer that is read, in bytes: 16 lines of post-quantum signatures.
const MAX_ANSWER_BYTES: usize = 64 * 1024;

/// Longest explanation that is passed on, in characters.
const MAX_WORDS: usize = 200;

/// Why a witness gave no signature lines.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// There is no connection, or no answer in time.
    #[error("the witness can't be reached")]
    Unreachable(#[source] reqwest::Error),
    /// 409: it cosigned a head of another size last.
    #[error("the witness cosigned a head of {size} entries last")]
    Conflict {
        /// That size.
        size: u64,
    },
    /// 422: to the witness the log has forked.
    #[error("the witness says that the log has forked: {0}")]
    Forked(String),
    /// 403: it knows another key for the log.
    #[error("the witness does not know the log's key: {0}")]
    UnknownKey(String),
    /// 404: it does not witness the log.
    #[error("the witness does not know the log: {0}")]
    UnknownLog(String),
    /// Any other status.
    #[error("the witness answered {status}: {words}")]
    Refused {
        /// Of the answer.
        status: u16,
        /// Its beginning.
        words: String,
    },
    /// What it answered is not what the protocol says.
    #[error("the witness's answer is malformed")]
    Answer(#[source] NoteError),
    /// The same, of a 409.
    #[error("the witness's answer names no size")]
    Size,
    /// It is too long.
    #[error("the witness's answer is longer than {MAX_ANSWER_BYTES} bytes")]
    TooLong,
}

/// Asks witnesses.
#[derive(Clone, Debug)]
pub struct Asking(reqwest::Client);

impl Asking {
    /// With connections that are kept open.
    ///
    /// # Errors
    /// If the system has no certificates to trust.
    pub fn new() -> Result<Self, reqwest::Error> {
        // Somebody else may have installed one: it serves as well.
        let _already = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder()
            .timeout(ANSWER_TIME)
            .redirect(reqwest::redirect::Policy::none())
            .build()?;
        Ok(Self(client))
    }

    /// `add-checkpoint` at the witness's submission prefix.
    ///
    /// # Errors
    /// [`AskError`].
    pub async fn add(
        &self,
        prefix: &str,
        asked: &AddCheckpoint,
    ) -> Result<Vec<NoteSignature>, AskError> {
        let url = format!("{}/add-checkpoint", prefix.trim_end_matches('/'));
        let sent = self.0.post(url).body(asked.to_bytes()).send().await;
        let mut response = sent.map_err(AskError::Unreachable)?;
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(AskError::Unreachable)? {
            if bytes.len() + chunk.len() > MAX_ANSWER_BYTES {
                return Err(AskError::TooLong);
            }
            bytes.extend_from_slice(&chunk);
        }
        let words = || {
            let text = String::from_utf8_lossy(&bytes);
            text.trim().chars().filter(|c| !c.is_control()).take(MAX_WORDS).collect::<String>()
        };
        match response.status().as_u16() {
            200 => NoteSignature::parse_lines(&bytes).map_err(AskError::Answer),
            403 => Err(AskError::UnknownKey(words())),
            404 => Err(AskError::UnknownLog(words())),
            409 => {
                let text = str::from_utf8(&bytes).ok().and_then(|text| text.strip_suffix('\n'));
                let size = text.and_then(|text| text.parse().ok()).ok_or(AskError::Size)?;
                Err(AskError::Conflict { size })
            }
            422 => Err(AskError::Forked(words())),
            status => Err(AskError::Refused { status, words: words() }),
        }
    }
}
