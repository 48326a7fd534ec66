//! Shows one user.

use custody_api_types::user::User;
use custody_store::UserRow;

use crate::answer::Json;
use crate::gate::Found;

pub(crate) async fn get(Found(row): Found<UserRow>) -> Json<User> {
    Json(super::shown(row))
}
