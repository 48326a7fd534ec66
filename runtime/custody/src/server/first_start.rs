//! What an installation begins with: the default project, and the first admin with a token that is shown once.

use std::time::Duration;

use custody_api_server::Identity;
use custody_control::tokens::NewToken;
use custody_control::users::first_admin;
use custody_control::{Author, ControlPlane};
use custody_model::{ErrorCode, ProjectName, Scope, TokenKind, UserName};

use crate::failure::{Explain, Failure};

/// The name of the first admin.
const ADMIN: &str = "admin";

/// How long the first token lasts, if tokens may last that long.
const LASTS: Duration = Duration::from_secs(90 * 24 * 60 * 60);

/// Makes the default project, if it is not there.
pub(super) async fn default_project(plane: &ControlPlane) -> Result<(), Failure> {
    let name = ProjectName::default_project();
    let failed = "the default project can't be made";
    if plane.store().project(&name).await.explain(ErrorCode::Io, failed)?.is_some() {
        return Ok(());
    }
    match plane.create_project(&Author::server(), &name, "").await {
        Ok(_) => Ok(()),
        // Another process was quicker.
        Err(error) if error.code() == ErrorCode::Conflict => Ok(()),
        Err(error) => Err(Failure::of(error.code(), failed, error)),
    }
}

/// The first admin's token.
pub struct FirstToken {
    /// Whose.
    pub user: UserName,
    /// Its text: a secret.
    pub text: String,
}

/// Makes the first admin, if nobody is known yet.
pub(super) async fn admin(
    plane: &ControlPlane,
    identity: &Identity,
    longest: Duration,
) -> Result<Option<FirstToken>, Failure> {
    let failed = "the first admin can't be made";
    let code = |error: &custody_control::ControlError| error.code();
    if !plane.has_no_users().await.map_err(|e| Failure::of(code(&e), failed, e))? {
        return Ok(None);
    }
    let author = Author::server();
    let user: UserName = ADMIN.parse().explain(ErrorCode::Internal, failed)?;
    plane
        .create_user(&author, &user, &first_admin())
        .await
        .map_err(|e| Failure::of(code(&e), failed, e))?;
    let wanted = NewToken {
        user: user.clone(),
        kind: TokenKind::Service,
        scopes: Scope::ALL.into(),
        lifetime: LASTS.min(longest),
        label: "made at the first start".to_owned(),
        parent: None,
    };
    let (_, issued) = plane
        .issue_token(&author, &*identity.local().await, wanted)
        .await
        .map_err(|e| Failure::of(code(&e), failed, e))?;
    Ok(Some(FirstToken { user, text: issued.text.expose().to_owned() }))
}
