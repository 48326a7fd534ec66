//! Errors as the command line shows them: a sentence, the chain of causes, what to do, and an exit code.

use std::error::Error;
use std::fmt;

use custody_model::ErrorCode;
use custody_store::StoreError;

/// Why a command failed.
#[derive(Debug)]
pub struct Failure {
    /// The stable code.
    pub code: ErrorCode,
    /// What failed, in words.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// The parameter or member that is wrong, if a server said which.
    pub field: Option<String>,
    /// The call, as the server's log names it, if it was one.
    pub request: Option<String>,
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl Failure {
    /// A failure without a cause.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), hint: None, field: None, request: None, source: None }
    }

    /// A failure with its cause.
    pub fn of(
        code: ErrorCode,
        message: impl Into<String>,
        source: impl Into<Box<dyn Error + Send + Sync>>,
    ) -> Self {
        Self { source: Some(source.into()), ..Self::new(code, message) }
    }

    /// Says what to do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The chain of causes below the message, without those that only repeat the one above.
    pub fn causes(&self) -> Vec<String> {
        let mut causes = Vec::new();
        let mut next: Option<&(dyn Error + 'static)> = match &self.source {
            Some(source) => Some(source.as_ref()),
            None => None,
        };
        while let Some(cause) = next {
            let text = cause.to_string();
            if causes.last() != Some(&text) && text != self.message {
                causes.push(text);
            }
            next = cause.source();
        }
        causes
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.message)?;
        for cause in self.causes() {
            write!(f, ": {cause}")?;
        }
        Ok(())
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::of(ErrorCode::Io, "the index gives no answer", error)
    }
}

/// Gives an error its code and its sentence, where it leaves the library that made it.
pub trait Explain<T> {
    /// The error becomes the cause of a failure.
    ///
    /// # Errors
    /// The failure.
    fn explain(self, code: ErrorCode, message: impl Into<String>) -> Result<T, Failure>;
}

impl<T, E: Into<Box<dyn Error + Send + Sync>>> Explain<T> for Result<T, E> {
    fn explain(self, code: ErrorCode, message: impl Into<String>) -> Result<T, Failure> {
        self.map_err(|e| Failure::of(code, message, e))
    }
}
