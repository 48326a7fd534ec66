//! What mediators see, on its way to the record: the door that the keeper holds open for them.

use custody_model::Timestamp;
use custody_record::{Body, SinkError};

/// Takes what the guard and the observer see. The keeper joins the process, counts repeats and appends to the record.
pub trait AccessSink: Send + Sync {
    /// One access by process `pid` (in the keeper's pid namespace; a thread's id is allowed).
    ///
    /// Does not wait for the disk. Blocks while the record's bounded buffer is full.
    ///
    /// # Errors
    /// The record can't be written: the guard refuses the operation with `EIO` then.
    fn access(&self, time: Timestamp, pid: u32, body: Body) -> Result<(), SinkError>;
}
