//! TLS: with the certificates of the system where it is spoken, and nothing to load where it is not.

use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore};

use crate::error::ClientError;

/// For clients that speak no TLS: it believes nobody, and costs nothing to make.
pub(crate) fn none() -> Result<ClientConfig, ClientError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(ClientError::Tls)?;
    Ok(config.with_root_certificates(RootCertStore::empty()).with_no_client_auth())
}

/// Lets the next client find the cryptography for TLS.
pub(crate) fn install_provider() {
    // Somebody else may have installed one: it serves as well.
    let _already = rustls::crypto::ring::default_provider().install_default();
}
