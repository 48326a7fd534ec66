//! `custody policy`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use custody_model::{Digest, ProjectName, UserName};

/// `custody policy …`.
#[derive(Debug, Subcommand)]
#[command(after_help = "\
Examples:
  custody policy check team.yaml
  custody policy create team.yaml --project payments --activate
  custody policy list --project payments
  custody policy diff sha256:… --project payments
  custody policy explain active --project payments --as dana --action session.request

A version never changes; its name is the digest of what it says. Sessions that were requested before another one was
activated stay under theirs.")]
pub enum PolicyCommand {
    /// Keep a version of a project's policy. It decides nothing until it is activated.
    Create {
        /// The document.
        file: PathBuf,
        #[command(flatten)]
        project: InProject,
        /// Let it decide about new requests at once.
        #[arg(long)]
        activate: bool,
    },
    /// List a project's versions, the newest first.
    List(InProject),
    /// Print a version's document.
    Show {
        /// Its digest; the active version without it.
        #[arg(id = "digest", value_name = "VERSION")]
        version: Option<Digest>,
        #[command(flatten)]
        project: InProject,
    },
    /// Let a version decide about new requests.
    Activate {
        /// Its digest.
        #[arg(id = "digest", value_name = "VERSION")]
        version: Digest,
        #[command(flatten)]
        project: InProject,
    },
    /// How a version differs from another, as a unified diff.
    Diff {
        /// Its digest.
        #[arg(id = "digest", value_name = "VERSION")]
        version: Digest,
        /// Digest of the other; the active version without it.
        #[arg(long)]
        against: Option<Digest>,
        #[command(flatten)]
        project: InProject,
    },
    /// Check a document: prints its name and version, or each error with line, field and reason.
    Check {
        /// The document.
        file: PathBuf,
    },
    /// Say what a policy decides, and by which rule.
    #[command(after_help = "\
Examples:
  custody policy explain team.yaml --as alice --action session.request
  custody policy explain team.yaml --as alice --action file.read --argument secrets/key.pem
  custody policy explain active --project payments --as alice --action session.request")]
    Explain {
        /// A document; `local` for the built-in one; `active` or a digest for a version of the project's.
        #[arg(value_name = "FILE|local|active|DIGEST")]
        policy: String,
        /// The user who acts.
        #[arg(long = "as", value_name = "USER")]
        user: UserName,
        /// The action, as in `file.read`.
        #[arg(long)]
        action: String,
        /// What it acts on: a path, a command, an image, a variable, a host.
        #[arg(long)]
        argument: Option<String>,
        #[command(flatten)]
        project: InProject,
    },
    /// Print the JSON Schema of policy documents.
    Schema,
}

/// A project.
#[derive(Debug, Args)]
pub struct InProject {
    /// Whose policy.
    #[arg(long, default_value_t = ProjectName::default_project())]
    pub project: ProjectName,
}
