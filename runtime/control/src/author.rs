//! Who stands behind a control event.

use custody_model::{Actor, Caller, EventId};
use custody_record::control::Via;

/// Who does something, from where, and in which call.
#[derive(Clone, Debug)]
pub struct Author {
    /// Who.
    pub actor: Actor,
    /// From where; absent for the server itself.
    pub via: Option<Via>,
    /// The event that led to it: mostly the call.
    pub cause: Option<EventId>,
}

impl Author {
    /// The server by itself.
    #[must_use]
    pub fn server() -> Self {
        Self { actor: Actor::Server, via: None, cause: None }
    }

    /// A caller, before their call is on record.
    #[must_use]
    pub fn caller(caller: &Caller) -> Self {
        let via = Via { origin: caller.origin.clone(), token: caller.token };
        Self { actor: Actor::User { name: caller.user.clone() }, via: Some(via), cause: None }
    }

    /// The same, because of an event.
    #[must_use]
    pub fn because(mut self, cause: EventId) -> Self {
        self.cause = Some(cause);
        self
    }
}
