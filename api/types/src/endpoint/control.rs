//! Investigations, and the control log.

use custody_model::{Role, Scope};
use custody_record::control::ControlReport;

use super::{Access, Body, Endpoint, Method, Success, schema};
use crate::control::{ControlPage, ControlQuery};
use crate::investigation::{Answer, AskInvestigation};
use crate::operation::Operation;
use crate::problem::ApiCode;

pub(super) const ENDPOINTS: &[Endpoint] = &[
    Endpoint {
        operation: Operation::Investigate,
        method: Method::Post,
        path: "/v1/investigations",
        tag: "investigations",
        summary: "Ask which sessions are behind a line or a commit",
        description: "The answer names only sessions that the caller may see, each statement with the event that proves it.",
        access: Access::Asked(&Role::ALL),
        scope: Some(Scope::InvestigationsRead),
        changes: false,
        looks_up: true,
        query: None,
        headers: &[],
        body: Some(Body { schema: schema::<AskInvestigation>, optional: false }),
        success: Success::json(200, schema::<Answer>),
        failures: &[ApiCode::NotFound, ApiCode::VerificationFailed],
    },
    Endpoint {
        operation: Operation::ControlEvents,
        method: Method::Get,
        path: "/v1/control/events",
        tag: "control",
        summary: "Events of the control log",
        description: "Who asked the control plane for what, from where, under which token, and with what result.",
        access: Access::Installation(&[Role::Admin, Role::Auditor]),
        scope: Some(Scope::ControlRead),
        changes: false,
        looks_up: true,
        query: Some(schema::<ControlQuery>),
        headers: &[],
        body: None,
        success: Success::json(200, schema::<ControlPage>),
        failures: &[],
    },
    Endpoint {
        operation: Operation::ControlVerify,
        method: Method::Get,
        path: "/v1/control/verify",
        tag: "control",
        summary: "Verify the control log",
        description: "The verdict, whatever it is, is the answer.",
        access: Access::Installation(&[Role::Admin, Role::Auditor]),
        scope: Some(Scope::ControlRead),
        changes: false,
        looks_up: true,
        query: None,
        headers: &[],
        body: None,
        success: Success::json(200, schema::<ControlReport>),
        failures: &[],
    },
];
