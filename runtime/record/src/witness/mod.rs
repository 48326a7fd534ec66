//! Witnesses: C2SP tlog-witness v1.0.0. What is asked of one, what one remembers, and what its word is worth in an answer.
//!
//! No sockets here: whoever speaks HTTP brings the bytes.

mod assurance;
mod ledger;
mod request;

pub use assurance::{
    COSIGNED_FILE, WitnessAssurance, WitnessLevel, forget_cosigned, store_cosigned,
};
pub use ledger::{Ledger, LedgerError, Refusal};
pub use request::{AddCheckpoint, MAX_REQUEST_BYTES, RequestError};
