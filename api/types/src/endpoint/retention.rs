//! Retention: what will be erased when, and the sweeper.

use custody_model::{Role, Scope};

use super::{Access, Body, Endpoint, Method, Success, schema};
use crate::operation::Operation;
use crate::page::Page;
use crate::problem::ApiCode;
use crate::retention::{RetentionQuery, Sweep, SweepRetention};
use crate::session::Session;

pub(super) const ENDPOINTS: &[Endpoint] = &[
    Endpoint {
        operation: Operation::RetentionList,
        method: Method::Get,
        path: "/v1/retention",
        tag: "retention",
        summary: "List what will be erased when",
        description: "Sessions that are over, whose content is there and whose retention class has an end: the soonest end first. With `held` those that are held themselves.",
        access: Access::Installation(&[Role::Admin, Role::Auditor]),
        scope: Some(Scope::SessionsRead),
        changes: false,
        looks_up: true,
        query: Some(schema::<RetentionQuery>),
        headers: &[],
        body: None,
        success: Success::json(200, schema::<Page<Session>>),
        failures: &[],
    },
    Endpoint {
        operation: Operation::RetentionSweep,
        method: Method::Post,
        path: "/v1/retention/sweep",
        tag: "retention",
        summary: "Erase what is due",
        description: "One pass of the sweeper, which a server does by itself now and then: it erases the content of sessions whose retention class has ended and that nothing holds, at most `retention.sweep_batch` of them. A clock that is ahead by more than `retention.clock_lead` is a conflict.",
        access: Access::Installation(&[Role::Admin]),
        scope: Some(Scope::SessionsWrite),
        changes: true,
        looks_up: false,
        query: None,
        headers: &[],
        body: Some(Body { schema: schema::<SweepRetention>, optional: true }),
        success: Success::json(200, schema::<Sweep>),
        failures: &[ApiCode::Conflict],
    },
];
