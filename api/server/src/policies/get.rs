//! Shows one policy version.

use custody_api_types::policy::Policy;
use custody_store::{PolicyRow, ProjectRow};

use crate::answer::Json;
use crate::gate::Found;

pub(crate) async fn get(
    Found(project): Found<ProjectRow>,
    Found(row): Found<PolicyRow>,
) -> Json<Policy> {
    Json(super::shown(row, &project))
}
