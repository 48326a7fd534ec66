//! What a keeper is asked to do: the `spec.sealed` of a session's directory.
//!
//! It holds the command and the environment as they are, so it is sealed with the session's key (JSON in the form
//! `custody/sealed/v1`), and unreadable once that is destroyed.

use std::collections::BTreeMap;

use custody_model::{Digest, GitOid, Limits, SessionId, Timestamp, UserName, WorkspacePath};
use custody_record::{ContentKey, Scope, Vault, VaultError};
use serde::{Deserialize, Serialize};

use crate::layout::StateDir;

/// Version of the format.
pub const SPEC_VERSION: u32 = 1;

/// A terminal's size in character cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Window {
    /// Lines.
    pub rows: u16,
    /// Columns.
    pub columns: u16,
}

/// One session, as the orchestrator asks its keeper for it. The keeper evaluates the policy beside it (`policy.yaml`)
/// once more by itself: this file is a request, not a permit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SessionSpec {
    /// [`SPEC_VERSION`].
    pub v: u32,
    /// The session.
    pub id: SessionId,
    /// When it was asked for.
    pub requested_at: Timestamp,
    /// Who asked.
    pub requester: UserName,
    /// Digest of the policy version that the orchestrator evaluated; the keeper refuses another.
    pub policy: Digest,
    /// Name of the repository's mirror.
    pub repository: String,
    /// The commit to start from; it is in the mirror.
    pub base_commit: GitOid,
    /// Its tree.
    pub base_tree: GitOid,
    /// The base is a snapshot of a working tree with uncommitted changes.
    pub dirty: bool,
    /// The command and its arguments.
    pub command: Vec<String>,
    /// Where the command starts, below the root of the workspace; at the root without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub directory: Option<WorkspacePath>,
    /// `host`, or the name of an image.
    pub image: String,
    /// The limits that were asked for.
    pub limits: Limits,
    /// Environment variables of the requester that are to enter; the policy decides which may.
    pub environment: BTreeMap<String, String>,
    /// Mediate the whole workspace synchronously.
    pub strict: bool,
    /// Give the command a terminal of this size; pipes otherwise.
    pub terminal: Option<Window>,
    /// Somebody will send input; `/dev/null` otherwise.
    pub input: bool,
    /// Somebody attaches at once: the command waits for them, a moment, so that they see all of its output.
    #[serde(default)]
    pub attach: bool,
}

/// What the request is sealed as.
const NAME: &str = "spec";

/// Why a session's request can't be read.
#[derive(Debug, thiserror::Error)]
pub enum SpecError {
    /// The session's key.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// Its key was destroyed, or never made.
    #[error("the key of the session is gone: its request can't be read")]
    NoKey,
    /// The file.
    #[error("the session's request can't be read")]
    Io(#[from] std::io::Error),
    /// What it holds.
    #[error("the session's request is not valid")]
    Form(#[from] serde_json::Error),
}

impl SessionSpec {
    /// Where the command starts, as the sandbox sees it: what is no UTF-8 in it can't be handed on, and is no directory.
    #[must_use]
    pub fn start_directory(&self) -> String {
        match &self.directory {
            Some(directory) => {
                let below = directory.as_path().to_string_lossy();
                format!("{}/{below}", custody_sandbox::spec::WORKSPACE_INSIDE)
            }
            None => custody_sandbox::spec::WORKSPACE_INSIDE.to_owned(),
        }
    }

    /// As its file holds it.
    ///
    /// # Errors
    /// [`SpecError`].
    pub fn sealed(&self, key: &ContentKey) -> Result<Vec<u8>, SpecError> {
        let json = zeroize::Zeroizing::new(serde_json::to_vec(self)?);
        Ok(key.seal(NAME, &json)?)
    }

    /// The request of a session.
    ///
    /// # Errors
    /// [`SpecError`].
    pub fn read(state: &StateDir, session: SessionId, vault: &Vault) -> Result<Self, SpecError> {
        let key = vault.key(Scope::Session(session))?.ok_or(SpecError::NoKey)?;
        let sealed = std::fs::read(state.session(session).spec())?;
        Ok(serde_json::from_slice(&key.open(NAME, &sealed)?)?)
    }
}
