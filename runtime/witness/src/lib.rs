//! Witnesses over HTTP (C2SP tlog-witness v1.0.0): a small one for an organisation to run, and asking others for their
//! cosignatures until a policy's quorum has them.
//!
//! It touches sockets, and of an installation only its logs' tiles and the head that it gathers cosignatures for.

mod ask;
mod collect;
mod serve;
mod standing;

pub use ask::{AskError, Asking};
pub use collect::{Collector, LogPlace, Outcome, Round, RoundError};
pub use serve::{router, serve};
pub use standing::{LEAST_BETWEEN, Standings};
