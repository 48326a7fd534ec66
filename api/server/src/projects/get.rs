//! Shows one project.

use custody_api_types::project::Project;
use custody_store::ProjectRow;

use crate::answer::Json;
use crate::gate::Found;

pub(crate) async fn get(Found(row): Found<ProjectRow>) -> Json<Project> {
    Json(super::shown(row))
}
