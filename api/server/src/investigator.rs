//! Who answers questions. The binary puts it together: it needs git and the mirrors.

use async_trait::async_trait;
use custody_api_types::investigation::Answer;
use custody_store::Visibility;

/// Why a question is not answered.
#[derive(Debug, thiserror::Error)]
pub enum InvestigateError {
    /// It is none.
    #[error("the question can't be read")]
    Question(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The repository's history has nothing that it asks about.
    #[error("the repository's history gives no answer")]
    NotFound(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A record fails verification.
    #[error("a record can't be read")]
    Record(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Reading failed.
    #[error("the answer can't be found")]
    Failed(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Answers questions from the store and the records.
#[async_trait]
pub trait Investigator: Send + Sync {
    /// Which sessions are behind a line or a commit of a repository (by its name here), of those that may be seen.
    async fn investigate(
        &self,
        question: &str,
        repository: &str,
        visibility: &Visibility,
    ) -> Result<Answer, InvestigateError>;
}
