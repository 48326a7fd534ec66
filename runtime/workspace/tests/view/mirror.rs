//! The mirror: one per repository, fed from a checkout that it leaves as it is.

use std::fs;

use custody_model::{Clock, SystemClock};
use custody_workspace::checkout::Checkout;
use custody_workspace::mirror::{MirrorError, Mirrors, SnapshotRequest, Source};
use custody_workspace::outputs::Identity;

use crate::fixture::{Installation, git, write};

#[test]
fn a_repository_has_one_mirror_and_revisions_mean_what_they_mean_in_the_checkout() {
    let installation = Installation::new();
    let app = installation.app();
    let mirrors = Mirrors::of(&installation.state());
    fs::create_dir(app.join("sub")).unwrap();
    let again = Source::Checkout(Checkout::find(&app.join("sub")).unwrap());
    assert_eq!(mirrors.add(&again, None).unwrap().name(), installation.mirror.name());
    assert_eq!(mirrors.list().unwrap(), [installation.mirror.name().clone()]);
    for revision in ["HEAD", "HEAD~1", "main", "v1", "main^{tree}~0"] {
        let there = installation.mirror.resolve(revision);
        if revision.contains("tree") {
            assert!(matches!(there, Err(MirrorError::NoCommit { .. })), "{there:?}");
        } else {
            let here = git(&app, &["rev-parse", &format!("{revision}^{{commit}}")]);
            assert_eq!(there.unwrap().commit.as_str(), here, "{revision}");
        }
    }
}

#[test]
fn a_commit_that_no_ref_reaches_can_be_brought() {
    let installation = Installation::new();
    let app = installation.app();
    let tree = git(&app, &["rev-parse", "HEAD^{tree}"]);
    let commit = git(&app, &["commit-tree", &tree, "-m", "loose"]);
    let commit = commit.parse().unwrap();
    let source = Source::parse(app.to_str().unwrap()).unwrap();
    installation.mirror.update(&source, Some(&commit)).unwrap();
    assert!(installation.mirror.has(&commit).unwrap());
}

#[test]
fn a_snapshot_holds_what_is_not_committed_and_leaves_the_checkout_alone() {
    let installation = Installation::new();
    let app = installation.app();
    let checkout = Checkout::find(&app).unwrap();
    let identity = Identity::custody();
    let request = SnapshotRequest {
        checkout: &checkout,
        excludes: None,
        identity: &identity,
        time: SystemClock.now(),
    };
    let clean = installation.mirror.snapshot(&request).unwrap();
    assert!(!clean.dirty);
    assert_eq!(clean.resolved.commit.as_str(), git(&app, &["rev-parse", "HEAD"]));

    write(&app.join("src/a.txt"), b"changed\n");
    write(&app.join("staged"), b"staged\n");
    git(&app, &["add", "staged"]);
    write(&app.join("untracked"), b"untracked\n");
    write(&app.join("ignored.o"), b"ignored\n");
    fs::remove_file(app.join("LICENSE")).unwrap();
    let before = (git(&app, &["status", "--porcelain"]), fs::read(app.join(".git/index")).unwrap());
    let snapshot = installation.mirror.snapshot(&request).unwrap();
    let after = (git(&app, &["status", "--porcelain"]), fs::read(app.join(".git/index")).unwrap());
    assert_eq!(before, after);
    assert!(snapshot.dirty);
    let commit = snapshot.resolved.commit.as_str();
    let bare = installation.mirror.git_dir();
    let changed = git(
        bare,
        &["diff", "--name-status", "HEAD".replace("HEAD", "refs/sources/HEAD").as_str(), commit],
    );
    assert_eq!(changed, "D\tLICENSE\nM\tsrc/a.txt\nA\tstaged\nA\tuntracked");
    assert!(git(&app, &["branch", "--all"]).lines().count() == 1);
}

#[test]
fn a_checkout_whose_configuration_runs_programs_runs_none() {
    let installation = Installation::new();
    let app = installation.app();
    let trap = installation.directory.path().join("trap");
    let script = format!("touch {}", trap.display());
    for key in [
        "core.fsmonitor",
        "filter.x.clean",
        "diff.external",
        "core.sshCommand",
        "uploadpack.packObjectsHook",
    ] {
        git(&app, &["config", key, &script]);
    }
    write(&app.join(".gitattributes"), b"* filter=x\n");
    write(&app.join("new"), b"new\n");
    let checkout = Checkout::find(&app).unwrap();
    let identity = Identity::custody();
    let request = SnapshotRequest {
        checkout: &checkout,
        excludes: None,
        identity: &identity,
        time: SystemClock.now(),
    };
    assert!(installation.mirror.snapshot(&request).unwrap().dirty);
    assert!(!trap.exists());
}
