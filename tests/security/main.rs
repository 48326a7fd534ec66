//! What must not be possible from inside of a session, tried from inside with real tools.

mod canaries;
mod credentials;
mod hiding;
mod machine;
mod network;
mod outputs;
mod programs;
mod refusals;
