//! The orchestrator with real keepers, sandboxes, store and logs, and without HTTP.

mod approvals;
mod erasing;
mod ground;
mod reindex;
mod retention;
mod steps;
mod survival;
