//! What of an observation stands in the record where its whole has no room: the one writer reduces it, after its redaction.
//!
//! A reduced event keeps its type and says what was cut: a list of texts keeps its beginning and a [`WholeList`], a text of
//! words keeps its beginning and its length, a list that has its full count beside it is shortened. What can't be reduced
//! without saying something false becomes a `recorder.gap`. An event that something waits for (an intent) is never replaced:
//! it is refused, and with it the effect.

use custody_model::{Actor, Digest};
use sha2::{Digest as _, Sha256};

use super::form::{Form, canonical_width as width};
use super::{
    Body, Draft, EgressDenied, EventType, Gap, GapCode, GapSource, MAX_EVENT_BYTES, WholeList,
};

/// Canonical bytes of the arguments of a `process.executed`: longer ones are cut.
pub const MAX_ARGUMENT_BYTES: usize = 8 << 10;

/// Canonical bytes of any other list of texts in an event that is too long, also of the control log.
pub(crate) const LIST_BYTES: usize = 16 << 10;

/// Canonical bytes of a path outside of the workspace in an event that is too long.
const PATH_BYTES: usize = 12 << 10;

/// Canonical bytes of words in an event that is too long.
const WORDS_BYTES: usize = 4 << 10;

/// Entries of a list that is counted beside, in an event that is too long: their canonical bytes.
const ENTRIES_BYTES: usize = 40 << 10;

/// Whether this event may not stand as it is. `data` and `whole` are the canonical bytes of its data and of all of it.
pub(crate) fn is_oversized(kind: EventType, data: usize, whole: usize) -> bool {
    whole > MAX_EVENT_BYTES || (kind == EventType::ProcessExecuted && data > MAX_ARGUMENT_BYTES)
}

/// The same event, reduced as far as its type allows; it may be too long even so.
pub(crate) fn reduced(mut draft: Draft) -> Draft {
    match &mut draft.body {
        Body::ProcessExecuted(data) => {
            if let Some(whole) = cut_list(&mut data.argv, MAX_ARGUMENT_BYTES) {
                // Of arguments that were not read to their end nobody knows the whole.
                data.argv_whole = (!data.argv_cut).then_some(whole);
                data.argv_cut = true;
            }
            cut_words(&mut data.exe, PATH_BYTES);
            data.file.iter_mut().for_each(|file| cut_words(file, PATH_BYTES));
            data.cwd.iter_mut().for_each(|cwd| cut_words(cwd, PATH_BYTES));
        }
        Body::SessionAuthorized(data) => {
            data.request.command_whole = cut_list(&mut data.request.command, LIST_BYTES);
            data.request.environment_whole = cut_list(&mut data.request.environment, LIST_BYTES);
            cut_words(&mut data.rule, WORDS_BYTES);
        }
        Body::SessionStarted(data) => {
            data.command_whole = cut_list(&mut data.command, LIST_BYTES);
            cut_words(&mut data.cwd, PATH_BYTES);
        }
        Body::SessionPaused(data) => cut_words(&mut data.reason, WORDS_BYTES),
        Body::SessionClosed(data) => cut_words(&mut data.reason, WORDS_BYTES),
        Body::PolicyDecided(data) => {
            cut_words(&mut data.rule, WORDS_BYTES);
            cut_words(&mut data.reason, WORDS_BYTES);
        }
        Body::PolicyViolated(data) => {
            cut_words(&mut data.rule, WORDS_BYTES);
            cut_words(&mut data.what, WORDS_BYTES);
        }
        Body::FileDenied(data) => cut_words(&mut data.rule, WORDS_BYTES),
        Body::EgressDenied(data) => {
            let EgressDenied { host, address, request, reason, .. } = data;
            [host, address, request].into_iter().flatten().for_each(|t| cut_words(t, WORDS_BYTES));
            cut_words(reason, WORDS_BYTES);
        }
        Body::WorkspaceCompared(data) => keep(&mut data.differences, ENTRIES_BYTES),
        Body::CommitCreated(data) => keep(&mut data.files, ENTRIES_BYTES),
        Body::RedactionApplied(data) => keep(&mut data.redactions, ENTRIES_BYTES),
        Body::RecorderGap(data) => cut_words(&mut data.reason, WORDS_BYTES),
        Body::RecorderDegraded(data) => {
            cut_words(&mut data.step, WORDS_BYTES);
            cut_words(&mut data.error, WORDS_BYTES);
        }
        // What these say are paths, names, counts and digests: half of one is another one.
        Body::SessionProvisioned(_)
        | Body::SessionResumed(_)
        | Body::ProcessExited(_)
        | Body::FileOpened(_)
        | Body::FileOutside(_)
        | Body::FileReopened(_)
        | Body::FileWritten(_)
        | Body::FileRenamed(_)
        | Body::FileRemoved(_)
        | Body::FileLinked(_)
        | Body::FileSymlinked(_)
        | Body::AttributesChanged(_)
        | Body::TerminalRecorded(_)
        | Body::RecorderRestored(_) => {}
    }
    draft
}

/// What is incomplete, and the gap in place of an observation of `size` bytes that has no room, even reduced; `None` if it is no observation: then
/// what waits for it must not happen. `data` is the canonical form of its data.
pub(crate) fn gap(draft: &Draft, data: &[u8], size: usize) -> Option<(GapSource, Draft)> {
    let source = channel(draft.body.event_type())?;
    let process = match draft.actor {
        Actor::Process(process) => Some(process),
        Actor::User { .. } | Actor::Keeper | Actor::Server => None,
    };
    let reason = format!(
        "an event {} of {size} bytes is missing, because {MAX_EVENT_BYTES} are the most; the SHA-256 of its data is {}",
        draft.body.type_name(),
        Digest::of(data),
    );
    let code = Some(GapCode::EventTooLong);
    let gap = Gap { source, code, reason, from: None, until: None, process };
    let body = Body::RecorderGap(gap);
    let gap = Draft { cause: draft.cause, ..Draft::new(draft.time, Actor::Keeper, body) };
    Some((source, gap))
}

/// What is incomplete without an event of this type; `None` where something waits for the event.
const fn channel(kind: EventType) -> Option<GapSource> {
    match kind {
        EventType::SessionAuthorized
        | EventType::SessionProvisioned
        | EventType::SessionStarted
        | EventType::SessionClosed
        | EventType::CommitCreated => None,
        EventType::ProcessExecuted | EventType::ProcessExited => Some(GapSource::Processes),
        EventType::FileOpened
        | EventType::FileReopened
        | EventType::FileOutside
        | EventType::FileWritten
        | EventType::FileRenamed
        | EventType::FileRemoved
        | EventType::FileLinked
        | EventType::FileSymlinked
        | EventType::AttributesChanged
        | EventType::FileDenied
        | EventType::PolicyViolated
        | EventType::WorkspaceCompared => Some(GapSource::Files),
        EventType::EgressDenied => Some(GapSource::Network),
        EventType::TerminalRecorded => Some(GapSource::Terminal),
        EventType::SessionPaused
        | EventType::SessionResumed
        | EventType::PolicyDecided
        | EventType::RedactionApplied
        | EventType::RecorderGap
        | EventType::RecorderDegraded
        | EventType::RecorderRestored => Some(GapSource::Keeper),
    }
}

/// Cuts a list of texts to `max` canonical bytes and says what it was; `None` if it has no more.
pub(crate) fn cut_list(list: &mut Vec<String>, max: usize) -> Option<WholeList> {
    // Quotes and a comma.
    const AROUND: usize = 3;
    if list.iter().map(|text| written(text) + AROUND).sum::<usize>() <= max {
        return None;
    }
    let (mut bytes, mut hash) = (0, Sha256::new());
    for text in &*list {
        hash.update(text);
        hash.update([0]);
        bytes += text.len() as u64 + 1;
    }
    let digest = Digest::from_bytes(hash.finalize().into());
    let whole = WholeList { bytes, count: list.len() as u64, digest };
    let mut room = max;
    let mut kept = 0;
    for text in list.iter_mut() {
        let Some(left) = room.checked_sub(AROUND) else { break };
        kept += 1;
        if written(text) > left {
            text.truncate(end_within(text, left));
            break;
        }
        room = left - written(text);
    }
    list.truncate(kept);
    Some(whole)
}

/// Cuts words to `max` canonical bytes and says how many bytes they had.
fn cut_words(text: &mut String, max: usize) {
    if written(text) > max {
        let told = format!("… (cut: it has {} bytes)", text.len());
        text.truncate(end_within(text, max - told.len()));
        text.push_str(&told);
    }
}

/// Keeps the first entries, in `max` canonical bytes.
fn keep<T: Form>(list: &mut Vec<T>, max: usize) {
    let (mut out, mut kept) = (Vec::new(), 0);
    for entry in &*list {
        if entry.write(&mut out).is_err() || out.len() > max {
            break;
        }
        kept += 1;
    }
    list.truncate(kept);
}

/// Bytes of a text in canonical form, without its quotes.
fn written(text: &str) -> usize {
    text.bytes().map(width).sum()
}

/// Where a text has to end to be written in `max` bytes.
fn end_within(text: &str, max: usize) -> usize {
    let (mut room, mut end) = (max, 0);
    for character in text.chars() {
        let mut utf8 = [0; 4];
        let size: usize = character.encode_utf8(&mut utf8).bytes().map(width).sum();
        let Some(left) = room.checked_sub(size) else { break };
        room = left;
        end += character.len_utf8();
    }
    end
}
