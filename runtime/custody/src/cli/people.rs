//! `custody login`, `logout`, `context`, `token` and `user`: who calls which server, and what they may do.

use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, Subcommand};
use custody_model::{Grants, ProjectName, Role, Scope, TokenId, TokenKind, UserName};
use custody_policy::quantity::Seconds;

/// `custody login`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  custody login https://custody.example.org                      asks for the token
  custody login http://127.0.0.1:7070 --token-file admin.token
  custody login https://custody.example.org --name work --token-file -

The token is kept in contexts.yaml below ~/.config/custody, which nobody else may read. Of a service token only
short-lived access tokens are sent.")]
pub struct LoginArgs {
    /// The server: http://… or https://…
    pub server: String,
    /// The file with the token, or - for standard input.
    #[arg(long, value_name = "FILE|-")]
    pub token_file: Option<PathBuf>,
    /// What the server is called here; its host without it.
    #[arg(long)]
    pub name: Option<String>,
    /// Send the token in the clear to another machine: whoever is on the way can take it.
    #[arg(long)]
    pub insecure: bool,
}

/// `custody logout`.
#[derive(Debug, Args)]
pub struct LogoutArgs {
    /// What the server is called here; the current one without it.
    pub name: Option<String>,
}

/// `custody context …`.
#[derive(Debug, Subcommand)]
pub enum ContextCommand {
    /// List the servers that this user has logged in to.
    List,
    /// Make one the current one.
    Use {
        /// What it is called here.
        name: String,
    },
    /// Forget one and its token.
    Remove {
        /// What it is called here.
        name: String,
    },
}

/// `custody token …`.
#[derive(Debug, Subcommand)]
#[command(after_help = "\
Examples:
  custody token create --user dana --lifetime 30d >dana.token
  custody token create --label 'nightly runs' --scope sessions:read,sessions:write
  custody token list --user dana
  custody token revoke 0197f0a2-…")]
pub enum TokenCommand {
    /// Make a token and print it, this once.
    Create {
        /// Whose; yours without it. For others only admins of the installation ask.
        #[arg(long)]
        user: Option<UserName>,
        /// What it is for: `service` lasts long and makes access tokens, `access` is what calls carry.
        #[arg(long, default_value_t = TokenKind::Service)]
        kind: TokenKind,
        /// What it may be used for; without it as much as your own token.
        #[arg(long = "scope", value_delimiter = ',')]
        scopes: Vec<Scope>,
        /// How long it lasts, as in 30d or 1h.
        #[arg(long, default_value = "30d")]
        lifetime: Seconds,
        /// What it is called.
        #[arg(long, default_value = "")]
        label: String,
    },
    /// List tokens, the newest first. Never the tokens themselves: those are kept nowhere.
    List {
        /// Only of this user.
        #[arg(long)]
        user: Option<UserName>,
        /// At most so many.
        #[arg(long)]
        limit: Option<usize>,
    },
    /// Refuse a token, and what was made from it, from now on.
    Revoke {
        /// Its id.
        token: TokenId,
        /// Why, for the record.
        #[arg(long)]
        reason: Option<String>,
    },
}

/// `custody user …`.
#[derive(Debug, Subcommand)]
#[command(after_help = "\
Examples:
  custody user create dana --role developer
  custody user create audra --role auditor@payments
  custody user grant dana --role developer --role admin@payments
  custody user disable dana --reason 'left the team'

Roles: developer, admin, auditor; in every project, or after an @ in one.")]
pub enum UserCommand {
    /// Make a user.
    Create {
        /// The name.
        name: UserName,
        /// A role. May be given several times.
        #[arg(long = "role", value_name = "ROLE[@PROJECT]")]
        roles: Vec<RoleIn>,
    },
    /// List users.
    List,
    /// One user.
    Show {
        /// The name.
        name: UserName,
    },
    /// Replace what a user may do.
    Grant {
        /// The name.
        name: UserName,
        /// A role. May be given several times; what is not named is taken away.
        #[arg(long = "role", value_name = "ROLE[@PROJECT]", required = true)]
        roles: Vec<RoleIn>,
    },
    /// Refuse all tokens of a user from now on.
    Disable {
        /// The name.
        name: UserName,
        /// Why, for the record.
        #[arg(long, default_value = "")]
        reason: String,
    },
    /// Take that back.
    Enable {
        /// The name.
        name: UserName,
        /// Why, for the record.
        #[arg(long, default_value = "")]
        reason: String,
    },
}

/// A role, in one project or in all.
#[derive(Clone, Debug)]
pub struct RoleIn {
    role: Role,
    project: Option<ProjectName>,
}

impl FromStr for RoleIn {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (role, project) = match text.split_once('@') {
            Some((role, project)) => (role, Some(project)),
            None => (text, None),
        };
        let role = role.parse().map_err(|error| format!("{error}"))?;
        let project = project.map(str::parse).transpose().map_err(|error| format!("{error}"))?;
        Ok(Self { role, project })
    }
}

/// All of the roles together.
pub fn grants(roles: Vec<RoleIn>) -> Grants {
    let mut grants = Grants::default();
    for RoleIn { role, project } in roles {
        match project {
            Some(project) => grants.projects.entry(project).or_default().insert(role),
            None => grants.installation.insert(role),
        };
    }
    grants
}
