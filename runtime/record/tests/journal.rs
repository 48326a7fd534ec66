//! Nothing that was acknowledged is lost, whoever dies; and one order for all who append.

mod samples;

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::FromRawFd as _;
use std::sync::Arc;

use custody_record::event::{Body, Draft};
use custody_record::{
    Completeness, Head, Integrity, Journal, JournalError, JournalOptions, KeyChoice, Keys, Reader,
    SinkError, Tail, VerifyOptions, recover, verify,
};
use custody_record::{SessionHead, Sink};
use samples::{Place, authorized, closed, gap, header, keys, observe, opened};

fn options() -> VerifyOptions {
    VerifyOptions::new(KeyChoice::Given(keys().verifier()))
}

#[test]
fn order_of_calls_is_order_in_the_record_and_heads_are_those_of_the_tree() {
    let place = Place::new();
    let small = JournalOptions { buffer_bytes: 4096, wake_bytes: 512, ..JournalOptions::default() };
    let journal = Arc::new(Journal::create(&place.record, header(), small).unwrap());
    // Four threads through a buffer that holds a few events: whoever appends waits, and nobody is dropped.
    let threads: Vec<_> = (0..4)
        .map(|t| {
            let journal = Arc::clone(&journal);
            std::thread::spawn(move || {
                let ids: Vec<_> =
                    (0..500).map(|i| observe(&*journal, opened(&format!("{t}/{i}")))).collect();
                journal.barrier().unwrap();
                ids
            })
        })
        .collect();
    let appended: Vec<Vec<_>> = threads.into_iter().map(|t| t.join().unwrap()).collect();
    let reader = Reader::open(&place.record).unwrap();
    let events: Vec<_> = reader.events().unwrap().map(Result::unwrap).collect();
    assert_eq!(events.len(), 2000);
    for ids in appended {
        let places: Vec<_> =
            ids.iter().map(|id| events.iter().position(|e| e.id == *id).unwrap()).collect();
        assert!(places.is_sorted());
    }
    let leaves: Vec<_> =
        reader.entries().unwrap().map(|e| custody_record::tlog::leaf_hash(&e.unwrap())).collect();
    let root = custody_record::tlog::root_of(&leaves);
    assert_eq!(journal.head().unwrap(), Head { size: 2000, root });
    assert_eq!(journal.counts()["file.opened"], 2000);
    assert_eq!(reader.get(1234).unwrap().unwrap().seq, 1234);
    let report = verify(&place.record, &options());
    assert_eq!(
        (report.integrity, report.completeness),
        (Integrity::Intact, Completeness::Open),
        "{report}"
    );
}

#[test]
fn who_follows_a_record_gets_every_event_once_across_the_seal() {
    let place = Place::new();
    let mut early = Tail::new(&place.record, 0);
    assert!(early.read(9).unwrap().entries.is_empty(), "there is no record yet");
    let journal = place.journal();
    observe(&journal, authorized());
    for i in 0..600 {
        observe(&journal, opened(&i.to_string()));
    }
    journal.flush().unwrap();
    let mut late = Tail::new(&place.record, 500);
    let mut seen = [Vec::new(), Vec::new()];
    seen[0].extend(early.read(10).unwrap().entries);
    assert_eq!(seen[0].len(), 10);
    seen[1].extend(late.read(usize::MAX).unwrap().entries);
    assert_eq!(late.seq(), 601);
    let counts = journal.counts();
    observe(&journal, closed(counts));
    journal.seal(&keys(), &place.installation_log()).unwrap();
    let whole: Vec<_> =
        Reader::open(&place.record).unwrap().entries().unwrap().map(Result::unwrap).collect();
    for (tail, seen) in [&mut early, &mut late].into_iter().zip(&mut seen) {
        loop {
            let fresh = tail.read(100).unwrap();
            seen.extend(fresh.entries);
            if fresh.end {
                break;
            }
        }
    }
    assert_eq!(seen[0], whole);
    assert_eq!(seen[1], whole[500..]);
    for begin in [0, 255, 256, 300, 601] {
        let mut after = Tail::new(&place.record, begin);
        let fresh = after.read(usize::MAX).unwrap();
        assert!(fresh.end);
        assert_eq!(fresh.entries, whole[usize::try_from(begin).unwrap()..]);
    }
}

/// Appends for ever and tells the pipe how many events were flushed.
fn append_until_killed(place: &Place, mut told: File) -> ! {
    let journal = place.journal();
    observe(&journal, authorized());
    for round in 1_u64.. {
        for i in 0..round % 97 {
            observe(&journal, opened(&format!("{round}/{i}")));
        }
        journal.flush().unwrap();
        let size = journal.head().unwrap().size;
        told.write_all(&size.to_le_bytes()).unwrap();
    }
    unreachable!("it is killed")
}

#[test]
fn after_kill_9_nothing_that_was_flushed_is_lost_and_the_record_is_closed_by_another() {
    for round in 0..12 {
        let place = Place::new();
        let mut pipe = [0; 2];
        // SAFETY: `pipe` has room for the two descriptors.
        assert_eq!(unsafe { libc::pipe(pipe.as_mut_ptr()) }, 0);
        // SAFETY: the child runs code that takes no lock that another thread of this test may hold, and is killed.
        let child = unsafe { libc::fork() };
        assert!(child >= 0);
        // SAFETY: both descriptors are new and owned by nobody else.
        let (mut told, telling) =
            unsafe { (File::from_raw_fd(pipe[0]), File::from_raw_fd(pipe[1])) };
        if child == 0 {
            drop(told);
            append_until_killed(&place, telling);
        }
        drop(telling);
        let mut flushed = 0;
        let mut word = [0; 8];
        for _ in 0..1 + round * 7 {
            told.read_exact(&mut word).unwrap();
            flushed = u64::from_le_bytes(word);
        }
        assert!(matches!(
            recover(&place.record, JournalOptions::default()),
            Err(JournalError::InUse(_))
        ));
        // SAFETY: the child is ours and was not waited for.
        unsafe {
            assert_eq!(libc::kill(child, libc::SIGKILL), 0);
            assert_eq!(libc::waitpid(child, std::ptr::null_mut(), 0), child);
        }
        while told.read_exact(&mut word).is_ok() {
            flushed = u64::from_le_bytes(word);
        }

        let recovered = recover(&place.record, JournalOptions::default()).unwrap();
        let journal = recovered.journal;
        let size = journal.head().unwrap().size;
        assert!(size >= flushed, "{size} events are there, {flushed} were flushed");
        assert_eq!(recovered.last.unwrap().seq + 1, size);
        assert!(!recovered.closed);
        observe(&journal, gap());
        observe(&journal, closed(journal.counts()));
        journal.seal(&keys(), &place.installation_log()).unwrap();
        let report = verify(&place.record, &options().with_installation_log(&place.log));
        assert_eq!(
            (report.integrity, report.completeness),
            (Integrity::Intact, Completeness::Incomplete),
            "{report}"
        );
        assert_eq!(report.events, size + 2);
    }
}

#[test]
fn a_torn_tail_is_cut_off_and_kept_and_said() {
    let place = Place::new();
    let journal = place.journal();
    for body in [authorized(), opened("a"), opened("b")] {
        observe(&journal, body);
    }
    journal.barrier().unwrap();
    drop(journal);
    let path = place.record.join("journal");
    let whole = std::fs::read(&path).unwrap();
    std::fs::write(&path, &whole[..whole.len() - 7]).unwrap();
    let recovered = recover(&place.record, JournalOptions::default()).unwrap();
    let cut = recovered.cut.unwrap();
    assert_eq!(
        cut.bytes,
        std::fs::read(&path).map(|now| whole.len() - 7 - now.len()).unwrap() as u64
    );
    assert_eq!(recovered.journal.blobs().get(&cut.blob.digest).unwrap().len() as u64, cut.bytes);
    let mut draft = Draft::new(samples::at(3), custody_model::Actor::Server, gap());
    draft.blobs.push(cut.blob);
    recovered.journal.observe(draft).unwrap();
    observe(&recovered.journal, closed(recovered.journal.counts()));
    recovered.journal.seal(&keys(), &place.installation_log()).unwrap();
    let report = verify(&place.record, &options());
    assert_eq!((report.integrity, report.events), (Integrity::Intact, 4), "{report}");
}

#[test]
fn a_crash_inside_of_the_seal_is_healed_by_sealing_again() {
    let place = Place::new();
    let journal = place.journal();
    observe(&journal, authorized());
    assert!(matches!(
        journal.seal(&keys(), &place.installation_log()),
        Err(custody_record::SealError::NotClosed)
    ));
    observe(&journal, closed(journal.counts()));
    assert!(matches!(
        journal.observe(Draft::new(samples::at(1), samples::process(), opened("late"))),
        Err(SinkError::Sealed)
    ));
    journal.barrier().unwrap();
    let kept = std::fs::read(place.record.join("journal")).unwrap();
    let sealed = journal.seal(&keys(), &place.installation_log()).unwrap();
    drop(journal);
    assert!(matches!(
        recover(&place.record, JournalOptions::default()),
        Err(JournalError::Sealed(_))
    ));
    assert!(matches!(
        Journal::create(&place.record, header(), JournalOptions::default()),
        Err(JournalError::Exists(_))
    ));

    // As if it had died at any step: the journal is still there, and of the rest whatever was written.
    for leave in ["tile", "installation.vkey", "seal.dsse.json", "checkpoint"] {
        std::fs::write(place.record.join("journal"), &kept).unwrap();
        match leave {
            "tile" => std::fs::remove_file(samples::bundle(&place.record)).unwrap(),
            file => std::fs::remove_file(place.record.join(file)).unwrap(),
        }
        let recovered = recover(&place.record, JournalOptions::default()).unwrap();
        assert!(recovered.closed && recovered.cut.is_none());
        let again = recovered.journal.seal(&keys(), &place.installation_log()).unwrap();
        assert_eq!(again.head, sealed.head);
        let report = verify(&place.record, &options().with_installation_log(&place.log));
        assert!(report.is_good() && report.findings.is_empty(), "{report}");
    }

    // As if it had died before the last step alone: that is all that is left to do.
    std::fs::write(place.record.join("journal"), &kept).unwrap();
    let before = samples::contents(&place.record.join("tile"));
    let again = recover(&place.record, JournalOptions::default());
    assert!(matches!(again, Err(JournalError::Sealed(_))), "{again:?}");
    assert!(!place.record.join("journal").exists());
    assert_eq!(samples::contents(&place.record.join("tile")), before);
}

#[test]
fn a_record_that_cannot_be_written_says_so_at_once() {
    let place = Place::new();
    // /dev/full behind the journal's name: every write fails as on a full disk.
    let journal = place.journal();
    drop(journal);
    std::fs::remove_file(place.record.join("journal")).unwrap();
    std::os::unix::fs::symlink("/dev/full", place.record.join("journal")).unwrap();
    let refused = Journal::create(&place.record, header(), JournalOptions::default());
    assert!(matches!(refused, Err(JournalError::Exists(_))));

    let other = Place::new();
    let journal = other.journal();
    // A limit on the size of files is the kernel's own way to refuse a write.
    let limit = libc::rlimit { rlim_cur: 4096, rlim_max: libc::RLIM_INFINITY };
    // SAFETY: a limit is read and a signal's disposition set; both are of this test's process, which runs alone.
    unsafe {
        libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
        assert_eq!(libc::setrlimit(libc::RLIMIT_FSIZE, &limit), 0);
    }
    let mut failed = None;
    for i in 0..100 {
        let body: Body = opened(&format!("{i}"));
        if let Err(error) = journal
            .observe(Draft::new(samples::at(1), samples::process(), body))
            .and_then(|_| journal.barrier())
        {
            failed = Some(error);
            break;
        }
    }
    let Some(SinkError::Unwritable(text)) = failed else { panic!("{failed:?}") };
    assert!(text.contains("journal failed: File too large"), "{text}");
    assert!(matches!(journal.barrier(), Err(SinkError::Unwritable(_))));
    assert!(matches!(journal.flush(), Err(SinkError::Unwritable(_))));
    assert!(matches!(journal.head(), Err(SinkError::Unwritable(_))));
    // What is only observed waits, and the writer goes on by itself when it can.
    let appended = journal.counts()["file.opened"] + 1;
    observe(&journal, opened("meanwhile"));
    let limit = libc::rlimit { rlim_cur: libc::RLIM_INFINITY, ..limit };
    // SAFETY: as above.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_FSIZE, &limit) }, 0);
    journal.wait_until_writable().unwrap();
    journal.barrier().unwrap();
    assert_eq!(journal.head().unwrap().size, appended);
    let report = verify(&other.record, &options());
    assert_eq!((report.integrity, report.events), (Integrity::Intact, appended), "{report}");
}

#[test]
fn the_installation_key_is_made_once_and_is_private() {
    use std::os::unix::fs::PermissionsExt as _;
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("keys");
    let made: Vec<String> = std::thread::scope(|scope| {
        let threads: Vec<_> =
            (0..4).map(|_| scope.spawn(|| Keys::open(&dir).unwrap().vkey())).collect();
        threads.into_iter().map(|t| t.join().unwrap()).collect()
    });
    assert!(made.windows(2).all(|pair| pair[0] == pair[1]));
    let mode = std::fs::metadata(dir.join("installation.key")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let verifier = custody_record::Verifier::read(&dir.join("installation.vkey")).unwrap();
    assert_eq!(verifier.to_string(), made[0]);
    assert_eq!(samples::files(&dir).len(), 2);
    let text = std::fs::read_to_string(dir.join("installation.key")).unwrap();
    // Another implementation reads the key.
    signed_note::StandardSigner::new(text.trim()).unwrap();
    std::fs::write(dir.join("installation.key"), text.replace('+', "-")).unwrap();
    assert!(Keys::open(&dir).is_err());
}

#[test]
fn keepers_share_the_installation_log() {
    let place = Place::new();
    std::thread::scope(|scope| {
        for t in 0..3_u8 {
            let place = &place;
            scope.spawn(move || {
                let session = custody_model::SessionId::new(samples::START, [t; 10]);
                for size in 0..40 {
                    let root = custody_model::Digest::of(&[t]);
                    let leaf =
                        SessionHead { session, size, root, time: samples::at(1), sealed: false };
                    place.installation_log().append(&leaf).unwrap();
                }
            });
        }
    });
    let log =
        custody_record::installation::InstallationLeaves::read(&place.log, &keys().verifier(), &[])
            .unwrap();
    assert_eq!(log.leaves.len(), 120);
    // Each head keeps its tile and its bundle until they are full; then there are the checkpoint and the lock.
    assert_eq!(samples::files(&place.log).len(), 2 * 120 + 2);
}

#[test]
fn blobs_are_what_their_name_says_within_the_limit() {
    let place = Place::new();
    let blobs = custody_record::Blobs::open(&place.record);
    let content = vec![7; 5 << 20];
    let blob = blobs.put_reader("diff", "text/plain", &mut content.as_slice()).unwrap();
    assert_eq!((blob.size, blob.digest), (5 << 20, custody_model::Digest::of(&content)));
    assert_eq!(blobs.put_bytes("other", "text/plain", &content).unwrap().digest, blob.digest);
    assert_eq!(blobs.get(&blob.digest).unwrap(), content);
    assert!(std::fs::metadata(blobs.path(&blob.digest)).unwrap().len() < 4096);
    // Any tool for zstd reads it.
    assert_eq!(zstd::decode_all(File::open(blobs.path(&blob.digest)).unwrap()).unwrap(), content);
    let small = blobs.clone().with_limit(1 << 20);
    assert!(matches!(small.get(&blob.digest), Err(custody_record::BlobError::TooLarge { .. })));
    assert_eq!(samples::files(&place.record).len(), 1);
    assert!(matches!(
        blobs.get(&custody_model::Digest::of(b"-")),
        Err(custody_record::BlobError::Missing(_))
    ));
}
