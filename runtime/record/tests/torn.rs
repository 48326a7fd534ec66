//! A torn tail is a torn tail: whatever a loss of power leaves behind the last whole frame, the record is incomplete and not
//! broken, and it is closed. Damage before a whole frame is damage.

mod samples;

use std::fs;
use std::path::Path;

use custody_record::control::{ControlBody, ControlDraft, ServerStarted};
use custody_record::event::Draft;
use custody_record::tlog::Anchor;
use custody_record::{
    Code, Completeness, ControlLog, Integrity, JournalOptions, KeyChoice, Reader, Report, Sink,
    Tail, VerifyOptions, recover, verify,
};
use samples::{Place, authorized, closed, gap, keys, observe, opened};

fn check(place: &Place) -> Report {
    verify(&place.record, &VerifyOptions::new(KeyChoice::Given(keys().verifier())))
}

/// A journal of five events; its bytes, and where each frame ends, the header's first.
fn journal(place: &Place) -> (Vec<u8>, Vec<usize>) {
    let path = place.record.join("journal");
    let length = || usize::try_from(fs::metadata(&path).unwrap().len()).unwrap();
    let journal = place.journal();
    let mut ends = vec![length()];
    observe(&journal, authorized());
    journal.barrier().unwrap();
    ends.push(length());
    for name in ["a", "b", "c", "d"] {
        observe(&journal, opened(name));
        journal.barrier().unwrap();
        ends.push(length());
    }
    drop(journal);
    (fs::read(&path).unwrap(), ends)
}

/// Lengths around the limits of frames, sectors and pages.
fn lengths(from: usize) -> Vec<usize> {
    let mut found: Vec<usize> = (1..40).collect();
    for limit in [512, 4096, 8192, 65_536, 1 << 20] {
        // Up to the limit in the file, and as much as the limit itself.
        let fill = limit - from % limit;
        found.extend([fill - 1, fill, fill + 1, limit - 1, limit, limit + 1, limit + 8]);
    }
    found.retain(|length| *length > 0);
    found
}

fn assert_torn(place: &Place, events: usize, what: &str) {
    let report = check(place);
    assert_eq!(report.integrity, Integrity::Intact, "{what}\n{report}");
    assert_eq!(report.completeness, Completeness::Incomplete, "{what}\n{report}");
    assert!(report.findings.iter().any(|f| f.code == Code::JournalTorn), "{what}\n{report}");
    assert_eq!(report.events, events as u64, "{what}");
    let reader = Reader::open(&place.record).unwrap();
    let read = reader.events().unwrap().map(Result::unwrap).count();
    assert_eq!(read, events, "{what}");
    let fresh = Tail::new(&place.record, 0).read(100).unwrap();
    assert_eq!((fresh.entries.len(), fresh.end), (events, false), "{what}");
}

/// Closes the record as another process does, and checks what it says then.
fn assert_closed(place: &Place, events: usize, cut: &[u8], what: &str) {
    let recovered = recover(&place.record, JournalOptions::default()).unwrap();
    let told = recovered.cut.unwrap_or_else(|| panic!("{what}: the cut is told"));
    assert_eq!(recovered.journal.blobs().get(&told.blob.digest).unwrap(), cut, "{what}");
    let mut draft = Draft::new(samples::at(11), custody_model::Actor::Server, gap());
    draft.blobs.push(told.blob);
    recovered.journal.observe(draft).unwrap();
    observe(&recovered.journal, closed(recovered.journal.counts()));
    recovered.journal.seal(&keys(), &place.installation_log()).unwrap();
    drop(recovered.journal);
    let report = check(place);
    let verdict = (report.integrity, report.completeness, report.events, report.sealed);
    let wanted = (Integrity::Intact, Completeness::Incomplete, events as u64 + 2, true);
    assert_eq!(verdict, wanted, "{what}\n{report}");
}

/// Writes these bytes as the journal, where a journal was closed before.
fn put(place: &Place, bytes: &[u8]) {
    fs::remove_dir_all(&place.record).unwrap();
    fs::create_dir_all(&place.record).unwrap();
    fs::write(place.record.join("journal"), bytes).unwrap();
}

#[test]
fn zeros_at_the_end_of_a_journal_are_a_torn_tail_however_many() {
    let place = Place::new();
    let (bytes, ends) = journal(&place);
    let mut cases = 0;
    for (events, end) in ends.iter().enumerate().skip(1) {
        for length in lengths(*end) {
            let what = format!("{length} zeros after {events} events");
            put(&place, &[&bytes[..*end], &vec![0; length]].concat());
            assert_torn(&place, events, &what);
            if events == 3 {
                assert_closed(&place, events, &vec![0; length], &what);
            }
            cases += 1;
        }
    }
    println!("{cases} tails of zeros");
}

#[test]
fn a_frame_that_is_cut_anywhere_or_holds_zeros_is_a_torn_tail() {
    let place = Place::new();
    let (bytes, ends) = journal(&place);
    let (events, begin, end) = (4, ends[4], ends[5]);
    let mut tails: Vec<Vec<u8>> = Vec::new();
    for at in begin + 1..end {
        // Cut; cut and filled with zeros; with zeros up to here; with a page of them behind.
        tails.push(bytes[begin..at].to_vec());
        tails.push([&bytes[begin..at], &vec![0; end - at]].concat());
        // Of its length not the first byte alone: a disk loses sectors.
        if at > begin + 1 {
            tails.push([&vec![0; at - begin], &bytes[at..end]].concat());
        }
        tails.push([&bytes[begin..at], [0; 4096].as_slice()].concat());
    }
    for (number, tail) in tails.iter().enumerate() {
        // The last byte of a frame is no zero, so none of them is the frame itself.
        let what = format!("tail {number} of {}", tails.len());
        put(&place, &[&bytes[..begin], tail].concat());
        assert_torn(&place, events, &what);
        if number % 97 == 0 {
            assert_closed(&place, events, tail, &what);
        }
    }
    println!("{} torn frames", tails.len());
}

#[test]
fn a_journal_without_a_whole_header_holds_nothing_and_is_not_broken() {
    let place = Place::new();
    let (bytes, ends) = journal(&place);
    for at in 0..ends[0] {
        for zeros in [0, 1, 600, 4096] {
            if at == 0 && zeros == 0 {
                continue;
            }
            put(&place, &[&bytes[..at], &vec![0; zeros]].concat());
            let report = check(&place);
            assert_eq!(report.integrity, Integrity::Intact, "{at} and {zeros} zeros\n{report}");
            assert_eq!(
                (report.completeness, report.events),
                (Completeness::Incomplete, 0),
                "{report}"
            );
            let empty = recover(&place.record, JournalOptions::default());
            assert!(matches!(empty, Err(custody_record::JournalError::Empty(_))), "{empty:?}");
        }
    }
}

#[test]
fn damage_that_a_whole_event_follows_is_no_torn_tail() {
    let place = Place::new();
    let (bytes, ends) = journal(&place);
    let last = ends[ends.len() - 2];
    for at in 0..last {
        for change in [0, bytes[at] ^ 1] {
            if bytes[at] == change {
                continue;
            }
            let mut damaged = bytes.clone();
            damaged[at] = change;
            put(&place, &damaged);
            let report = check(&place);
            assert_eq!(report.integrity, Integrity::Broken, "byte {at} is {change}\n{report}");
        }
    }
    // A whole frame of zeros before the last.
    let mut damaged = bytes;
    damaged[ends[3]..ends[4]].fill(0);
    put(&place, &damaged);
    let report = check(&place);
    assert!(report.findings.iter().any(|f| f.code == Code::JournalDamaged), "{report}");
}

fn started(log: &ControlLog, at: i64) {
    let body = ServerStarted { version: "1".to_owned(), instance: at.to_string() };
    let draft = ControlDraft {
        id: custody_model::EventId::new(samples::at(at), [1; 10]),
        time: samples::at(at),
        actor: custody_model::Actor::Server,
        via: None,
        cause: None,
        body: ControlBody::ServerStarted(body),
        blobs: Vec::new(),
        redactions: Vec::new(),
    };
    log.append(vec![draft]).unwrap();
}

#[test]
fn zeros_or_half_a_frame_at_the_end_of_the_pending_control_events_keep_nobody_out() {
    let root = tempfile::tempdir().unwrap();
    let open = |dir: &Path| ControlLog::open(dir, &keys(), samples::vault(root.path())).unwrap();
    let dir = root.path().join("control");
    started(&open(&dir), 1);
    let pending = fs::read(dir.join("pending")).unwrap();
    // Nobody was told of the second one: the anchor has not heard of it either.
    let anchor = Anchor::path(&dir);
    let anchored = fs::read(&anchor).unwrap();
    started(&open(&dir), 2);
    let longer = fs::read(dir.join("pending")).unwrap();
    assert_eq!(longer[..pending.len()], pending);
    let mut tails: Vec<Vec<u8>> = lengths(pending.len()).into_iter().map(|n| vec![0; n]).collect();
    for at in pending.len() + 1..longer.len() {
        tails.push([&longer[pending.len()..at], [0; 512].as_slice()].concat());
    }
    for tail in tails {
        fs::write(&anchor, &anchored).unwrap();
        fs::write(dir.join("pending"), [pending.as_slice(), &tail].concat()).unwrap();
        let log = open(&dir);
        assert_eq!(log.size().unwrap(), 1, "{} bytes", tail.len());
        started(&log, 2);
        assert_eq!(fs::read(dir.join("pending")).unwrap(), longer, "{} bytes", tail.len());
    }
}

#[test]
fn a_clock_that_was_set_back_is_told_and_breaks_nothing() {
    for (back, told) in [(0, false), (4, false), (5, false), (6, true), (3600, true)] {
        let place = Place::new();
        let journal = place.journal();
        for (seconds, body) in [(100, authorized()), (100 - back, opened("a"))] {
            journal.observe(Draft::new(samples::at(seconds), samples::process(), body)).unwrap();
        }
        let end = Draft::new(samples::at(200), samples::process(), closed(journal.counts()));
        journal.observe(end).unwrap();
        journal.seal(&keys(), &place.installation_log()).unwrap();
        let report = check(&place);
        assert!(report.is_good(), "{report}");
        let found: Vec<_> = report
            .findings
            .iter()
            .filter(|f| f.code == Code::ClockSetBack)
            .map(|f| f.seq)
            .collect();
        assert_eq!(found, if told { vec![Some(1)] } else { vec![] }, "{back} s\n{report}");
    }
}
