//! `custody run`: one session, from this checkout to its branch.

use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use custody_investigate::Summary;
use custody_keeper::frame::{Ended, Progress};
use custody_model::{ErrorCode, Limits, SessionId};
use custody_policy::PolicyVersion;
use custody_policy::quantity::{Seconds, Size};
use custody_record::event::{ExitStatus, Outcome};
use custody_workspace::mirror::{Resolved, SnapshotRequest, Source};
use custody_workspace::outputs::Identity;
use serde_json::json;

use super::repo::{self, Chosen};
use super::session::summary_of;
use crate::cli::{Format, RunArgs};
use crate::console::{self, Watched};
use crate::failure::{Explain, Failure};
use crate::wire::Wire;
use crate::{caller, render};

/// Runs the session and exits as its command did.
pub fn run(wire: &Wire, args: RunArgs) -> Result<ExitCode, Failure> {
    if !nix::unistd::Uid::effective().is_root() {
        return Err(Failure::new(
            ErrorCode::EnvironmentLacks,
            "custody run has to be root: the workspace is watched through its superblock, which needs CAP_SYS_ADMIN",
        )
        .hint("use sudo; `custody doctor` says what this machine offers"));
    }
    wire.reconcile()?;
    let chosen = repo::choose(wire, args.repo.as_deref())?;
    say(wire, &args, "reading the repository");
    let (base, dirty) = base(wire, &args, &chosen)?;
    let user = caller::user()?;
    let policy = policy(&args, &user)?;
    let window = if args.no_terminal { None } else { console::window() };
    let (runtime, orchestrator) = wire.orchestrator()?;
    let author = author()?;
    let plane = orchestrator.plane().clone();
    let project = custody_model::ProjectName::default_project();
    let source = match &chosen.source {
        Some(Source::Checkout(checkout)) => checkout.git_dir().to_string_lossy().into_owned(),
        Some(Source::Url(url)) => url.clone(),
        None => chosen.mirror.git_dir().to_string_lossy().into_owned(),
    };
    let asked = custody_session::NewSession {
        requester: user,
        project: project.clone(),
        repository: chosen.mirror.name().as_str().to_owned(),
        base: base.commit.as_str().to_owned(),
        dirty: false,
        command: args.command.clone(),
        image: args.image.clone(),
        limits: limits(&args)?,
        environment: caller::environment(&args.environment)?,
        strict: args.strict,
        terminal: window,
        input: console::has_input(),
        policy: Some(policy),
        idempotency: None,
    };
    let row = runtime.block_on(async {
        if plane.store().project(&project).await?.is_none() {
            plane.create_project(&author, &project, "").await?;
        }
        if plane.store().repository(&asked.repository).await?.is_none() {
            orchestrator.register_repository(&author, &project, &source, None, false).await?;
        }
        Ok::<_, custody_session::SessionError>(orchestrator.create(&author, asked).await?.row)
    });
    let row = row.explain(ErrorCode::Internal, "the session could not be created")?;
    let id = row.id;
    let _ = dirty;
    let attachment = loop {
        match custody_session::attach(&wire.state, id) {
            Ok(attachment) => break attachment,
            Err(_) => {
                let row = runtime.block_on(orchestrator.row(id)).explain(ErrorCode::Io, "row")?;
                if row.state.is_final() {
                    return Err(Failure::new(ErrorCode::PolicyRefused, format!("{:?}", row.state)));
                }
                runtime.block_on(async {
                    tokio::time::sleep(std::time::Duration::from_millis(2)).await;
                });
            }
        }
    };
    let watched = console::watch(attachment, window.is_some(), |step| progress(wire, &args, step))
        .explain(ErrorCode::Io, "the connection to the keeper broke; the session goes on")?;
    runtime.block_on(orchestrator.settle(id, std::time::Duration::from_secs(60)));
    runtime.block_on(orchestrator.shut_down());
    clear(wire, &args);
    match watched {
        Watched::Ended(ended) => finish(wire, &args, id, &ended),
        Watched::Lost => {
            let message = format!("the keeper of session {id} died");
            Err(Failure::new(ErrorCode::Internal, message)
                .hint(format!("`custody session show {id}` says what is on record")))
        }
    }
}

/// Who calls.
pub fn author() -> Result<custody_control::Author, Failure> {
    let actor = custody_model::Actor::User { name: caller::user()? };
    Ok(custody_control::Author { actor, via: None, cause: None })
}

/// The commit to start from.
fn base(wire: &Wire, args: &RunArgs, chosen: &Chosen) -> Result<(Resolved, bool), Failure> {
    let mirror = &chosen.mirror;
    let unread = "the repository's history can't be fetched";
    let Some(source) = &chosen.source else {
        let rev = args.base.as_deref().unwrap_or("HEAD");
        let base =
            mirror.resolve(rev).explain(ErrorCode::NotFound, format!("{rev:?} can't be found"))?;
        return Ok((base, false));
    };
    if args.dirty {
        let Source::Checkout(checkout) = source else {
            return Err(Failure::new(ErrorCode::Usage, "--dirty wants a checkout, not a URL"));
        };
        mirror.update(source, None).explain(ErrorCode::Io, unread)?;
        let request = SnapshotRequest {
            checkout,
            excludes: None,
            identity: &Identity::custody(),
            time: wire.clock.now(),
        };
        let snapshot = mirror
            .snapshot(&request)
            .explain(ErrorCode::Io, "the working tree can't be taken a snapshot of")?;
        return Ok((snapshot.resolved, snapshot.dirty));
    }
    let rev = args.base.as_deref().unwrap_or("HEAD");
    if let Some(known) =
        mirror.known_base(source, rev).explain(ErrorCode::Io, "the repository can't be read")?
    {
        return Ok((known, false));
    }
    mirror.update(source, None).explain(ErrorCode::Io, unread)?;
    let base = mirror.resolve(rev).map_err(|error| {
        Failure::of(ErrorCode::NotFound, "there is nothing to start from", error)
            .hint("a session starts from a commit: commit something first, or use --dirty")
    })?;
    mirror.keep(&base.commit).explain(ErrorCode::Io, "the base commit can't be kept")?;
    Ok((base, false))
}

fn policy(args: &RunArgs, user: &custody_model::UserName) -> Result<PolicyVersion, Failure> {
    match &args.policy {
        None => Ok(PolicyVersion::builtin_local(user)),
        Some(path) => super::policy::read(path),
    }
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

fn finish(
    wire: &Wire,
    args: &RunArgs,
    session: SessionId,
    ended: &Ended,
) -> Result<ExitCode, Failure> {
    let summary = summary_of(wire, session)?;
    if wire.format == Format::Json {
        let value = json!({ "session": session, "ended": ended, "summary": summary });
        let line = serde_json::to_string_pretty(&value)
            .explain(ErrorCode::Internal, "the summary has no JSON form")?;
        eprintln!("{line}");
    } else if !args.quiet {
        eprint!("{}", epilogue(&summary));
    }
    Ok(match (ended.outcome, ended.exit) {
        (Outcome::Completed | Outcome::Stopped, Some(ExitStatus::Code(code))) => {
            ExitCode::from(code)
        }
        (Outcome::Completed | Outcome::Stopped, Some(ExitStatus::Signal(signal))) => {
            ExitCode::from(128_u8.saturating_add(signal))
        }
        (Outcome::Refused, _) => ExitCode::from(ErrorCode::PolicyRefused.exit_code()),
        (Outcome::Stopped, None) => ExitCode::from(ErrorCode::LimitReached.exit_code()),
        (Outcome::Completed | Outcome::Failed | Outcome::Interrupted, _) => {
            return Err(Failure::new(ErrorCode::EnvironmentLacks, ended.reason.clone())
                .hint(format!("`custody session show {session}` says what is on record")));
        }
    })
}

fn epilogue(summary: &Summary) -> String {
    let id = summary.session.to_string();
    let mut text = format!("\ncustody: session {id} {}\n", render::summary::state(summary));
    text.push_str(&render::summary::activity(summary));
    if summary.commits.is_empty() {
        text.push_str("  no changes came out of it\n");
    } else {
        text.push_str(&format!("  take it over   custody session apply {id}\n"));
    }
    text.push_str(&format!("  look closer    custody session show {id}\n"));
    text
}

fn say(wire: &Wire, args: &RunArgs, step: &str) {
    progress(wire, args, &Progress { step: step.to_owned(), done: None, total: None });
}

/// One line on the terminal that is written over; nothing where nobody looks.
fn progress(wire: &Wire, args: &RunArgs, step: &Progress) {
    if args.quiet || wire.format == Format::Json || !std::io::stderr().is_terminal() {
        return;
    }
    let total = step.total.map(|n| format!(" ({n})")).unwrap_or_default();
    // A step that can't be shown is no reason to fail.
    let _closed = write!(std::io::stderr(), "\r\x1b[Kcustody: {}{total} …", step.step);
    if step.step == "running" {
        clear(wire, args);
    }
}

fn clear(wire: &Wire, args: &RunArgs) {
    if !args.quiet && wire.format == Format::Text && std::io::stderr().is_terminal() {
        let _closed = write!(std::io::stderr(), "\r\x1b[K");
    }
}
