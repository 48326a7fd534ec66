//! The guard on real mounts: each test has a mount namespace of its own, with an overlay below.

mod denied;
mod operations;
mod record;
mod tools;
mod traps;
mod workspace;
