//! From the table of endpoints to a router: every entry has its handler, and every handler its entry.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::Router;
use axum::extract::FromRef;
use axum::handler::Handler;
use axum::middleware::from_fn_with_state;
use axum::routing::{MethodFilter, on};
use custody_api_types::{Method, Operation, endpoint};
use custody_session::Orchestrator;

use crate::build::{Build, MetricsGuard};
use crate::error::ApiError;
use crate::gate::{self, Gate, Guarded};
use crate::identity::Identity;
use crate::investigator::Investigator;
use crate::lifecycle::Lifecycle;
use crate::limits::Limits;
use crate::logs::Transparency;
use crate::metrics::Metrics;
use crate::origin::Trust;
use crate::outer::{Outer, outer};
use crate::rate::Rates;
use crate::{
    control, logs, policies, projects, records, repositories, retention, server, sessions, tokens,
    users,
};

/// A router under construction.
struct Routes<S> {
    router: Router<S>,
    gate: Arc<Gate>,
    handled: BTreeSet<Operation>,
}

impl<S: Clone + Send + Sync + 'static> Routes<S> {
    /// Puts a handler where the table says, behind its gate.
    fn on<H: Handler<T, S>, T: 'static>(mut self, operation: Operation, handler: H) -> Self {
        let endpoint = endpoint(operation);
        let filter = match endpoint.method {
            Method::Get => MethodFilter::GET,
            Method::Post => MethodFilter::POST,
            Method::Put => MethodFilter::PUT,
            Method::Delete => MethodFilter::DELETE,
        };
        let guarded = Guarded { gate: self.gate.clone(), endpoint };
        let route = on(filter, handler).route_layer(from_fn_with_state(guarded, gate::pass));
        self.router = self.router.route(endpoint.path, route);
        self.handled.insert(operation);
        self
    }
}

/// The router, over a whole of which each handler takes the parts that it needs.
///
/// # Panics
/// If an entry of the table has no handler, which a test rules out.
pub fn router<S>(whole: S) -> Router
where
    S: Clone + Send + Sync + 'static,
    Arc<Orchestrator>: FromRef<S>,
    Arc<Identity>: FromRef<S>,
    Arc<dyn Investigator>: FromRef<S>,
    Arc<Metrics>: FromRef<S>,
    Limits: FromRef<S>,
    Lifecycle: FromRef<S>,
    Trust: FromRef<S>,
    Build: FromRef<S>,
    MetricsGuard: FromRef<S>,
    Transparency: FromRef<S>,
{
    use Operation as Op;

    let limits = Limits::from_ref(&whole);
    let plane = Arc::<Orchestrator>::from_ref(&whole).plane().clone();
    let metrics = Arc::<Metrics>::from_ref(&whole);
    let clock = plane.clock().clone();
    let tells_causes = Trust::from_ref(&whole).is_own_program;
    let gate = Gate {
        plane,
        identity: FromRef::from_ref(&whole),
        limits,
        rates: Rates::new(&limits),
        trust: FromRef::from_ref(&whole),
        metrics: metrics.clone(),
        lifecycle: FromRef::from_ref(&whole),
        transparency: FromRef::from_ref(&whole),
    };
    let routes = Routes { router: Router::new(), gate: Arc::new(gate), handled: BTreeSet::new() }
        .on(Op::Health, server::health)
        .on(Op::Readiness, server::readiness)
        .on(Op::Metrics, server::metrics)
        .on(Op::Version, server::version)
        .on(Op::OpenApi, server::openapi)
        .on(Op::Docs, server::docs)
        .on(Op::Jwks, server::jwks)
        .on(Op::InstallationGet, server::installation)
        .on(Op::Me, users::me)
        .on(Op::TokenExchange, tokens::exchange)
        .on(Op::TokenCreate, tokens::create)
        .on(Op::TokenList, tokens::list)
        .on(Op::TokenGet, tokens::get)
        .on(Op::TokenRevoke, tokens::revoke)
        .on(Op::UserCreate, users::create)
        .on(Op::UserList, users::list)
        .on(Op::UserGet, users::get)
        .on(Op::UserGrant, users::grant)
        .on(Op::UserDisable, users::disable)
        .on(Op::UserEnable, users::enable)
        .on(Op::ProjectCreate, projects::create)
        .on(Op::ProjectList, projects::list)
        .on(Op::ProjectGet, projects::get)
        .on(Op::PolicyCreate, policies::create)
        .on(Op::PolicyList, policies::list)
        .on(Op::PolicyGet, policies::get)
        .on(Op::PolicyActivate, policies::activate)
        .on(Op::PolicyDiff, policies::diff)
        .on(Op::PolicyExplain, policies::explain)
        .on(Op::RepositoryRegister, repositories::register)
        .on(Op::RepositoryList, repositories::list)
        .on(Op::RepositoryGet, repositories::get)
        .on(Op::ImageList, server::images)
        .on(Op::SessionCreate, sessions::create)
        .on(Op::SessionList, sessions::list)
        .on(Op::SessionGet, sessions::get)
        .on(Op::SessionApprove, sessions::approve)
        .on(Op::SessionReject, sessions::reject)
        .on(Op::SessionErase, sessions::erase)
        .on(Op::SessionHold, sessions::hold)
        .on(Op::SessionRelease, sessions::release)
        .on(Op::SessionStop, sessions::stop)
        .on(Op::SessionSignal, sessions::signal)
        .on(Op::SessionSummary, records::summary)
        .on(Op::SessionEvents, records::events)
        .on(Op::SessionStream, records::stream)
        .on(Op::SessionFiles, records::files)
        .on(Op::SessionDiff, records::diff)
        .on(Op::SessionBranch, records::branch)
        .on(Op::SessionTerminal, records::terminal)
        .on(Op::SessionOutputs, records::outputs)
        .on(Op::SessionRecord, records::download)
        .on(Op::SessionExport, records::export)
        .on(Op::SessionEvidence, records::evidence)
        .on(Op::SessionVerify, records::verify)
        .on(Op::SessionAttach, records::attach)
        .on(Op::Investigate, control::investigate)
        .on(Op::RetentionList, retention::list)
        .on(Op::RetentionSweep, retention::sweep)
        .on(Op::ControlEvents, control::events)
        .on(Op::ControlVerify, control::verify)
        .on(Op::LogCheckpoint, logs::installation_checkpoint)
        .on(Op::LogTile, logs::installation_tile)
        .on(Op::LogEntries, logs::installation_entries)
        .on(Op::ControlCheckpoint, logs::control_checkpoint)
        .on(Op::ControlTile, logs::control_tile)
        .on(Op::SessionCheckpoint, logs::session_checkpoint)
        .on(Op::SessionTile, logs::session_tile);
    let missing: Vec<_> = Op::ALL.iter().filter(|op| !routes.handled.contains(op)).collect();
    assert!(missing.is_empty(), "operations without a handler: {missing:?}");
    routes
        .router
        .fallback(|| async { ApiError::not_found("path", &"like this") })
        // With the allowed methods, which axum adds.
        .method_not_allowed_fallback(|| async { axum::http::StatusCode::METHOD_NOT_ALLOWED })
        .layer(from_fn_with_state(Outer { clock, metrics, tells_causes }, outer))
        .with_state(whole)
}
