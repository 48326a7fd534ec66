//! Shows one token.

use custody_api_types::token::Token;
use custody_store::TokenRow;

use crate::answer::Json;
use crate::gate::Found;

pub(crate) async fn get(Found(row): Found<TokenRow>) -> Json<Token> {
    Json(super::shown(row))
}
