//! Evidence packs: made the same each time, checked by themselves, and whatever is done to one is found and named.

mod samples;

use std::collections::BTreeMap;
use std::fs;

use custody_model::{Digest, ErrorCode};
use custody_record::evidence::{
    EvidenceOptions, MAX_FILE_BYTES, Manifest, Pack, Selection, Sequences, Source, WithheldReason,
    verify_evidence,
};
use custody_record::tlog::{Checkpoint, Note, TlogPolicy, TlogProof, WitnessKey};
use custody_record::witness::{WitnessLevel, store_cosigned};
use custody_record::{
    Code, Completeness, EvidenceReport, Integrity, KeyChoice, KeyHistory, KeySource, Keys, Reader,
    canonical,
};
use proptest::prelude::*;
use samples::{Place, keys, observe};

const POLICY: &[u8] = br#"{"name":"local"}"#;

/// The file, and what its table says.
fn pack(place: &Place, selection: &Selection) -> (Vec<u8>, Manifest) {
    let history = KeyHistory::of(&keys().verifier());
    let source = Source {
        record: &place.record,
        log: &place.log,
        keys: &history,
        policy: None,
        content: None,
    };
    let pack = Pack::of(source, selection.clone()).unwrap();
    let bytes = written(&pack);
    assert_eq!(written(&pack), bytes, "each time the same");
    (bytes, pack.manifest().clone())
}

fn written(pack: &Pack) -> Vec<u8> {
    let mut bytes = Vec::new();
    let (digest, size) = pack.write(&mut bytes).unwrap();
    assert_eq!((digest, size), (Digest::of(&bytes), bytes.len() as u64));
    bytes
}

fn some(text: &str) -> Selection {
    Selection { events: Some(text.parse().unwrap()), withhold_content: false }
}

fn check(bytes: &[u8]) -> EvidenceReport {
    verify_evidence(bytes, &EvidenceOptions::new(KeyChoice::Given(keys().verifier())))
}

fn codes(report: &EvidenceReport) -> Vec<Code> {
    report.findings.iter().map(|f| f.code).collect()
}

#[track_caller]
fn assert_broken(bytes: &[u8], code: Code) {
    let report = check(bytes);
    assert_eq!(report.integrity, Integrity::Broken, "{report}");
    assert!(codes(&report).contains(&code), "{code} is wanted\n{report}");
}

/// The files of a pack by name, in order, as any reader of tar sees them.
fn files(pack: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    let mut at = 0;
    while pack[at] != 0 {
        let name = pack[at..at + 100].split(|b| *b == 0).next().unwrap();
        let name = String::from_utf8(name.to_vec()).unwrap();
        let size = str::from_utf8(&pack[at + 124..at + 135]).unwrap();
        let size = usize::from_str_radix(size, 8).unwrap();
        found.push((name, pack[at + 512..at + 512 + size].to_vec()));
        at += 512 + size.div_ceil(512) * 512;
    }
    found
}

fn header(name: &str, size: usize) -> Vec<u8> {
    let mut block = vec![0; 512];
    let mut put = |at: usize, text: &[u8]| block[at..at + text.len()].copy_from_slice(text);
    put(0, name.as_bytes());
    for at in [100, 108, 116, 329, 337] {
        put(at, if at == 100 { b"0000644" } else { b"0000000" });
    }
    put(124, format!("{size:011o}").as_bytes());
    put(136, b"00000000000");
    put(148, b"        ");
    put(156, b"0");
    put(257, b"ustar\x0000");
    let sum: u32 = block.iter().map(|b| u32::from(*b)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block
}

fn archive(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, content) in files {
        bytes.extend(header(name, content.len()));
        bytes.extend(content);
        bytes.resize(bytes.len().div_ceil(512) * 512, 0);
    }
    bytes.resize(bytes.len() + 1024, 0);
    bytes
}

/// Changes files of a pack and makes the manifest fit again, as somebody would who knows the format.
fn forged(pack: &[u8], change: impl FnOnce(&mut BTreeMap<String, Vec<u8>>)) -> Vec<u8> {
    let all = files(pack);
    let mut manifest: Manifest = serde_json::from_slice(&all[0].1).unwrap();
    let mut rest: BTreeMap<String, Vec<u8>> = all[1..].iter().cloned().collect();
    change(&mut rest);
    manifest.files.retain(|entry| rest.contains_key(&entry.path.to_string()));
    for entry in &mut manifest.files {
        let content = &rest[&entry.path.to_string()];
        entry.size = content.len() as u64;
        entry.sha256 = Digest::of(content);
    }
    manifest.events = rest["events.jsonl"].iter().filter(|b| **b == b'\n').count() as u64;
    let mut out = vec![("manifest.json".to_owned(), manifest.to_bytes().unwrap())];
    for entry in &manifest.files {
        let name = entry.path.to_string();
        out.push((name.clone(), rest[&name].clone()));
    }
    archive(&out)
}

fn lines(files: &mut BTreeMap<String, Vec<u8>>, change: impl FnOnce(&mut Vec<Vec<u8>>)) {
    let events = files.get_mut("events.jsonl").unwrap();
    let mut all: Vec<Vec<u8>> =
        events.split_inclusive(|b| *b == b'\n').map(<[u8]>::to_vec).collect();
    change(&mut all);
    *events = all.concat();
}

#[test]
fn a_pack_is_checked_by_itself_and_made_the_same_each_time() {
    for middle in [0, 3, 300] {
        let place = Place::new();
        let sealed = place.sealed(middle);
        let (bytes, manifest) = pack(&place, &Selection::default());
        assert_eq!(pack(&place, &Selection::default()).0, bytes, "reproducible");
        assert_eq!(archive(&files(&bytes)), bytes, "plain tar, written by somebody else");
        let report = check(&bytes);
        assert!(report.is_good() && report.findings.is_empty(), "{report}");
        assert_eq!((report.events, report.disclosed_events), (middle + 4, middle + 4));
        assert_eq!((report.root, report.blobs, report.withheld_blobs), (sealed.head.root, 2, 0));
        assert_eq!(report.installation_log, Some(1));
        assert_eq!(report.key_source, KeySource::Given);
        assert_eq!(manifest.withheld_events, 0);
        let said = report.attested.as_ref().unwrap();
        assert_eq!(said.commits.len(), 1);
        assert!(report.to_string().contains("approved by    grace@example.com"), "{report}");
    }
}

#[test]
fn the_key_that_one_trusts_has_to_vouch_for_the_pack() {
    let place = Place::new();
    place.sealed(3);
    let (bytes, _) = pack(&place, &Selection::default());
    let stranger = Keys::from_seed(keys().name(), [8; 32]).verifier();
    let options = EvidenceOptions::new(KeyChoice::Given(stranger));
    let report = verify_evidence(&bytes[..], &options);
    assert_eq!(report.integrity, Integrity::Broken);
    assert!(codes(&report).contains(&Code::KeyDiffers), "{report}");
    let report = verify_evidence(&bytes[..], &EvidenceOptions::new(KeyChoice::Record));
    assert!(report.is_good());
    assert_eq!(codes(&report), [Code::KeyFromRecord]);
}

#[test]
fn what_is_withheld_is_named_by_its_digest_and_what_is_shown_is_proved() {
    let place = Place::new();
    place.sealed(20);
    let (bytes, manifest) = pack(&place, &some("3,7-9"));
    let report = check(&bytes);
    assert!(report.is_good(), "{report}");
    // The authorisation, four chosen ones, the commit and the closing event.
    assert_eq!((report.events, report.disclosed_events), (24, 7));
    assert_eq!(codes(&report), [Code::EventsWithheld]);
    assert_eq!(manifest.withheld_events, 17);
    let all = files(&bytes);
    let proofs: Vec<&str> =
        all.iter().map(|(name, _)| name.as_str()).filter(|n| n.starts_with("proofs/")).collect();
    assert_eq!(proofs.len(), 7);
    assert!(proofs.contains(&"proofs/8.tlog-proof"));
    let text = String::from_utf8_lossy(&bytes);
    assert!(text.contains("src/2.rs") && text.contains("src/8.rs"));
    assert!(!text.contains("src/9.rs") && !text.contains("src/12.rs"), "it is not there");
    let reader = Reader::open(&place.record).unwrap();
    let hidden = custody_record::tlog::leaf_hash(&reader.entry(12).unwrap().unwrap());
    assert!(text.contains(&format!("{{\"withheld\":\"{hidden}\"}}")));
    // The terminal's event is withheld, and so are the contents that it names, which nobody learns of.
    assert_eq!((report.blobs, report.withheld_blobs), (0, 0));
}

#[test]
fn contents_that_are_withheld_are_listed_and_the_verdicts_hold() {
    let place = Place::new();
    place.sealed(3);
    let selection = Selection { events: None, withhold_content: true };
    let (bytes, manifest) = pack(&place, &selection);
    let report = check(&bytes);
    assert!(report.is_good(), "{report}");
    assert_eq!((report.blobs, report.withheld_blobs), (0, 2));
    assert_eq!(codes(&report), [Code::BlobWithheld, Code::BlobWithheld]);
    assert!(manifest.withheld_blobs.iter().all(|b| b.reason == WithheldReason::Chosen));
    assert!(!String::from_utf8_lossy(&bytes).contains("first content"));
    // One that the installation lost is named as such, and is no reason to refuse the rest.
    let lost = samples::files(&place.record).into_iter().find(|p| p.starts_with("blobs")).unwrap();
    fs::remove_file(place.record.join(lost)).unwrap();
    let (bytes, manifest) = pack(&place, &Selection::default());
    assert_eq!(manifest.withheld_blobs[0].reason, WithheldReason::Unavailable);
    assert_eq!((check(&bytes).blobs, check(&bytes).withheld_blobs), (1, 1));
}

#[test]
fn a_policy_document_has_to_be_the_one_that_the_events_name() {
    let place = Place::new();
    place.sealed(1);
    let history = KeyHistory::of(&keys().verifier());
    // The samples' policy digest is that of the word.
    for (policy, good) in [(b"policy".as_slice(), true), (POLICY, false)] {
        let (record, log) = (&place.record, &place.log);
        let source = Source { record, log, keys: &history, policy: Some(policy), content: None };
        let bytes = written(&Pack::of(source, Selection::default()).unwrap());
        let report = check(&bytes);
        assert_eq!(report.is_good(), good, "{report}");
        assert_eq!(codes(&report).contains(&Code::PolicyDiffers), !good);
    }
}

#[test]
fn a_gap_in_the_record_shows_even_if_nothing_is_selected() {
    let place = Place::new();
    let journal = place.journal();
    observe(&journal, samples::authorized());
    observe(&journal, samples::opened("a"));
    observe(&journal, samples::gap());
    observe(&journal, samples::closed(journal.counts()));
    assert!(export_refused(&place), "an open record proves nothing");
    journal.seal(&keys(), &place.installation_log()).unwrap();
    let (bytes, _) = pack(&place, &some("0"));
    let report = check(&bytes);
    assert_eq!(
        (report.integrity, report.completeness),
        (Integrity::Intact, Completeness::Incomplete),
        "{report}"
    );
    assert!(codes(&report).contains(&Code::Gap));
    // Nor can it be taken out again.
    let hidden = forged(&bytes, |files| {
        files.remove("proofs/2.tlog-proof");
        let leaf = custody_record::tlog::leaf_hash;
        lines(files, |lines| {
            let entry = &lines[2][..lines[2].len() - 1];
            lines[2] = format!("{{\"withheld\":\"{}\"}}\n", leaf(entry)).into_bytes();
        });
    });
    assert!(codes(&check(&hidden)).contains(&Code::Gap), "{}", check(&hidden));
}

fn export_refused(place: &Place) -> bool {
    let history = KeyHistory::of(&keys().verifier());
    let source = Source {
        record: &place.record,
        log: &place.log,
        keys: &history,
        policy: None,
        content: None,
    };
    Pack::of(source, Selection::default()).is_err()
}

#[test]
fn every_flipped_byte_of_a_pack_is_found() {
    let place = Place::new();
    place.sealed(2);
    for (what, selection) in [("a whole", Selection::default()), ("a partial", some("1"))] {
        let (bytes, _) = pack(&place, &selection);
        let flipped = std::thread::scope(|scope| {
            let parts: Vec<_> = (0..2)
                .map(|part| {
                    scope.spawn({
                        let bytes = &bytes;
                        move || flip(bytes, part)
                    })
                })
                .collect();
            parts.into_iter().map(|part| part.join().unwrap()).sum::<usize>()
        });
        assert_eq!(flipped, bytes.len());
        println!("{flipped} flipped bytes of {what} pack, each found and named");
    }
}

fn flip(original: &[u8], part: usize) -> usize {
    let mut bytes = original.to_vec();
    let mut count = 0;
    for at in (part..original.len()).step_by(2) {
        bytes[at] ^= 1 << (at % 8);
        let report = check(&bytes);
        assert!(report.integrity == Integrity::Broken, "byte {at}\n{report}");
        assert!(report.findings.iter().any(|f| f.file.is_some()), "byte {at}\n{report}");
        bytes[at] = original[at];
        count += 1;
    }
    count
}

#[test]
fn every_truncation_of_a_pack_is_found() {
    let place = Place::new();
    place.sealed(0);
    let (bytes, _) = pack(&place, &Selection::default());
    let mut count = 0;
    for end in (0..bytes.len()).step_by(7) {
        assert_broken(&bytes[..end], Code::PackTruncated);
        count += 1;
    }
    assert_broken(&[&bytes[..], b"\0"].concat(), Code::PackMalformed);
    println!("{count} truncations of a pack, each found and named");
}

#[test]
fn removed_moved_doubled_and_replaced_events_are_found_by_whoever_makes_the_manifest_fit() {
    let place = Place::new();
    place.sealed(12);
    let (bytes, _) = pack(&place, &Selection::default());
    assert_eq!(forged(&bytes, |_| ()), bytes, "the forger changes nothing by himself");
    let mut count = 0;
    for at in 0..16 {
        let removed = forged(&bytes, |files| lines(files, |l| drop(l.remove(at))));
        assert_broken(&removed, Code::LogTruncated);
        if at < 15 {
            assert_broken(&removed, Code::EventOutOfOrder);
        }
        let doubled = forged(&bytes, |files| lines(files, |l| l.insert(at, l[at].clone())));
        assert_broken(&doubled, Code::EventOutOfOrder);
        assert_broken(&doubled, Code::RootMismatch);
        if at > 0 {
            let swapped = forged(&bytes, |files| lines(files, |l| l.swap(at - 1, at)));
            assert_broken(&swapped, Code::EventOutOfOrder);
            assert_broken(&swapped, Code::ChainBroken);
            let cut = forged(&bytes, |files| lines(files, |l| l.truncate(at)));
            assert_broken(&cut, Code::LogTruncated);
            assert_broken(&cut, Code::ClosingMissing.min(Code::LogTruncated));
            count += 2;
        }
        // An event that says something else, with all hashes after it left as they were.
        let altered = forged(&bytes, |files| {
            lines(files, |l| {
                let text = String::from_utf8(l[at].clone()).unwrap();
                l[at] =
                    text.replacen("4242", "4243", 1).replacen("keeper", "server", 1).into_bytes();
            });
        });
        assert_broken(&altered, Code::RootMismatch);
        count += 3;
    }
    println!("{count} packs with removed, doubled, moved, cut off and altered events");
}

#[test]
fn an_older_head_in_the_place_of_the_newer_one_is_found() {
    // The same session, once cut short and sealed honestly by the installation, once whole.
    let (short, long) = (Place::new(), Place::new());
    short.sealed(2);
    long.sealed(6);
    let old: BTreeMap<String, Vec<u8>> =
        files(&pack(&short, &Selection::default()).0).into_iter().collect();
    let (bytes, _) = pack(&long, &Selection::default());
    for name in ["checkpoint", "seal.dsse.json", "events.jsonl", "installation/leaf.tlog-proof"] {
        let replaced =
            forged(&bytes, |files| drop(files.insert(name.to_owned(), old[name].clone())));
        let report = check(&replaced);
        assert_eq!(report.integrity, Integrity::Broken, "{name}\n{report}");
    }
    // All of it together is a consistent older record: only the place in the installation log gives it away.
    let replaced = forged(&bytes, |files| {
        for name in ["checkpoint", "seal.dsse.json", "events.jsonl"] {
            files.insert(name.to_owned(), old[name].clone());
        }
    });
    assert_broken(&replaced, Code::ProofBroken);
}

#[test]
fn hostile_packs_are_refused_without_being_followed() {
    let place = Place::new();
    place.sealed(1);
    let (bytes, _) = pack(&place, &Selection::default());
    let all = files(&bytes);
    let renamed = |from: usize, name: &str| {
        let mut all = all.clone();
        all[from].0 = name.to_owned();
        archive(&all)
    };
    for name in
        ["../checkpoint", "/etc/passwd", "checkpoint/../seal.dsse.json", "", "manifest.json"]
    {
        assert_broken(&renamed(1, name), Code::PackMalformed);
    }
    // The same in the manifest itself.
    let table = String::from_utf8(all[0].1.clone()).unwrap();
    for (from, to) in [
        ("\"checkpoint\"", "\"../checkpoint\""),
        ("\"keys/history.json\"", "\"/keys/history.json\""),
        ("\"seal.dsse.json\"", "\"checkpoint\""),
        ("blobs/sha256/", "blobs/sha256/../"),
        ("\"version\":1", "\"version\":2"),
        ("\"version\":1", "\"unknown\":1,\"version\":1"),
        ("\"withheld_events\":0", "\"withheld_events\": 0"),
    ] {
        assert!(table.contains(from));
        let mut all = all.clone();
        all[0].1 = table.replacen(from, to, 1).into_bytes();
        assert_broken(&archive(&all), Code::PackMalformed);
    }
    // Files that come twice, that nobody named, that are links or directories, or that say that they have no end.
    let mut twice = all.clone();
    twice.insert(2, all[1].clone());
    assert_broken(&archive(&twice), Code::PackMalformed);
    let mut more = all.clone();
    more.push(("extra".to_owned(), b"x".to_vec()));
    assert_broken(&archive(&more), Code::PackMalformed);
    for kind in [b'1', b'2', b'5', b'L', b'x'] {
        let mut linked = bytes.clone();
        let at = 512 + all[0].1.len().div_ceil(512) * 512;
        linked[at + 156] = kind;
        assert_broken(&linked, Code::PackMalformed);
    }
    let mut endless = header("manifest.json", usize::try_from(MAX_FILE_BYTES).unwrap());
    endless.extend([b'{'; 512]);
    assert_broken(&endless, Code::PackMalformed);
    // A megabyte without a newline, and a hundred thousand lines that are nothing, take no more room than they have to.
    for lines in [vec![b'x'; 1 << 20], b"\n".repeat(100_000)] {
        let flooded = forged(&bytes, |files| drop(files.insert("events.jsonl".to_owned(), lines)));
        let report = check(&flooded);
        assert_eq!(report.integrity, Integrity::Broken);
        assert!(report.findings.len() <= custody_record::verify::MAX_FINDINGS);
    }
    assert_broken(b"", Code::PackTruncated);
}

#[test]
fn evidence_of_an_earlier_key_is_good_after_the_rotation_and_forged_by_it_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let keys = Keys::open(&at("keys")).unwrap();
    let log = custody_record::InstallationLog::open(&at("log"), &keys).unwrap();
    let vault = std::sync::Arc::new(custody_record::Vault::open(&at("vault")).unwrap());
    let control = custody_record::ControlLog::open(&at("control"), &keys, vault).unwrap();
    let journal = custody_record::Journal::create(
        &at("record"),
        samples::header(),
        custody_record::JournalOptions::default(),
    )
    .unwrap();
    observe(&journal, samples::authorized());
    observe(&journal, samples::closed(journal.counts()));
    journal.seal(&keys, &log).unwrap();
    let first = keys.verifier().alone();
    custody_record::rotate(&at("keys"), &log, &control, samples::at(50)).unwrap();
    let history = KeyHistory::read(&at("keys")).unwrap();
    let (record, log) = (at("record"), at("log"));
    let source = Source { record: &record, log: &log, keys: &history, policy: None, content: None };
    let bytes = written(&Pack::of(source, Selection::default()).unwrap());
    for key in [first.clone(), history.current().clone()] {
        let options = EvidenceOptions::new(KeyChoice::Given(key));
        let report = verify_evidence(&bytes[..], &options);
        assert!(report.is_good(), "{report}");
        assert_eq!(report.key, Some(first.id()), "the seal is the first key's");
    }
}

proptest! {
    #[test]
    fn no_bytes_make_the_reader_panic(bytes: Vec<u8>, at: proptest::sample::Index, byte: u8) {
        drop(check(&bytes));
        let place = GOOD.with(Clone::clone);
        let mut changed = place;
        let at = at.index(changed.len());
        changed[at] = byte;
        drop(check(&changed));
        let text = String::from_utf8_lossy(&bytes);
        if let Ok(sequences) = text.parse::<Sequences>() {
            prop_assert_eq!(sequences.to_string().parse::<Sequences>(), Ok(sequences));
        }
    }
}

thread_local! {
    static GOOD: Vec<u8> = {
        let place = Place::new();
        place.sealed(1);
        pack(&place, &Selection::default()).0
    };
}

#[test]
fn a_report_is_text_for_people_and_json_for_programs() {
    let place = Place::new();
    place.sealed(1);
    let report = check(&pack(&place, &some("0")).0);
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["integrity"], "intact");
    assert_eq!(json["completeness"], "complete");
    assert_eq!(json["attested"]["outcome"], "completed");
    assert!(report.to_string().contains("events are withheld"), "{report}");
    assert!(canonical::to_vec(&report).is_ok());
}

fn witness(seed: u8) -> WitnessKey {
    WitnessKey::from_seed(&format!("witness.example/w{seed}"), [seed; 32]).unwrap()
}

/// The policy of two witnesses, `needed` of whom are a quorum.
fn policy(needed: &str) -> TlogPolicy {
    let (north, south) = (witness(1).cosigner(), witness(2).cosigner());
    let text = format!(
        "witness north {north}\nwitness south {south}\ngroup both {needed} north south\nquorum both\n"
    );
    TlogPolicy::parse(&text).unwrap()
}

/// A pack whose head of the installation log has these witnesses' cosignatures.
fn cosigned(place: &Place, witnesses: &[WitnessKey]) -> Vec<u8> {
    let mut note = Note::parse(&fs::read(place.log.join("checkpoint")).unwrap()).unwrap();
    for (time, witness) in (1_700_000_000..).zip(witnesses) {
        note.add(witness.cosign(&note, time));
    }
    store_cosigned(&place.log, &note).unwrap();
    pack(place, &Selection::default()).0
}

fn judged(bytes: &[u8], policy: Option<&TlogPolicy>) -> EvidenceReport {
    let key = KeyChoice::Given(keys().verifier());
    verify_evidence(bytes, &EvidenceOptions { key, witnesses: policy.cloned() })
}

/// Changes the head of the installation log in a pack.
fn with_head(pack: &[u8], change: impl FnOnce(&mut Note)) -> Vec<u8> {
    forged(pack, |files| {
        let file = files.get_mut("installation/leaf.tlog-proof").unwrap();
        let mut proof = TlogProof::parse(file).unwrap();
        let mut note = Note::parse(&proof.checkpoint).unwrap();
        change(&mut note);
        proof.checkpoint = note.to_bytes();
        *file = proof.to_bytes();
    })
}

#[test]
fn cosignatures_are_checked_against_the_policy_of_who_checks() {
    let place = Place::new();
    place.sealed(3);
    let both = cosigned(&place, &[witness(1), witness(2)]);
    let report = judged(&both, Some(&policy("all")));
    assert_eq!(report.verdict().failure(true), None, "{report}");
    assert_eq!(report.witnesses.level, WitnessLevel::Witnessed);
    assert_eq!(report.witnesses.witnesses, ["north", "south"]);
    assert!(report.to_string().contains("witnessed (quorum met: north, south)"), "{report}");

    // Without a policy names are claims, and say so.
    let report = judged(&both, None);
    assert!(report.is_good() && report.findings.is_empty(), "{report}");
    assert_eq!(report.witnesses.level, WitnessLevel::Unchecked);
    assert_eq!(report.witnesses.claimed, ["witness.example/w1", "witness.example/w2"]);
    assert!(report.witnesses.witnesses.is_empty());
    assert!(report.to_string().contains("not checked: lines with the names"), "{report}");
    let nobody = TlogPolicy::parse("quorum none").unwrap();
    let report = judged(&both, Some(&nobody));
    assert_eq!(report.witnesses.level, WitnessLevel::Unwitnessed);

    // One of two, nobody, and the key of somebody else.
    for (witnesses, named) in [
        (vec![witness(2)], "south cosigned"),
        (Vec::new(), "nobody of the policy cosigned"),
        (vec![witness(1), witness(3)], "north cosigned"),
    ] {
        let report = judged(&cosigned(&place, &witnesses), Some(&policy("all")));
        assert!(report.is_good(), "{report}");
        assert_eq!(report.witnesses.level, WitnessLevel::QuorumNotMet, "{report}");
        assert!(report.witnesses.statement.contains(named), "{report}");
        assert_eq!(report.verdict().failure(true), Some(ErrorCode::Unwitnessed));
        assert_eq!(report.verdict().failure(false), None);
    }
    let one = judged(&cosigned(&place, &[witness(2)]), Some(&policy("any")));
    assert_eq!(one.witnesses.level, WitnessLevel::Witnessed, "{one}");

    // A policy that names logs takes no other one's heads.
    let other = Keys::from_seed("custody/other/log", [8; 32]).vkey();
    let north = witness(1).cosigner();
    let own = keys().verifier().named(&keys().verifier().log_origin());
    for (log, level) in
        [(other, WitnessLevel::QuorumNotMet), (own.to_string(), WitnessLevel::Witnessed)]
    {
        let text = format!("log {log}\nwitness north {north}\nquorum north\n");
        let report = judged(&both, Some(&TlogPolicy::parse(&text).unwrap()));
        assert_eq!(report.witnesses.level, level, "{report}");
    }
}

#[test]
fn a_forged_cosignature_is_found_and_its_witness_named() {
    let place = Place::new();
    place.sealed(3);
    let pack = cosigned(&place, &[witness(1), witness(2)]);
    let lines = |note: &Note| note.signatures().to_vec();
    let own = |note: &Note| {
        let mut kept = Note::parse(&fs::read(place.log.join("checkpoint")).unwrap()).unwrap();
        assert_eq!(kept.text(), note.text());
        kept.add(lines(note)[2].clone());
        kept
    };
    let mut flipped = 0;
    // Every byte of a cosignature: time and signature.
    for at in 0..lines(&Note::parse(&fs::read(place.log.join("cosigned")).unwrap()).unwrap())[3]
        .signature
        .len()
    {
        let forged = with_head(&pack, |note| {
            let mut line = lines(note)[3].clone();
            line.signature[at] ^= 1 << (at % 8);
            let mut kept = own(note);
            kept.add(line);
            *note = kept;
        });
        let report = judged(&forged, Some(&policy("any")));
        assert_eq!(report.witnesses.level, WitnessLevel::InvalidCosignature, "{report}");
        assert!(report.witnesses.statement.contains("south"), "{report}");
        assert!(codes(&report).contains(&Code::CosignatureInvalid), "{report}");
        assert_eq!(report.verdict().failure(true), Some(ErrorCode::VerificationFailed));
        flipped += 1;
    }
    println!("{flipped} flipped bytes of a cosignature, each named with its witness");
    // Of another head, and by another key under the witness's name.
    let elsewhere = Checkpoint { size: 9, ..Checkpoint::peek(&head_of(&place)).unwrap() };
    let elsewhere = Note::parse(&elsewhere.sign(&keys())).unwrap();
    let of_another_head = witness(2).cosign(&elsewhere, 1_700_000_000);
    let of_another_key = {
        let note = Note::parse(&head_of(&place)).unwrap();
        let imposter = WitnessKey::from_seed("witness.example/w2", [9; 32]).unwrap();
        let mut line = imposter.cosign(&note, 1_700_000_000);
        line.hash = witness(2).cosigner().hash();
        line
    };
    for line in [of_another_head, of_another_key] {
        let forged = with_head(&pack, |note| {
            let mut kept = own(note);
            kept.add(line.clone());
            *note = kept;
        });
        let report = judged(&forged, Some(&policy("any")));
        assert_eq!(report.witnesses.level, WitnessLevel::InvalidCosignature, "{report}");
        assert!(report.witnesses.statement.contains("INVALID COSIGNATURE of south"), "{report}");
    }
}

fn head_of(place: &Place) -> Vec<u8> {
    fs::read(place.log.join("checkpoint")).unwrap()
}
