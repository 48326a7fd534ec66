//! The typed client of the API: calls, live streams, terminals and downloads, alike over TCP, TLS and Unix sockets.
//!
//! It touches the network and nothing else: the time, tokens and their cache are given to it.
//!
//! Invariant: what was sent and not answered is sent again only if that changes nothing.

pub mod address;
mod answer;
pub mod attach;
mod call;
pub mod client;
pub mod credentials;
pub mod download;
pub mod error;
pub mod follow;
mod operations;
pub mod pages;
pub mod patience;
mod query;
pub mod sse;
mod tls;

pub use address::{InvalidAddress, ServerAddress};
pub use attach::Attached;
pub use client::Client;
pub use credentials::Credentials;
pub use download::Download;
pub use error::ClientError;
pub use follow::{Followed, Following};
pub use operations::LogName;
pub use pages::Pages;
pub use patience::Patience;
