//! The mirror: one per repository, fed from a checkout that it leaves as it is.

use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::Path;

use custody_model::{Clock, SystemClock};
use custody_workspace::checkout::{Checkout, CheckoutError};
use custody_workspace::mirror::{MirrorError, Mirrors, SnapshotRequest, Source};
use custody_workspace::outputs::Identity;

use nix::sys::stat::{Mode, SFlag, makedev, mknod};

use crate::fixture::{Installation, git, in_own_mounts, write};

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

fn make(path: &Path, kind: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let _ = fs::remove_file(path).or_else(|_| fs::remove_dir_all(path));
    match kind {
        "pipe" => mknod(path, SFlag::S_IFIFO, Mode::S_IRWXU, 0).unwrap(),
        "device" => mknod(path, SFlag::S_IFCHR, Mode::S_IRWXU, makedev(1, 5)).unwrap(),
        "socket" => drop(UnixListener::bind(path).unwrap()),
        "directory" => fs::create_dir(path).unwrap(),
        "link to a pipe" => {
            let pipe = path.with_extension("elsewhere");
            let _ = fs::remove_file(&pipe);
            mknod(&pipe, SFlag::S_IFIFO, Mode::S_IRWXU, 0).unwrap();
            symlink(&pipe, path).unwrap();
        }
        other => panic!("{other}"),
    }
}

#[test]
fn nothing_in_the_place_of_a_file_of_a_git_directory_makes_anybody_wait() {
    let names = [
        "HEAD",
        "config",
        "index",
        "packed-refs",
        "commondir",
        "shallow",
        "info/exclude",
        "refs/heads/main",
        "refs/heads/other",
        "objects/info/alternates",
        "objects/pack/pack-0000000000000000000000000000000000000000.idx",
    ];
    for kind in ["pipe", "device", "link to a pipe", "socket", "directory"] {
        for name in names {
            let installation = Installation::new();
            let app = installation.app();
            make(&app.join(".git").join(name), kind);
            match Checkout::find(&app) {
                Err(CheckoutError::Trap(path)) => {
                    assert!(!["socket", "directory"].contains(&kind), "{kind} {name}: {path:?}");
                    assert!(path.starts_with(app.join(".git")), "{path:?}");
                }
                // Read as far as it goes, or refused by git: what counts is that it ends.
                Ok(checkout) => {
                    assert!(["socket", "directory"].contains(&kind), "{kind} {name}");
                    let source = Source::Checkout(checkout);
                    let _ = installation.mirror.known_base(&source, "HEAD");
                    let _ = installation.mirror.update(&source, None);
                }
                Err(error) => {
                    assert!(["commondir", "objects/info/alternates"].contains(&name), "{error}")
                }
            }
        }
    }
}

#[test]
fn a_pipe_in_the_place_of_dot_git_or_in_a_borrowed_store_makes_nobody_wait() {
    let installation = Installation::new();
    let app = installation.app();
    let other = installation.directory.path().join("borrowed");
    make(&other.join("pack/pipe.pack"), "pipe");
    write(&app.join(".git/objects/info/alternates"), other.to_string_lossy().as_bytes());
    let found = Checkout::find(&app);
    assert!(matches!(&found, Err(CheckoutError::Trap(p)) if p.starts_with(&other)), "{found:?}");
    fs::remove_dir_all(app.join(".git")).unwrap();
    make(&app.join(".git"), "pipe");
    assert!(matches!(Checkout::find(&app), Err(CheckoutError::NotFound(_))));
}

#[test]
fn a_snapshot_of_a_working_tree_full_of_pipes_ends_and_leaves_it_alone() {
    in_own_mounts(|| {
        let installation = Installation::new();
        let app = installation.app();
        for name in
            [".gitignore", "src/.gitattributes", "nested/.git/HEAD", "src/.git/HEAD", "pipe"]
        {
            make(&app.join(name), "pipe");
        }
        for name in ["nested", "src"] {
            for part in ["objects", "refs"] {
                fs::create_dir(app.join(name).join(".git").join(part)).unwrap();
            }
        }
        write(&app.join("nested/inner"), b"not ours");
        write(&app.join("src/a.txt"), b"changed\n");
        write(&app.join("new"), b"new\n");
        let checkout = Checkout::find(&app).unwrap();
        let identity = Identity::custody();
        let time = SystemClock.now();
        let request =
            SnapshotRequest { checkout: &checkout, excludes: None, identity: &identity, time };
        // A tracked file that is a pipe now can't be committed.
        assert!(installation.mirror.snapshot(&request).is_err());
        fs::remove_file(app.join(".gitignore")).unwrap();
        let snapshot = installation.mirror.snapshot(&request).unwrap();
        let commit = snapshot.resolved.commit.as_str();
        let words = ["diff", "--name-status", "refs/sources/HEAD", commit];
        let changed = git(installation.mirror.git_dir(), &words);
        assert_eq!(changed, "D\t.gitignore\nA\tnew\nM\tsrc/a.txt");
        // What was hidden from git is there as before.
        assert!(fs::metadata(app.join("nested/.git/refs")).unwrap().is_dir());
    });
}
