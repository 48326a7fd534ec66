//! `custody policy`: check and explain documents.

use std::path::Path;
use std::process::ExitCode;

use custody_model::{ErrorCode, UserName};
use custody_policy::{PolicyVersion, action_from_text, explain};
use serde_json::json;

use crate::cli::PolicyCommand;
use crate::failure::{Explain, Failure};
use crate::output;
use crate::wire::Wire;

/// `custody policy check|explain|schema`.
pub fn run(wire: &Wire, command: PolicyCommand) -> Result<ExitCode, Failure> {
    match command {
        PolicyCommand::Check { file } => {
            let policy = read(&file)?;
            let value = json!({
                "name": policy.name(),
                "version": policy.digest(),
                "description": policy.document().description,
            });
            output::result(wire.format, &value, || {
                format!(
                    "{} is valid: policy {}, version {}",
                    file.display(),
                    policy.name(),
                    policy.digest()
                )
            })?;
        }
        PolicyCommand::Explain { file, user, action, argument } => {
            let user: UserName = user.parse().explain(ErrorCode::Usage, "--as")?;
            let policy = match file.as_str() {
                "local" => PolicyVersion::builtin_local(&user),
                path => read(Path::new(path))?,
            };
            let action = action_from_text(&user, &action, argument.as_deref().unwrap_or_default())
                .explain(ErrorCode::Usage, "--action")?;
            let explanation = explain(&policy, &user, &action);
            output::result(wire.format, &explanation, || explanation.to_string())?;
        }
        PolicyCommand::Schema => output::raw(custody_policy::json_schema().as_bytes())?,
    }
    Ok(ExitCode::SUCCESS)
}

/// The document at `path`.
pub fn read(path: &Path) -> Result<PolicyVersion, Failure> {
    let text = std::fs::read_to_string(path)
        .explain(ErrorCode::NotFound, format!("the policy {} can't be read", path.display()))?;
    PolicyVersion::parse(&text)
        .explain(ErrorCode::Invalid, format!("the policy {} is not valid", path.display()))
}
