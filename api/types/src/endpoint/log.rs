//! The transparency logs as public monitors read them: C2SP tlog-tiles v0.1.0. Each has a prefix of its own, below which
//! `checkpoint` and `tile/…` are.

use custody_model::{Role, Scope};

use super::{Access, CHECKPOINT, Endpoint, Method, OCTETS, Part, Success};
use crate::operation::Operation;
use crate::problem::ApiCode;

const TILE: &str = "C2SP tlog-tiles v0.1.0, `<prefix>/tile/<level>/<number>[.p/<width>]`: hashes of the tree. A tile never changes.";

const fn read(operation: Operation, path: &'static str, access: Access) -> Endpoint {
    Endpoint {
        operation,
        method: Method::Get,
        path,
        tag: "logs",
        summary: "",
        description: "",
        access,
        scope: None,
        changes: false,
        looks_up: false,
        query: None,
        headers: &[],
        body: None,
        success: Success::other(200, OCTETS),
        failures: &[],
    }
}

const CONTROL: Access = Access::Installation(&[Role::Admin, Role::Auditor]);
const SESSION: Access = Access::Session { roles: &[Role::Admin, Role::Auditor], own: true };

pub(super) const ENDPOINTS: &[Endpoint] = &[
    Endpoint {
        summary: "The head of the installation log",
        description: "A signed note (C2SP tlog-checkpoint v1.0.0), with the cosignatures of witnesses. Where witnesses are wanted it is the newest head that their quorum cosigned. The prefix of the log is `/v1/log`.",
        success: Success::other(200, CHECKPOINT),
        failures: &[ApiCode::NotFound],
        ..read(Operation::LogCheckpoint, "/v1/log/checkpoint", Access::Published(Part::Hashes, &[]))
    },
    Endpoint {
        summary: "A tile of the installation log",
        description: TILE,
        ..read(Operation::LogTile, "/v1/log/tile/{*tile}", Access::Published(Part::Hashes, &[]))
    },
    Endpoint {
        summary: "Entries of the installation log",
        description: "C2SP tlog-tiles v0.1.0, `<prefix>/tile/entries/<number>[.p/<width>]`: heads of sessions' logs, each with its length in two bytes before it.",
        scope: Some(Scope::ControlRead),
        looks_up: true,
        ..read(
            Operation::LogEntries,
            "/v1/log/tile/entries/{*bundle}",
            Access::Published(Part::Entries, &[Role::Admin, Role::Auditor]),
        )
    },
    Endpoint {
        summary: "The head of the control log",
        description: "A signed note (C2SP tlog-checkpoint v1.0.0). The prefix of the log is `/v1/control/log`.",
        scope: Some(Scope::ControlRead),
        looks_up: true,
        success: Success::other(200, CHECKPOINT),
        failures: &[ApiCode::NotFound],
        ..read(Operation::ControlCheckpoint, "/v1/control/log/checkpoint", CONTROL)
    },
    Endpoint {
        summary: "A tile or entries of the control log",
        description: TILE,
        scope: Some(Scope::ControlRead),
        looks_up: true,
        ..read(Operation::ControlTile, "/v1/control/log/tile/{*tile}", CONTROL)
    },
    Endpoint {
        summary: "The head of a session's log",
        description: "A signed note (C2SP tlog-checkpoint v1.0.0). While the session lives there is a new one at most a second after it recorded something, of what is durable and in the installation log. The prefix of the log is `/v1/sessions/{session}/log`.",
        scope: Some(Scope::SessionsRead),
        looks_up: true,
        success: Success::other(200, CHECKPOINT),
        failures: &[ApiCode::Conflict, ApiCode::VerificationFailed],
        ..read(Operation::SessionCheckpoint, "/v1/sessions/{session}/log/checkpoint", SESSION)
    },
    Endpoint {
        summary: "A tile or entries of a session's log",
        description: TILE,
        scope: Some(Scope::SessionsRead),
        looks_up: true,
        failures: &[ApiCode::Conflict, ApiCode::VerificationFailed],
        ..read(Operation::SessionTile, "/v1/sessions/{session}/log/tile/{*tile}", SESSION)
    },
];
