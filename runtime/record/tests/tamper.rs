//! Integrity and completeness are separate verdicts, and whatever is done to a record is found and named.

mod samples;

use std::fs;
use std::path::{Path, PathBuf};

use custody_record::event::EventType;
use custody_record::seal::{Envelope, Statement};
use custody_record::tlog::Checkpoint;
use custody_record::{
    Blobs, Code, Completeness, Integrity, JournalOptions, KeyChoice, KeySource, Keys, Reader,
    Report, SessionHead, Sink, VerifyOptions, canonical, recover, verify,
};
use samples::{Place, authorized, closed, gap, keys, observe, opened};

fn check(place: &Place) -> Report {
    let options =
        VerifyOptions::new(KeyChoice::Given(keys().verifier())).with_installation_log(&place.log);
    verify(&place.record, &options)
}

fn codes(report: &Report) -> Vec<Code> {
    report.findings.iter().map(|f| f.code).collect()
}

#[track_caller]
fn assert_broken(report: &Report, code: Code) {
    assert_eq!(report.integrity, Integrity::Broken, "{report}");
    assert!(codes(report).contains(&code), "{code} is wanted\n{report}");
}

fn bundle(place: &Place) -> PathBuf {
    let name = files_below(&place.record, "tile/entries").pop().unwrap();
    place.record.join(name)
}

fn files_below(dir: &Path, prefix: &str) -> Vec<PathBuf> {
    samples::files(dir).into_iter().filter(|p| p.starts_with(prefix)).collect()
}

/// Rewrites the one bundle of a small record.
fn edit(place: &Place, change: impl FnOnce(&mut Vec<Vec<u8>>)) {
    let reader = Reader::open(&place.record).unwrap();
    let mut entries: Vec<Vec<u8>> = reader.entries().unwrap().map(Result::unwrap).collect();
    change(&mut entries);
    let mut bytes = Vec::new();
    for entry in entries {
        bytes.extend_from_slice(&u16::try_from(entry.len()).unwrap().to_be_bytes());
        bytes.extend_from_slice(&entry);
    }
    fs::write(bundle(place), bytes).unwrap();
}

#[test]
fn a_sealed_record_is_intact_and_complete() {
    for middle in [0, 3, 252, 253, 700] {
        let place = Place::new();
        let sealed = place.sealed(middle);
        let report = check(&place);
        assert!(report.is_good(), "{report}");
        assert_eq!(report.findings, []);
        assert_eq!((report.events, report.root), (middle + 4, sealed.head.root));
        assert_eq!(report.key_source, KeySource::Given);
        assert!(!place.record.join("journal").exists());
    }
}

#[test]
fn the_report_says_that_a_key_of_the_record_itself_shows_no_origin() {
    let place = Place::new();
    place.sealed(3);
    let report = verify(&place.record, &VerifyOptions::new(KeyChoice::Record));
    assert!(report.is_good(), "{report}");
    assert_eq!(report.key_source, KeySource::Record);
    assert_eq!(codes(&report), [Code::KeyFromRecord, Code::InstallationLogNotGiven]);
    let other = Keys::from_seed("custody/other", [8; 32]);
    let report = verify(&place.record, &VerifyOptions::new(KeyChoice::Given(other.verifier())));
    assert_broken(&report, Code::KeyDiffers);
    assert_broken(&report, Code::CheckpointKeyUnknown);
    assert_broken(&report, Code::SealKeyUnknown);
}

#[test]
fn every_flipped_byte_is_found_in_its_file() {
    // Two records, so that two threads share the files.
    let flipped = std::thread::scope(|scope| {
        let parts: Vec<_> = (0..2).map(|part| scope.spawn(move || flip_every_byte(part))).collect();
        parts.into_iter().map(|part| part.join().unwrap()).sum::<usize>()
    });
    println!("{flipped} flipped bytes of a record, each found and named");
}

fn flip_every_byte(part: usize) -> usize {
    let mut flipped = 0;
    let place = Place::new();
    place.sealed(0);
    let options = VerifyOptions::new(KeyChoice::Given(keys().verifier()));
    for file in samples::files(&place.record) {
        let path = place.record.join(&file);
        let original = fs::read(&path).unwrap();
        for at in (part..original.len()).step_by(2) {
            // One bit: the smallest change that there is, and every byte has a meaning.
            let mut bytes = original.clone();
            bytes[at] ^= 1 << (at % 8);
            fs::write(&path, &bytes).unwrap();
            let report = verify(&place.record, &options);
            let named = report.findings.iter().any(|f| f.file.as_deref() == file.to_str());
            let broken = report.integrity == Integrity::Broken && named;
            assert!(broken, "byte {at} of {}\n{report}", file.display());
            flipped += 1;
        }
        fs::write(&path, &original).unwrap();
    }
    assert!(check(&place).is_good());
    flipped
}

#[test]
fn every_removal_move_doubling_and_cut_of_events_is_named() {
    let place = Place::new();
    place.sealed(12);
    let bundle = bundle(&place);
    let original = fs::read(&bundle).unwrap();
    let mut count = 0;
    let mut named = |change: &dyn Fn(&mut Vec<Vec<u8>>), code: Code| {
        edit(&place, |entries| change(entries));
        assert_broken(&check(&place), code);
        fs::write(&bundle, &original).unwrap();
        count += 1;
    };
    for at in 0..16 {
        // Of a log without its end nothing but the size tells.
        let code = if at == 15 { Code::BundleDamaged } else { Code::EventMissing };
        named(&|entries| drop(entries.remove(at)), code);
        named(&|entries| entries.insert(at, entries[at].clone()), Code::EventDuplicated);
        named(&|entries| entries.truncate(at), Code::BundleDamaged);
        if at > 0 {
            named(&|entries| entries.swap(at - 1, at), Code::EventOutOfOrder);
        }
    }
    assert!(check(&place).is_good());
    println!("{count} removals, moves, doublings and cuts of events, each named");
}

#[test]
fn a_tail_that_is_replaced_by_an_older_head_is_named() {
    // The same session, sealed honestly when it was shorter; whoever holds both exchanges them, in parts and as a whole.
    let (short, long) = (Place::new(), Place::new());
    short.sealed(2);
    long.sealed(6);
    let old: Vec<PathBuf> = samples::files(&short.record);
    let parts = ["checkpoint", "seal.dsse.json"];
    for part in parts {
        let path = long.record.join(part);
        let original = fs::read(&path).unwrap();
        fs::copy(short.record.join(part), &path).unwrap();
        let report = check(&long);
        assert_eq!(report.integrity, Integrity::Broken, "{part}\n{report}");
        fs::write(&path, original).unwrap();
    }
    assert!(check(&long).is_good());
    fs::remove_dir_all(&long.record).unwrap();
    for file in old {
        let to = long.record.join(&file);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(short.record.join(&file), to).unwrap();
    }
    // It is consistent in itself: the installation log gives it away.
    let alone = verify(&long.record, &VerifyOptions::new(KeyChoice::Given(keys().verifier())));
    assert!(alone.is_good(), "{alone}");
    let report = check(&long);
    assert!(codes(&report).contains(&Code::OlderThanInstallationLog), "{report}");
    assert!(codes(&report).contains(&Code::SealNotInInstallationLog), "{report}");
    assert!(!report.is_good());
}

#[test]
fn every_file_that_is_removed_is_found() {
    let place = Place::new();
    place.sealed(700);
    for file in samples::files(&place.record) {
        let path = place.record.join(&file);
        let original = fs::read(&path).unwrap();
        fs::remove_file(&path).unwrap();
        let report = check(&place);
        assert!(!report.is_good() && !report.findings.is_empty(), "{}\n{report}", file.display());
        let seal = file == Path::new("seal.dsse.json");
        assert_eq!(
            report.completeness == Completeness::Incomplete,
            codes(&report).contains(&Code::SealMissing) || !report_is_closed(&report),
            "{report}"
        );
        assert_eq!(report.integrity == Integrity::Intact, seal, "{}\n{report}", file.display());
        fs::write(&path, &original).unwrap();
    }
}

fn report_is_closed(report: &Report) -> bool {
    let missing =
        [Code::ClosingMissing, Code::OlderThanInstallationLog, Code::SealNotInInstallationLog];
    !codes(report).iter().any(|code| missing.contains(code))
}

#[test]
fn a_removed_event_is_named() {
    let place = Place::new();
    place.sealed(20);
    edit(&place, |entries| drop(entries.remove(7)));
    let report = check(&place);
    assert_broken(&report, Code::EventMissing);
    let missing: Vec<_> = report.findings.iter().filter(|f| f.code == Code::EventMissing).collect();
    assert_eq!(missing.len(), 1);
    assert_eq!(missing[0].seq, Some(7));
    assert!(!codes(&report).contains(&Code::EventOutOfOrder), "{report}");
}

#[test]
fn an_event_that_is_there_twice_is_named() {
    let place = Place::new();
    place.sealed(20);
    edit(&place, |entries| entries.insert(9, entries[7].clone()));
    let report = check(&place);
    assert_broken(&report, Code::EventDuplicated);
    assert!(
        report.findings.iter().any(|f| f.code == Code::EventDuplicated && f.seq == Some(7)),
        "{report}"
    );
    assert!(!codes(&report).contains(&Code::EventMissing), "{report}");
}

#[test]
fn events_in_another_order_are_named() {
    let place = Place::new();
    place.sealed(20);
    edit(&place, |entries| entries.swap(5, 6));
    let report = check(&place);
    assert_broken(&report, Code::EventOutOfOrder);
    assert!(
        report.findings.iter().any(|f| f.code == Code::EventOutOfOrder && f.seq == Some(5)),
        "{report}"
    );
    assert!(!codes(&report).contains(&Code::EventMissing), "{report}");
}

#[test]
fn a_rewritten_event_is_named_even_when_it_is_well_formed() {
    let place = Place::new();
    place.sealed(20);
    edit(&place, |entries| {
        let text = String::from_utf8(entries[8].clone()).unwrap().replace("src/7.rs", "src/x.rs");
        entries[8] = text.into_bytes();
    });
    let report = check(&place);
    assert_broken(&report, Code::EventAltered);
    assert!(
        report.findings.iter().any(|f| f.code == Code::EventAltered && f.seq == Some(8)),
        "{report}"
    );
    assert_broken(&report, Code::ChainBroken);
    assert_broken(&report, Code::RootMismatch);
}

#[test]
fn a_truncated_log_is_named() {
    let place = Place::new();
    place.sealed(700);
    fs::remove_file(bundle(&place)).unwrap();
    let report = check(&place);
    assert_broken(&report, Code::LogTruncated);
    assert_broken(&report, Code::TileMissing);
    assert!(codes(&report).contains(&Code::OlderThanInstallationLog), "{report}");
    assert_eq!(report.completeness, Completeness::Incomplete);
}

#[test]
fn a_swapped_a_missing_and_a_foreign_blob_are_named() {
    let place = Place::new();
    place.sealed(0);
    let blobs = files_below(&place.record, "blobs");
    let (one, two) = (place.record.join(&blobs[0]), place.record.join(&blobs[1]));
    let content = fs::read(&one).unwrap();
    fs::copy(&two, &one).unwrap();
    assert_broken(&check(&place), Code::BlobSwapped);
    fs::remove_file(&one).unwrap();
    assert_broken(&check(&place), Code::BlobMissing);
    fs::write(&one, content).unwrap();
    Blobs::open(&place.record).put_bytes("x", "text/plain", b"nobody names me").unwrap();
    fs::write(place.record.join("tile/note"), "x").unwrap();
    let report = check(&place);
    assert_eq!(codes(&report), [Code::BlobUnreferenced, Code::UnexpectedFile]);
    assert!(report.is_good());
}

#[test]
fn a_checkpoint_of_another_key_is_named_even_if_the_record_brings_that_key() {
    let place = Place::new();
    let sealed = place.sealed(3);
    let thief = Keys::from_seed(keys().name(), [9; 32]);
    let origin = keys().verifier().session_origin(samples::session());
    let forged = Checkpoint { origin, size: sealed.head.size, root: sealed.head.root }.sign(&thief);
    fs::write(place.record.join("checkpoint"), forged).unwrap();
    fs::write(place.record.join("installation.vkey"), format!("{}\n", thief.vkey())).unwrap();
    let report = check(&place);
    assert_broken(&report, Code::KeyDiffers);
    assert_broken(&report, Code::CheckpointKeyUnknown);
}

#[test]
fn a_seal_that_names_another_root_or_says_something_else_is_named() {
    let place = Place::new();
    place.sealed(3);
    let path = place.record.join("seal.dsse.json");
    let envelope = Envelope::parse(&fs::read(&path).unwrap()).unwrap();
    let statement: Statement =
        serde_json::from_slice(&envelope.verify(&keys().verifier()).unwrap()).unwrap();
    let reseal = |change: &dyn Fn(&mut Statement)| {
        let mut changed = statement.clone();
        change(&mut changed);
        let payload = canonical::to_vec(&changed).unwrap();
        fs::write(&path, Envelope::sign(&payload, &keys()).to_bytes().unwrap()).unwrap();
        check(&place)
    };
    assert_broken(&reseal(&|s| s.predicate.log.size -= 1), Code::SealNamesAnotherRoot);
    assert_broken(&reseal(&|s| s.predicate.command.push("x".to_owned())), Code::SealDiffers);
    assert_broken(&reseal(&|s| drop(s.subject.remove(0))), Code::SealDiffers);
    // As subjects were named at first: every commit by its branch, every tree alike. Such records stay good.
    let at_first = |s: &mut Statement| {
        for subject in &mut s.subject {
            match subject.name.split_once('@') {
                Some((branch, _)) => subject.name = branch.to_owned(),
                None if subject.name.ends_with("^{tree}") => subject.name = "tree".to_owned(),
                None => {}
            }
        }
    };
    assert!(reseal(&at_first).is_good());
    assert_broken(&reseal(&|s| s.subject[0].name.push('x')), Code::SealDiffers);
    let report = reseal(&|s| s.predicate.installation_log.as_mut().unwrap().index = 1);
    assert!(codes(&report).contains(&Code::SealNotInInstallationLog), "{report}");
    assert_eq!(
        (report.integrity, report.completeness),
        (Integrity::Intact, Completeness::Incomplete)
    );
    assert!(reseal(&|_| ()).is_good());
    fs::remove_file(&path).unwrap();
    let report = check(&place);
    assert_eq!(
        (report.integrity, report.completeness),
        (Integrity::Intact, Completeness::Incomplete),
        "{report}"
    );
    assert!(codes(&report).contains(&Code::SealMissing));
}

#[test]
fn a_gap_makes_a_record_incomplete_and_leaves_it_intact() {
    let place = Place::new();
    let journal = place.journal();
    observe(&journal, authorized());
    observe(&journal, gap());
    observe(&journal, closed(journal.counts()));
    journal.seal(&keys(), &place.installation_log()).unwrap();
    let report = check(&place);
    assert_eq!(
        (report.integrity, report.completeness),
        (Integrity::Intact, Completeness::Incomplete),
        "{report}"
    );
    assert_eq!(codes(&report), [Code::Gap]);
    assert_eq!(report.findings[0].seq, Some(1));
}

#[test]
fn differences_between_workspace_and_record_never_stand_beside_complete() {
    for count in [0, 1, 5000] {
        let place = Place::new();
        let journal = place.journal();
        observe(&journal, authorized());
        let compared = custody_record::event::WorkspaceCompared {
            entries: 3,
            differences: Vec::new(),
            difference_count: count,
        };
        observe(&journal, custody_record::Body::WorkspaceCompared(compared));
        observe(&journal, closed(journal.counts()));
        journal.seal(&keys(), &place.installation_log()).unwrap();
        let report = check(&place);
        assert_eq!(report.integrity, Integrity::Intact, "{report}");
        assert_eq!(report.completeness == Completeness::Complete, count == 0, "{report}");
        assert_eq!(codes(&report).contains(&Code::Gap), count > 0, "{report}");
    }
}

#[test]
fn a_record_that_begins_lives_and_is_sealed_meanwhile_is_never_broken_or_missing_something() {
    use std::sync::atomic::{AtomicBool, Ordering};
    let mut seen = std::collections::BTreeMap::new();
    for _ in 0..20 {
        let place = Place::new();
        let journal = place.journal();
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                observe(&journal, authorized());
                let log = place.installation_log();
                for number in 0..600 {
                    observe(&journal, opened(&format!("src/{number}.rs")));
                    if number % 100 == 99 {
                        custody_record::living::publish(&journal, &log, 0, samples::at(11))
                            .unwrap();
                    }
                }
                observe(&journal, closed(journal.counts()));
                journal.seal(&keys(), &log).unwrap();
                done.store(true, Ordering::Release);
            });
            loop {
                let last = done.load(Ordering::Acquire);
                let report = check(&place);
                assert_eq!(report.integrity, Integrity::Intact, "{report}");
                // Between its closing event and its seal it is neither open nor whole.
                let missing = report.findings.iter().all(|finding| {
                    finding.code == Code::SealMissing
                        || finding.concern != custody_record::verify::Concern::Completeness
                });
                assert!(missing, "{report}");
                *seen.entry(format!("{:?}", report.completeness)).or_insert(0) += 1;
                if last {
                    assert!(report.is_good(), "{report}");
                    break;
                }
            }
        });
    }
    println!("verdicts meanwhile: {seen:?}");
    assert!(seen.len() > 1, "{seen:?}");
}

#[test]
fn a_closing_event_with_wrong_counts_is_named() {
    let place = Place::new();
    let journal = place.journal();
    observe(&journal, authorized());
    observe(&journal, opened("a"));
    observe(&journal, closed([("file.opened".to_owned(), 2)].into()));
    journal.seal(&keys(), &place.installation_log()).unwrap();
    assert_broken(&check(&place), Code::ClosingCounts);
}

#[test]
fn an_open_record_is_open_and_its_damage_is_named() {
    let place = Place::new();
    let journal = place.journal();
    for body in [authorized(), opened("a"), opened("b")] {
        observe(&journal, body);
    }
    let head = journal.head().unwrap();
    let leaf = |size| SessionHead {
        session: samples::session(),
        size,
        root: head.root,
        time: samples::at(1),
        sealed: false,
    };
    place.installation_log().append(&leaf(3)).unwrap();
    let report = check(&place);
    assert_eq!(
        (report.integrity, report.completeness),
        (Integrity::Intact, Completeness::Open),
        "{report}"
    );
    assert_eq!((report.events, report.root), (3, head.root));
    drop(journal);

    let path = place.record.join("journal");
    let original = fs::read(&path).unwrap();
    fs::write(&path, &original[..original.len() - 5]).unwrap();
    let report = check(&place);
    assert_eq!(
        (report.integrity, report.completeness),
        (Integrity::Intact, Completeness::Incomplete),
        "{report}"
    );
    assert!(
        codes(&report).contains(&Code::JournalTorn)
            && codes(&report).contains(&Code::OlderThanInstallationLog)
    );
    // The header's magic line and lengths, checksums and payloads: nothing is without meaning.
    for at in 0..original.len() {
        let mut bytes = original.clone();
        bytes[at] ^= 1;
        fs::write(&path, &bytes).unwrap();
        let report = check(&place);
        let found =
            codes(&report).iter().any(|c| matches!(c, Code::JournalDamaged | Code::JournalTorn));
        assert!(found, "byte {at}\n{report}");
    }
}

#[test]
fn what_the_installation_log_knows_better_is_named() {
    let place = Place::new();
    let sealed = place.sealed(3);
    let other = Place::new();
    other.installation_log();
    let options = |log: &Path| {
        VerifyOptions::new(KeyChoice::Given(keys().verifier())).with_installation_log(log)
    };
    let report = verify(&place.record, &options(&other.log));
    assert_broken(&report, Code::InstallationLogBroken);

    let mut leaf = SessionHead {
        session: custody_model::SessionId::new(samples::at(5), [1; 10]),
        size: 4,
        root: sealed.head.root,
        time: samples::at(5),
        sealed: true,
    };
    other.installation_log().append(&leaf).unwrap();
    let report = verify(&place.record, &options(&other.log));
    assert!(codes(&report).contains(&Code::NotInInstallationLog), "{report}");
    assert_eq!(
        (report.integrity, report.completeness),
        (Integrity::Intact, Completeness::Incomplete)
    );

    leaf.session = samples::session();
    leaf.size = 100;
    other.installation_log().append(&leaf).unwrap();
    let report = verify(&place.record, &options(&other.log));
    assert!(codes(&report).contains(&Code::OlderThanInstallationLog), "{report}");

    leaf.size = 2;
    other.installation_log().append(&leaf).unwrap();
    assert_broken(&verify(&place.record, &options(&other.log)), Code::InstallationLogDiffers);

    // Bundles of older heads are there, too: that of the newest is the widest.
    let file =
        samples::files(&other.log).into_iter().rfind(|p| p.starts_with("tile/entries")).unwrap();
    let mut bytes = fs::read(other.log.join(&file)).unwrap();
    let last = bytes.len() - 3;
    bytes[last] ^= 1;
    fs::write(other.log.join(&file), bytes).unwrap();
    assert_broken(&verify(&place.record, &options(&other.log)), Code::InstallationLogBroken);
}

#[test]
fn an_empty_directory_is_no_record() {
    let place = Place::new();
    fs::create_dir(&place.record).unwrap();
    assert_broken(&check(&place), Code::NoRecord);
    assert!(matches!(
        recover(&place.record, JournalOptions::default()),
        Err(custody_record::JournalError::Empty(_))
    ));
}

#[test]
fn a_report_is_text_for_people_and_json_for_programs() {
    let place = Place::new();
    place.sealed(3);
    let report = check(&place);
    assert!(report.to_string().contains("intact"), "{report}");
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["integrity"], "intact");
    assert_eq!(json["completeness"], "complete");
    assert_eq!(json["key_source"], "given");
    assert_eq!(EventType::ALL.len(), samples::bodies().len());
    let journal: &dyn Sink = &Place::new().journal();
    journal.barrier().unwrap();
}
