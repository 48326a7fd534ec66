//! Whether a caller may: scope, then role, then what the path names. What one may not see looks like what is not there.

use axum::http::Extensions;
use custody_api_types::{Access, ApiCode, Endpoint};
use custody_model::{Caller, Digest, ProjectName, Role, SessionId, TokenId, UserName};
use custody_store::{PageRequest, SessionFilter, SessionRow, Store, Visibility};

use super::admitted::Found;
use super::{Gate, PathParameters};
use crate::error::ApiError;

/// Which sessions somebody may see: those of projects of which they are admin or auditor, and their own.
pub(crate) fn visibility(caller: &Caller) -> Visibility {
    let sees = [Role::Admin, Role::Auditor];
    let projects = caller.grants.projects.iter();
    let projects = projects.filter(|(_, roles)| sees.iter().any(|role| roles.contains(role)));
    Visibility {
        everything: sees.iter().any(|role| caller.has(*role, None)),
        projects: projects.map(|(name, _)| name.clone()).collect(),
        own: Some(caller.user.clone()),
    }
}

impl Gate {
    /// Lets the caller in, with what the path names.
    pub(super) async fn authorise(
        &self,
        endpoint: &Endpoint,
        caller: &Caller,
        parameters: &PathParameters,
        found: &mut Extensions,
    ) -> Result<(), ApiError> {
        if let Some(scope) = endpoint.scope
            && !caller.scopes.contains(&scope)
        {
            let challenge = format!("error=\"insufficient_scope\", scope=\"{scope}\"");
            let error = ApiError::forbidden(format!("the token lacks the scope {scope}"));
            return Err(ApiError { challenge: Some(challenge), ..error });
        }
        let text = |name: &str| parameters.get(name).map(String::as_str).unwrap_or_default();
        let holds = |roles: &[Role], project: Option<&ProjectName>| {
            roles.iter().any(|role| caller.has(*role, project))
        };
        let store = self.plane.store();
        match endpoint.access {
            Access::Public | Access::Anyone => Ok(()),
            Access::ServiceToken if caller.token.is_some() => Ok(()),
            Access::ServiceToken => {
                Err(ApiError::forbidden("only a service token can be exchanged, and there is none"))
            }
            Access::Installation(roles) => role(holds(roles, None), roles, "this installation"),
            Access::Published(_, []) => Ok(()),
            Access::Published(_, roles) => role(holds(roles, None), roles, "this installation"),
            Access::Asked(roles) | Access::Listed(roles) => role(
                roles.iter().any(|role| caller.grants.has_anywhere(*role)),
                roles,
                "any project",
            ),
            Access::Project(roles) => {
                let name = text("project");
                let unknown = || ApiError::not_found("project", &name);
                let project: ProjectName = name.parse().map_err(|_| unknown())?;
                if !holds(&Role::ALL, Some(&project)) {
                    return Err(unknown());
                }
                let row = store.project(&project).await?.ok_or_else(unknown)?;
                role(holds(roles, Some(&project)), roles, name)?;
                if let Some(text) = parameters.get("policy") {
                    let unknown = || ApiError::not_found("policy version", text);
                    let digest: Digest = text.parse().map_err(|_| unknown())?;
                    let policy = store.policy(&project, &digest).await?.ok_or_else(unknown)?;
                    found.insert(Found(policy));
                }
                found.insert(Found(row));
                Ok(())
            }
            Access::Repository(roles) => {
                let name = text("repository");
                let row = store.repository(name).await?;
                let row = row.filter(|row| holds(&Role::ALL, Some(&row.project)));
                let row = row.ok_or_else(|| ApiError::not_found("repository", &name))?;
                role(holds(roles, Some(&row.project)), roles, row.project.as_str())?;
                found.insert(Found(row));
                Ok(())
            }
            Access::Session { roles, own } => {
                let row = session(store, text("session"), caller).await?;
                let is_own = row.request.requester == caller.user;
                let may = holds(roles, Some(&row.project)) || (own && is_own);
                role(may, roles, row.project.as_str())?;
                found.insert(Found(row));
                Ok(())
            }
            Access::Token(roles) => {
                let text = text("token");
                let unknown = || ApiError::not_found("token", &text);
                let id: TokenId = text.parse().map_err(|_| unknown())?;
                let row = store.token(&id).await?.ok_or_else(unknown)?;
                let seen = row.user == caller.user || holds(&[Role::Admin, Role::Auditor], None);
                if !seen {
                    return Err(unknown());
                }
                role(row.user == caller.user || holds(roles, None), roles, "this installation")?;
                found.insert(Found(row));
                Ok(())
            }
            Access::User(roles) => {
                let text = text("user");
                let unknown = || ApiError::not_found("user", &text);
                let name: UserName = text.parse().map_err(|_| unknown())?;
                if name != caller.user && !holds(roles, None) {
                    return Err(unknown());
                }
                found.insert(Found(store.user(&name).await?.ok_or_else(unknown)?));
                Ok(())
            }
        }
    }
}

fn role(held: bool, roles: &[Role], place: &str) -> Result<(), ApiError> {
    if held {
        return Ok(());
    }
    let names: Vec<&str> = roles.iter().map(|role| role.as_str()).collect();
    Err(ApiError::forbidden(format!("you are no {} of {place}", names.join(" or "))))
}

/// The session that a text means among those that the caller may see: an id, the beginning of exactly one, or `last`.
async fn session(store: &dyn Store, text: &str, caller: &Caller) -> Result<SessionRow, ApiError> {
    let unknown = || ApiError::not_found("session", &text);
    let visibility = visibility(caller);
    if let Ok(id) = text.parse::<SessionId>() {
        let row = store.session(id).await?;
        return row.filter(|row| visibility.shows(row)).ok_or_else(unknown);
    }
    let mut filter = SessionFilter::all(visibility);
    if text != "last" {
        let plain = |b: u8| matches!(b, b'0'..=b'9' | b'a'..=b'f' | b'-');
        if !(1..36).contains(&text.len()) || !text.bytes().all(plain) {
            return Err(unknown());
        }
        filter.prefix = Some(text.to_owned());
    }
    let wanted = if text == "last" { 1 } else { 2 };
    let mut items = store.sessions(&filter, &PageRequest::first(wanted)).await?.items.into_iter();
    match (items.next(), items.next()) {
        (Some(row), None) => Ok(row),
        (None, _) => Err(unknown()),
        (Some(row), Some(_)) => {
            let detail = format!(
                "{text} is the beginning of several sessions' ids, of {} for one; give more of it",
                row.id
            );
            Err(ApiError::new(ApiCode::Conflict, detail).field("session"))
        }
    }
}
