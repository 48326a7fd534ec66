//! `custody user`.

use std::process::ExitCode;

use custody_api_types::user::{CreateUser, User};

use crate::cli::{UserCommand, grants};
use crate::connect::Connection;
use crate::failure::Failure;
use crate::wire::Wire;
use crate::{output, render};

/// `custody user create|list|show|grant|disable|enable`.
pub fn run(wire: &Wire, command: UserCommand) -> Result<ExitCode, Failure> {
    let server = Connection::open(wire)?;
    let client = server.client();
    let user = match command {
        UserCommand::List => {
            let users = server.wait(client.users().take(None))?;
            output::result(wire.format, &users, || list(&users))?;
            return Ok(ExitCode::SUCCESS);
        }
        UserCommand::Create { name, roles } => {
            let asked = CreateUser { name, grants: grants(roles) };
            server.wait(client.create_user(&asked))?
        }
        UserCommand::Show { name } => server.wait(client.user(&name))?,
        UserCommand::Grant { name, roles } => server.wait(client.grant(&name, &grants(roles)))?,
        UserCommand::Disable { name, reason } => {
            server.wait(client.switch_user(&name, false, &reason))?
        }
        UserCommand::Enable { name, reason } => {
            server.wait(client.switch_user(&name, true, &reason))?
        }
    };
    output::result(wire.format, &user, || list(std::slice::from_ref(&user)))?;
    Ok(ExitCode::SUCCESS)
}

fn list(users: &[User]) -> String {
    let rows: Vec<_> = users
        .iter()
        .map(|user| {
            let disabled = user.disabled_at.map(|at| format!("disabled since {at}"));
            [user.name.to_string(), roles(user), disabled.unwrap_or_default()]
        })
        .collect();
    render::table(["USER", "ROLES", ""], &rows)
}

fn roles(user: &User) -> String {
    let everywhere = user.grants.installation.iter().map(ToString::to_string);
    let single = user
        .grants
        .projects
        .iter()
        .flat_map(|(project, roles)| roles.iter().map(move |role| format!("{role}@{project}")));
    let roles: Vec<String> = everywhere.chain(single).collect();
    if roles.is_empty() { "none".to_owned() } else { roles.join(", ") }
}
