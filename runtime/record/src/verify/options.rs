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
    /// One that whoever asks brought along.
    Given(Verifier),
    /// That of this installation.
    Installation(Verifier),
    /// The one that the server names which the record came from.
    Server(Verifier),
    /// The one that the record names: shows that the record is consistent, not whose it is.
    Record,
}

/// What to check with.
#[derive(Clone, Debug)]
pub struct VerifyOptions {
    /// The key.
    pub key: KeyChoice,
    /// The session whose record it is to be, if that is known: a record of another one is not this session's.
    pub session: Option<SessionId>,
    /// Directory of the installation log, or of a copy of it.
    pub installation_log: Option<PathBuf>,
    /// Whose cosignatures of the installation log count; without a policy nobody's are known.
    pub witnesses: Option<TlogPolicy>,
    /// [`DEFAULT_BLOB_LIMIT`].
    pub blob_limit: u64,
    /// Where the keys of sealed content are; without it, sealed content is not checked.
    pub vault: Option<Arc<Vault>>,
}

impl VerifyOptions {
    /// Checks with this key, and without an installation log.
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

    /// And wants it to be the record of this session.
    #[must_use]
    pub fn of_session(self, session: SessionId) -> Self {
        Self { session: Some(session), ..self }
    }

    /// And with this installation log.
    #[must_use]
    pub fn with_installation_log(self, dir: &Path) -> Self {
        Self { installation_log: Some(dir.to_owned()), ..self }
    }

    /// And with the keys of this vault.
    #[must_use]
    pub fn with_vault(self, vault: Arc<Vault>) -> Self {
        Self { vault: Some(vault), ..self }
    }

    /// And with these witnesses of it.
    #[must_use]
    pub fn with_witnesses(self, policy: &TlogPolicy) -> Self {
        Self { witnesses: Some(policy.clone()), ..self }
    }
}
