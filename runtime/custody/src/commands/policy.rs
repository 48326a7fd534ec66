//! `custody policy`: keep, check, compare and explain policies.

use std::path::Path;
use std::process::ExitCode;

use custody_api_types::policy::{ExplainPolicy, Policy};
use custody_model::{Digest, ErrorCode, ProjectName};
use custody_policy::{
    EarlyErasure, PolicyVersion, RetentionClass, RetentionRules, action_from_text, explain,
};
use serde_json::json;

use crate::cli::{InProject, PolicyCommand};
use crate::connect::Connection;
use crate::failure::{Explain, Failure};
use crate::wire::Wire;
use crate::{output, render};

/// `custody policy …`.
pub fn run(wire: &Wire, command: PolicyCommand) -> Result<ExitCode, Failure> {
    match command {
        PolicyCommand::Check { file } => check(wire, &file)?,
        PolicyCommand::Schema => output::raw(custody_policy::json_schema().as_bytes())?,
        PolicyCommand::Create { file, project: InProject { project }, activate } => {
            create(wire, &file, &project, activate)?;
        }
        PolicyCommand::List(InProject { project }) => {
            let server = Connection::open(wire)?;
            let policies = server.wait(server.client().policies(&project).take(None))?;
            output::result(wire.format, &policies, || list(&policies))?;
        }
        PolicyCommand::Show { version, project: InProject { project } } => {
            let server = Connection::open(wire)?;
            let version = match version {
                Some(version) => version,
                None => active(&server, &project)?,
            };
            let policy = server.wait(server.client().policy(&project, &version))?;
            output::result(wire.format, &policy, || policy.document.clone().unwrap_or_default())?;
        }
        PolicyCommand::Activate { version, project: InProject { project } } => {
            let server = Connection::open(wire)?;
            let policy = server.wait(server.client().activate_policy(&project, &version))?;
            output::result(wire.format, &policy, || said(&policy))?;
        }
        PolicyCommand::Diff { version, against, project: InProject { project } } => {
            let server = Connection::open(wire)?;
            let diff = server.wait(server.client().policy_diff(&project, &version, against))?;
            output::result(wire.format, &diff, || diff.diff.clone())?;
        }
        PolicyCommand::Explain { policy, user, action, argument, project } => {
            let argument = argument.unwrap_or_default();
            let version = match policy.as_str() {
                "local" => PolicyVersion::builtin_local(&user),
                "active" => {
                    let asked = ExplainPolicy { user: Some(user), action, argument };
                    return explained(wire, &project.project, None, &asked);
                }
                text => match text.parse::<Digest>() {
                    Ok(digest) => {
                        let asked = ExplainPolicy { user: Some(user), action, argument };
                        return explained(wire, &project.project, Some(digest), &asked);
                    }
                    Err(_) => read(Path::new(text))?,
                },
            };
            let action = action_from_text(&user, &action, &argument)
                .explain(ErrorCode::Usage, "--action")?;
            let explanation = explain(&version, &user, &action);
            output::result(wire.format, &explanation, || explanation.to_string())?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn check(wire: &Wire, file: &Path) -> Result<(), Failure> {
    let policy = read(file)?;
    let value = json!({
        "name": policy.name(),
        "version": policy.digest(),
        "description": policy.document().description,
        "retention": policy.document().retention,
    });
    output::result(wire.format, &value, || {
        format!(
            "{} is valid: policy {}, version {}\n{}",
            file.display(),
            policy.name(),
            policy.digest(),
            retention(&policy.document().retention)
        )
    })
}

/// What it says of retention, in a line or two.
fn retention(rules: &RetentionRules) -> String {
    let early = match rules.early_erasure {
        EarlyErasure::Allowed => "an admin may erase it earlier",
        EarlyErasure::Refused => "nobody may erase it earlier",
    };
    let mut page = match rules.content {
        RetentionClass::Forever => format!("content is kept forever; {early}\n"),
        RetentionClass::For(_) => {
            format!("content is kept {} after a session's closing; {early}\n", rules.content)
        }
    };
    if let Some(hold) = &rules.hold {
        page.push_str(&format!(
            "while it is active, all sessions of its project are held: {}\n",
            render::tame(hold)
        ));
    }
    page
}

fn create(wire: &Wire, file: &Path, project: &ProjectName, activate: bool) -> Result<(), Failure> {
    // Its errors with line and field are told before anything is sent.
    let version = read(file)?;
    let server = Connection::open(wire)?;
    let client = server.client();
    let mut policy = server.wait(client.create_policy(project, version.source()))?;
    if activate {
        policy = server.wait(client.activate_policy(project, &policy.digest))?;
    }
    output::result(wire.format, &policy, || said(&policy))
}

fn said(policy: &Policy) -> String {
    let what = match policy.active {
        true => "decides about new requests now",
        false => "is kept; `custody policy activate` lets it decide",
    };
    format!(
        "policy {} of project {}, version {}, {what}",
        policy.name, policy.project, policy.digest
    )
}

fn list(policies: &[Policy]) -> String {
    if policies.is_empty() {
        return "no policy yet; `custody policy create FILE --activate` adds one".to_owned();
    }
    let rows: Vec<_> = policies
        .iter()
        .map(|policy| {
            let mark = if policy.active { "active" } else { "" };
            let by = policy.created_by.as_ref().map(ToString::to_string);
            let created = policy.created_at.to_string();
            [
                policy.digest.to_string(),
                policy.name.clone(),
                mark.to_owned(),
                created.get(..19).unwrap_or(&created).to_owned(),
                by.unwrap_or_default(),
            ]
        })
        .collect();
    render::table(["VERSION", "NAME", "", "SINCE", "BY"], &rows)
}

fn active(server: &Connection, project: &ProjectName) -> Result<Digest, Failure> {
    let found = server.wait(server.client().project(project))?.active_policy;
    found.ok_or_else(|| {
        Failure::new(ErrorCode::NotFound, format!("project {project} has no active policy"))
            .hint(format!("`custody policy create FILE --project {project} --activate` makes one"))
    })
}

fn explained(
    wire: &Wire,
    project: &ProjectName,
    version: Option<Digest>,
    asked: &ExplainPolicy,
) -> Result<ExitCode, Failure> {
    let server = Connection::open(wire)?;
    let version = match version {
        Some(version) => version,
        None => active(&server, project)?,
    };
    let said = server.wait(server.client().explain_policy(project, &version, asked))?;
    output::result(wire.format, &said, || {
        let mut page = format!(
            "policy      {} ({})\naction      {} by {}\ndecision    {}: {}\nrule        {}\n\n",
            said.policy_name,
            said.policy,
            said.action,
            said.user,
            render::word(&said.decision),
            said.reason,
            said.rule.text
        );
        for check in &said.checks {
            let (decision, rule) = (render::word(&check.decision), &check.rule.text);
            page.push_str(&format!("  {decision:<15} {rule}: {}\n", check.reason));
        }
        page
    })?;
    Ok(ExitCode::SUCCESS)
}

/// The document at `path`.
pub fn read(path: &Path) -> Result<PolicyVersion, Failure> {
    let text = std::fs::read_to_string(path)
        .explain(ErrorCode::NotFound, format!("the policy {} can't be read", path.display()))
        .map_err(|failure| {
            failure.hint("name a file with a policy's document, which `custody policy schema` describes, or leave --policy out")
        })?;
    PolicyVersion::parse(&text)
        .explain(ErrorCode::Invalid, format!("the policy {} is not valid", path.display()))
}
