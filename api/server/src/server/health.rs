//! Whether the server answers.

use custody_api_types::server::{Health, HealthStatus};

use crate::answer::Json;

pub(crate) async fn health() -> Json<Health> {
    Json(Health { status: HealthStatus::Ok })
}
