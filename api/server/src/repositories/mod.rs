//! Repositories.

mod get;
mod list;
mod register;

use custody_api_types::repository::Repository;
use custody_store::RepositoryRow;

pub(crate) use get::get;
pub(crate) use list::list;
pub(crate) use register::register;

fn shown(row: RepositoryRow) -> Repository {
    let RepositoryRow { name, project, source, registered_at } = row;
    Repository { name, project, source, registered_at }
}
