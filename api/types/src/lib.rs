//! What the API says: requests, answers, problems, and the one table of its endpoints.
//!
//! Pure: types and their JSON Schemas. The server routes, authorises, audits and documents by the table; clients build
//! their calls from it.
//!
//! Invariant: what is not in the table of endpoints can't be called.

pub mod attach;
pub mod control;
pub mod endpoint;
pub mod event;
pub mod evidence;
pub mod file;
pub mod image;
pub mod investigation;
pub mod me;
pub mod moment;
pub mod operation;
pub mod output;
pub mod page;
pub mod policy;
pub mod problem;
pub mod project;
pub mod repository;
pub mod retention;
pub mod server;
pub mod session;
pub mod token;
pub mod user;

pub use endpoint::{Access, ENDPOINTS, Endpoint, Method, endpoint};
pub use moment::Moment;
pub use operation::Operation;
pub use page::{Page, PageQuery};
pub use problem::{ApiCode, Problem, ProblemKind};
