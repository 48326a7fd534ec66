//! People and services, and what they may do.

use custody_model::{Actor, Grants, Role, UserName};
use custody_record::control::{ControlBody, UserGranted, UserSwitched};
use custody_store::{PageRequest, UserRow};

use crate::author::Author;
use crate::error::ControlError;
use crate::plane::ControlPlane;
use crate::projects::short;

impl ControlPlane {
    /// The user of this name.
    ///
    /// # Errors
    /// [`ControlError::NotFound`].
    pub async fn user(&self, name: &UserName) -> Result<UserRow, ControlError> {
        let row = self.store().user(name).await?;
        row.ok_or_else(|| ControlError::NotFound { what: "user", name: name.to_string() })
    }

    /// Whether nobody is known yet.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn has_no_users(&self) -> Result<bool, ControlError> {
        Ok(self.store().users(&PageRequest::first(1)).await?.items.is_empty())
    }

    /// Makes a user.
    ///
    /// # Errors
    /// [`ControlError::Conflict`] if there is one of this name.
    pub async fn create_user(
        &self,
        author: &Author,
        name: &UserName,
        grants: &Grants,
    ) -> Result<UserRow, ControlError> {
        if self.store().user(name).await?.is_some() {
            return Err(ControlError::Conflict(format!("there is a user {name} already")));
        }
        self.known_projects(grants).await?;
        let granted = UserGranted { user: name.clone(), grants: grants.clone() };
        self.record(author, vec![ControlBody::UserCreated(granted)]).await?;
        self.user(name).await
    }

    /// Replaces what a user may do. Nobody changes their own grants, so that no last admin locks everybody out.
    ///
    /// # Errors
    /// [`ControlError::Forbidden`], [`ControlError::NotFound`].
    pub async fn grant(
        &self,
        author: &Author,
        name: &UserName,
        grants: &Grants,
    ) -> Result<UserRow, ControlError> {
        not_oneself(author, name, "change your own roles")?;
        let row = self.user(name).await?;
        self.known_projects(grants).await?;
        if row.grants == *grants {
            return Ok(row);
        }
        let granted = UserGranted { user: name.clone(), grants: grants.clone() };
        self.record(author, vec![ControlBody::UserGranted(granted)]).await?;
        self.user(name).await
    }

    /// Refuses all tokens of a user from now on, or takes that back.
    ///
    /// # Errors
    /// [`ControlError::Forbidden`] for oneself, [`ControlError::NotFound`].
    pub async fn switch_user(
        &self,
        author: &Author,
        name: &UserName,
        enabled: bool,
        reason: &str,
    ) -> Result<UserRow, ControlError> {
        short("reason", reason)?;
        not_oneself(author, name, "disable or enable yourself")?;
        let row = self.user(name).await?;
        if row.disabled_at.is_none() == enabled {
            return Ok(row);
        }
        let switched = UserSwitched { user: name.clone(), reason: reason.to_owned() };
        let body = match enabled {
            true => ControlBody::UserEnabled(switched),
            false => ControlBody::UserDisabled(switched),
        };
        self.record(author, vec![body]).await?;
        self.user(name).await
    }

    async fn known_projects(&self, grants: &Grants) -> Result<(), ControlError> {
        for project in grants.projects.keys() {
            self.project(project).await?;
        }
        Ok(())
    }
}

fn not_oneself(author: &Author, name: &UserName, what: &str) -> Result<(), ControlError> {
    match &author.actor {
        Actor::User { name: own } if own == name => {
            Err(ControlError::Forbidden(format!("you can't {what}: ask another admin")))
        }
        Actor::User { .. } | Actor::Process(_) | Actor::Keeper | Actor::Server => Ok(()),
    }
}

/// What the first admin may do: everything that an admin may, everywhere.
#[must_use]
pub fn first_admin() -> Grants {
    Grants { installation: [Role::Admin].into(), ..Grants::default() }
}
