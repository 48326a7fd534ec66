//! `custody project`.

use std::process::ExitCode;

use custody_api_types::project::CreateProject;

use crate::cli::ProjectCommand;
use crate::connect::Connection;
use crate::failure::Failure;
use crate::wire::Wire;
use crate::{output, render};

/// `custody project create|list`.
pub fn run(wire: &Wire, command: ProjectCommand) -> Result<ExitCode, Failure> {
    let server = Connection::open(wire)?;
    match command {
        ProjectCommand::Create { name, description } => {
            let asked = CreateProject { name, description };
            let project = server.wait(server.client().create_project(&asked))?;
            output::result(wire.format, &project, || {
                format!(
                    "project {name} is made; nothing can be requested in it before \
                     `custody policy create FILE --project {name} --activate`",
                    name = project.name
                )
            })?;
        }
        ProjectCommand::List => {
            let projects = server.wait(server.client().projects().take(None))?;
            output::result(wire.format, &projects, || {
                let rows: Vec<_> = projects
                    .iter()
                    .map(|project| {
                        let policy = project.active_policy.map(|digest| digest.to_string());
                        let policy = policy.unwrap_or_else(|| "-".to_owned());
                        [project.name.to_string(), policy, project.description.clone()]
                    })
                    .collect();
                render::table(["PROJECT", "ACTIVE POLICY", "DESCRIPTION"], &rows)
            })?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
