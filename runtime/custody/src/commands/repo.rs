//! `custody repo`: registered repositories; and which repository a command is about.

use std::os::unix::ffi::OsStrExt as _;
use std::process::ExitCode;
use std::thread::JoinHandle;

use custody_api_types::repository::{RegisterRepository, Repository, RepositoryQuery};
use custody_model::{ErrorCode, ProjectName, WorkspacePath};
use custody_workspace::checkout::CheckoutError;
use custody_workspace::mirror::{RepositoryName, Source};

use crate::cli::RepoCommand;
use crate::connect::Connection;
use crate::failure::Failure;
use crate::wire::Wire;
use crate::{output, render};

/// `custody repo add|list`.
pub fn run(wire: &Wire, command: RepoCommand) -> Result<ExitCode, Failure> {
    let server = Connection::open(wire)?;
    match command {
        RepoCommand::Add { source, name, project } => {
            let source = spelt(&server, &source)?;
            let asked = RegisterRepository { project, source, name, fetch: true };
            let repository = server.wait(server.client().register_repository(&asked))?;
            output::result(wire.format, &repository, || {
                format!("registered as {}", repository.name)
            })?;
        }
        RepoCommand::List { project } => {
            let query = RepositoryQuery { project, ..RepositoryQuery::default() };
            let all = server.wait(server.client().repositories(&query).take(None))?;
            output::result(wire.format, &all, || {
                if all.is_empty() {
                    return "no repositories are registered; `custody repo add PATH|URL` adds one"
                        .to_owned();
                }
                let rows: Vec<_> = all
                    .iter()
                    .map(|one| [one.name.clone(), one.project.to_string(), one.source.clone()])
                    .collect();
                render::table(["REPOSITORY", "PROJECT", "SOURCE"], &rows)
            })?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// A source as the server reads it: a path of this machine means the same there only if it is the same machine.
fn spelt(server: &Connection, text: &str) -> Result<String, Failure> {
    let source = Source::parse(text).map_err(|error| {
        Failure::of(ErrorCode::NotFound, format!("{text:?} is no repository"), error)
    })?;
    match source {
        Source::Url(url) => Ok(url),
        Source::Checkout(checkout) if server.target().is_here() => {
            Ok(checkout.root().to_string_lossy().into_owned())
        }
        Source::Checkout(checkout) => checkout.origin().ok_or_else(|| {
            let message = format!("{text:?} is a checkout of this machine without an origin");
            Failure::new(ErrorCode::Usage, message).hint("name a URL that the server can fetch")
        }),
    }
}

/// A repository that a command is about.
pub struct Chosen {
    /// Its name on the server.
    pub name: String,
    /// The checkout that was meant, if it was one.
    pub checkout: Option<Source>,
    /// The directory in it that was meant, below its root.
    pub directory: Option<WorkspacePath>,
}

/// A repository that is being read while the way to the server is made.
pub struct Reading {
    given: Option<String>,
    source: JoinHandle<Result<(Source, String), CheckoutError>>,
}

/// Begins to read the repository that `given` names: a registered name, or a checkout; this directory without it.
pub fn read(given: Option<&str>) -> Reading {
    let text = given.unwrap_or(".").to_owned();
    let source = std::thread::spawn(move || {
        let source = Source::parse(&text)?;
        let identity = source.identity();
        Ok((source, identity))
    });
    Reading { given: given.map(str::to_owned), source }
}

/// The repository that is meant. On one's own machine a checkout is registered if it is not yet.
pub fn choose(
    server: &Connection,
    reading: Reading,
    project: &ProjectName,
) -> Result<Chosen, Failure> {
    if let Some(text) = &reading.given
        && text.parse::<RepositoryName>().is_ok()
        && let Some(known) = look_up(server, text)?
    {
        return Ok(Chosen { name: known.name, checkout: None, directory: None });
    }
    let text = reading.given.as_deref().unwrap_or(".");
    let unusable = format!("{text:?} can't be used as a repository");
    let Ok(read) = reading.source.join() else {
        return Err(Failure::new(ErrorCode::Internal, unusable));
    };
    let (source, identity) = read.map_err(|error| {
        Failure::of(ErrorCode::NotFound, unusable, error)
            .hint("go into a git checkout, or name a registered repository with --repo")
    })?;
    let name = registered(server, &source, &identity, project)?;
    let directory = directory_in(&source, text);
    Ok(Chosen { name, checkout: Some(source), directory })
}

/// Where in the working tree of a checkout a path leads, by whatever links; `None` at its root and in a bare repository.
fn directory_in(source: &Source, text: &str) -> Option<WorkspacePath> {
    let Source::Checkout(checkout) = source else { return None };
    if checkout.root().starts_with(checkout.git_dir()) {
        return None;
    }
    let place = std::fs::canonicalize(text).ok()?;
    let below = place.strip_prefix(checkout.root()).ok()?;
    let path = WorkspacePath::from_bytes(below.as_os_str().as_bytes()).ok()?;
    (!path.is_root()).then_some(path)
}

fn look_up(server: &Connection, name: &str) -> Result<Option<Repository>, Failure> {
    match server.wait(server.client().repository(name)) {
        Ok(repository) => Ok(Some(repository)),
        Err(failure) if failure.code == ErrorCode::NotFound => Ok(None),
        Err(failure) => Err(failure),
    }
}

/// The name under which a checkout or URL is registered.
fn registered(
    server: &Connection,
    source: &Source,
    identity: &str,
    project: &ProjectName,
) -> Result<String, Failure> {
    let derived = RepositoryName::derived(identity);
    let place = match source {
        Source::Checkout(checkout) => checkout.root().to_string_lossy().into_owned(),
        Source::Url(url) => url.clone(),
    };
    let own = server.target().is_own();
    if let Some(known) = look_up(server, derived.as_str())?
        && (!own || known.source == place || known.source == identity)
    {
        return Ok(known.name);
    }
    if own {
        let asked = RegisterRepository {
            project: project.clone(),
            source: place,
            name: None,
            fetch: false,
        };
        return Ok(server.wait(server.client().register_repository(&asked))?.name);
    }
    // It may have another name there.
    let all = server.wait(server.client().repositories(&RepositoryQuery::default()).take(None))?;
    let same = all.into_iter().find(|known| {
        Source::Url(known.source.clone()).identity() == identity || known.source == identity
    });
    same.map(|known| known.name).ok_or_else(|| {
        Failure::new(ErrorCode::NotFound, format!("the server has no repository {identity}"))
            .hint("an admin registers it with `custody repo add URL`; or name one with --repo")
    })
}

/// A revision of the checkout as a commit id; as it is where there is no checkout.
pub fn commit(chosen: &Chosen, revision: &str) -> Result<String, Failure> {
    let Some(Source::Checkout(checkout)) = &chosen.checkout else {
        return Ok(revision.to_owned());
    };
    let git = custody_investigate::history::Repository::at(checkout.root());
    let facts = git.commit(revision).map_err(|error| {
        Failure::of(ErrorCode::NotFound, format!("{revision:?} names no commit here"), error)
            .hint("a session starts from a commit: commit something first, or use --dirty")
    })?;
    Ok(facts.commit.to_string())
}
