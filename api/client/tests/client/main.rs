//! What the client promises, against servers that say what the tests tell them to, on real sockets.

mod calls;
mod script;
mod socket;
mod stream;
mod tokens;
