//! People and services.

mod create;
mod get;
mod grant;
mod list;
mod me;
mod switch;

use custody_api_types::user::User;
use custody_store::UserRow;

pub(crate) use create::create;
pub(crate) use get::get;
pub(crate) use grant::grant;
pub(crate) use list::list;
pub(crate) use me::me;
pub(crate) use switch::{disable, enable};

fn shown(row: UserRow) -> User {
    let UserRow { name, grants, created_at, disabled_at } = row;
    User { name, grants, created_at, disabled_at }
}
