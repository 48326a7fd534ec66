//! One session in one page: what was read, written, run and refused, each with the event that proves it.
//!
//! Pure: events go in, in the order of the record, and the summary comes out.

mod tally;

use std::collections::BTreeMap;

use custody_model::{
    Actor, Digest, EventId, LimitName, SessionId, Timestamp, UserName, WorkspacePath,
};
use custody_record::event::{
    Body, ClosingCode, CommitCreated, Coverage, Deed, EgressVia, ExitStatus, GapCode, HistoryRead,
    MediationMode, Operation, Outcome, OutsidePlace, Place, ProcessExecuted, RequestedSession,
};
use custody_record::verify::CLOCK_TOLERANCE;
use custody_record::witness::WitnessAssurance;
use custody_record::{Event, ReadError, Reader};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use tally::Tally;

/// A session in one page. Lists are in the order of their first event.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Summary {
    /// The session.
    pub session: SessionId,
    /// Who asked; absent if it was refused.
    pub requester: Option<UserName>,
    /// Who approved.
    pub approvers: Vec<UserName>,
    /// The policy's name and the rule that allowed it.
    pub policy_name: Option<String>,
    /// Digest of the policy version.
    pub policy: Digest,
    /// The rule that allowed (or refused) it.
    pub rule: Option<String>,
    /// What was asked for.
    pub request: Option<RequestedSession>,
    /// How the workspace was mediated.
    pub mediation: Option<MediationMode>,
    /// Why it was strict where nobody asked for that, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mediation_reason: Option<String>,
    /// When it was authorised.
    pub authorized: Option<Moment>,
    /// When the sandbox existed.
    pub provisioned: Option<Moment>,
    /// When the command started.
    pub started: Option<Moment>,
    /// When the record was closed; absent while it runs, or if its keeper died and nobody closed it yet.
    pub closed: Option<Moment>,
    /// How it ended.
    pub outcome: Option<Outcome>,
    /// Its code; absent in records from before the codes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<ClosingCode>,
    /// The limit that was reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<LimitName>,
    /// Why, in words.
    pub reason: Option<String>,
    /// How the command ended.
    pub exit: Option<ExitStatus>,
    /// Files whose content was opened, to read or to run it (without the repository's own `.git`).
    pub read: Vec<Touched>,
    /// Files that were created, written, truncated, linked or renamed to this (without the repository's own `.git`).
    pub written: Vec<Touched>,
    /// Files that were removed or renamed away (without the repository's own `.git`).
    pub removed: Vec<Touched>,
    /// Distinct programs with their arguments.
    pub executed: Vec<Executed>,
    /// Files outside of the workspace: what was done to them, once each.
    #[serde(default)]
    pub outside: Vec<Outside>,
    /// Refused accesses to files.
    pub denied: Vec<Denied>,
    /// Refused attempts to reach something outside.
    pub egress: Vec<Egress>,
    /// What a rule forbids and was found in the outputs.
    pub violations: Vec<Violation>,
    /// What could not be recorded.
    pub gaps: Vec<GapSeen>,
    /// Where the times of events run backwards, and the longest time, in microseconds, by which they do: the clock was set back.
    /// Absent if they run on, but for [`CLOCK_TOLERANCE`](custody_record::verify::CLOCK_TOLERANCE).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock_set_back: Option<ClockSetBack>,
    /// Differences between the workspace and the record; absent if they were not compared.
    pub differences: Option<u64>,
    /// The commits of its branch.
    pub commits: Vec<CommitSeen>,
    /// Events in the record so far.
    pub events: u64,
    /// Coverage of each place, as the record states it at its end; what older records call `files` is `workspace`.
    pub coverage: BTreeMap<String, Coverage>,
    /// Who but the installation vouches for the record, up to its newest head in the installation log; absent where that was
    /// not looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub witnesses: Option<WitnessAssurance>,
}

impl Summary {
    /// From a whole record, or from what there is of one that is being written. `None` before its first event.
    ///
    /// # Errors
    /// If the record can't be read.
    pub fn of(record: &Reader) -> Result<Option<Self>, ReadError> {
        let mut summarizer: Option<Summarizer> = None;
        for event in record.events()? {
            let event = event?;
            let begin = || Summarizer::new(event.session, event.policy);
            summarizer.get_or_insert_with(begin).add(&event);
        }
        Ok(summarizer.map(Summarizer::finish))
    }
}

/// Which event proves a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EventRef {
    /// Its place in the session's log.
    pub seq: u64,
    /// Its id.
    pub id: EventId,
}

/// When something happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Moment {
    /// When.
    pub time: Timestamp,
    /// The event that tells it.
    pub event: EventRef,
}

/// A commit of the session's branch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CommitSeen {
    /// The commit.
    #[serde(flatten)]
    pub commit: CommitCreated,
    /// The event.
    pub event: EventRef,
}

/// A file that was touched.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Touched {
    /// Which.
    pub path: WorkspacePath,
    /// How often, as events tell it.
    pub count: u64,
    /// The first event that tells of it.
    pub event: EventRef,
}

/// A program that ran.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Executed {
    /// The arguments.
    pub argv: Vec<String>,
    /// The file that ran, if it is not the one that was announced with these arguments.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ran: Option<String>,
    /// How often.
    pub count: u64,
    /// The first event that tells of it.
    pub event: EventRef,
}

/// A file outside of the workspace.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Outside {
    /// Where.
    pub place: OutsidePlace,
    /// Its absolute path in the sandbox.
    pub path: String,
    /// What was done.
    pub operation: Operation,
    /// The part of the history.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub history: Option<HistoryRead>,
    /// Number of its events.
    pub count: u64,
    /// The first of them.
    pub event: EventRef,
}

/// A refused access to a file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Denied {
    /// Which.
    pub path: WorkspacePath,
    /// What was attempted.
    pub operation: Operation,
    /// The rule.
    pub rule: String,
    /// How often.
    pub count: u64,
    /// The program that attempted it first.
    pub program: Option<String>,
    /// The first event that tells of it.
    pub event: EventRef,
}

/// A refused attempt to reach something outside.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Egress {
    /// Host or address, with the port.
    pub target: String,
    /// By which way.
    pub via: EgressVia,
    /// How often.
    pub count: u64,
    /// The program that attempted it first.
    pub program: Option<String>,
    /// The first event that tells of it.
    pub event: EventRef,
}

/// A forbidden path that came into being.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Violation {
    /// Which.
    pub path: WorkspacePath,
    /// The rule.
    pub rule: String,
    /// What was found.
    pub what: String,
    /// The event.
    pub event: EventRef,
}

/// Something that could not be recorded.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct GapSeen {
    /// Its code; absent in records from before the codes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<GapCode>,
    /// Why and what, in words.
    pub reason: String,
    /// The event.
    pub event: EventRef,
}

/// A clock that was set back while the session ran.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ClockSetBack {
    /// The longest time by which an event is older than an event before it, in microseconds.
    pub micros: i64,
    /// The event.
    pub event: EventRef,
}

/// Builds a summary event by event.
#[derive(Debug)]
pub struct Summarizer {
    summary: Summary,
    read: Tally<WorkspacePath, Touched>,
    written: Tally<WorkspacePath, Touched>,
    removed: Tally<WorkspacePath, Touched>,
    /// By arguments, and by the file of a correction.
    executed: Tally<(Vec<String>, Option<String>), Executed>,
    outside: Tally<(Place, String, String), Outside>,
    denied: Tally<(WorkspacePath, String), Denied>,
    egress: Tally<(String, String), Egress>,
    /// Program of each image.
    programs: BTreeMap<u64, String>,
    /// The latest time of an event so far.
    latest: Option<Timestamp>,
}

impl Summarizer {
    /// Starts with the first event of a record (any will do).
    #[must_use]
    pub fn new(session: SessionId, policy: Digest) -> Self {
        Self {
            summary: Summary {
                session,
                requester: None,
                approvers: Vec::new(),
                policy_name: None,
                policy,
                rule: None,
                request: None,
                mediation: None,
                mediation_reason: None,
                authorized: None,
                provisioned: None,
                started: None,
                closed: None,
                outcome: None,
                code: None,
                limit: None,
                reason: None,
                exit: None,
                read: Vec::new(),
                written: Vec::new(),
                removed: Vec::new(),
                executed: Vec::new(),
                outside: Vec::new(),
                denied: Vec::new(),
                egress: Vec::new(),
                violations: Vec::new(),
                gaps: Vec::new(),
                clock_set_back: None,
                differences: None,
                commits: Vec::new(),
                events: 0,
                coverage: BTreeMap::new(),
                witnesses: None,
            },
            read: Tally::default(),
            written: Tally::default(),
            removed: Tally::default(),
            executed: Tally::default(),
            outside: Tally::default(),
            denied: Tally::default(),
            egress: Tally::default(),
            programs: BTreeMap::new(),
            latest: None,
        }
    }

    /// How far an event's time lies before the latest of those before it.
    fn note_time(&mut self, time: Timestamp, event: EventRef) {
        let latest = *self.latest.get_or_insert(time);
        let micros = latest.as_micros().saturating_sub(time.as_micros());
        let longest =
            self.summary.clock_set_back.as_ref().map_or(CLOCK_TOLERANCE, |told| told.micros);
        if micros > longest {
            self.summary.clock_set_back = Some(ClockSetBack { micros, event });
        }
        self.latest = Some(latest.max(time));
    }

    /// Takes the next event of the record.
    pub fn add(&mut self, event: &Event) {
        self.summary.events += 1;
        let proof = EventRef { seq: event.seq, id: event.id };
        self.note_time(event.time, proof);
        let moment = Moment { time: event.time, event: proof };
        for deed in Deed::of(&event.body) {
            self.take(&event.actor, proof, deed);
        }
        match &event.body {
            Body::SessionAuthorized(data) => {
                self.summary.requester = Some(data.requester.clone());
                self.summary.approvers.clone_from(&data.approvers);
                self.summary.policy_name = Some(data.policy_name.clone());
                self.summary.rule = Some(data.rule.clone());
                self.summary.request = Some(data.request.clone());
                self.summary.authorized = Some(moment);
            }
            Body::SessionProvisioned(data) => {
                let (mode, words) = MediationMode::of(&data.mediation);
                self.summary.mediation = mode;
                self.summary.mediation_reason =
                    data.mediation_reason.clone().or(words.map(str::to_owned));
                self.summary.provisioned = Some(moment);
            }
            Body::SessionStarted(_) => self.summary.started = Some(moment),
            Body::SessionClosed(data) => {
                self.summary.closed = Some(moment);
                self.summary.outcome = Some(data.outcome);
                (self.summary.code, self.summary.limit) = (data.code, data.limit);
                self.summary.reason = Some(data.reason.clone());
                self.summary.exit = data.exit;
                self.summary.coverage = Place::named(&data.coverage);
            }
            Body::PolicyDecided(data) => {
                self.summary.rule.get_or_insert_with(|| data.rule.clone());
            }
            Body::WorkspaceCompared(data) => {
                self.summary.differences = Some(data.difference_count);
            }
            Body::CommitCreated(data) => {
                self.summary.commits.push(CommitSeen { commit: data.clone(), event: proof })
            }
            Body::FileOutside(data) => {
                let place = match data.place {
                    OutsidePlace::Scratch => Place::Scratch,
                    OutsidePlace::Image => Place::Image,
                    OutsidePlace::GitObjects => Place::GitObjects,
                };
                let path = data.path.clone();
                let key = (place, path.clone(), format!("{:?}", data.operation));
                let operation = data.operation;
                let history = data.history.clone();
                let first = || Outside {
                    place: data.place,
                    path,
                    operation,
                    history,
                    count: 0,
                    event: proof,
                };
                self.outside.entry(&key, first).count += 1;
            }
            Body::SessionPaused(_)
            | Body::SessionResumed(_)
            | Body::PolicyViolated(_)
            | Body::ProcessExecuted(_)
            | Body::ProcessExited(_)
            | Body::FileOpened(_)
            | Body::FileReopened(_)
            | Body::FileWritten(_)
            | Body::FileRenamed(_)
            | Body::FileRemoved(_)
            | Body::FileLinked(_)
            | Body::FileSymlinked(_)
            | Body::AttributesChanged(_)
            | Body::FileDenied(_)
            | Body::EgressDenied(_)
            | Body::RedactionApplied(_)
            | Body::TerminalRecorded(_)
            | Body::RecorderGap(_)
            | Body::RecorderDegraded(_)
            | Body::RecorderRestored(_) => {}
        }
    }

    /// Lists what was done.
    fn take(&mut self, actor: &Actor, proof: EventRef, deed: Deed<'_>) {
        match deed {
            Deed::Read { path, .. } => touch(&mut self.read, path, proof),
            Deed::ReadAgain { path, count } => {
                if let Some(read) = self.read.get_mut(path) {
                    read.count += count;
                }
            }
            Deed::Wrote { path, .. } => touch(&mut self.written, path, proof),
            Deed::Removed { path } => touch(&mut self.removed, path, proof),
            Deed::Refused(data) => {
                let key = (data.path.clone(), format!("{:?}", data.operation));
                let program = || self.programs.get(&image(actor)).cloned();
                let first = || Denied {
                    path: data.path.clone(),
                    operation: data.operation,
                    rule: data.rule.clone(),
                    count: 0,
                    program: program(),
                    event: proof,
                };
                self.denied.entry(&key, first).count += data.count;
            }
            Deed::Ran(data) => {
                self.programs.insert(data.image.0, program(&data.argv, &data.exe));
                self.ran(data, None, proof).count += 1;
            }
            Deed::RanInstead(data) => {
                // Its name in the arguments is that of the program that did not run.
                self.programs.insert(data.image.0, program(&[], &data.exe));
                let announced = self.ran(data, None, proof);
                announced.count = announced.count.saturating_sub(1);
                self.ran(data, Some(data.exe.clone()), proof).count += 1;
            }
            Deed::EgressRefused(data) => {
                let host = data.host.as_ref().or(data.address.as_ref());
                // Names of hosts are the same in every spelling; the event has the one that was asked for.
                let host = host.map_or_else(|| "?".to_owned(), |host| host.to_ascii_lowercase());
                let target = match data.port {
                    Some(port) => format!("{host}:{port}"),
                    None => host,
                };
                let key = (target.clone(), format!("{:?}", data.via));
                let program = || self.programs.get(&image(actor)).cloned();
                let first =
                    || Egress { target, via: data.via, count: 0, program: program(), event: proof };
                self.egress.entry(&key, first).count += 1;
            }
            Deed::Violated(data) => self.summary.violations.push(Violation {
                path: data.path.clone(),
                rule: data.rule.clone(),
                what: data.what.clone(),
                event: proof,
            }),
            Deed::Missed(data) => {
                self.summary.gaps.push(GapSeen {
                    code: data.code,
                    reason: data.reason.clone(),
                    event: proof,
                });
            }
        }
    }

    /// What stands for these arguments, and for the file that ran in place of the announced one.
    fn ran(
        &mut self,
        data: &ProcessExecuted,
        ran: Option<String>,
        proof: EventRef,
    ) -> &mut Executed {
        let key = (data.argv.clone(), ran);
        self.executed.entry(&key, || Executed {
            argv: key.0.clone(),
            ran: key.1.clone(),
            count: 0,
            event: proof,
        })
    }

    /// The summary of what was taken.
    #[must_use]
    pub fn finish(self) -> Summary {
        let mut executed = self.executed.into_list();
        // Announced, and each time something else ran.
        executed.retain(|executed| executed.count > 0);
        Summary {
            read: self.read.into_list(),
            written: self.written.into_list(),
            removed: self.removed.into_list(),
            executed,
            outside: self.outside.into_list(),
            denied: self.denied.into_list(),
            egress: self.egress.into_list(),
            ..self.summary
        }
    }
}

fn touch(tally: &mut Tally<WorkspacePath, Touched>, path: &WorkspacePath, event: EventRef) {
    tally.entry(path, || Touched { path: path.clone(), count: 0, event }).count += 1;
}

fn image(actor: &Actor) -> u64 {
    match actor {
        Actor::Process(process) => process.image.map_or(0, |i| i.0),
        Actor::User { .. } | Actor::Keeper | Actor::Server => 0,
    }
}

fn program(argv: &[String], exe: &str) -> String {
    let name = argv.first().map_or(exe, String::as_str);
    name.rsplit('/').next().unwrap_or(name).to_owned()
}
