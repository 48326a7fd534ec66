//! Tokens, made and revoked.

use custody_api_types::Operation;
use custody_api_types::token::{CreateToken, CreatedToken, RevokeQuery, Token, TokenQuery};
use custody_model::TokenId;

use crate::call::Call;
use crate::client::Client;
use crate::error::ClientError;
use crate::pages::Pages;

impl Client {
    /// Issues a token. Its text is given out this once.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn create_token(&self, asked: &CreateToken) -> Result<CreatedToken, ClientError> {
        self.json(Call::new(Operation::TokenCreate, &[]).body(asked)?).await
    }

    /// Tokens, the newest first.
    #[must_use]
    pub fn tokens(&self, query: &TokenQuery) -> Pages<Token> {
        let (client, query) = (self.clone(), query.clone());
        Pages::new(move |after| {
            let (client, mut query) = (client.clone(), query.clone());
            query.after = after;
            async move { client.json(Call::new(Operation::TokenList, &[]).query(&query)?).await }
        })
    }

    /// One token.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn token(&self, token: TokenId) -> Result<Token, ClientError> {
        self.json(Call::new(Operation::TokenGet, &[&token.to_string()])).await
    }

    /// Refuses a token, and what was made from it, from now on.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn revoke_token(
        &self,
        token: TokenId,
        reason: Option<&str>,
    ) -> Result<Token, ClientError> {
        let query = RevokeQuery { reason: reason.map(str::to_owned) };
        let call = Call::new(Operation::TokenRevoke, &[&token.to_string()]);
        self.json(call.query(&query)?).await
    }
}
