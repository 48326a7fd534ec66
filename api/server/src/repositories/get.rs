//! Shows one repository.

use custody_api_types::repository::Repository;
use custody_store::RepositoryRow;

use crate::answer::Json;
use crate::gate::Found;

pub(crate) async fn get(Found(row): Found<RepositoryRow>) -> Json<Repository> {
    Json(super::shown(row))
}
