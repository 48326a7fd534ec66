//! Tokens, as the API has them.

mod create;
mod exchange;
mod get;
mod list;
mod revoke;

use std::collections::BTreeSet;

use custody_api_types::token::Token;
use custody_model::Scope;
use custody_store::TokenRow;

pub(crate) use create::create;
pub(crate) use exchange::exchange;
pub(crate) use get::get;
pub(crate) use list::list;
pub(crate) use revoke::revoke;

use crate::error::ApiError;
use crate::gate::Admitted;

fn shown(row: TokenRow) -> Token {
    Token {
        id: row.id,
        user: row.user,
        kind: row.kind,
        scopes: row.scopes,
        label: row.label,
        parent: row.parent,
        issued_at: row.issued_at,
        expires_at: row.expires_at,
        revoked_at: row.revoked_at,
    }
}

/// What a new token may be used for: never more than the one that asks for it.
fn scopes(
    admitted: &Admitted,
    asked: Option<BTreeSet<Scope>>,
) -> Result<BTreeSet<Scope>, ApiError> {
    let own = &admitted.caller.scopes;
    let asked = asked.unwrap_or_else(|| own.clone());
    match asked.difference(own).next() {
        Some(scope) => {
            let detail =
                format!("your own token lacks the scope {scope}, so no other gets it from you");
            Err(ApiError::forbidden(detail).field("scopes"))
        }
        None => Ok(asked),
    }
}
