//! The base checkout, the view and the outputs, with real git, real mounts and a real user namespace.

mod base;
mod changes;
mod clones;
mod fixture;
mod mirror;
mod outputs;
mod refs;
mod submodules;
mod touched;
mod view;
