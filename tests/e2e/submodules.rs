//! A session in a repository with submodules: their files are there, what is changed in one is applied in the one's own checkout,
//! and its record says which commits it started from.

use std::fs;

use custody_record::Body;
use custody_record::event::SessionProvisioned;
use custody_tests::{Installation, Record, Repository};

/// A repository with a submodule at `vendor/lib`.
fn with_submodule() -> (Repository, Repository) {
    let (lib, app) = (Repository::new(), Repository::example());
    lib.file("lib.txt", "one\n").file("secret.txt", "hidden\n").commit("Lib");
    let url = lib.path().to_str().expect("UTF-8");
    let allow = ["-c", "protocol.file.allow=always", "submodule", "--quiet", "add"];
    app.git(&[&allow[..], &[url, "vendor/lib"]].concat());
    app.commit("With lib");
    (lib, app)
}

/// What a record says of the provisioning.
fn provisioned(record: &Record) -> &SessionProvisioned {
    let found = record.events().iter().find_map(|event| match &event.body {
        Body::SessionProvisioned(data) => Some(data),
        _ => None,
    });
    found.expect("the session was provisioned")
}

#[test]
fn what_a_session_changed_in_a_submodule_is_applied_in_its_checkout() {
    let (_lib, app) = with_submodule();
    let installation = Installation::new();
    let base = app.git(&["rev-parse", "HEAD:vendor/lib"]);
    let ran = installation.run(&app, &[], "cat vendor/lib/lib.txt; echo two >>vendor/lib/lib.txt");
    let ran = ran.succeeded();
    assert!(ran.stdout.contains("one"), "{}", ran.text());
    let session = installation.session().to_string();
    let record = installation.record(installation.session());
    let told: Vec<_> = provisioned(&record).submodules.iter().flatten().collect();
    assert_eq!(told.len(), 1);
    assert_eq!((told[0].commit.as_str(), told[0].absent.as_ref()), (base.as_str(), None));

    let outputs = installation.custody(app.path(), &["session", "outputs", &session, "-o", "json"]);
    let outputs = outputs.succeeded().json();
    assert_eq!(outputs["submodules"][0]["path"], "vendor/lib", "{outputs}");
    let diff = installation.custody(app.path(), &["session", "diff", &session]).succeeded().stdout;
    assert!(diff.contains("+++ b/vendor/lib/lib.txt") && diff.contains("\n+two\n"), "{diff}");

    let applied = installation.custody(app.path(), &["session", "apply", &session]).succeeded();
    assert!(applied.stdout.contains("in submodule vendor/lib"), "{}", applied.text());
    let lib = app.path().join("vendor/lib/lib.txt");
    assert_eq!(fs::read_to_string(lib).expect("read"), "one\ntwo\n");
    assert_eq!(app.git(&["status", "--porcelain"]), "");
    let at = app.git(&["rev-parse", "HEAD:vendor/lib"]);
    assert_eq!(app.git(&["-C", "vendor/lib", "rev-parse", "HEAD"]), at);
    assert_eq!(app.git(&["-C", "vendor/lib", "rev-parse", &format!("custody/{session}")]), at);
    let inner = app.path().join("vendor/lib");
    let answer = installation.custody(&inner, &["investigate", "lib.txt:2"]).succeeded();
    assert!(answer.stdout.contains(&session), "{}", answer.text());
    let answer = installation.custody(&inner, &["investigate", "lib.txt:1"]);
    assert!(!answer.stdout.contains(&session), "{}", answer.text());
    // What tells lines of the repository around it tells none of the submodule's.
    let words = ["export", &session, "--format", "agent-trace"];
    let traced = installation.custody(app.path(), &words).succeeded();
    assert!(!traced.stdout.contains("lib.txt"), "{}", traced.text());
}

#[test]
fn a_submodule_that_is_not_there_is_on_record_with_the_reason_and_refused_by_apply() {
    let (_lib, app) = with_submodule();
    let installation = Installation::new();
    let _ = installation.run(&app, &[], "echo two >>vendor/lib/lib.txt").succeeded();
    let session = installation.session().to_string();
    let place = tempfile::tempdir().expect("a directory");
    let clone = place.path().join("clone");
    app.git(&["clone", "--quiet", ".", clone.to_str().expect("UTF-8")]);
    let refused = installation.custody(&clone, &["session", "apply", &session]);
    assert_ne!(refused.code, Some(0), "{}", refused.text());
    assert!(refused.stderr.contains("git submodule update --init"), "{}", refused.text());

    let other = Installation::new();
    let ran = other.custody(&clone, &["run", "--", "sh", "-c", "ls -A vendor/lib"]).succeeded();
    assert_eq!(ran.stdout, "");
    let record = other.record(other.session());
    let told = provisioned(&record).submodules.as_ref().expect("it is on record");
    let why = told[0].absent.as_deref().expect("a reason");
    assert!(why.contains("git submodule update --init"), "{why}");
}

#[test]
fn that_the_history_is_cut_off_is_on_record() {
    let repository = Repository::example();
    repository.file("more.txt", "more\n").commit("More");
    let place = tempfile::tempdir().expect("a directory");
    let clone = place.path().join("clone");
    let url = format!("file://{}", repository.path().display());
    repository.git(&["clone", "--quiet", "--depth=1", &url, clone.to_str().expect("UTF-8")]);
    let installation = Installation::new();
    let _ = installation.custody(&clone, &["run", "-q", "--", "true"]).succeeded();
    let record = installation.record(installation.session());
    assert_eq!(provisioned(&record).history_cuts, Some(1));
}
