//! Keys that a program wraps: the protocol `custody/wrapping-command/v1`, which is documented in `deploy/wrapping.md`.
//!
//! Invariant: a key goes through the program's standard input and output alone. It is in no argument, variable, file, error
//! or log, and every buffer that held it is wiped.

use std::io;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use custody_record::{ContentKey, Wrapping};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::config;
use crate::program::{Program, Ran, RunError};

/// The protocol's version.
const VERSION: u32 = 1;

/// Most bytes that the program may print.
const MOST: usize = 32 << 10;

/// Most bytes of a wrapped key.
const WRAPPED_BYTES: usize = 16 << 10;

/// What is asked of the program: one JSON line on its standard input.
#[derive(Serialize)]
struct Request<'a> {
    v: u32,
    operation: &'static str,
    wrapping: &'a str,
    scope: &'a str,
    bytes: &'a str,
}

/// What it answers: one JSON line on its standard output.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Answer<'a> {
    v: u32,
    bytes: &'a str,
}

/// What went wrong with the program.
#[derive(Debug, thiserror::Error)]
enum WrappingError {
    #[error(transparent)]
    Run(#[from] RunError),
    #[error("the program ended with {status}{said}")]
    Failed { status: std::process::ExitStatus, said: String },
    #[error("the program printed more than {MOST} bytes")]
    Long,
    #[error("the program did not print one line {{\"v\":1,\"bytes\":\"<base64>\"}}{said}")]
    Malformed { said: String },
    #[error("the program wrapped a key to nothing, or to more than {WRAPPED_BYTES} bytes")]
    Size,
    #[error("what the program unwrapped is not the key of {scope}")]
    Other { scope: String },
}

impl From<WrappingError> for io::Error {
    fn from(error: WrappingError) -> Self {
        Self::other(error)
    }
}

/// A program that wraps keys.
pub struct CommandWrapping {
    name: String,
    words: Vec<String>,
    limit: Duration,
}

impl std::fmt::Debug for CommandWrapping {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "CommandWrapping({})", self.name)
    }
}

impl CommandWrapping {
    /// As the configuration says it.
    pub fn new(by: &config::Wrapping) -> Self {
        Self { name: by.name.clone(), words: by.command.clone(), limit: by.limit() }
    }

    fn ask(
        &self,
        operation: &'static str,
        scope: &str,
        bytes: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, WrappingError> {
        let mut encoded = Zeroizing::new(String::with_capacity(bytes.len() * 2 + 4));
        STANDARD.encode_string(bytes, &mut encoded);
        let (wrapping, bytes) = (self.name.as_str(), encoded.as_str());
        let request = Request { v: VERSION, operation, wrapping, scope, bytes };
        // So large from the beginning that it is never moved.
        let mut line = Zeroizing::new(Vec::with_capacity(encoded.len() + 1024));
        serde_json::to_writer(&mut *line, &request).map_err(|e| RunError::Run(e.into()))?;
        line.push(b'\n');
        let ran = Program { words: &self.words, limit: self.limit, most: MOST, input: Some(&line) };
        let Ran { status, output, complaint } = ran.run()?;
        if output.len() > MOST {
            return Err(WrappingError::Long);
        }
        let said = said(&complaint);
        if !status.success() {
            return Err(WrappingError::Failed { status, said });
        }
        decode(&output).ok_or(WrappingError::Malformed { said })
    }
}

/// The bytes of an answer.
fn decode(output: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let line = output.strip_suffix(b"\n").unwrap_or(output);
    if line.contains(&b'\n') {
        return None;
    }
    let answer: Answer<'_> = serde_json::from_slice(line).ok()?;
    let mut bytes = Zeroizing::new(vec![0; answer.bytes.len()]);
    let length = STANDARD.decode_slice(answer.bytes, &mut bytes).ok()?;
    bytes.truncate(length);
    (answer.v == VERSION).then_some(bytes)
}

/// What the program said, for an error: one line, without what could be a key. A program that fails may print what it
/// was given, and errors are logged.
fn said(complaint: &[u8]) -> String {
    let text = String::from_utf8_lossy(complaint);
    let mut shown = String::new();
    let mut word = String::new();
    let end = |word: &mut String, shown: &mut String| {
        if word.len() < SECRET_LIKE {
            shown.push_str(word);
        } else {
            shown.push_str("[…]");
        }
        word.clear();
    };
    for c in text.trim().chars() {
        if c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '=' | '-' | '_' | '\\') {
            word.push(c);
        } else {
            end(&mut word, &mut shown);
            shown.push(if c.is_control() { ' ' } else { c });
        }
    }
    end(&mut word, &mut shown);
    if shown.is_empty() { shown } else { format!(" and said: {shown}") }
}

/// Characters that could be a key in base64 or hexadecimal, or most of one.
const SECRET_LIKE: usize = 24;

impl Wrapping for CommandWrapping {
    fn name(&self) -> String {
        format!("command/{}", self.name)
    }

    fn wrap(&self, scope: &str, key: &ContentKey) -> io::Result<Vec<u8>> {
        let wrapped = self.ask("wrap", scope, key.bound_to(scope).as_slice())?;
        match wrapped.len() {
            1..=WRAPPED_BYTES => Ok(wrapped.to_vec()),
            _ => Err(WrappingError::Size.into()),
        }
    }

    fn unwrap(&self, scope: &str, wrapped: &[u8]) -> io::Result<ContentKey> {
        let bytes = self.ask("unwrap", scope, wrapped)?;
        ContentKey::from_bound(scope, &bytes)
            .ok_or_else(|| WrappingError::Other { scope: scope.to_owned() }.into())
    }
}
