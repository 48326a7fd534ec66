//! The names of the API's operations.

use std::fmt;

macro_rules! operations {
    ($($variant:ident $text:literal,)*) => {
        /// An operation of the API.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[expect(missing_docs, reason = "each is documented in the table of endpoints")]
        pub enum Operation {
            $($variant,)*
        }

        impl Operation {
            /// All operations.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The stable name: the OpenAPI document's `operationId`, and `operation` in the control log.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }
        }
    };
}

operations! {
    Health "health",
    Readiness "readiness",
    Metrics "metrics",
    Version "version",
    OpenApi "openapi",
    Docs "docs",
    Jwks "jwks",
    InstallationGet "installation_get",
    Me "me",
    TokenExchange "token_exchange",
    TokenCreate "token_create",
    TokenList "token_list",
    TokenGet "token_get",
    TokenRevoke "token_revoke",
    UserCreate "user_create",
    UserList "user_list",
    UserGet "user_get",
    UserGrant "user_grant",
    UserDisable "user_disable",
    UserEnable "user_enable",
    ProjectCreate "project_create",
    ProjectList "project_list",
    ProjectGet "project_get",
    PolicyCreate "policy_create",
    PolicyList "policy_list",
    PolicyGet "policy_get",
    PolicyActivate "policy_activate",
    PolicyDiff "policy_diff",
    PolicyExplain "policy_explain",
    RepositoryRegister "repository_register",
    RepositoryList "repository_list",
    RepositoryGet "repository_get",
    ImageList "image_list",
    SessionCreate "session_create",
    SessionList "session_list",
    SessionGet "session_get",
    SessionApprove "session_approve",
    SessionReject "session_reject",
    SessionErase "session_erase",
    SessionHold "session_hold",
    SessionRelease "session_release",
    SessionStop "session_stop",
    SessionSignal "session_signal",
    SessionSummary "session_summary",
    SessionEvents "session_events",
    SessionStream "session_stream",
    SessionFiles "session_files",
    SessionDiff "session_diff",
    SessionBranch "session_branch",
    SessionTerminal "session_terminal",
    SessionOutputs "session_outputs",
    SessionRecord "session_record",
    SessionExport "session_export",
    SessionEvidence "session_evidence",
    SessionVerify "session_verify",
    SessionAttach "session_attach",
    Investigate "investigate",
    RetentionList "retention_list",
    RetentionSweep "retention_sweep",
    ControlEvents "control_events",
    ControlVerify "control_verify",
    LogCheckpoint "log_checkpoint",
    LogTile "log_tile",
    LogEntries "log_entries",
    ControlCheckpoint "control_checkpoint",
    ControlTile "control_tile",
    SessionCheckpoint "session_checkpoint",
    SessionTile "session_tile",
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
