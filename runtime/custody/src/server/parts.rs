//! Puts a server together: the control plane, the orchestrator, who vouches for callers, and what it may use.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use custody_api_server::{Build, Lifecycle, Limits, Metrics, MetricsGuard, Transparency, Trust};
use custody_control::ControlPlane;
use custody_model::{ErrorCode, UserName};
use custody_record::tlog::TlogPolicy;
use custody_record::{ControlLog, Keys};
use custody_session::{Faults, Options, Orchestrator, Parts, Sweeping, this_process};
use custody_store::Room;

use super::investigator::Own;
use super::issuers;
use super::whole::Whole;
use crate::config::Settings;
use crate::failure::{Explain, Failure};
use crate::wire::Wire;

/// The control plane of this installation, and the name of the installation.
pub async fn open_plane(
    wire: &Wire,
    settings: &Settings,
) -> Result<(ControlPlane, String), Failure> {
    let keys = Keys::open(&wire.state.keys())
        .explain(ErrorCode::Io, "the installation's keys can't be used")?;
    let log = ControlLog::open(&wire.state.control(), &keys, wire.vault(&settings.vault)?)
        .explain(ErrorCode::RecordUnwritable, "the control log can't be opened")?;
    let store = wire.store(&settings.store.path).await?;
    Ok((ControlPlane::new(log, Arc::from(store), wire.clock.clone()), keys.name().to_owned()))
}

/// How a server differs from another one of the same installation.
pub(super) struct Kind {
    /// What calls may use.
    pub(super) limits: Limits,
    /// The name of a local operator, by user id.
    pub(super) operator: Arc<dyn Fn(u32) -> UserName + Send + Sync>,
    /// Nobody calls but the program that it is in.
    pub(super) is_own_program: bool,
    /// What happens at steps beside the steps.
    pub(super) faults: Arc<dyn Faults>,
}

/// A server that nobody can call yet, and whose orchestrator does nothing yet.
pub(super) async fn assemble(
    wire: &Wire,
    settings: &Settings,
    kind: Kind,
) -> Result<Whole, Failure> {
    let (plane, installation) = open_plane(wire, settings).await?;
    let plane = Arc::new(plane);
    let orchestrator = Orchestrator::new(Parts {
        state: wire.state.clone(),
        plane: plane.clone(),
        keeper: wire.keeper(settings),
        driver: Arc::new(wire.driver()?),
        holder: this_process(),
        options: options(settings),
        faults: kind.faults,
    });
    let token = settings.server.metrics_token(&wire.sources.environment);
    let token = token.explain(ErrorCode::Invalid, "server.metrics_token")?;
    let proxies: BTreeSet<_> = settings.server.trusted_proxies.iter().copied().collect();
    // It was parsed when the configuration was checked.
    let witnesses = TlogPolicy::parse(&settings.transparency.witnesses);
    let witnesses = Arc::new(witnesses.explain(ErrorCode::Invalid, "transparency.witnesses")?);
    Ok(Whole {
        orchestrator,
        identity: Arc::new(issuers::identity(wire, &settings.identity)?),
        investigator: Arc::new(Own {
            state: wire.state.clone(),
            plane,
            witnesses: witnesses.clone(),
        }),
        metrics: Arc::new(Metrics::new()),
        limits: kind.limits,
        lifecycle: Lifecycle::new(),
        trust: Trust {
            proxies: Arc::new(proxies),
            own_uid: nix::unistd::Uid::effective().as_raw(),
            operator: kind.operator,
            is_own_program: kind.is_own_program,
        },
        build: Build {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            commit: option_env!("CUSTODY_COMMIT").map(str::to_owned),
            installation,
        },
        guard: MetricsGuard { token: token.map(Arc::from) },
        transparency: Transparency::new(settings.transparency.published(), witnesses),
    })
}

fn options(settings: &Settings) -> Options {
    let queue = &settings.queue;
    Options {
        room: Room {
            running: queue.running.into(),
            per_user: queue.running_per_user.into(),
            per_project: queue.running_per_project.into(),
        },
        waiting_per_user: queue.waiting_per_user.into(),
        waiting: queue.waiting.into(),
        lease: Duration::from_secs(queue.lease.0),
        sweep: Sweeping {
            batch: usize::try_from(settings.retention.sweep_batch).unwrap_or(usize::MAX),
            clock_lead: settings.retention.clock_lead,
        },
        ..Options::default()
    }
}

/// What the configuration lets calls use.
pub(super) fn limits(settings: &Settings) -> Limits {
    let (limits, identity) = (&settings.limits, &settings.identity);
    Limits {
        body: usize::try_from(limits.body.0).unwrap_or(usize::MAX),
        page_default: limits.page_default,
        page_max: limits.page_max,
        requests_per_minute: limits.requests_per_minute,
        burst: limits.burst,
        streams_per_caller: limits.streams_per_caller,
        streams: limits.streams,
        request_time: Duration::from_secs(limits.request_time.0),
        access_lifetime: Duration::from_secs(identity.access_lifetime.0),
        service_lifetime_max: Duration::from_secs(identity.service_lifetime_max.0),
        ..Limits::default()
    }
}
