//! The server itself: how it is, what it is, what it understands, whose keys it signs with, what sessions can run in.

mod docs;
mod health;
mod images;
mod installation;
mod jwks;
mod metrics;
mod openapi;
mod readiness;
mod version;

pub(crate) use docs::docs;
pub(crate) use health::health;
pub(crate) use images::images;
pub(crate) use installation::installation;
pub(crate) use jwks::jwks;
pub(crate) use metrics::metrics;
pub(crate) use openapi::openapi;
pub(crate) use readiness::readiness;
pub(crate) use version::version;
