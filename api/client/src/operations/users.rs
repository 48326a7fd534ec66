//! People and services.

use custody_api_types::Operation;
use custody_api_types::page::PageQuery;
use custody_api_types::user::{CreateUser, SwitchUser, User};
use custody_model::{Grants, UserName};

use crate::call::Call;
use crate::client::Client;
use crate::error::ClientError;
use crate::pages::Pages;

impl Client {
    /// Makes a user.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn create_user(&self, asked: &CreateUser) -> Result<User, ClientError> {
        self.json(Call::new(Operation::UserCreate, &[]).body(asked)?).await
    }

    /// All users, by name.
    #[must_use]
    pub fn users(&self) -> Pages<User> {
        let client = self.clone();
        Pages::new(move |after| {
            let client = client.clone();
            async move {
                let call = Call::new(Operation::UserList, &[]);
                client.json(call.query(&PageQuery { limit: None, after })?).await
            }
        })
    }

    /// One user.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn user(&self, user: &UserName) -> Result<User, ClientError> {
        self.json(Call::new(Operation::UserGet, &[user.as_str()])).await
    }

    /// Replaces what a user may do.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn grant(&self, user: &UserName, grants: &Grants) -> Result<User, ClientError> {
        self.json(Call::new(Operation::UserGrant, &[user.as_str()]).body(grants)?).await
    }

    /// Refuses all tokens of a user from now on, or takes that back.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn switch_user(
        &self,
        user: &UserName,
        enabled: bool,
        reason: &str,
    ) -> Result<User, ClientError> {
        let operation = if enabled { Operation::UserEnable } else { Operation::UserDisable };
        let said = SwitchUser { reason: reason.to_owned() };
        self.json(Call::new(operation, &[user.as_str()]).body(&said)?).await
    }
}
