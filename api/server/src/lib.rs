//! The API's server: authorise, record, carry out, answer.
//!
//! It touches sockets, and sessions only through the orchestrator and the control plane. It knows no driver and no SQL.
//!
//! Invariant: every call passes the gate, which the table of endpoints drives: nobody is answered who may not be, and
//! nothing changes that is not on record.

mod answer;
mod asked;
mod build;
mod control;
pub mod error;
mod gate;
mod identity;
mod investigator;
mod lifecycle;
mod limits;
mod logs;
mod metrics;
pub mod openapi;
mod origin;
mod outer;
mod policies;
mod projects;
mod rate;
mod records;
mod repositories;
mod retention;
mod router;
mod serve;
mod server;
mod sessions;
mod tokens;
mod users;

pub use build::{Build, MetricsGuard};
pub use identity::{FetchKeys, Identity, NoExternalIssuers};
pub use investigator::{InvestigateError, Investigator};
pub use lifecycle::Lifecycle;
pub use limits::{Limits, MAX_TARGET_BYTES};
pub use logs::Transparency;
pub use metrics::Metrics;
pub use origin::{Peer, Trust};
pub use outer::REQUEST_ID;
pub use router::router;
pub use serve::{Listeners, ServeError, serve};
