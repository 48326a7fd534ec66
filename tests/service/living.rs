//! The log of a session that lives, over HTTP and on disk: followed, proved, and kept when its keeper is killed.

use custody_record::living::LIVING_CHECKPOINT;
use custody_record::tlog::Checkpoint;
use custody_tests::deadline::until;
use custody_tests::{Installation, Repository, Server};
use tempfile::TempDir;

#[test]
fn a_session_that_lives_is_proved_as_it_goes_on_and_no_head_of_it_is_taken_back() {
    let (installation, repository) = (Installation::new(), Repository::example());
    let mut server = Server::start(&installation);
    let vkey = installation.state().join("keys/installation.vkey");
    let vkey = std::fs::read_to_string(vkey).expect("a key").trim().to_owned();
    let script = "while :; do cat README.md >>log; sleep 0.05; done";
    let ran = installation.run(&repository, &["--detach"], script);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let id = installation.session();
    let elsewhere = TempDir::with_prefix("custody-elsewhere-").expect("a directory");
    let file = |name: &str| elsewhere.path().join(name).to_str().expect("text").to_owned();
    let custody = |words: &[&str]| installation.custody(repository.path(), words);

    // Heads come at least once a second, and each goes on from those before.
    let (mut heads, mut size) = (Vec::<String>::new(), 0);
    for number in 0..4 {
        let path = file(&format!("head{number}"));
        size = until("the log to have a newer head", || {
            let read = custody(&["proof", "last", "--head", "--file", &path]);
            let head = Checkpoint::peek(&std::fs::read(&path).ok()?).ok()?;
            (read.code == Some(0) && head.size > size).then_some(head.size)
        });
        for older in &heads {
            let _ = custody(&["proof", "last", "--consistency", older]).succeeded();
        }
        heads.push(path);
    }
    // An event is proved while the session lives, to somebody who has only the key.
    let (seq, proof) = ((size - 1).to_string(), file("event.tlog-proof"));
    let _ = custody(&["proof", "last", &seq, "--file", &proof]).succeeded();
    let stranger = Installation::new();
    let check = |words: &[&str]| stranger.custody(elsewhere.path(), words);
    let held = check(&["verify", &proof, "--key", &vkey, "-o", "json"]).succeeded().json();
    assert_eq!(held["entry"]["seq"].to_string(), seq, "{held}");
    // The same from the directory of the record.
    let record = installation.directory(id).join("record");
    let directory = record.to_str().expect("text");
    let _ = custody(&["proof", directory, "3", "--file", &proof]).succeeded();
    let _ = check(&["verify", &proof, "--key", &vkey]).succeeded();
    let verified = custody(&["verify", directory, "-o", "json"]);
    assert_eq!(verified.code, Some(69), "it is open: {}", verified.stdout);
    assert_eq!(verified.json()["integrity"], "intact", "{}", verified.stdout);

    // Its keeper is killed. What somebody was shown stays true.
    assert!(custody_tests::keeper::kill(id), "the session has a keeper");
    let last = std::fs::read(record.join(LIVING_CHECKPOINT)).expect("the newest head");
    let (path, last_size) = (file("last"), Checkpoint::peek(&last).expect("a head").size);
    std::fs::write(&path, &last).expect("written");
    heads.push(path);
    let sealed = until("the record to be closed", || {
        let bytes = std::fs::read(record.join("checkpoint")).ok()?;
        (!record.join("journal").exists()).then(|| Checkpoint::peek(&bytes).expect("a head"))
    });
    assert!(sealed.size > last_size, "{sealed:?}");
    assert!(!record.join(LIVING_CHECKPOINT).exists());
    for older in &heads {
        let _ = custody(&["proof", "last", "--consistency", older]).succeeded();
    }
    let mut words = vec!["verify", directory, "--key", &vkey, "--checkpoint"];
    words.extend(heads.iter().map(String::as_str));
    let compared = custody(&words);
    assert_eq!(compared.code, Some(0), "{}{}", compared.stdout, compared.stderr);
    let verified = custody(&["verify", "last"]);
    assert_eq!(verified.code, Some(69), "intact, not complete: {}", verified.stdout);
    println!(
        "{} heads of a session, the last of {last_size} events when its keeper was killed",
        heads.len()
    );
    assert_eq!(server.stop(), Some(0));
}
