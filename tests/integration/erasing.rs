//! The content of a session that is over is erased for ever, by an admin's decision that is on record, whatever dies in between.

use std::sync::Arc;

use custody_record::{BlobError, Erasure, Reader, Scope};
use custody_session::{SessionError, When};

use crate::ground::{Ground, Trap, author, open, options};

const SCRIPT: &str = "echo shown; echo written >written";

#[tokio::test(flavor = "multi_thread")]
async fn erased_content_is_gone_and_the_record_verifies_and_says_so() {
    let ground = Ground::new(0).await;
    let session = ground.create("dana", SCRIPT).await.id;
    let orchestrator = &ground.orchestrator;
    let early = orchestrator.erase(&author("admin"), session, "too early").await;
    assert!(matches!(early, Err(SessionError::Conflict { .. })), "{early:?}");
    ground.until_over(session).await;
    let (vault, record) = (orchestrator.plane().vault(), orchestrator.record(session));
    let contents = || {
        let blobs = vault.blobs(Scope::Session(session), &record).unwrap();
        let reader = Reader::open(&record).unwrap();
        let events = reader.events().unwrap();
        let named: Vec<_> = events.flat_map(|event| event.unwrap().blobs).collect();
        named.iter().map(|blob| blobs.get(&blob.digest)).collect::<Vec<_>>()
    };
    let before = contents();
    assert!(before.len() >= 2 && before.iter().all(Result::is_ok), "{before:?}");
    let unexplained = orchestrator.erase(&author("admin"), session, " ").await;
    assert!(matches!(unexplained, Err(SessionError::Invalid { .. })), "{unexplained:?}");

    orchestrator.erase(&author("admin"), session, "asked for by dana").await.unwrap();
    let after = contents();
    assert_eq!(after.len(), before.len());
    let gone = |content: &Result<_, _>| matches!(content, Err(BlobError::Erased { .. }));
    assert!(after.iter().all(gone), "{after:?}");
    println!("{} contents erased", after.len());
    let verified = ground.installation.verify(session).succeeded().stdout;
    assert!(verified.contains("content erased by admin at "), "{verified}");
    assert!(verified.contains("asked for by dana"), "{verified}");
    let id = session.to_string();
    let shown = ground.installation.custody(ground.installation.state(), &["session", "show", &id]);
    assert!(shown.succeeded().stdout.contains("asked for by dana"));
    let diff = ground.installation.custody(ground.installation.state(), &["session", "diff", &id]);
    assert!(diff.code != Some(0) && diff.stderr.contains("erased by admin"), "{diff:?}");
    let again = orchestrator.erase(&author("admin"), session, "again").await;
    assert!(matches!(again, Err(SessionError::Conflict { .. })), "{again:?}");
    orchestrator.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erasure_that_died_in_the_middle_is_completed_at_the_next_start_if_it_is_on_record() {
    for (step, when, completed) in [
        ("erase.begin", When::After, false),
        ("erase.record", When::Before, false),
        ("erase.record", When::After, true),
        ("erase.destroy", When::Before, true),
    ] {
        let ground = Ground::new(0).await;
        let session = ground.create("dana", SCRIPT).await.id;
        ground.until_over(session).await;
        *ground.trap.fails.lock().unwrap() = Some((step.to_owned(), when));
        let failed = ground.orchestrator.erase(&author("admin"), session, "x").await;
        assert!(failed.is_err(), "{step}");
        ground.orchestrator.shut_down().await;

        let next = open(&ground.installation, Arc::new(Trap::default()), options()).await;
        next.start().await.unwrap();
        let key = next.plane().vault().key(Scope::Session(session)).unwrap();
        assert_eq!(key.is_none(), completed, "{step} {when:?}");
        let note = Erasure::read(&next.record(session)).unwrap();
        assert_eq!(note.is_some(), completed, "{step} {when:?}");
        let begun = ground.installation.state().join("vault/erasing");
        assert_eq!(std::fs::read_dir(begun).unwrap().count(), 0, "{step} {when:?}");
        let _ = ground.installation.verify(session).succeeded();
        next.shut_down().await;
    }
}
