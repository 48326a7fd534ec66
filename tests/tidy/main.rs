//! The house rules, as tests: they read the tree, `cargo metadata` and git, and start nothing of ours.

mod dependencies;
mod edges;
mod repository;
mod sizes;
mod sources;
mod tree;
