//! What goes wrong: one document for every failure (RFC 9457), and one table of all that can be.

use std::fmt;

use custody_model::{ErrorCode, RequestId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Media type of a problem (RFC 9457).
pub const PROBLEM_JSON: &str = "application/problem+json";

/// What a problem's `type` begins with; its code follows.
pub const PROBLEM_TYPE: &str = "urn:custody:error:";

/// Why a call failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Problem {
    /// `urn:custody:error:` and the code.
    pub r#type: String,
    /// What it means, the same for every problem with this code.
    pub title: String,
    /// The HTTP status of the answer.
    pub status: u16,
    /// What happened this time, for people.
    pub detail: String,
    /// The stable code, for programs.
    pub code: ApiCode,
    /// The parameter or member that is wrong, where it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// What may help.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// The call, as the server's log and the control log name it.
    pub request_id: RequestId,
}

impl Problem {
    /// A problem with this code and this detail.
    #[must_use]
    pub fn new(code: ApiCode, detail: impl Into<String>, request: RequestId) -> Self {
        Self {
            r#type: format!("{PROBLEM_TYPE}{code}"),
            title: code.kind().title.to_owned(),
            status: code.kind().status,
            detail: detail.into(),
            code,
            field: None,
            hint: None,
            request_id: request,
        }
    }
}

/// What is known of a code.
#[derive(Clone, Copy, Debug)]
pub struct ProblemKind {
    /// The code.
    pub code: ApiCode,
    /// HTTP status (RFC 9110).
    pub status: u16,
    /// What it means.
    pub title: &'static str,
    /// What a client does about it.
    pub advice: &'static str,
}

macro_rules! codes {
    ($($variant:ident $text:literal $status:literal $title:literal $advice:literal,)*) => {
        /// The stable code of a failure. Those of [`ErrorCode`] keep their names; the others are HTTP's.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
        pub enum ApiCode {
            $(#[doc = $title] #[serde(rename = $text)] $variant,)*
        }

        impl ApiCode {
            /// All codes.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The stable text form.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }

            /// What is known of it.
            #[must_use]
            pub const fn kind(self) -> ProblemKind {
                match self {
                    $(Self::$variant => ProblemKind {
                        code: self, status: $status, title: $title, advice: $advice,
                    },)*
                }
            }
        }
    };
}

codes! {
    Malformed "malformed" 400 "The request can't be read."
        "Mend what `field` names: the body is no JSON, or a parameter is missing, unknown or misspelt.",
    Usage "usage" 400 "The request is not one that can be made."
        "Look the operation up in the API's description.",
    Unauthenticated "unauthenticated" 401 "It is not known who calls."
        "Send a valid access token; make one from a service token with `POST /v1/tokens/exchange`.",
    Forbidden "forbidden" 403 "The caller may not do that."
        "Ask an admin for the role, or take a token with the scope.",
    PolicyRefused "policy_refused" 403 "A policy refused it."
        "Ask for something that the policy allows, or an admin for another policy.",
    NotFound "not_found" 404 "There is no such thing, or the caller may not see it."
        "Check the name; what one may not see looks like what is not there.",
    MethodNotAllowed "method_not_allowed" 405 "The path has no such method."
        "Take one of those in `Allow`.",
    NotAcceptable "not_acceptable" 406 "The answer is of none of the media types that are accepted."
        "Accept the type that the API's description names.",
    Timeout "timeout" 408 "The request did not come in time."
        "Send it faster, or in smaller parts.",
    Conflict "conflict" 409 "It is in a state in which that can't be done."
        "Look at its state; the detail says what would be needed.",
    ApprovalNeeded "approval_needed" 409 "An approval is needed that is not there yet."
        "Ask somebody whom the policy names.",
    RecordIncomplete "record_incomplete" 409 "The record is not complete yet."
        "Wait until the session is over.",
    Unwitnessed "unwitnessed" 409 "Too few of the wanted witnesses vouch for it."
        "Ask again once they have cosigned, or look in the control log for what they refused.",
    Erased "erased" 410 "The content was erased."
        "There is no way to get it back; what is recorded of it stays.",
    BodyTooLarge "body_too_large" 413 "The body is larger than this server takes."
        "Send less: the detail says how much.",
    UnsupportedMediaType "unsupported_media_type" 415 "The body is of a media type that is not read here."
        "Send application/json.",
    Invalid "invalid" 422 "The request is well formed, and not valid."
        "Mend what `field` names.",
    PageTooLarge "page_too_large" 422 "The page is larger than this server gives."
        "Ask for fewer items: the detail says how many.",
    UpgradeRequired "upgrade_required" 426 "The operation is a WebSocket."
        "Upgrade the connection (RFC 6455).",
    RateLimited "rate_limited" 429 "The caller asks too often."
        "Wait as long as `Retry-After` says.",
    TooManyStreams "too_many_streams" 429 "The caller has too many streams open."
        "Close one.",
    LimitReached "limit_reached" 429 "A limit of the installation is reached."
        "Wait until some sessions have run.",
    Internal "internal" 500 "An error of Custody itself."
        "Tell the operator the request's id: the log says more.",
    Io "io" 500 "Reading or writing failed on the server."
        "Tell the operator the request's id: the log says more.",
    VerificationFailed "verification_failed" 500 "A record fails verification."
        "Verify the record: its integrity is broken.",
    EnvironmentLacks "environment_lacks" 503 "The server's machine lacks something that is needed."
        "Tell the operator: `custody doctor` names it.",
    RecordUnwritable "record_unwritable" 503 "What was asked can't be put on record, so it was not done."
        "Tell the operator: the disk may be full.",
    Unavailable "unavailable" 503 "The server is starting or draining."
        "Ask again in a moment.",
    Slow "slow" 504 "The answer did not come in time."
        "Ask again; the operation may have been carried out.",
}

impl fmt::Display for ApiCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl From<ErrorCode> for ApiCode {
    fn from(code: ErrorCode) -> Self {
        match code {
            ErrorCode::Usage => Self::Usage,
            ErrorCode::PolicyRefused => Self::PolicyRefused,
            ErrorCode::ApprovalNeeded => Self::ApprovalNeeded,
            ErrorCode::NotFound => Self::NotFound,
            ErrorCode::Invalid => Self::Invalid,
            ErrorCode::VerificationFailed => Self::VerificationFailed,
            ErrorCode::Unwitnessed => Self::Unwitnessed,
            ErrorCode::RecordIncomplete => Self::RecordIncomplete,
            ErrorCode::EnvironmentLacks => Self::EnvironmentLacks,
            ErrorCode::RecordUnwritable => Self::RecordUnwritable,
            ErrorCode::Conflict => Self::Conflict,
            ErrorCode::LimitReached => Self::LimitReached,
            ErrorCode::Io => Self::Io,
            ErrorCode::Internal => Self::Internal,
            ErrorCode::Unauthenticated => Self::Unauthenticated,
            ErrorCode::Forbidden => Self::Forbidden,
            ErrorCode::Unavailable => Self::Unavailable,
        }
    }
}

impl ApiCode {
    /// The code that the CLI's exit code goes with.
    #[must_use]
    pub const fn error_code(self) -> ErrorCode {
        match self {
            Self::Malformed | Self::Invalid | Self::PageTooLarge => ErrorCode::Invalid,
            Self::Usage
            | Self::MethodNotAllowed
            | Self::NotAcceptable
            | Self::UnsupportedMediaType
            | Self::UpgradeRequired => ErrorCode::Usage,
            Self::Unauthenticated => ErrorCode::Unauthenticated,
            Self::Forbidden => ErrorCode::Forbidden,
            Self::PolicyRefused => ErrorCode::PolicyRefused,
            Self::NotFound | Self::Erased => ErrorCode::NotFound,
            Self::Conflict => ErrorCode::Conflict,
            Self::ApprovalNeeded => ErrorCode::ApprovalNeeded,
            Self::RecordIncomplete => ErrorCode::RecordIncomplete,
            Self::Unwitnessed => ErrorCode::Unwitnessed,
            Self::BodyTooLarge | Self::RateLimited | Self::TooManyStreams | Self::LimitReached => {
                ErrorCode::LimitReached
            }
            Self::Internal => ErrorCode::Internal,
            Self::Io => ErrorCode::Io,
            Self::VerificationFailed => ErrorCode::VerificationFailed,
            Self::EnvironmentLacks => ErrorCode::EnvironmentLacks,
            Self::RecordUnwritable => ErrorCode::RecordUnwritable,
            Self::Timeout | Self::Unavailable | Self::Slow => ErrorCode::Unavailable,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_code_has_one_text_and_the_status_of_a_failure() {
        let texts: BTreeSet<_> = ApiCode::ALL.iter().map(|code| code.as_str()).collect();
        assert_eq!(texts.len(), ApiCode::ALL.len());
        for code in ApiCode::ALL {
            assert_eq!(serde_json::to_value(code).unwrap(), code.as_str());
            assert!((400..600).contains(&code.kind().status) && code.kind().code == *code);
        }
    }

    #[test]
    fn a_code_of_the_model_keeps_its_name_and_comes_back() {
        for code in ErrorCode::ALL {
            let api = ApiCode::from(code);
            assert_eq!((api.as_str(), api.error_code()), (code.as_str(), code));
        }
    }
}
