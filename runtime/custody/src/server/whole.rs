//! The whole of a server, of which each handler takes the parts that it needs.

use std::sync::Arc;

use axum::extract::FromRef;
use custody_api_server::{
    Build, Identity, Investigator, Lifecycle, Limits, Metrics, MetricsGuard, Transparency, Trust,
};
use custody_session::Orchestrator;

/// The whole of a server.
#[derive(Clone)]
pub struct Whole {
    pub orchestrator: Arc<Orchestrator>,
    pub identity: Arc<Identity>,
    pub investigator: Arc<dyn Investigator>,
    pub metrics: Arc<Metrics>,
    pub limits: Limits,
    pub lifecycle: Lifecycle,
    pub trust: Trust,
    pub build: Build,
    pub guard: MetricsGuard,
    pub transparency: Transparency,
}

macro_rules! part {
    ($($field:ident: $type:ty),+ $(,)?) => {$(
        impl FromRef<Whole> for $type {
            fn from_ref(whole: &Whole) -> Self {
                whole.$field.clone()
            }
        }
    )+};
}

part! {
    orchestrator: Arc<Orchestrator>,
    identity: Arc<Identity>,
    investigator: Arc<dyn Investigator>,
    metrics: Arc<Metrics>,
    limits: Limits,
    lifecycle: Lifecycle,
    trust: Trust,
    build: Build,
    guard: MetricsGuard,
    transparency: Transparency,
}
