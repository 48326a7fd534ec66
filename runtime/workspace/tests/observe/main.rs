//! The observer on real overlays: what is promised of the file channel of a record. Needs root.

mod comparison;
mod fixture;
mod generated;
mod load;
mod operations;
mod ordinary;
mod traps;
