//! Attaches to a session's terminal: a WebSocket, bridged to the keeper's socket.

use std::sync::Arc;

use axum::extract::State;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::response::Response;
use custody_api_types::ApiCode;
use custody_api_types::attach::{MAX_FRAME_BYTES, SUBPROTOCOL};
use custody_model::{Role, Scope};
use custody_record::control::{ControlBody, SessionAttached};
use custody_session::Orchestrator;
use custody_store::SessionRow;

use super::bridge::Bridge;
use crate::error::ApiError;
use crate::gate::{Admitted, Found};
use crate::lifecycle::Lifecycle;
use crate::limits::Limits;

pub(crate) async fn attach(
    admitted: Admitted,
    Found(row): Found<SessionRow>,
    State(orchestrator): State<Arc<Orchestrator>>,
    State(lifecycle): State<Lifecycle>,
    State(limits): State<Limits>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, ApiError> {
    let upgrade = upgrade.map_err(|rejection| {
        let detail = format!("a WebSocket is wanted here (RFC 6455): {rejection}");
        ApiError::new(ApiCode::UpgradeRequired, detail)
    })?;
    let session = row.id;
    if row.state.is_final() {
        let detail = format!("session {session} is {}: nobody can attach to it", row.state.name());
        return Err(ApiError::new(ApiCode::Conflict, detail));
    }
    let own = row.request.requester == admitted.caller.user;
    let input = (own || admitted.has_any(&[Role::Admin], Some(&row.project)))
        && admitted.may_use(Scope::SessionsWrite);
    let open = lifecycle.stream(&admitted.caller.user, &limits)?;
    let attached = ControlBody::SessionAttached(SessionAttached { session, input });
    orchestrator.plane().record(&admitted.author, vec![attached]).await?;
    let bridge = Bridge {
        session,
        input,
        author: admitted.author,
        verified: admitted.verified,
        orchestrator,
        lifecycle: lifecycle.clone(),
        heartbeat: limits.heartbeat,
    };
    let upgrade = upgrade
        .protocols([SUBPROTOCOL])
        .max_message_size(MAX_FRAME_BYTES + 1)
        .max_frame_size(MAX_FRAME_BYTES + 1);
    Ok(upgrade.on_upgrade(async move |socket| {
        // Its place is kept until the bridge has ended.
        let open = open;
        bridge.run(socket).await;
        drop(open);
    }))
}
