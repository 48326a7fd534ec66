//! What is known now: the contract of the store, and the one behaviour suite of all that fulfil it.
//!
//! Invariant: everything in it but leases is derived from the control log and the sessions' records; losing it loses
//! nothing that `reindex` does not bring back.
//! Invariant: a unit of work is saved whole or not at all.

mod error;
mod file;
mod lease;
mod output;
mod page;
mod policy;
mod project;
mod repository;
mod retention;
mod session;
mod store;
#[cfg(feature = "suite")]
pub mod suite;
mod token;
mod unit;
mod user;

pub use error::StoreError;
pub use file::{FileRow, Touch};
pub use lease::{Holder, LeaseRow, Room, Taken};
pub use output::{BlobRow, CommitRow};
pub use page::{Cursor, InvalidCursor, MAX_PAGE, Page, PageRequest};
pub use policy::PolicyRow;
pub use project::ProjectRow;
pub use repository::RepositoryRow;
pub use retention::{HoldRow, KeptFilter, KeptRow, RetentionRow};
pub use session::{
    ApprovalRow, Counts, SessionFilter, SessionRow, SessionSort, StopRow, UnknownSort, Visibility,
};
pub use store::Store;
pub use token::TokenRow;
pub use unit::{Change, UnitOfWork};
pub use user::UserRow;
