//! What this server is.

use axum::extract::State;
use custody_api_types::server::Version;

use crate::answer::Json;
use crate::build::Build;

pub(crate) async fn version(State(build): State<Build>) -> Json<Version> {
    Json(Version {
        version: build.version,
        api: crate::openapi::API_VERSION.to_owned(),
        commit: build.commit,
        installation: build.installation,
    })
}
