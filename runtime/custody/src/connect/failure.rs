//! What an error of a call means for a command: its exit code, and what to do.

use custody_api_client::ClientError;
use custody_api_types::{ApiCode, Problem};

use super::target::Target;
use crate::failure::Failure;

/// The failure of a command whose call to `target` failed.
pub fn of(target: Option<&Target>, error: ClientError) -> Failure {
    let code = error.code();
    let problem = match error {
        ClientError::Problem(problem) => problem,
        error => {
            let hint = hint(&error);
            let message = error.to_string();
            let failure = Failure::of(code, message, error);
            return match hint {
                Some(hint) => failure.hint(hint),
                None => failure,
            };
        }
    };
    let is_own = target.is_some_and(Target::is_own);
    let mut failure = Failure::new(code, named(&problem));
    // The general advice is for programs that speak the API.
    let own = problem.hint.clone().filter(|hint| hint != problem.code.kind().advice);
    failure.hint = match problem.code {
        ApiCode::Unauthenticated => Some(login(target, own.as_deref())),
        code => own.or_else(|| advice(code, is_own).map(str::to_owned)),
    };
    failure.field.clone_from(&problem.field);
    // Where the server is this program, no log has more under this name.
    failure.request = (target != Some(&Target::Embedded)).then(|| problem.request_id.to_string());
    failure
}

/// What happened, with the field that is wrong at its beginning.
fn named(problem: &Problem) -> String {
    match &problem.field {
        Some(field) if !problem.detail.starts_with(field.as_str()) => {
            format!("{field}: {}", problem.detail)
        }
        Some(_) | None => problem.detail.clone(),
    }
}

/// A hint for the command line; `None` if the detail has it. Without a server there is no operator to ask.
fn advice(code: ApiCode, is_own: bool) -> Option<&'static str> {
    Some(match code {
        ApiCode::NotFound => {
            "`custody session list`, `custody repo list` and `custody project list` show what there is"
        }
        ApiCode::Forbidden if is_own => {
            "be the user whose state directory it is, or name another one with --state"
        }
        ApiCode::Forbidden => "ask an admin for the role, or take a token with the scope",
        ApiCode::PolicyRefused if is_own => {
            "ask for something that the policy allows (`custody policy explain`), or name another one with --policy"
        }
        ApiCode::PolicyRefused => {
            "ask for something that the policy allows (`custody policy explain`), or an admin for another policy"
        }
        ApiCode::Conflict => "`custody session list` shows the state of each session",
        ApiCode::ApprovalNeeded => "`custody session show` says whose approval is wanted",
        ApiCode::RecordIncomplete => {
            "wait until the session is over: `custody session watch` follows it"
        }
        ApiCode::Unwitnessed => "ask again once the witnesses have cosigned",
        ApiCode::Erased => "there is no way to get it back; what is recorded of it stays",
        ApiCode::Internal | ApiCode::Io if is_own => {
            "see that the state directory can be written and its disk has room; `custody fsck` looks for damage"
        }
        ApiCode::Internal | ApiCode::Io => "tell the operator the request's id: the log says more",
        ApiCode::VerificationFailed => "`custody verify` says what is wrong with the record",
        ApiCode::EnvironmentLacks if is_own => "`custody doctor` says what this machine lacks",
        ApiCode::EnvironmentLacks => "tell the operator: `custody doctor` on that machine names it",
        ApiCode::RecordUnwritable if is_own => {
            "nothing was done: see that the state directory can be written and its disk has room"
        }
        ApiCode::RecordUnwritable => "nothing was done; tell the operator: the disk may be full",
        ApiCode::Timeout | ApiCode::Unavailable => "ask again in a moment",
        ApiCode::Slow => "look whether it was done before you ask again",
        ApiCode::RateLimited => "wait a moment before you ask again",
        ApiCode::TooManyStreams => "end another command that follows a session",
        ApiCode::LimitReached => {
            "wait until some sessions have run: `custody session list` shows them"
        }
        ApiCode::BodyTooLarge => {
            "give what is large in a file of the repository or by standard input"
        }
        ApiCode::Invalid
        | ApiCode::Malformed
        | ApiCode::Usage
        | ApiCode::PageTooLarge
        | ApiCode::Unauthenticated => return None,
        ApiCode::MethodNotAllowed
        | ApiCode::NotAcceptable
        | ApiCode::UnsupportedMediaType
        | ApiCode::UpgradeRequired => "`custody --version` and the server's /version tell theirs",
    })
}

fn login(target: Option<&Target>, reason: Option<&str>) -> String {
    let url = match target {
        Some(Target::Remote { address, .. }) => address.to_string(),
        Some(Target::Local { .. } | Target::Embedded) | None => "URL".to_owned(),
    };
    let reason = reason.map(|reason| format!(" ({reason})")).unwrap_or_default();
    format!("`custody login {url}` with a token that an admin made for you{reason}")
}

fn hint(error: &ClientError) -> Option<&'static str> {
    match error {
        ClientError::Unreachable { .. } => Some(
            "is it running, and is the address right? `custody context list` shows those that are known",
        ),
        ClientError::Broken { .. } => Some("look at what is there before you ask again"),
        ClientError::Foreign { .. } => Some("is that the address of a Custody server?"),
        ClientError::Answer { .. } => {
            Some("`custody --version` and the server's /version tell theirs")
        }
        ClientError::Problem(_)
        | ClientError::TooLong(_)
        | ClientError::Request(_)
        | ClientError::Tls(_)
        | ClientError::Http(_)
        | ClientError::Stream(_)
        | ClientError::Socket(_)
        | ClientError::Handshake(_)
        | ClientError::Frame(_)
        | ClientError::Write(_) => None,
    }
}
