//! `custody repo`: registered repositories; and which repository a command is about.

use std::process::ExitCode;

use custody_model::ErrorCode;
use custody_workspace::mirror::{Mirror, Mirrors, RepositoryName, Source};
use serde_json::json;

use crate::cli::RepoCommand;
use crate::failure::{Explain, Failure};
use crate::output;
use crate::wire::Wire;

/// `custody repo add|list`.
pub fn run(wire: &Wire, command: RepoCommand) -> Result<ExitCode, Failure> {
    let mirrors = Mirrors::of(wire.state.path());
    match command {
        RepoCommand::Add { source, name } => {
            let name = name
                .map(|name| name.parse::<RepositoryName>().explain(ErrorCode::Invalid, "--name"))
                .transpose()?;
            let source = Source::parse(&source)
                .explain(ErrorCode::NotFound, format!("{source:?} is no repository"))?;
            let mirror = mirrors
                .add(&source, name)
                .explain(ErrorCode::Io, "the repository can't be registered")?;
            mirror
                .update(&source, None)
                .explain(ErrorCode::Io, "the repository's history can't be fetched")?;
            let value = json!({ "name": mirror.name().as_str(), "mirror": mirror.git_dir() });
            output::result(wire.format, &value, || {
                format!("registered as {}", mirror.name().as_str())
            })?;
        }
        RepoCommand::List => {
            let names =
                mirrors.list().explain(ErrorCode::Io, "the repositories can't be listed")?;
            let names: Vec<&str> = names.iter().map(RepositoryName::as_str).collect();
            output::result(wire.format, &names, || match names.is_empty() {
                true => "no repositories are registered; `custody repo add PATH|URL` adds one"
                    .to_owned(),
                false => names.join("\n"),
            })?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// A repository that a command is about.
pub struct Chosen {
    /// Its mirror.
    pub mirror: Mirror,
    /// Where its history comes from, if it was given as a checkout or URL.
    pub source: Option<Source>,
}

/// The repository that `given` names: a registered name, a checkout or a URL; this directory without it. It is
/// registered if it is not yet, and nothing is fetched.
pub fn choose(wire: &Wire, given: Option<&str>) -> Result<Chosen, Failure> {
    let mirrors = Mirrors::of(wire.state.path());
    if let Some(name) = given.and_then(|text| text.parse::<RepositoryName>().ok())
        && let Ok(mirror) = mirrors.get(&name)
    {
        return Ok(Chosen { mirror, source: None });
    }
    let text = given.unwrap_or(".");
    let source = Source::parse(text).map_err(|error| {
        Failure::of(ErrorCode::NotFound, format!("{text:?} can't be used as a repository"), error)
            .hint("go into a git checkout, or name one with --repo")
    })?;
    let mirror =
        mirrors.add(&source, None).explain(ErrorCode::Io, "the repository can't be registered")?;
    Ok(Chosen { mirror, source: Some(source) })
}
