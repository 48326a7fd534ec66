//! What an error of a call means for a command: its exit code, and what to do.

use custody_api_client::ClientError;
use custody_api_types::ApiCode;

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
    let mut failure = Failure::new(code, problem.detail.clone());
    let own = problem.hint.clone();
    failure.hint = Some(match problem.code {
        ApiCode::Unauthenticated => login(target, own.as_deref()),
        code => own.unwrap_or_else(|| code.kind().advice.to_owned()),
    });
    failure.field.clone_from(&problem.field);
    failure.request = Some(problem.request_id.to_string());
    failure
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
