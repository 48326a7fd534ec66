//! The contract, fulfilled: each method is a function of its noun's file.

use async_trait::async_trait;
use custody_model::{
    Digest, GitOid, ProjectName, SessionId, Timestamp, TokenId, UserName, WorkspacePath,
};
use custody_store::{
    BlobRow, CommitRow, FileRow, Holder, KeptFilter, KeptRow, LeaseRow, Page, PageRequest,
    PolicyRow, ProjectRow, RepositoryRow, Room, SessionFilter, SessionRow, Store, StoreError,
    Taken, TokenRow, UnitOfWork, UserRow,
};

use crate::column::reading;
use crate::open::SqliteStore;
use crate::{
    dump, file, lease, list, output, policy, project, repository, retention, save, session, token,
    touches, user,
};

#[async_trait]
impl Store for SqliteStore {
    async fn save(&self, unit: UnitOfWork) -> Result<(), StoreError> {
        save::save(&self.writer, &unit).await
    }

    async fn applied(&self) -> Result<u64, StoreError> {
        save::applied(&mut *self.readers.acquire().await.map_err(reading)?).await
    }

    async fn clear(&self) -> Result<(), StoreError> {
        save::clear(&self.writer).await
    }

    async fn dump(&self) -> Result<Vec<String>, StoreError> {
        dump::dump(&self.readers).await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.applied().await.map(drop)
    }

    async fn project(&self, name: &ProjectName) -> Result<Option<ProjectRow>, StoreError> {
        project::get(&self.readers, name).await
    }

    async fn projects(&self, page: &PageRequest) -> Result<Page<ProjectRow>, StoreError> {
        project::list(&self.readers, page).await
    }

    async fn policy(
        &self,
        project: &ProjectName,
        digest: &Digest,
    ) -> Result<Option<PolicyRow>, StoreError> {
        policy::get(&self.readers, project, digest).await
    }

    async fn policies(
        &self,
        project: &ProjectName,
        page: &PageRequest,
    ) -> Result<Page<PolicyRow>, StoreError> {
        policy::list(&self.readers, project, page).await
    }

    async fn user(&self, name: &UserName) -> Result<Option<UserRow>, StoreError> {
        user::get(&self.readers, name).await
    }

    async fn users(&self, page: &PageRequest) -> Result<Page<UserRow>, StoreError> {
        user::list(&self.readers, page).await
    }

    async fn token(&self, id: &TokenId) -> Result<Option<TokenRow>, StoreError> {
        token::get(&self.readers, id).await
    }

    async fn tokens(
        &self,
        user: Option<&UserName>,
        page: &PageRequest,
    ) -> Result<Page<TokenRow>, StoreError> {
        token::list(&self.readers, user, page).await
    }

    async fn repository(&self, name: &str) -> Result<Option<RepositoryRow>, StoreError> {
        repository::get(&self.readers, name).await
    }

    async fn repositories(
        &self,
        project: Option<&ProjectName>,
        page: &PageRequest,
    ) -> Result<Page<RepositoryRow>, StoreError> {
        repository::list(&self.readers, project, page).await
    }

    async fn session(&self, id: SessionId) -> Result<Option<SessionRow>, StoreError> {
        session::get(&self.readers, id).await
    }

    async fn sessions(
        &self,
        filter: &SessionFilter,
        page: &PageRequest,
    ) -> Result<Page<SessionRow>, StoreError> {
        list::list(&self.readers, filter, page).await
    }

    async fn session_by_key(
        &self,
        requester: &UserName,
        key: &str,
    ) -> Result<Option<SessionRow>, StoreError> {
        session::by_key(&self.readers, requester, key).await
    }

    async fn sessions_in(&self, states: &[&str]) -> Result<Vec<SessionRow>, StoreError> {
        session::in_states(&self.readers, states).await
    }

    async fn kept(
        &self,
        filter: &KeptFilter,
        page: &PageRequest,
    ) -> Result<Page<KeptRow>, StoreError> {
        retention::kept(&self.readers, filter, page).await
    }

    async fn held(&self, page: &PageRequest) -> Result<Page<SessionRow>, StoreError> {
        retention::held(&self.readers, page).await
    }

    async fn files(
        &self,
        session: SessionId,
        page: &PageRequest,
    ) -> Result<Page<FileRow>, StoreError> {
        file::list(&self.readers, session, page).await
    }

    async fn touches(
        &self,
        repository: &str,
        paths: &[WorkspacePath],
        from: Timestamp,
        until: Timestamp,
        except: SessionId,
        limit: usize,
    ) -> Result<Vec<FileRow>, StoreError> {
        touches::touches(&self.readers, repository, paths, from, until, except, limit).await
    }

    async fn commits(&self, session: SessionId) -> Result<Vec<CommitRow>, StoreError> {
        output::commits(&self.readers, session).await
    }

    async fn blobs(&self, session: SessionId) -> Result<Vec<BlobRow>, StoreError> {
        output::blobs(&self.readers, session).await
    }

    async fn commit(&self, commit: &GitOid) -> Result<Vec<CommitRow>, StoreError> {
        output::commit(&self.readers, commit).await
    }

    async fn tree(&self, tree: &GitOid) -> Result<Vec<CommitRow>, StoreError> {
        output::tree(&self.readers, tree).await
    }

    async fn written(
        &self,
        path: &WorkspacePath,
        blob: &GitOid,
    ) -> Result<Vec<CommitRow>, StoreError> {
        output::written(&self.readers, path, blob).await
    }

    async fn lease(
        &self,
        lease: &LeaseRow,
        now: Timestamp,
        room: &Room,
    ) -> Result<Taken, StoreError> {
        lease::take(&self.writer, lease, now, room).await
    }

    async fn release(&self, session: SessionId, holder: &Holder) -> Result<(), StoreError> {
        lease::release(&self.writer, session, holder).await
    }

    async fn leases(&self) -> Result<Vec<LeaseRow>, StoreError> {
        lease::all(&self.readers).await
    }
}
