//! Repositories: mirrored here, and on record as a project's.

use std::sync::Arc;

use custody_control::Author;
use custody_model::ProjectName;
use custody_store::RepositoryRow;
use custody_workspace::mirror::{Mirrors, RepositoryName, Source};

use crate::error::SessionError;
use crate::orchestrator::Orchestrator;

impl Orchestrator {
    /// Mirrors a repository and puts it on record. Again with the same source it is the same repository, and its history is
    /// fetched anew.
    ///
    /// `source` is a checkout or bare repository on this machine or a URL; `name` is made from it if absent. With `fetch`
    /// the history is brought here now, otherwise when a session needs it.
    ///
    /// # Errors
    /// [`SessionError`]; a mirror that was begun is found by the next try.
    pub async fn register_repository(
        self: &Arc<Self>,
        author: &Author,
        project: &ProjectName,
        source: &str,
        name: Option<RepositoryName>,
        fetch: bool,
    ) -> Result<RepositoryRow, SessionError> {
        self.open()?;
        self.plane().project(project).await?;
        let mirrors = Mirrors::of(self.state().path());
        let text = source.to_owned();
        let (name, place) = tokio::task::spawn_blocking(move || {
            let source = Source::parse(&text)?;
            let place = match &source {
                // Its root, and not its git directory: that has no working tree.
                Source::Checkout(checkout) => checkout.root().to_string_lossy().into_owned(),
                Source::Url(_) => source.identity(),
            };
            let mirror = mirrors.add(&source, name)?;
            if fetch {
                mirror.update(&source, None)?;
            }
            Ok::<_, SessionError>((mirror.name().as_str().to_owned(), place))
        })
        .await??;
        Ok(self.plane().registered_repository(author, &name, project, &place).await?)
    }
}
