//! `custody session apply`: into the repository that the session changed, without its hooks, and with what to do if git refuses.

use custody_tests::{Installation, Repository};

/// A session that wrote `applied.txt` in a repository.
fn session(script: &str) -> (Installation, Repository, String) {
    let (installation, repository) = (Installation::new(), Repository::example());
    let _ = installation.run(&repository, &[], script).succeeded();
    let session = installation.session().to_string();
    (installation, repository, session)
}

#[test]
fn the_changes_of_one_repository_are_not_put_into_another() {
    let (installation, repository, session) = session("echo applied >applied.txt");
    let other = Repository::new();
    other.file("README.md", "another\n").commit("Another");
    let before = (other.git(&["rev-parse", "HEAD"]), other.git(&["for-each-ref"]));
    for id in ["last", &session] {
        let refused = installation.custody(other.path(), &["session", "apply", id]);
        assert_ne!(refused.code, Some(0), "{}", refused.text());
        for place in [repository.path(), other.path()] {
            assert!(refused.stderr.contains(&*place.to_string_lossy()), "{}", refused.text());
        }
    }
    assert_eq!(before, (other.git(&["rev-parse", "HEAD"]), other.git(&["for-each-ref"])));
    let nowhere = installation.custody(installation.state(), &["session", "apply", &session]);
    assert!(nowhere.stderr.contains("there is no checkout here"), "{}", nowhere.text());
}

#[test]
fn a_clone_of_the_repository_takes_them() {
    let (installation, repository, session) = session("echo applied >applied.txt");
    let place = tempfile::tempdir().expect("a directory");
    let clone = place.path().join("clone");
    repository.git(&["clone", "--quiet", ".", clone.to_str().expect("UTF-8")]);
    let _ = installation.custody(&clone, &["session", "apply", &session]).succeeded();
    assert_eq!(std::fs::read_to_string(clone.join("applied.txt")).expect("read"), "applied\n");
}

#[test]
fn no_hook_of_the_checkout_runs() {
    let (installation, repository, session) = session("echo applied >applied.txt");
    for hook in ["post-merge", "pre-merge-commit", "reference-transaction", "post-checkout"] {
        repository.script(&format!(".git/hooks/{hook}"), "#!/bin/sh\ntouch hook-ran; exit 1\n");
    }
    let _ = installation.custody(repository.path(), &["session", "apply", &session]).succeeded();
    assert!(repository.path().join("applied.txt").exists());
    assert!(!repository.path().join("hook-ran").exists());
}

#[test]
fn each_refusal_of_gits_says_what_to_do() {
    for (before, words) in [
        ("echo mine >>README.md", "commit or stash"),
        ("echo mine >applied.txt", "move or remove the untracked"),
        ("echo mine >README.md; git commit -qam Mine", "settle the conflicts"),
        ("git checkout -q --detach", "`git switch` to the branch"),
        (
            "git checkout -q -b side; git commit -q --allow-empty -m s; git checkout -q -
             git merge -q --no-ff --no-commit side",
            "`git merge --abort`",
        ),
        ("git checkout -q -b custody/mine; git branch -m custody", "rename it"),
    ] {
        let (installation, repository, session) =
            session("echo theirs >README.md; echo applied >applied.txt");
        let script = format!("set -e; {before}");
        let mut made = std::process::Command::new("sh");
        made.args(["-c", &script]).current_dir(repository.path());
        assert!(made.status().expect("sh starts").success(), "{before}");
        let refused = installation.custody(repository.path(), &["session", "apply", &session]);
        assert_ne!(refused.code, Some(0), "{before}: {}", refused.text());
        assert!(refused.stderr.contains(words), "{before}: {}", refused.text());
    }
}

#[test]
fn git_has_an_identity_everywhere_inside() {
    let script = "set -e; for d in /workspace /tmp/made; do git init -q $d 2>/dev/null; cd $d; echo 1 >made.txt
git add made.txt; git commit -qm Made; git log -1 --format='%an %ae'; done";
    let (installation, repository) = (Installation::new(), Repository::example());
    let ran = installation.run(&repository, &[], script).succeeded();
    let lines: Vec<_> = ran.stdout.lines().collect();
    assert_eq!(lines, ["Agent agent@custody.invalid"; 2], "{}", ran.text());
}
