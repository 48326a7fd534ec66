//! Finish: compare, put the outputs out, close and seal the record, clean up.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::fd::AsFd;
use std::path::PathBuf;

use custody_model::Clock;
use custody_policy::Refusal;
use custody_record::event::{
    BlobRef, Body, ChangedFile, ClosingCode, Coverage, Decision, GapCode, GapSource, Outcome,
    Place, TerminalRecorded, WorkspaceCompared,
};
use custody_record::{
    InstallationLog, Journal, JournalHeader, JournalOptions, Keys, Redactor, Sink, SinkError,
    living,
};
use custody_sandbox::Authorization;
use custody_workspace::compare::compare;
use custody_workspace::descent;
use custody_workspace::outputs::{self, OutputLimits, OutputRequest, Outputs};
use custody_workspace::spelling::Spelling;

use super::prepare::Prepared;
use super::serve::Served;
use super::{Finished, KeeperError, Patience, Session, closing, health, refusal};
use crate::asciicast::{Counts, MEDIA_TYPE, Recorded};
use crate::frame::Ended;
use crate::layout::{SessionDir, StateDir};
use crate::recorder::Recorder;
use crate::spec::SessionSpec;

/// Longest first line of the message of Custody's commit, in characters.
const SUBJECT_CHARS: usize = 72;

/// Where the terminal is recorded while the session runs.
pub(super) fn cast_path(dir: &SessionDir) -> PathBuf {
    dir.run().join("terminal.cast")
}

/// Ends the session's record with everything that its end brings.
pub(super) fn finish(
    session: &Session<'_>,
    authorization: &Authorization,
    prepared: Prepared,
    served: Served,
) -> Result<Finished, KeeperError> {
    session.progress("closing the record", None, None);
    let mut ended = Ended {
        outcome: served.outcome,
        code: Some(served.code),
        limit: served.limit,
        reason: served.reason,
        exit: served.exit,
    };
    // What comes now reads and writes much: not before the record can be written.
    health::insist(session, "the record", &session.ending, || Ok(session.journal.barrier()?))?;
    let (mut compared, mut keep) = (None, false);
    if served.ran {
        compared = Some(compare_workspace(session, &prepared)?);
        prepared.watch.compare_scratch(&session.recorder)?;
        if let Some(recorded) = &served.terminal {
            record_terminal(session, recorded)?;
        }
        if let Err(error) = publish(session, authorization, &prepared) {
            // The record says so, and what the session wrote is still told by its events.
            tracing::error!(error = %error.chain(), "the outputs could not be published");
            ended.reason =
                format!("{}; its outputs could not be published: {}", ended.reason, error.chain());
            ended.outcome = Outcome::Failed;
            ended.code = Some(ClosingCode::OutputsFailed);
            keep = true;
            let upper = prepared.workspace.upper();
            let upper = upper.strip_prefix(session.dir.path()).unwrap_or(upper);
            ended.reason = format!(
                "{}; what the session wrote is kept in {} of its directory",
                ended.reason,
                upper.display()
            );
        }
    }
    let coverage = match served.ran {
        true => {
            let counts = served.terminal.as_ref().map(|recorded| recorded.counts);
            covered(session, compared.as_ref(), counts)
        }
        false => nothing_covered(),
    };
    let Prepared { workspace, guard, watch, .. } = prepared;
    drop(watch);
    if let Err(error) = workspace.detach() {
        tracing::warn!(%error, "the workspace could not be unmounted; it goes with this process");
    }
    drop(workspace);
    if let Some(guard) = guard
        && let Err(error) = guard.unmount()
    {
        tracing::warn!(%error, "the guard could not be unmounted; it goes with this process");
    }
    close(session, &ended, coverage)?;
    Ok(Finished { ended, keep })
}

fn compare_workspace(
    session: &Session<'_>,
    prepared: &Prepared,
) -> Result<WorkspaceCompared, KeeperError> {
    let upper = File::open(prepared.workspace.upper())
        .map_err(KeeperError::file("opening the upper layer"))?;
    let compared = compare(upper.as_fd(), &prepared.contents, Spelling::as_it_is())
        .map_err(KeeperError::step("comparing the workspace with the record"))?;
    for gap in compared.gaps {
        session.recorder.gap(GapSource::Files, GapCode::NotCompared, gap)?;
    }
    session.recorder.keeper(Body::WorkspaceCompared(compared.told.clone()), Vec::new())?;
    Ok(compared.told)
}

fn record_terminal(session: &Session<'_>, recorded: &Recorded) -> Result<(), KeeperError> {
    let path = cast_path(&session.dir);
    let blob = health::insist(session, "the terminal's recording", &session.ending, || {
        let mut cast =
            File::open(&path).map_err(KeeperError::file(format!("opening {}", path.display())))?;
        session
            .journal
            .blobs()
            .put_redacted("terminal", MEDIA_TYPE, &mut cast)
            .map_err(KeeperError::step("storing the terminal's recording"))
    })?;
    let blobs = session.journal.blobs();
    blobs.note_redacted(blob.digest, recorded.marks.clone(), recorded.redacted);
    let counts = recorded.counts;
    let body = Body::TerminalRecorded(TerminalRecorded {
        output_bytes: counts.output,
        input_bytes: counts.input,
        cut_bytes: counts.cut,
    });
    session.recorder.keeper(body, vec![blob])?;
    Ok(())
}

/// Makes the commits, records them, and only then gives the branch its name in the mirror.
fn publish(
    session: &Session<'_>,
    authorization: &Authorization,
    prepared: &Prepared,
) -> Result<(), KeeperError> {
    let head = session.journal.head()?;
    let scratch = session.dir.run();
    // A commit is the session's product and no record, but this text is Custody's.
    let subject = subject(&session.spec.command, &session.redactor);
    let request = OutputRequest {
        mirror: &prepared.mirror,
        base: &prepared.base,
        rules: authorization.intent().path_rules(),
        session: session.spec.id,
        record_root: &head.root.to_string(),
        clean: prepared.workspace.clean(),
        clean_path: prepared.workspace.clean_path(),
        layer: prepared.workspace.upper(),
        scratch: &scratch,
        blobs: session.journal.blobs(),
        redactor: &session.redactor,
        subject: &subject,
        author: &outputs::Identity::agent(),
        time: session.setup.clock.now(),
        limits: OutputLimits::default(),
    };
    let patience = Patience::new("disk.outputs_wait", session.setup.waits.outputs);
    patience.begin();
    let prepared = health::insist(session, OUTPUTS, &patience, || {
        outputs::prepare(&request).map_err(KeeperError::step("making the outputs"))
    })?;
    record_outputs(session, &patience, &prepared.outputs)?;
    if prepared.outputs.branch.is_some() {
        // Nobody gets a branch of which the installation log does not know.
        health::insist(session, OUTPUTS, &patience, || {
            let now = session.setup.clock.now();
            let head = living::publish(&session.journal, &session.log, 0, now);
            head.map(drop).map_err(KeeperError::step("telling the installation log of them"))
        })?;
    }
    health::insist(session, OUTPUTS, &patience, || {
        prepared.export(&request).map_err(KeeperError::step("publishing the outputs"))
    })
}

/// What the record calls them while they wait for the disk.
const OUTPUTS: &str = "the outputs";

/// First what the disk may refuse, and then each event once.
fn record_outputs(
    session: &Session<'_>,
    patience: &Patience,
    outputs: &Outputs,
) -> Result<(), KeeperError> {
    let mut lists = Vec::new();
    for commit in &outputs.commits {
        let files: Option<&Vec<ChangedFile>> = commit.all_files.as_ref();
        lists.push(files.map(|files| store_list(session, patience, files)).transpose()?);
    }
    for violation in &outputs.violations {
        session.recorder.keeper(Body::PolicyViolated(violation.clone()), Vec::new())?;
    }
    let last = outputs.commits.len().saturating_sub(1);
    for (index, (commit, list)) in outputs.commits.iter().zip(lists).enumerate() {
        let mut blobs: Vec<BlobRef> = list.into_iter().collect();
        if index == last {
            blobs.extend(outputs.diff.as_ref().and_then(|diff| diff.blob.clone()));
        }
        session.recorder.keeper(Body::CommitCreated(commit.event.clone()), blobs)?;
    }
    if let Some(cut) = outputs.diff.as_ref().and_then(|diff| diff.cut.as_ref()) {
        session.recorder.gap(GapSource::Keeper, GapCode::DiffCut, cut.clone())?;
    }
    health::insist(session, OUTPUTS, patience, || Ok(session.journal.barrier()?))
}

/// The list of files that has no room in its event.
fn store_list(
    session: &Session<'_>,
    patience: &Patience,
    files: &[ChangedFile],
) -> Result<BlobRef, KeeperError> {
    let json = serde_json::to_vec(files).map_err(|e| SinkError::Malformed(e.to_string()))?;
    // No content, but what the event would say if it had room: it stays when the content is erased.
    let blobs = session.journal.blobs().in_the_clear();
    health::insist(session, OUTPUTS, patience, || {
        blobs
            .put_bytes("files", "application/json", &json)
            .map_err(KeeperError::step("storing the list of files"))
    })
}

/// The first line of the message of Custody's commit. What is a credential goes before it is cut: the branch is for people.
fn subject(command: &[String], redactor: &Redactor) -> String {
    let mut text = format!("Custody: {}", redactor.clean_list(command).join(" "));
    if text.chars().count() > SUBJECT_CHARS {
        text = text.chars().take(SUBJECT_CHARS - 1).collect();
        text.push('…');
    }
    text
}

/// Coverage of a session of which nothing ran.
pub(super) fn nothing_covered() -> BTreeMap<String, Coverage> {
    Place::coverage(|_| Coverage::Absent)
}

fn covered(
    session: &Session<'_>,
    compared: Option<&WorkspaceCompared>,
    terminal: Option<Counts>,
) -> BTreeMap<String, Coverage> {
    let by = |complete: bool| if complete { Coverage::Complete } else { Coverage::Gaps };
    let same = compared.is_some_and(|c| c.difference_count == 0);
    let whole = |source| !session.recorder.has_gap(source) && !session.journal.has_gap(source);
    Place::coverage(|place| match place {
        Place::Workspace => by(same && whole(GapSource::Files)),
        Place::Scratch => by(whole(GapSource::Scratch)),
        // Git maps its packs: that it opened them is on record, which objects it read is not. Of the system's own trees of
        // the image only the programs that are run are on record.
        Place::GitObjects | Place::Image => {
            match whole(GapSource::Processes) && whole(GapSource::Image) {
                true => Coverage::Partial,
                false => Coverage::Gaps,
            }
        }
        Place::Processes => by(whole(GapSource::Processes)),
        Place::Network => by(whole(GapSource::Network)),
        Place::Terminal => by(terminal.is_some_and(|t| t.cut == 0) && whole(GapSource::Terminal)),
        // Model calls pass no gateway yet: nothing is known of them.
        Place::Models => Coverage::Absent,
    })
}

/// Appends the closing event, if it is not there, and seals the record.
pub(super) fn close(
    session: &Session<'_>,
    ended: &Ended,
    coverage: BTreeMap<String, Coverage>,
) -> Result<(), KeeperError> {
    if !session.journal.counts().contains_key("session.closed") {
        let body = closing(&session.journal, ended, coverage);
        session.recorder.keeper(body, Vec::new())?;
    }
    session.ending.begin();
    health::insist(session, "the seal", &session.ending, || {
        session
            .journal
            .seal(&session.keys, &session.log)
            .map_err(KeeperError::step("sealing the record"))
    })?;
    Ok(())
}

/// Makes the whole record of a session that was refused before a keeper was started.
///
/// # Errors
/// [`KeeperError`].
pub fn close_refused(
    state: &StateDir,
    spec: &SessionSpec,
    decision: Decision,
    refused: &Refusal,
    clock: std::sync::Arc<dyn Clock>,
) -> Result<(), KeeperError> {
    let dir = state.session(spec.id);
    let keys = Keys::open(&state.keys()).map_err(KeeperError::step("opening the keys"))?;
    let log = InstallationLog::open(&state.log(), &keys)
        .map_err(KeeperError::step("opening the installation log"))?;
    let header = JournalHeader {
        session: spec.id,
        policy: refused.policy,
        on_behalf_of: Some(spec.requester.clone()),
    };
    let journal = Journal::create(&dir.record(), header, JournalOptions::default())
        .map_err(KeeperError::step("opening the journal"))?;
    // The reason of a refusal may quote what was asked for.
    let redactor =
        Redactor::standard().map_err(KeeperError::step("reading what is to be redacted"))?;
    let journal = std::sync::Arc::new(journal.with_redactor(std::sync::Arc::new(redactor)));
    let recorder = Recorder::new(journal.clone(), clock);
    let (rule, reason) = (refused.rule.text.clone(), refused.reason.clone());
    recorder.keeper(refusal(rule, reason.clone(), decision), Vec::new())?;
    let (outcome, code) = (Outcome::Refused, Some(ClosingCode::Refused));
    let ended = Ended { outcome, code, limit: None, reason, exit: None };
    recorder.keeper(closing(&journal, &ended, nothing_covered()), Vec::new())?;
    journal.seal(&keys, &log).map_err(KeeperError::step("sealing the record"))?;
    Ok(())
}

/// Removes what only a living session needs. What can't be removed is told: it takes up room and does no harm.
pub(super) fn clean_up(dir: &SessionDir, keep_workspace: bool) {
    for path in [dir.workspace(), dir.run()] {
        if keep_workspace && path == dir.workspace() {
            continue;
        }
        if let Err(error) = descent::remove(&path)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(%error, path = %path.display(), "it could not be removed");
        }
    }
}

/// Says to whoever finds the record that its keeper gave up, and did not die.
pub(super) fn leave_word(dir: &SessionDir) {
    if let Err(error) = std::fs::rename(dir.waiting(), dir.gave_up()) {
        tracing::warn!(%error, "that the keeper gave up can't be left behind");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credential_that_the_end_of_the_subject_would_cut_is_not_in_it() {
        let redactor = Redactor::standard().unwrap();
        // Put together here so that no scanner takes this file for a leak.
        let token = ["gh", "p_", "x4T9bK2mQ7wZ1rV8cN5yH3jL6pD0sF4gAe2u"].concat();
        for before in 0..SUBJECT_CHARS {
            let filler = "x".repeat(before);
            for command in [vec![filler.clone(), token.clone()], vec![format!("{filler},{token},")]]
            {
                let subject = subject(&command, &redactor);
                assert!(!subject.contains(&token[..8]), "{subject}");
                assert!(subject.chars().count() <= SUBJECT_CHARS);
            }
            let command = ["curl".to_owned(), filler, "-u".to_owned(), "me:hunter2".to_owned()];
            assert!(!subject(&command, &redactor).contains("hunter2"));
        }
    }
}
