//! What was done: events in canonical form, the journal, tile logs, checkpoints, seals and `verify()`.
//!
//! Pure but for the one journal writer and the readers of its directory. It depends on `model` alone.

pub mod blob;
pub mod canonical;
pub mod control;
pub mod disk;
mod durable;
pub mod erasure;
pub mod event;
pub mod evidence;
pub mod installation;
pub mod journal;
pub mod living;
pub mod reader;
pub mod redact;
pub mod seal;
pub mod sink;
mod standing;
pub mod tail;
pub mod tlog;
pub mod vault;
pub mod verify;
pub mod witness;

pub use blob::{BlobError, Blobs};
pub use control::{ControlBody, ControlDraft, ControlEvent, ControlLog, ControlLogError};
pub use erasure::{Erasure, ErasureError};
pub use event::{Body, Draft, Event, EventError, EventType};
pub use evidence::{EvidenceReport, Selection, Sequences, verify_evidence};
pub use installation::{InstallationLog, LogError, LogPosition, SessionHead};
pub use journal::{
    Cut, Head, Journal, JournalError, JournalHeader, JournalOptions, Recovered, recover,
};
pub use living::{LivingLog, Placed};
pub use reader::{ReadError, Reader};
pub use redact::{Redactor, RedactorError};
pub use seal::{SealError, Sealed};
pub use sink::{Recorded, Sink, SinkError};
pub use tail::{Fresh, Tail};
pub use tlog::{ExtendError, KeyError, KeyHistory, Keys, Verifier, rotate};
pub use vault::{ContentKey, FileWrapping, Rewrapped, Scope, Vault, VaultError, Wrapping};
pub use verify::{
    Code, Completeness, Contents, Finding, Integrity, KeyChoice, KeySource, Report, VerifyOptions,
    verify,
};
