//! What somebody wants to do, as types that a permit can be for.

use custody_model::{Action, Digest, Limits, SessionId, StartSession, UserName};

use crate::document::Mediation;
use crate::environment::EnvironmentGrant;
use crate::paths::PathRules;
use crate::version::PolicyVersion;

mod sealed {
    pub trait Sealed {}
}

/// Something that a policy decides on before it is done. A closed set: no other crate can add to it.
pub trait Act: sealed::Sealed {
    /// What a permit for it grants beyond the act itself.
    type Terms: std::fmt::Debug;

    /// The action that the policy decides on.
    fn to_action(&self) -> Action;

    /// Who does it.
    fn user(&self) -> &UserName;

    /// What the policy grants for it.
    #[doc(hidden)]
    fn terms(&self, policy: &PolicyVersion) -> Self::Terms;
}

/// What a session gets.
#[derive(Clone, Debug)]
pub struct SessionTerms {
    pub(crate) limits: Limits,
    pub(crate) paths: PathRules,
    pub(crate) environment: EnvironmentGrant,
    pub(crate) strict: bool,
}

impl sealed::Sealed for StartSession {}

impl Act for StartSession {
    type Terms = SessionTerms;

    fn to_action(&self) -> Action {
        Action::SessionRequest(Box::new(self.clone()))
    }

    fn user(&self) -> &UserName {
        &self.requester
    }

    fn terms(&self, policy: &PolicyVersion) -> SessionTerms {
        let document = policy.document();
        SessionTerms {
            limits: document.limits.grant(&self.limits),
            paths: document.paths.clone(),
            environment: document.environment.grant(&self.environment),
            strict: self.strict || document.mediation == Mediation::Strict,
        }
    }
}

macro_rules! act {
    ($(#[$doc:meta])* $name:ident, $user:ident, $variant:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty),* }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct $name {
            /// Who does it.
            pub $user: UserName,
            $($(#[$field_doc])* pub $field: $type,)*
        }

        impl sealed::Sealed for $name {}

        impl Act for $name {
            type Terms = ();

            fn to_action(&self) -> Action {
                Action::$variant { $($field: self.$field.clone()),* }
            }

            fn user(&self) -> &UserName {
                &self.$user
            }

            fn terms(&self, _: &PolicyVersion) {}
        }
    };
}

act! {
    /// Approve a session that somebody else asked for.
    ApproveSession, approver, SessionApprove {
        /// Who asked for it.
        requester: UserName,
        /// [`crate::request_digest`] of the request.
        request: Digest
    }
}
act! {
    /// Stop a session.
    StopSession, by, SessionStop {
        /// Which.
        session: SessionId,
        /// Who asked for it.
        requester: UserName
    }
}
act! {
    /// Read a session's record.
    ReadRecord, by, RecordRead {
        /// Which.
        session: SessionId,
        /// Who asked for the session.
        requester: UserName
    }
}
