//! Sealed content: only with its key, never in clear, and gone with it while everything that was recorded still verifies.

mod samples;

use std::path::Path;
use std::sync::Arc;

use custody_model::EventId;
use custody_record::event::{Body, TerminalRecorded};
use custody_record::{
    BlobError, Blobs, Code, Completeness, Contents, Erasure, Integrity, Journal, JournalOptions,
    KeyChoice, Reader, Report, Scope, Sink, Vault, VerifyOptions, verify,
};
use samples::{at, header, keys, session, user};

const CONTENT: &[u8] = b"what the terminal showed: nothing that anybody else should see";

struct Place {
    dir: tempfile::TempDir,
    vault: Arc<Vault>,
}

impl Place {
    /// With a sealed record that names one sealed content.
    fn new() -> Self {
        Self::holding(&[])
    }

    /// And these contents in the clear.
    fn holding(clear: &[&[u8]]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let vault = Arc::new(Vault::open(&dir.path().join("vault")).unwrap());
        let place = Self { dir, vault };
        let key = place.vault.make(Scope::Session(session())).unwrap();
        let journal = Journal::create(&place.record(), header(), JournalOptions::default());
        let journal = journal.unwrap().with_key(key);
        let mut blobs = vec![journal.blobs().put_bytes("terminal", "text/plain", CONTENT).unwrap()];
        let open = journal.blobs().in_the_clear();
        blobs.extend(clear.iter().map(|clear| open.put_bytes("cut", "text/plain", clear).unwrap()));
        let body = Body::TerminalRecorded(TerminalRecorded {
            output_bytes: 1,
            input_bytes: 0,
            cut_bytes: 0,
        });
        let draft = custody_record::Draft::new(at(1), custody_model::Actor::Keeper, body);
        journal.observe(custody_record::Draft { blobs, ..draft }).unwrap();
        let counts = [("terminal.recorded".to_owned(), 1)];
        samples::observe(&journal, samples::closed(counts.into()));
        let log = custody_record::InstallationLog::open(&place.dir.path().join("log"), &keys());
        journal.seal(&keys(), &log.unwrap()).unwrap();
        place
    }

    fn record(&self) -> std::path::PathBuf {
        self.dir.path().join("record")
    }

    fn check(&self, vault: bool) -> Report {
        let options = VerifyOptions::new(KeyChoice::Given(keys().verifier()))
            .with_installation_log(&self.dir.path().join("log"));
        let vault = vault.then(|| self.vault.clone());
        verify(&self.record(), &VerifyOptions { vault, ..options })
    }

    fn digest(&self) -> custody_model::Digest {
        let reader = Reader::open(&self.record()).unwrap();
        let mut events = reader.events().unwrap();
        events.find_map(|event| event.unwrap().blobs.first().map(|blob| blob.digest)).unwrap()
    }

    fn files(&self) -> Vec<std::path::PathBuf> {
        files(&self.record().join("blobs"))
    }
}

fn files(dir: &Path) -> Vec<std::path::PathBuf> {
    let Ok(entries) = std::fs::read_dir(dir) else { return Vec::new() };
    let paths = entries.map(|entry| entry.unwrap().path());
    paths.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

fn codes(report: &Report) -> Vec<Code> {
    report.findings.iter().map(|finding| finding.code).collect()
}

#[test]
fn content_is_read_with_its_key_alone_and_its_name_tells_nothing() {
    let place = Place::new();
    let digest = place.digest();
    let blobs = place.vault.blobs(Scope::Session(session()), &place.record()).unwrap();
    assert_eq!(blobs.get(&digest).unwrap(), CONTENT);
    let keyless = Blobs::open(&place.record());
    assert!(matches!(keyless.get(&digest), Err(BlobError::Locked(_))));
    let other = custody_record::ContentKey::from_bytes([9; 32]);
    assert!(matches!(keyless.with_key(Some(other)).get(&digest), Err(BlobError::Missing(_))));
    let [file] = place.files().try_into().unwrap();
    assert!(!file.display().to_string().contains(&digest.hex()[..16]), "{file:?}");
    let bytes = std::fs::read(&file).unwrap();
    assert!(!bytes.windows(8).any(|window| window == &CONTENT[..8]));
    // As it is handed out it is what any reader of a record reads.
    let copy = tempfile::tempdir().unwrap();
    let path = Blobs::open(copy.path()).path(&digest);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, blobs.clear_form(&digest).unwrap()).unwrap();
    assert_eq!(Blobs::open(copy.path()).get(&digest).unwrap(), CONTENT);
}

#[test]
fn verification_checks_sealed_content_with_the_vault_and_says_so_without() {
    let place = Place::new();
    let report = place.check(true);
    assert!(report.is_good() && report.findings.is_empty(), "{report}");
    let report = place.check(false);
    assert!(report.is_good(), "{report}");
    assert_eq!(codes(&report), [Code::ContentUnopened]);
    assert_eq!(report.contents, Contents::Stored);
    let [file] = place.files().try_into().unwrap();
    let bytes = std::fs::read(&file).unwrap();
    for at in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        std::fs::write(&file, changed).unwrap();
        for vault in [true, false] {
            let report = place.check(vault);
            assert_eq!(report.integrity, Integrity::Broken, "a flip at {at} is not seen");
        }
    }
    println!("{} bytes of sealed content flipped, each is detected", bytes.len());
    std::fs::remove_file(&file).unwrap();
    for vault in [true, false] {
        let report = place.check(vault);
        assert_eq!(report.integrity, Integrity::Broken);
        assert!(codes(&report).contains(&Code::BlobMissing), "{report}");
    }
}

#[test]
fn a_clear_content_that_is_gone_beside_sealed_ones_is_missing_whatever_lies_there_instead() {
    let place = Place::holding(&[b"a part of the log"]);
    for vault in [true, false] {
        assert!(place.check(vault).is_good(), "{}", place.check(vault));
    }
    let sealed = |path: &Path| path.extension().is_none();
    let (kept, clear): (Vec<_>, Vec<_>) = place.files().into_iter().partition(|path| sealed(path));
    let ([kept], [clear]) = (&kept[..], &clear[..]) else { panic!("{kept:?} {clear:?}") };
    // Under the name of a sealed file, which nobody without the key can say anything about.
    std::fs::rename(clear, kept.with_file_name("f".repeat(64))).unwrap();
    for vault in [true, false] {
        let report = place.check(vault);
        assert_eq!(report.integrity, Integrity::Broken, "{report}");
        assert!(codes(&report).contains(&Code::BlobMissing), "{report}");
    }
}

#[test]
fn a_content_that_is_stored_again_and_at_once_keeps_its_first_file() {
    let place = tempfile::tempdir().unwrap();
    let key = custody_record::ContentKey::from_bytes([3; 32]);
    let blobs = Blobs::open(place.path()).with_key(Some(key));
    let put = || blobs.put_bytes("terminal", "text/plain", CONTENT).unwrap();
    let all: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(put)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let [file] = files(&place.path().join("blobs")).try_into().unwrap();
    let stored = all[0].stored.clone().unwrap();
    assert_eq!(stored.digest, custody_model::Digest::of(&std::fs::read(&file).unwrap()));
    assert_eq!(file.file_name().unwrap().to_str(), Some(stored.name.as_str()));
    assert!(all.iter().chain([&put()]).all(|blob| *blob == all[0]), "{all:?}");
}

#[test]
fn a_key_that_is_gone_without_a_note_of_erasure_makes_a_record_incomplete() {
    let place = Place::new();
    let check = || {
        let options = VerifyOptions::new(KeyChoice::Installation(keys().verifier()))
            .with_installation_log(&place.dir.path().join("log"))
            .with_vault(place.vault.clone());
        verify(&place.record(), &options)
    };
    assert!(check().is_good() && check().findings.is_empty(), "{}", check());
    std::fs::remove_file(place.vault.path(Scope::Session(session()))).unwrap();
    let report = check();
    assert_eq!(report.integrity, Integrity::Intact, "{report}");
    assert_eq!(report.completeness, Completeness::Incomplete, "{report}");
    assert_eq!(codes(&report), [Code::ContentKeyMissing, Code::ContentUnopened]);
}

#[test]
fn erased_content_is_gone_and_its_record_verifies_and_says_by_whom() {
    let place = Place::new();
    let wrapped = place.vault.path(Scope::Session(session()));
    let kept = std::fs::read(&wrapped).unwrap();
    let erasure = Erasure {
        session: session(),
        by: user("admin"),
        at: at(100),
        reason: "asked for".to_owned(),
        event: EventId::new(at(100), [1; 10]),
        seq: Some(7),
    };
    erasure.write(&place.record(), &keys()).unwrap();
    // Whoever dies here has a note and a key: nothing is hidden by that.
    assert_eq!(place.check(true).integrity, Integrity::Intact);
    assert!(place.vault.destroy(Scope::Session(session())).unwrap());
    assert!(!wrapped.exists() && !kept.is_empty());
    assert!(!place.vault.destroy(Scope::Session(session())).unwrap(), "it was there twice");
    Blobs::remove_sealed(&place.record()).unwrap();
    for vault in [true, false] {
        let report = place.check(vault);
        assert_eq!(report.completeness, Completeness::Complete, "{report}");
        assert_eq!(report.integrity, Integrity::Intact, "{report}");
        assert_eq!(codes(&report), [Code::ContentErased]);
        assert_eq!(report.contents, Contents::Erased);
        assert!(report.to_string().contains("content erased by admin at "), "{report}");
    }
    let blobs = place.vault.blobs(Scope::Session(session()), &place.record()).unwrap();
    assert!(matches!(blobs.get(&place.digest()), Err(BlobError::Erased { .. })));
}

#[test]
fn a_note_of_erasure_that_the_installation_did_not_sign_hides_nothing() {
    let place = Place::new();
    let erasure = Erasure {
        session: session(),
        by: user("admin"),
        at: at(100),
        reason: "x".to_owned(),
        event: EventId::new(at(100), [1; 10]),
        seq: Some(7),
    };
    let forger = custody_record::Keys::from_seed("custody/0123456789abcdef", [8; 32]);
    erasure.write(&place.record(), &forger).unwrap();
    Blobs::remove_sealed(&place.record()).unwrap();
    let report = place.check(false);
    assert_eq!(report.integrity, Integrity::Broken);
    assert!(codes(&report).contains(&Code::ErasureNotGenuine), "{report}");
}

#[test]
fn keys_are_wrapped_for_their_scope_and_by_their_wrapping_key_alone() {
    let place = Place::new();
    let other = custody_model::SessionId::new(at(5), [5; 10]);
    std::fs::copy(
        place.vault.path(Scope::Session(session())),
        place.vault.path(Scope::Session(other)),
    )
    .unwrap();
    assert!(place.vault.key(Scope::Session(other)).is_err(), "it opens for another session");
    // One that is gone is not made anew, for what it wrapped would be lost when it comes back.
    let file = place.dir.path().join("vault/wrapping.key");
    std::fs::remove_file(&file).unwrap();
    let refused = Vault::open(&place.dir.path().join("vault"));
    assert!(matches!(refused, Err(custody_record::VaultError::WrappingGone { .. })), "{refused:?}");
    assert!(!file.exists());
    std::fs::copy(Place::new().dir.path().join("vault/wrapping.key"), &file).unwrap();
    let strange = Vault::open(&place.dir.path().join("vault")).unwrap();
    assert!(strange.key(Scope::Session(session())).is_err(), "another wrapping key opens it");
    use std::os::unix::fs::PermissionsExt as _;
    let mode = std::fs::metadata(place.dir.path().join("vault/wrapping.key")).unwrap();
    assert_eq!(mode.permissions().mode() & 0o777, 0o600);
}
