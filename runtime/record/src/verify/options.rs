//! What a record is checked with: the key, the installation log, the vault and the witnesses.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use custody_model::SessionId;

use crate::tlog::{TlogPolicy, Verifier};
use crate::vault::Vault;

/// Largest blob that is decompressed, in bytes: 16 GiB.
pub const DEFAULT_BLOB_LIMIT: u64 = 16 << 30;

/// The key to check with.
#[derive(Clone, Debug)]
pub enum KeyChoice {
    /// A key that the caller gave.
    Given(Verifier),
    /// The key of this installation.
    Installation(Verifier),
    /// The key that the server names from which the record was downloaded.
    Server(Verifier),
    /// The key that the record names: it shows that the record is consistent, not who made it.
    Record,
}

/// The options of a verification.
#[derive(Clone, Debug)]
pub struct VerifyOptions {
    /// The key.
    pub key: KeyChoice,
    /// The session that the record has to belong to, if it is known.
    pub session: Option<SessionId>,
    /// Directory of the installation log, or of a copy of it.
    pub installation_log: Option<PathBuf>,
    /// The witnesses whose cosignatures of the installation log count; without a policy none is checked.
    pub witnesses: Option<TlogPolicy>,
    /// Largest blob that is decompressed, in bytes; [`DEFAULT_BLOB_LIMIT`] by default.
    pub blob_limit: u64,
    /// Where the keys of sealed content are; without it, sealed content is not checked.
    pub vault: Option<Arc<Vault>>,
}

impl VerifyOptions {
    /// Options with this key and without an installation log.
    #[must_use]
    pub fn new(key: KeyChoice) -> Self {
        Self {
            key,
            session: None,
            installation_log: None,
            witnesses: None,
            blob_limit: DEFAULT_BLOB_LIMIT,
            vault: None,
        }
    }

    /// The same, for the record of this session.
    #[must_use]
    pub fn of_session(self, session: SessionId) -> Self {
        Self { session: Some(session), ..self }
    }

    /// The same, with this installation log.
    #[must_use]
    pub fn with_installation_log(self, dir: &Path) -> Self {
        Self { installation_log: Some(dir.to_owned()), ..self }
    }

    /// The same, with the keys of this vault.
    #[must_use]
    pub fn with_vault(self, vault: Arc<Vault>) -> Self {
        Self { vault: Some(vault), ..self }
    }

    /// The same, with these witnesses of the installation log.
    #[must_use]
    pub fn with_witnesses(self, policy: &TlogPolicy) -> Self {
        Self { witnesses: Some(policy.clone()), ..self }
    }
}
