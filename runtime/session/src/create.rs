//! Create: a request is evaluated, written down for its keeper, and put on record with what the policy said.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, Weak};

use custody_control::Author;
use custody_keeper::layout::{SessionDir, StateDir};
use custody_keeper::redactor::redactor;
use custody_keeper::run::requested;
use custody_keeper::spec::{SPEC_VERSION, SessionSpec, Window};
use custody_model::error::chain;
use custody_model::{
    Limits, ProjectName, SessionId, StartSession, Timestamp, UserName, WorkspacePath,
};
use custody_policy::quantity::MAX_NUMBER;
use custody_policy::{PolicyVersion, Verdict, evaluate};
use custody_record::control::{ControlBody, Idempotency, SessionRequested};
use custody_record::event::{Decision, Redaction};
use custody_record::{Scope, Vault};
use custody_store::{PageRequest, SessionFilter, SessionRow, Visibility};
use custody_workspace::mirror::{Mirror, Mirrors, Resolved, SnapshotRequest, Source};
use custody_workspace::outputs::Identity;

use crate::error::SessionError;
use crate::orchestrator::Orchestrator;
use crate::steps::{self, Step, step};

/// A session as somebody asks for it.
#[derive(Clone, Debug)]
pub struct NewSession {
    /// Who asks.
    pub requester: UserName,
    /// In which project.
    pub project: ProjectName,
    /// On which repository, by its name here.
    pub repository: String,
    /// The revision to start from.
    pub base: String,
    /// Start from a snapshot of the working tree that the repository was registered from.
    pub dirty: bool,
    /// The command and its arguments.
    pub command: Vec<String>,
    /// Where the command starts, below the root of the workspace; at the root without it.
    pub directory: Option<WorkspacePath>,
    /// `host`, or the image's name.
    pub image: String,
    /// The limits that are asked for.
    pub limits: Limits,
    /// Variables that are to enter; the policy decides which may.
    pub environment: BTreeMap<String, String>,
    /// Mediate the whole workspace synchronously.
    pub strict: bool,
    /// Give the command a terminal of this size.
    pub terminal: Option<Window>,
    /// Somebody will send input.
    pub input: bool,
    /// Somebody attaches at once: the command waits for them, a moment.
    pub attach: bool,
    /// Under this policy version in place of the project's active one: for admins.
    pub policy: Option<PolicyVersion>,
    /// The client's name for the request.
    pub idempotency: Option<Idempotency>,
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct Created {
    /// The session: queued, awaiting approval or refused.
    pub row: SessionRow,
    /// The request was made before, under the same key: nothing was done again.
    pub repeated: bool,
}

/// What the steps share.
struct Context {
    author: Author,
    asked: NewSession,
    id: SessionId,
    policy: Option<PolicyVersion>,
    base: Option<(Resolved, bool)>,
    spec: Option<SessionSpec>,
}

const STEPS: &[Step<Context>] = &[
    step!("policy", policy),
    step!("base", base),
    step!("write", write, unwrite),
    step!("record", record),
    step!("refuse", refuse),
];

/// See [`steps::every_step`].
pub(crate) fn step_names() -> Vec<String> {
    steps::names("create", STEPS)
}

impl Orchestrator {
    /// Asks for a session. It runs as soon as the policy, its approvers and the room on the machine allow it.
    ///
    /// # Errors
    /// [`SessionError`]. A refusal by the policy is no error: it is a session that is refused.
    pub async fn create(
        self: &Arc<Self>,
        author: &Author,
        asked: NewSession,
    ) -> Result<Created, SessionError> {
        self.open()?;
        check(&asked)?;
        let turn = self.turn_of(&asked);
        let _turn = match &turn {
            Some(turn) => Some(turn.lock().await),
            None => None,
        };
        if let Some(row) = self.named_before(&asked).await? {
            return Ok(Created { row, repeated: true });
        }
        self.room_in_line(&asked.requester).await?;
        self.check_log().await?;
        let id = SessionId::new(self.plane().now(), self.plane().random()?);
        let author = author.clone();
        let mut context = Context { author, asked, id, policy: None, base: None, spec: None };
        steps::run(self, "create", STEPS, &mut context).await?;
        self.dispatch.notify_one();
        Ok(Created { row: self.row(id).await?, repeated: false })
    }

    /// What requests under the same name take turns by.
    fn turn_of(&self, asked: &NewSession) -> Option<Arc<tokio::sync::Mutex<()>>> {
        let named = asked.idempotency.as_ref()?;
        let mut turns = self.named.lock().unwrap_or_else(PoisonError::into_inner);
        turns.retain(|_, turn| turn.strong_count() > 0);
        let name = (asked.requester.clone(), named.key.clone());
        if let Some(turn) = turns.get(&name).and_then(Weak::upgrade) {
            return Some(turn);
        }
        let turn = Arc::new(tokio::sync::Mutex::default());
        turns.insert(name, Arc::downgrade(&turn));
        Some(turn)
    }

    /// The session that the client's key named before.
    async fn named_before(&self, asked: &NewSession) -> Result<Option<SessionRow>, SessionError> {
        let Some(named) = &asked.idempotency else { return Ok(None) };
        let before = self.plane().store().session_by_key(&asked.requester, &named.key).await?;
        let Some(row) = before else { return Ok(None) };
        if row.idempotency.as_ref() == Some(named) {
            Ok(Some(row))
        } else {
            Err(SessionError::KeyReused { key: named.key.clone(), session: row.id })
        }
    }

    async fn room_in_line(&self, user: &UserName) -> Result<(), SessionError> {
        let waiting = self.plane().store().sessions_in(&["queued", "awaiting_approval"]).await?;
        let (found, limit) = (waiting.len() as u64, self.options().waiting);
        if found >= limit {
            let what = "no more sessions are taken into the queue".to_owned();
            return Err(SessionError::LineFull { what, found, limit });
        }
        let own = waiting.iter().filter(|row| row.request.requester == *user).count() as u64;
        let limit = self.options().waiting_per_user;
        if own >= limit {
            let what = format!("{user} has too many sessions in the queue");
            return Err(SessionError::LineFull { what, found: own, limit });
        }
        Ok(())
    }

    /// The session that `text` means among those that may be seen: an id, the beginning of exactly one, or `last`.
    ///
    /// # Errors
    /// [`SessionError::Invalid`] if it is none or several.
    pub async fn find(
        &self,
        text: &str,
        visibility: Visibility,
    ) -> Result<SessionRow, SessionError> {
        let mut filter = SessionFilter::all(visibility);
        if text != "last" {
            filter.prefix = Some(text.to_owned());
        }
        let wanted = if text == "last" { 1 } else { 2 };
        let found = self.plane().store().sessions(&filter, &PageRequest::first(wanted)).await?;
        let invalid = |reason| SessionError::Invalid { field: "session", reason };
        let mut items = found.items.into_iter();
        match (items.next(), items.next()) {
            (Some(row), None) => Ok(row),
            (Some(row), Some(_)) => Err(invalid(format!(
                "{text:?} is the beginning of several sessions' ids, of {} for one; give more of it",
                row.id
            ))),
            (None, _) if text == "last" => Err(invalid("there are no sessions yet".to_owned())),
            (None, _) => Err(invalid(format!("no session's id begins with {text:?}"))),
        }
    }
}

/// What can be said of a request without looking anything up.
fn check(asked: &NewSession) -> Result<(), SessionError> {
    let invalid =
        |field, reason: &str| Err(SessionError::Invalid { field, reason: reason.to_owned() });
    if asked.command.first().is_none_or(String::is_empty) {
        return invalid("command", "it has no program: name one, as in `custody run -- make test`");
    }
    if asked.command.iter().any(|word| word.contains('\0')) {
        return invalid(
            "command",
            &format!("a NUL byte stands in it, which no argument can have; {OTHERWISE}"),
        );
    }
    if !(1..=MAX_BASE_BYTES).contains(&asked.base.len()) || asked.base.contains('\0') {
        return invalid(
            "base",
            "a branch, a tag or a commit is wanted, of 1 to 1024 bytes without NUL",
        );
    }
    if let Some((at, word)) =
        asked.command.iter().enumerate().find(|(_, word)| word.len() > MAX_ARGUMENT_BYTES)
    {
        let reason = format!(
            "argument {at} has {} bytes, and Linux takes {MAX_ARGUMENT_BYTES} in one; {OTHERWISE}",
            word.len()
        );
        return invalid("command", &reason);
    }
    let bytes: usize = asked.command.iter().map(|word| word.len() + AROUND_ARGUMENT).sum();
    if bytes > MAX_COMMAND_BYTES {
        let reason = format!(
            "its arguments take {bytes} bytes, and {MAX_COMMAND_BYTES} are the most; {OTHERWISE}"
        );
        return invalid("command", &reason);
    }
    let limits = &asked.limits;
    let numbers =
        [limits.memory_bytes, limits.disk_bytes, limits.wall_seconds, limits.idle_seconds];
    if numbers.into_iter().flatten().any(|number| number > MAX_NUMBER) {
        return invalid("limits", "a number is above 9007199254740991, which no record can hold");
    }
    if limits.memory_bytes.is_some_and(|bytes| bytes < MIN_MEMORY_BYTES) {
        let reason =
            format!("no sandbox begins with less than {MIN_MEMORY_BYTES} bytes: give more");
        return invalid("limits.memory_bytes", &reason);
    }
    if limits.processes.is_some_and(|number| number < MIN_PROCESSES) {
        let reason = format!(
            "no command begins with less than {MIN_PROCESSES}, two of which are the sandbox's own: give more"
        );
        return invalid("limits.processes", &reason);
    }
    if asked
        .environment
        .iter()
        .any(|(name, value)| name.is_empty() || name.contains(['=', '\0']) || value.contains('\0'))
    {
        return invalid("environment", "a name is empty or has '=', or something has a NUL byte");
    }
    if let Some(named) = &asked.idempotency
        && !(1..=MAX_KEY_BYTES).contains(&named.key.len())
    {
        return invalid("Idempotency-Key", "1 to 255 bytes are wanted");
    }
    Ok(())
}

/// Longest argument of a command, in bytes without its NUL: what Linux takes (`MAX_ARG_STRLEN` of linux/binfmts.h, 32 pages).
pub const MAX_ARGUMENT_BYTES: usize = (128 << 10) - 1;

/// Longest command, in bytes as execve(2) counts them: each argument with its NUL and its pointer. Half of the 2 MiB that Linux
/// takes of a process with 8 MiB of stack; the other half is for the environment.
pub const MAX_COMMAND_BYTES: usize = 1 << 20;

/// The NUL and the pointer of an argument, in bytes.
const AROUND_ARGUMENT: usize = 1 + 8;

/// What to do with more than a command line takes.
const OTHERWISE: &str = "give it in a file of the repository or by standard input";

/// Least memory of a session, in bytes: with less the sandbox's own process 1 does not come up.
pub const MIN_MEMORY_BYTES: u64 = 4 << 20;

/// Least processes of a session: process 1 of the sandbox, its helper while the command is made, and the command.
pub const MIN_PROCESSES: u32 = 3;

/// Longest name of a revision, in bytes.
pub const MAX_BASE_BYTES: usize = 1024;

/// Longest idempotency key, in bytes.
pub const MAX_KEY_BYTES: usize = 255;

async fn policy(
    orchestrator: &Arc<Orchestrator>,
    context: &mut Context,
) -> Result<(), SessionError> {
    let (plane, project) = (orchestrator.plane(), &context.asked.project);
    context.policy = Some(match &context.asked.policy {
        Some(version) => {
            plane.create_policy(&context.author, project, version).await?;
            version.clone()
        }
        None => plane.active_policy(project).await?,
    });
    let repository = plane.repository(&context.asked.repository).await?;
    if repository.project != *project {
        let reason =
            format!("the repository belongs to project {}, not to {project}", repository.project);
        return Err(SessionError::Invalid { field: "repository", reason });
    }
    Ok(())
}

async fn base(orchestrator: &Arc<Orchestrator>, context: &mut Context) -> Result<(), SessionError> {
    let mirrors = Mirrors::of(orchestrator.state().path());
    let repository = orchestrator.plane().repository(&context.asked.repository).await?;
    let (revision, dirty) = (context.asked.base.clone(), context.asked.dirty);
    let time = orchestrator.plane().now();
    let directory = context.asked.directory.clone();
    let resolved = tokio::task::spawn_blocking(move || {
        let mirror = mirrors.get(&repository.name.parse()?)?;
        let (resolved, dirty) = found(&mirror, &repository.source, revision, dirty, time)?;
        if let Ok(source) = Source::parse(&repository.source) {
            mirror.bring_submodules(&source, &resolved.commit)?;
        }
        if let Some(directory) = &directory
            && !mirror.has_directory(&resolved.commit, directory)?
        {
            let commit = resolved.commit.short();
            let reason = format!("there is no directory {directory} in commit {commit}");
            return Err(SessionError::Invalid { field: "directory", reason });
        }
        Ok((resolved, dirty))
    });
    context.base = Some(resolved.await??);
    Ok(())
}

/// The commit to start from, and whether it is a snapshot with changes that were not committed.
fn found(
    mirror: &Mirror,
    source: &str,
    revision: String,
    dirty: bool,
    time: Timestamp,
) -> Result<(Resolved, bool), SessionError> {
    // A source that is gone is no reason to refuse what the mirror has.
    let source = Source::parse(source).ok();
    if dirty {
        let Some(source @ Source::Checkout(checkout)) = &source else {
            let reason = "the repository was registered by its address, and only a checkout on the machine that sessions run on \
                          has a working tree: leave it out, and commit what the session is to have";
            return Err(SessionError::Invalid { field: "dirty", reason: reason.to_owned() });
        };
        mirror.update(source, None)?;
        let request =
            SnapshotRequest { checkout, excludes: None, identity: &Identity::custody(), time };
        let snapshot = mirror.snapshot(&request)?;
        return Ok((snapshot.resolved, snapshot.dirty));
    }
    if let Some(source) = &source {
        if let Some(known) = mirror.known_base(source, &revision)? {
            return Ok((known, false));
        }
        mirror.update(source, None)?;
    }
    let resolved =
        mirror.resolve(&revision).map_err(|source| SessionError::Base { revision, source })?;
    mirror.keep(&resolved.commit)?;
    Ok((resolved, false))
}

/// The request as the policy sees it.
fn spec_of(context: &Context) -> Result<(SessionSpec, &PolicyVersion), SessionError> {
    let missing = || SessionError::Fault("create: a step before was not done".to_owned());
    let policy = context.policy.as_ref().ok_or_else(missing)?;
    let (base, dirty) = context.base.as_ref().ok_or_else(missing)?;
    let asked = &context.asked;
    let requested_at = context.spec.as_ref().map_or_else(
        // The time in the id: the same whenever it is asked.
        || Timestamp::from_micros(id_micros(context.id)),
        |spec| spec.requested_at,
    );
    let spec = SessionSpec {
        v: SPEC_VERSION,
        id: context.id,
        requested_at,
        requester: asked.requester.clone(),
        policy: policy.digest(),
        repository: asked.repository.clone(),
        base_commit: base.commit.clone(),
        base_tree: base.tree.clone(),
        dirty: *dirty,
        command: asked.command.clone(),
        directory: asked.directory.clone(),
        image: asked.image.clone(),
        limits: asked.limits.clone(),
        environment: asked.environment.clone(),
        strict: asked.strict,
        terminal: asked.terminal,
        input: asked.input,
        attach: asked.attach,
    };
    Ok((spec, policy))
}

/// Milliseconds of a UUIDv7 (RFC 9562, section 5.7), as microseconds.
pub(crate) fn id_micros(id: SessionId) -> i64 {
    let [a, b, c, d, e, f, ..] = *id.as_uuid().as_bytes();
    i64::from_be_bytes([0, 0, a, b, c, d, e, f]).saturating_mul(1000)
}

async fn write(
    orchestrator: &Arc<Orchestrator>,
    context: &mut Context,
) -> Result<(), SessionError> {
    let (spec, policy) = spec_of(context)?;
    let (state, source) = (orchestrator.state().clone(), policy.source().to_owned());
    let vault = orchestrator.plane().vault().clone();
    let kept = spec.clone();
    tokio::task::spawn_blocking(move || write_files(&state, &vault, &kept, &source)).await??;
    context.spec = Some(spec);
    Ok(())
}

fn write_files(
    state: &StateDir,
    vault: &Vault,
    spec: &SessionSpec,
    policy: &str,
) -> Result<(), SessionError> {
    let dir = state.session(spec.id);
    let failed = |path: &Path| SessionError::file(format!("{} can't be written", path.display()));
    fs::create_dir_all(state.sessions()).map_err(failed(&state.sessions()))?;
    // What is in there is nobody's business but this installation's.
    let made = fs::DirBuilder::new().mode(0o700).create(dir.path());
    made.or_else(|e| if e.kind() == io::ErrorKind::AlreadyExists { Ok(()) } else { Err(e) })
        .map_err(failed(dir.path()))?;
    let key = vault.make(Scope::Session(spec.id))?;
    let sealed = spec.sealed(&key).map_err(io::Error::other).map_err(failed(&dir.spec()))?;
    let files = [(dir.policy(), policy.as_bytes()), (dir.spec(), sealed.as_slice())];
    durable(&files).map_err(failed(dir.path()))
}

/// Writes files of one directory, each of which is there whole or not at all after a crash.
pub(crate) fn durable(files: &[(PathBuf, &[u8])]) -> io::Result<()> {
    let mut dirs = BTreeSet::new();
    for (path, bytes) in files {
        let dir = path.parent().unwrap_or(Path::new("."));
        let mut file = tempfile::Builder::new().prefix(".new-").tempfile_in(dir)?;
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        file.persist(path)?;
        dirs.insert(dir);
    }
    dirs.into_iter().try_for_each(|dir| fs::File::open(dir)?.sync_all())
}

async fn unwrite(orchestrator: &Arc<Orchestrator>, context: &mut Context) {
    let dir = orchestrator.state().session(context.id);
    let known = orchestrator.plane().store().session(context.id).await;
    if !matches!(known, Ok(None)) {
        // It is on record: what was asked for stays.
        return;
    }
    let removed = remove(&dir).map_err(SessionError::file("removing what was begun"));
    let key = orchestrator.plane().vault().destroy(Scope::Session(context.id));
    if let Err(error) = removed.and(key.map_err(SessionError::from)) {
        tracing::error!(error = %chain(&error), session = %context.id, "what was begun can't be removed");
    }
}

/// Removes the directory of a session that never came to be.
pub(crate) fn remove(dir: &SessionDir) -> io::Result<()> {
    match fs::remove_dir_all(dir.path()) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

async fn record(
    orchestrator: &Arc<Orchestrator>,
    context: &mut Context,
) -> Result<(), SessionError> {
    if orchestrator.plane().store().session(context.id).await?.is_some() {
        return Ok(());
    }
    let (spec, version) = spec_of(context)?;
    let request: StartSession = requested(&spec);
    let (decision, rule, reason, approvals, approvers) =
        match evaluate(version, request.clone(), &[]) {
            // The keeper asks for its own permit: one can't be passed on.
            Verdict::Allow(permit) => {
                (Decision::Allow, permit.rule().to_owned(), String::new(), 0, Vec::new())
            }
            Verdict::NeedsApproval(needed) => {
                let missing = needed.missing as u64;
                let reason = format!("{missing} approval(s) are needed");
                (Decision::NeedsApproval, needed.rule.text, reason, missing, needed.by)
            }
            Verdict::Deny(refused) => {
                (Decision::Deny, refused.rule.text, refused.reason, 0, Vec::new())
            }
        };
    let requested = SessionRequested {
        session: context.id,
        project: context.asked.project.clone(),
        request,
        command_whole: None,
        environment_whole: None,
        policy: version.digest(),
        policy_name: version.name().to_owned(),
        decision,
        rule,
        reason,
        approvals,
        approvers,
        idempotency: context.asked.idempotency.clone(),
    };
    let (requested, redactions) = redacted(orchestrator, &spec, version, requested)?;
    let body = ControlBody::SessionRequested(Box::new(requested));
    orchestrator.plane().record_redacted(&context.author, body, redactions).await?;
    Ok(())
}

/// The request as it may go on record, and what was taken out of it. What was asked for is kept for the keeper, sealed.
fn redacted(
    orchestrator: &Arc<Orchestrator>,
    spec: &SessionSpec,
    policy: &PolicyVersion,
    requested: SessionRequested,
) -> Result<(SessionRequested, Vec<Redaction>), SessionError> {
    // It goes into the control log: under that log's salt, so that an auditor finds one secret in all of it.
    let key = orchestrator.plane().vault().make(Scope::Control)?;
    let redactor = redactor(spec, policy, &key)?;
    let redacted = redactor.redact_document(&requested, "/data")?;
    let (requested, redactions) = redacted.unwrap_or((requested, Vec::new()));
    Ok((requested.fitted(), redactions))
}

/// A refusal has a record like everything else.
async fn refuse(
    orchestrator: &Arc<Orchestrator>,
    context: &mut Context,
) -> Result<(), SessionError> {
    orchestrator.seal_refusal(context.id).await
}
