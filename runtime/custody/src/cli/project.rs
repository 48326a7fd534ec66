//! `custody project`, `custody repo` and `custody image`.

use clap::Subcommand;
use custody_model::ProjectName;

/// `custody project …`.
#[derive(Debug, Subcommand)]
#[command(after_help = "\
Examples:
  custody project create payments --description 'What moves money'
  custody project list")]
pub enum ProjectCommand {
    /// Make a project. Nothing can be requested in it before it has an active policy.
    Create {
        /// Its name: 1 to 64 of a-z, 0-9, -, _ and .
        name: ProjectName,
        /// What it is, in words.
        #[arg(long, default_value = "")]
        description: String,
    },
    /// List the projects in which you have a role.
    List,
}

/// `custody repo …`.
#[derive(Debug, Subcommand)]
#[command(after_help = "\
Examples:
  custody repo add .
  custody repo add https://git.example.org/team/app.git --project payments --name app
  custody repo list")]
pub enum RepoCommand {
    /// Register a repository: its history is mirrored by the server.
    Add {
        /// A URL; or, on the server's machine, a checkout or bare repository.
        source: String,
        /// Its name there; made from the source without it.
        #[arg(long)]
        name: Option<String>,
        /// Whose it is.
        #[arg(long, default_value_t = ProjectName::default_project())]
        project: ProjectName,
    },
    /// List the registered repositories.
    List {
        /// Only of this project.
        #[arg(long)]
        project: Option<ProjectName>,
    },
}

/// `custody image …`.
#[derive(Debug, Subcommand)]
pub enum ImageCommand {
    /// List what sessions can run in.
    List,
}
