//! `custody debug`: tools for Custody's own tests. They show nothing that a session does not show.

use std::process::{Command, ExitCode};

use custody_keeper::run::{BareWorkspace, with_bare_workspace};
use custody_model::ErrorCode;
use custody_policy::PolicyVersion;
use custody_workspace::mirror::{Mirror, Mirrors, Source};

use crate::caller;
use crate::cli::DebugCommand;
use crate::failure::{Explain, Failure};
use crate::wire::Wire;

/// `custody debug workspace`: a workspace as the sandbox sees it, for a command outside of any sandbox.
pub fn run(wire: &Wire, command: DebugCommand) -> Result<ExitCode, Failure> {
    let DebugCommand::Workspace { repo, strict, command } = command;
    let mirror = mirror(wire, &repo)?;
    let base = mirror.resolve("HEAD").explain(ErrorCode::NotFound, "HEAD can't be found")?;
    let policy = PolicyVersion::builtin_local(&caller::user()?);
    let session = wire.new_session()?;
    let directory = wire.state.path().join("debug").join(session.to_string());
    let request = BareWorkspace {
        state: &wire.state,
        mirror,
        commit: &base.commit,
        rules: policy.path_rules(),
        strict,
        directory: &directory,
        session,
        clock: wire.clock.clone(),
    };
    let status = with_bare_workspace(request, |mount| {
        let mount = mount.display().to_string();
        let words: Vec<String> = command.iter().map(|word| word.replace("{}", &mount)).collect();
        Command::new(&words[0]).args(&words[1..]).status()
    })
    .explain(ErrorCode::EnvironmentLacks, "the workspace can't be mounted")?;
    let status = status.explain(ErrorCode::NotFound, "the command can't be run")?;
    Ok(ExitCode::from(u8::try_from(status.code().unwrap_or(255)).unwrap_or(255)))
}

/// The mirror of a registered repository or a checkout, without any server.
fn mirror(wire: &Wire, text: &str) -> Result<Mirror, Failure> {
    let mirrors = Mirrors::of(wire.state.path());
    if let Some(mirror) = text.parse().ok().and_then(|name| mirrors.get(&name).ok()) {
        return Ok(mirror);
    }
    let source = Source::parse(text)
        .explain(ErrorCode::NotFound, format!("{text:?} can't be used as a repository"))?;
    let mirror =
        mirrors.add(&source, None).explain(ErrorCode::Io, "the repository can't be registered")?;
    mirror.update(&source, None).explain(ErrorCode::Io, "the history can't be fetched")?;
    Ok(mirror)
}
