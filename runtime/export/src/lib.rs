//! A record in the formats of others. Pure: events go in, one after the other, and bytes come out; contents that events
//! only name are given by whoever calls.
//!
//! No format of others holds everything that a record says. What one could not take is counted by its reason in the
//! [`Summary`], which stands in the output itself wherever the format has a place for it, and is returned besides.

mod agent_trace;
mod asciicast;
mod attribution;
mod cloud_events;
mod format;
mod git_ai;
mod json_lines;
mod ocsf;
mod otlp;
mod summary;

use std::error::Error;

use custody_model::Digest;
use custody_record::Event;
use custody_record::event::CommitCreated;

pub use attribution::{PATCH_ARGUMENTS, PatchError, WrittenFile, written};
pub use cloud_events::{CONTENT_TYPE as CLOUD_EVENT, cloud_event};
pub use format::{Format, UnknownFormat};
pub use git_ai::{NOTES_REF, Note};
pub use summary::Summary;

/// Contents outside of the events.
pub trait Content {
    /// A blob of the record; `None` if its content is not kept any more.
    ///
    /// # Errors
    /// If it is there and can't be read.
    fn blob(&self, digest: &Digest) -> Result<Option<Vec<u8>>, ContentError>;

    /// What a commit changed against its one parent.
    ///
    /// # Errors
    /// If git fails.
    fn patch(&self, commit: &CommitCreated) -> Result<Patch, ContentError>;
}

/// What a commit changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Patch {
    /// What git answers to [`PATCH_ARGUMENTS`] and the commit's id.
    Changes(Vec<u8>),
    /// The repository lacks the commit.
    Absent,
    /// It is longer than whoever answers holds.
    TooLong,
}

/// Why a content can't be read.
#[derive(Debug, thiserror::Error)]
#[error("{what} can't be read")]
pub struct ContentError {
    /// What.
    pub what: String,
    /// Why.
    #[source]
    pub source: Box<dyn Error + Send + Sync>,
}

/// Why a record can't be exported.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// A content.
    #[error(transparent)]
    Content(#[from] ContentError),
    /// Git's answer is not the patch that its manual promises.
    #[error("the changes of commit {commit} can't be read")]
    Patch {
        /// Which.
        commit: String,
        /// What is wrong.
        #[source]
        source: PatchError,
    },
    /// A value that JSON can't hold.
    #[error("an event can't be written as JSON")]
    Json(#[from] serde_json::Error),
}

/// One export under way: every event of a record in its order, then the end.
pub trait Export: Send {
    /// Takes one event, with its canonical bytes, and appends what comes of it.
    ///
    /// # Errors
    /// [`ExportError`]; what was appended before is not a whole export.
    fn event(
        &mut self,
        event: &Event,
        canonical: &[u8],
        content: &dyn Content,
        out: &mut Vec<u8>,
    ) -> Result<(), ExportError>;

    /// Appends what is left, and says what became of the events.
    ///
    /// # Errors
    /// As [`Export::event`].
    fn finish(self: Box<Self>, out: &mut Vec<u8>) -> Result<Summary, ExportError>;
}

/// Begins an export. `version` is that of the program that writes it.
#[must_use]
pub fn export(format: Format, version: &'static str) -> Box<dyn Export> {
    match format {
        Format::JsonLines => Box::new(json_lines::JsonLines::new()),
        Format::Ocsf => Box::new(ocsf::Ocsf::new(version)),
        Format::CloudEvents => Box::new(cloud_events::CloudEvents::new()),
        Format::Otlp => Box::new(otlp::Otlp::new(version)),
        Format::Asciicast => Box::new(asciicast::Asciicast::new()),
        Format::AgentTrace => Box::new(agent_trace::AgentTrace::new(version)),
        Format::GitAi => Box::new(git_ai::GitAi::new(version)),
    }
}

/// Appends a value as one line of JSON.
fn line(out: &mut Vec<u8>, value: &impl serde::Serialize) -> Result<(), serde_json::Error> {
    serde_json::to_writer(&mut *out, value)?;
    out.push(b'\n');
    Ok(())
}
