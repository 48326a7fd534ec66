//! From the command line to the request of a session.

use custody_api_types::attach::Window;
use custody_api_types::session::CreateSession;
use custody_model::{ErrorCode, Limits};
use custody_policy::PolicyVersion;
use custody_policy::quantity::{Seconds, Size};
use custody_workspace::mirror::Source;

use crate::cli::RunArgs;
use crate::commands::repo::{self, Chosen, Reading};
use crate::connect::{Connection, Target};
use crate::failure::{Explain, Failure};
use crate::{caller, commands, console};

/// The request.
pub(super) fn request(
    server: &Connection,
    args: &RunArgs,
    repository: Reading,
    window: Option<Window>,
) -> Result<CreateSession, Failure> {
    let limits = limits(args)?;
    let environment = caller::environment(&args.environment)?;
    let document = args.policy.as_deref().map(commands::policy::read).transpose()?;
    let chosen = repo::choose(server, repository, &args.project)?;
    if !args.quiet && chosen.checkout.as_ref().is_some_and(Source::is_shallow) {
        eprintln!(
            "custody: this is a shallow clone: the session and investigations have only this part of the history (`git fetch --unshallow` fetches the rest)"
        );
    }
    let policy = match document {
        Some(policy) => Some(policy.source().to_owned()),
        None => local_policy(server, args)?,
    };
    Ok(CreateSession {
        project: args.project.clone(),
        base: base(server, args, &chosen)?,
        directory: chosen.directory,
        repository: chosen.name,
        dirty: args.dirty,
        command: args.command.clone(),
        image: args.image.clone(),
        limits,
        environment,
        strict: args.strict,
        terminal: window,
        input: !args.detach && console::has_input(),
        attach: !args.detach,
        policy,
    })
}

/// On one's own machine the built-in policy holds where a project has none.
fn local_policy(server: &Connection, args: &RunArgs) -> Result<Option<String>, Failure> {
    if !server.target().is_own() {
        return Ok(None);
    }
    let project = server.wait(server.client().project(&args.project))?;
    if project.active_policy.is_some() {
        return Ok(None);
    }
    let user = match server.target() {
        // The server inside of this process calls whoever runs it by the same name.
        Target::Embedded => caller::user()?,
        Target::Local { .. } | Target::Remote { .. } => server.wait(server.client().me())?.user,
    };
    Ok(Some(PolicyVersion::builtin_local(&user).source().to_owned()))
}

/// The commit to start from, as the server finds it.
fn base(server: &Connection, args: &RunArgs, chosen: &Chosen) -> Result<String, Failure> {
    let revision = args.base.as_deref().unwrap_or("HEAD");
    if args.dirty {
        if !matches!(chosen.checkout, Some(Source::Checkout(_))) {
            return Err(Failure::new(
                ErrorCode::Usage,
                "--dirty wants a checkout, not a name or a URL",
            ));
        }
        if !server.target().is_own() {
            let message =
                "--dirty wants the server on this machine: it takes what is in the working tree";
            return Err(Failure::new(ErrorCode::Usage, message).hint("commit and push it instead"));
        }
    }
    // A checkout of this machine is read by the server of this machine.
    if server.target().is_own() {
        return Ok(revision.to_owned());
    }
    repo::commit(chosen, revision)
}

fn limits(args: &RunArgs) -> Result<Limits, Failure> {
    let cpu_millicores = match args.cpus {
        None => None,
        Some(cores) if cores > 0.0 && cores <= 4096.0 => {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "checked above"
            )]
            let millicores = (cores * 1000.0).ceil() as u32;
            Some(millicores)
        }
        Some(cores) => {
            return Err(Failure::new(
                ErrorCode::Usage,
                format!("--cpus {cores}: more than 0 and at most 4096 are wanted"),
            ));
        }
    };
    let memory = args.memory.as_deref().map(str::parse::<Size>).transpose();
    let wall = args.timeout.as_deref().map(str::parse::<Seconds>).transpose();
    Ok(Limits {
        cpu_millicores,
        memory_bytes: memory.explain(ErrorCode::Usage, "--memory")?.map(|size| size.0),
        processes: args.processes,
        disk_bytes: None,
        wall_seconds: wall.explain(ErrorCode::Usage, "--timeout")?.map(|seconds| seconds.0),
        idle_seconds: None,
    })
}
