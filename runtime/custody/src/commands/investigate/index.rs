//! The index that this command makes for itself from the records, and that goes when it ends.

use custody_control::RecordIndexer;
use custody_investigate::report::UnreadRecord;
use custody_keeper::spec::SessionSpec;
use custody_model::state::session::SessionState;
use custody_model::{ErrorCode, ProjectName, SessionId, StartSession};
use custody_record::{Blobs, ReadError, Tail};
use custody_session::records;
use custody_store::{Change, Counts, SessionRow, Store, UnitOfWork};

use crate::failure::{Explain, Failure};
use crate::wire::Wire;

/// Events that are taken in one reading.
const BATCH: usize = 4096;

/// Fills the store from the records of all sessions. One that can't be read must not take the answers of all others
/// away: those are given back.
pub async fn fill(wire: &Wire, store: &dyn Store) -> Result<Vec<UnreadRecord>, Failure> {
    let mut unread = Vec::new();
    let sessions =
        records::all(&wire.state).explain(ErrorCode::Io, "the sessions can't be listed")?;
    let project: ProjectName = "local".parse().explain(ErrorCode::Internal, "the project")?;
    for session in sessions {
        if let Err(ReadError::NoRecord(_)) = records::reader(&wire.state, session)
            && wire.state.session(session).run().exists()
        {
            // Its keeper has not begun the record yet: there are no outputs.
            continue;
        }
        match indexed(wire, session, &project) {
            Ok((row, unit)) => {
                let changes = vec![Change::Session(Box::new(row))];
                store.save(UnitOfWork { changes, ..UnitOfWork::default() }).await?;
                if let Some(unit) = unit {
                    store.save(unit).await?;
                }
            }
            Err(error) => unread.push(UnreadRecord { session, reason: error.to_string() }),
        }
    }
    Ok(unread)
}

/// A session as it was asked for, and what its record changes.
fn indexed(
    wire: &Wire,
    session: SessionId,
    project: &ProjectName,
) -> Result<(SessionRow, Option<UnitOfWork>), Failure> {
    let unreadable = "the record can't be read";
    records::reader(&wire.state, session).explain(ErrorCode::Io, "it can't be opened")?;
    let spec =
        records::spec(&wire.state, session).explain(ErrorCode::Io, "its request can't be read")?;
    let row = row(spec, project.clone());
    let record = wire.state.session(session).record();
    let repository = row.request.repository.clone();
    let mut indexer = RecordIndexer::new(session, repository, Blobs::open(&record));
    let mut tail = Tail::new(&record, 0);
    loop {
        let fresh = tail.read(BATCH).explain(ErrorCode::VerificationFailed, unreadable)?;
        for entry in &fresh.entries {
            indexer.add(entry).explain(ErrorCode::VerificationFailed, unreadable)?;
        }
        if fresh.end {
            indexer.seal();
        }
        if fresh.end || fresh.entries.is_empty() {
            let unit = indexer.unit(row.clone());
            return Ok((row, unit));
        }
    }
}

fn row(spec: SessionSpec, project: ProjectName) -> SessionRow {
    SessionRow {
        id: spec.id,
        project,
        requested_at: spec.requested_at,
        policy: spec.policy,
        policy_name: String::new(),
        rule: String::new(),
        approvals_wanted: 0,
        approvers: Vec::new(),
        approvals: Vec::new(),
        idempotency: None,
        state: SessionState::requested(spec.requested_at),
        updated_at: spec.requested_at,
        stop: None,
        outcome: None,
        reason: None,
        exit: None,
        events: 0,
        root: None,
        counts: Counts::default(),
        commit: None,
        request: StartSession {
            requester: spec.requester,
            repository: spec.repository,
            base_commit: spec.base_commit,
            base_tree: spec.base_tree,
            dirty: spec.dirty,
            command: spec.command,
            image: spec.image,
            environment: spec.environment.into_keys().collect(),
            limits: spec.limits,
            strict: spec.strict,
        },
    }
}
