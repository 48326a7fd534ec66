//! The API over real sockets: a real store, control log, issuer and orchestrator behind it.

mod attaching;
mod enumeration;
mod http;
mod installation;
mod limits;
mod logs;
mod recording;
mod records;
mod refusals;
mod requests;
mod serving;
mod sessions;
mod streaming;
mod tokens;
