//! The control log: what was asked of the control plane, a log of the same kind as a session's.
//!
//! Append-only, durable before any effect, chained, and in signed tiles within a second (C2SP tlog-tiles v0.1.0).

mod body;
mod event;
mod log;
mod pending;
mod placed;
mod verify;
mod witnesses;

pub use body::{
    ApprovalGranted, Call, CallCompleted, ControlBody, EvidenceExported, ExportedPack, Idempotency,
    KeyRotated, PolicyActivated, PolicyCreated, ProjectCreated, Quarantined, RepositoryRegistered,
    ServerStarted, SessionAttached, SessionLaunched, SessionReason, SessionRequested,
    SessionSignalled, TokenIssued, TokenRevoked, UserGranted, UserSwitched, VaultWrapped,
};
pub use event::{CONTROL_VERSION, ControlDraft, ControlEvent, ControlEventError, Via};
pub use log::{ControlLog, ControlLogError, MAX_PENDING};
pub use verify::{ControlReport, verify_control};
pub use witnesses::{RefusalReason, WitnessRefused, WitnessRestored};
