//! The real binary, from the request to the answer: each test is named after what it promises.

mod acts;
mod answers;
mod apply;
mod command_line;
mod configuration;
mod evidence;
mod fsck;
mod full_disk;
mod input;
mod messages;
mod never_broken;
mod outputs;
mod people;
mod places;
mod prompts;
mod service;
mod standing;
mod state_matrix;
mod submodules;
mod tampering;
mod tools;
mod traces;
mod tutorial;
mod unlogged;
mod wrapping;
