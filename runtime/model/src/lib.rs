//! The words that every stage of Custody shares.
//!
//! Pure: no files, no sockets, no async runtime, no database. It depends on nothing else of ours.

pub mod action;
pub mod actor;
pub mod caller;
pub mod digest;
pub mod error;
pub mod id;
pub mod limits;
pub mod path;
pub mod role;
pub mod state;
pub mod time;
pub mod token;

pub use action::{Action, StartSession};
pub use actor::{Actor, ImageId, ProcessRef, UserName};
pub use caller::{Caller, Origin, Transport};
pub use digest::{Digest, GitOid};
pub use error::ErrorCode;
pub use id::{EventId, RequestId, SessionId, TokenId};
pub use limits::{LimitName, Limits};
pub use path::WorkspacePath;
pub use role::{Grants, InvalidProjectName, ProjectName, Role, Scope};
pub use state::InvalidTransition;
pub use time::{Clock, SystemClock, Timestamp};
pub use token::{TokenKind, UnknownTokenKind};
