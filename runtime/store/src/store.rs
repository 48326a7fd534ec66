//! The contract.

use async_trait::async_trait;
use custody_model::{
    Digest, GitOid, ProjectName, SessionId, Timestamp, TokenId, UserName, WorkspacePath,
};

use crate::{
    BlobRow, CommitRow, FileRow, Holder, KeptFilter, KeptRow, LeaseRow, Page, PageRequest,
    PolicyRow, ProjectRow, RepositoryRow, Room, SessionFilter, SessionRow, StoreError, Taken,
    TokenRow, UnitOfWork, UserRow,
};

/// The store of one installation. Shared by all tasks; each read is a snapshot of its own.
#[async_trait]
pub trait Store: Send + Sync {
    /// Saves a unit of work, whole or not at all. What is saved need not be durable: the logs are.
    async fn save(&self, unit: UnitOfWork) -> Result<(), StoreError>;

    /// Number of events of the control log that are applied.
    async fn applied(&self) -> Result<u64, StoreError>;

    /// Removes every row that is derived, and `applied` is 0 again. Leases stay.
    async fn clear(&self) -> Result<(), StoreError>;

    /// Every derived row as one line, `table<TAB>JSON`, in a stable order: two stores with the same lines hold the same.
    async fn dump(&self) -> Result<Vec<String>, StoreError>;

    /// Whether the database answers.
    async fn ping(&self) -> Result<(), StoreError>;

    /// One project.
    async fn project(&self, name: &ProjectName) -> Result<Option<ProjectRow>, StoreError>;
    /// All projects by name.
    async fn projects(&self, page: &PageRequest) -> Result<Page<ProjectRow>, StoreError>;

    /// One policy version.
    async fn policy(
        &self,
        project: &ProjectName,
        digest: &Digest,
    ) -> Result<Option<PolicyRow>, StoreError>;
    /// A project's policy versions, the newest first.
    async fn policies(
        &self,
        project: &ProjectName,
        page: &PageRequest,
    ) -> Result<Page<PolicyRow>, StoreError>;

    /// One user.
    async fn user(&self, name: &UserName) -> Result<Option<UserRow>, StoreError>;
    /// All users by name.
    async fn users(&self, page: &PageRequest) -> Result<Page<UserRow>, StoreError>;

    /// One token.
    async fn token(&self, id: &TokenId) -> Result<Option<TokenRow>, StoreError>;
    /// Tokens, the newest first; of one user if one is named.
    async fn tokens(
        &self,
        user: Option<&UserName>,
        page: &PageRequest,
    ) -> Result<Page<TokenRow>, StoreError>;

    /// One repository.
    async fn repository(&self, name: &str) -> Result<Option<RepositoryRow>, StoreError>;
    /// Repositories by name; of one project if one is named.
    async fn repositories(
        &self,
        project: Option<&ProjectName>,
        page: &PageRequest,
    ) -> Result<Page<RepositoryRow>, StoreError>;

    /// One session.
    async fn session(&self, id: SessionId) -> Result<Option<SessionRow>, StoreError>;
    /// The sessions that a filter lets through, in its order.
    async fn sessions(
        &self,
        filter: &SessionFilter,
        page: &PageRequest,
    ) -> Result<Page<SessionRow>, StoreError>;
    /// The session that a requester's key named first.
    async fn session_by_key(
        &self,
        requester: &UserName,
        key: &str,
    ) -> Result<Option<SessionRow>, StoreError>;
    /// All sessions in one of these states (by [`custody_model::state::session::SessionState::name`]), the oldest
    /// request first.
    async fn sessions_in(&self, states: &[&str]) -> Result<Vec<SessionRow>, StoreError>;

    /// Sessions that are over, whose content was not erased and has an end: the soonest end first, ids break ties.
    async fn kept(
        &self,
        filter: &KeptFilter,
        page: &PageRequest,
    ) -> Result<Page<KeptRow>, StoreError>;
    /// Sessions that are held themselves, whatever their state, by id.
    async fn held(&self, page: &PageRequest) -> Result<Page<SessionRow>, StoreError>;

    /// The files of a session by path.
    async fn files(
        &self,
        session: SessionId,
        page: &PageRequest,
    ) -> Result<Page<FileRow>, StoreError>;
    /// What other sessions did to these paths of a repository between two moments (`last_at ≥ from`, `first_at ≤ until`), the
    /// latest `last_at` first (paths, then sessions break ties); at most `limit` rows.
    async fn touches(
        &self,
        repository: &str,
        paths: &[WorkspacePath],
        from: Timestamp,
        until: Timestamp,
        except: SessionId,
        limit: usize,
    ) -> Result<Vec<FileRow>, StoreError>;

    /// The commits of a session in the order of its branch.
    async fn commits(&self, session: SessionId) -> Result<Vec<CommitRow>, StoreError>;
    /// The contents that a session's commits have, by commit and path.
    async fn blobs(&self, session: SessionId) -> Result<Vec<BlobRow>, StoreError>;
    /// The sessions that made this commit, the oldest first (here and below sessions, then commits break ties).
    async fn commit(&self, commit: &GitOid) -> Result<Vec<CommitRow>, StoreError>;
    /// The commits with this tree, the oldest first.
    async fn tree(&self, tree: &GitOid) -> Result<Vec<CommitRow>, StoreError>;
    /// The commits that put this content at this path, the oldest first.
    async fn written(
        &self,
        path: &WorkspacePath,
        blob: &GitOid,
    ) -> Result<Vec<CommitRow>, StoreError>;

    /// Takes or renews a lease: it is taken if it is the holder's already, or nobody's and there is room, or its time ran out
    /// (`until ≤ now`; then without a look at the room: the session has its place, and so has every lease until it is
    /// given back).
    async fn lease(
        &self,
        lease: &LeaseRow,
        now: Timestamp,
        room: &Room,
    ) -> Result<Taken, StoreError>;
    /// Gives a lease back, if it is the holder's.
    async fn release(&self, session: SessionId, holder: &Holder) -> Result<(), StoreError>;
    /// All leases by session.
    async fn leases(&self) -> Result<Vec<LeaseRow>, StoreError>;
}
