//! Submodules are checked out inside as far as the checkout has them, and what is changed in them comes out.

use std::fs;

use custody_workspace::mirror::Source;

use crate::fixture::{Installation, git, in_own_mounts, write};
use crate::outputs::changed;

/// A repository with a submodule at `vendor/lib`; `there` says whether the checkout has it.
fn installation(there: bool) -> Installation {
    let directory = tempfile::tempdir().unwrap();
    let (lib, app) = (directory.path().join("lib"), directory.path().join("app"));
    for (place, file) in [(&lib, "lib.txt"), (&app, "a.txt")] {
        write(&place.join(file), b"one\n");
        write(&place.join("src/deep.txt"), format!("deep in {file}\n").as_bytes());
        git(place, &["init", "--quiet", "--initial-branch=main"]);
        git(place, &["add", "-A"]);
        git(place, &["commit", "--quiet", "-m", "First"]);
    }
    let words =
        ["-c", "protocol.file.allow=always", "submodule", "--quiet", "add", "../lib", "vendor/lib"];
    git(&app, &words);
    git(&app, &["commit", "--quiet", "-m", "With lib"]);
    if !there {
        git(&app, &["submodule", "--quiet", "deinit", "--all"]);
        fs::remove_dir_all(app.join(".git/modules")).unwrap();
    }
    let installation = Installation::of(directory);
    let source = Source::parse(app.to_str().unwrap()).unwrap();
    let commit = installation.mirror.resolve("HEAD").unwrap().commit;
    installation.mirror.bring_submodules(&source, &commit).unwrap();
    installation
}

#[test]
fn what_is_changed_in_a_submodule_comes_out_as_its_commit() {
    in_own_mounts(|| {
        let installation = installation(true);
        let session = installation.session("[]", false);
        let seen = session.ok(
            "cat vendor/lib/lib.txt; git status --porcelain; git -C vendor/lib status --porcelain
             git -C vendor/lib log --format=%s",
        );
        assert_eq!(seen, "one\nFirst\n");
        session.ok("echo two >> vendor/lib/lib.txt; echo n > vendor/lib/new; rm vendor/lib/src/deep.txt; echo more >> a.txt");
        let outputs = session.publish();
        assert_eq!(outputs.violations, []);
        assert_eq!(changed(&session, &outputs), "M\ta.txt\nM\tvendor/lib");
        let [one] = outputs.submodules() else { panic!("{outputs:?}") };
        assert_eq!(one.path.to_string(), "vendor/lib");
        let name = one.branch.as_deref().unwrap();
        assert!(name.ends_with(".submodules/vendor+lib/branch"), "{name}");
        let head = outputs.head.as_ref().unwrap();
        assert_eq!(
            session.mirror_git(&["rev-parse", &format!("{head}:vendor/lib")]),
            one.commit.as_str()
        );
        let lib = installation.directory.path().join("lib");
        assert_eq!(git(&lib, &["rev-parse", "main"]), one.base.as_str());
        git(&lib, &["fetch", "--quiet", installation.mirror.git_dir().to_str().unwrap(), name]);
        assert_eq!(
            git(&lib, &["diff", "--name-status", "main", "FETCH_HEAD"]),
            "M\tlib.txt\nA\tnew\nD\tsrc/deep.txt"
        );
        git(&lib, &["merge", "--quiet", "--ff-only", "FETCH_HEAD"]);
        session.mirror_git(&["fsck", "--strict"]);
        let diff = outputs.diff.unwrap().blob.unwrap();
        let diff = String::from_utf8(session.blobs().get(&diff.digest).unwrap()).unwrap();
        for line in ["+++ b/vendor/lib/new", "--- a/vendor/lib/src/deep.txt", "+++ b/a.txt"] {
            assert!(diff.contains(line), "{diff}");
        }
    });
}

#[test]
fn commits_branches_and_stashes_in_a_submodule_come_out() {
    in_own_mounts(|| {
        let installation = installation(true);
        let session = installation.session("[]", false);
        session.ok(
            "cd vendor/lib; git checkout -q -b beside; echo b > beside.txt; git add -A; git commit -qm beside
             git checkout -q --detach HEAD~1; echo s >> lib.txt; git stash -q
             echo two >> lib.txt; git commit -qam two; cd ../..; git add vendor/lib; git commit -qm 'Take two'",
        );
        let outputs = session.publish();
        assert_eq!(outputs.violations, []);
        let [one] = outputs.submodules() else { panic!("{outputs:?}") };
        let shown = |spec: &str| session.mirror_git(&["show", spec]);
        assert_eq!(shown(&format!("{}:lib.txt", one.commit)), "one\ntwo");
        let subject = session.mirror_git(&["log", "-1", "--format=%s", one.commit.as_str()]);
        assert_eq!(subject, "two");
        let refs = one.refs.as_ref().unwrap();
        let inside: Vec<_> = refs.iter().map(|one| one.inside.as_str()).collect();
        assert_eq!(inside, ["refs/heads/beside", "stash@{0}"]);
        assert_eq!(shown(&format!("{}:beside.txt", refs[0].name)), "b");
        assert_eq!(shown(&format!("{}:lib.txt", refs[1].name)), "one\ns");
        // The agent's commit of the repository around it is kept as it is.
        let head = outputs.head.unwrap();
        let subjects = session.mirror_git(&["log", "-2", "--format=%s", head.as_str()]);
        assert_eq!(subjects, "Session of a test\nTake two");
    });
}

#[test]
fn a_submodule_that_nobody_changed_makes_no_output() {
    in_own_mounts(|| {
        let installation = installation(true);
        let session = installation.session("[]", false);
        session.ok("cat vendor/lib/lib.txt; git -C vendor/lib status; git submodule status");
        let outputs = session.publish();
        assert_eq!((outputs.branch, outputs.violations), (None, Vec::new()));
        assert_eq!(session.base.submodules().len(), 1);
    });
}

#[test]
fn what_is_made_where_a_submodule_is_missing_is_named() {
    in_own_mounts(|| {
        let installation = installation(false);
        let session = installation.session("[]", false);
        session.ok("test ! -e vendor/lib/lib.txt; echo x > vendor/lib/x");
        let why = session.base.submodules()[0].absent.clone().unwrap();
        assert!(why.contains("git submodule update --init"), "{why}");
        let outputs = session.publish();
        assert_eq!(outputs.branch, None);
        let [one] = &outputs.violations[..] else { panic!("{outputs:?}") };
        assert_eq!(one.path.to_string(), "vendor/lib");
        assert!(one.what.contains("stays out"), "{}", one.what);
    });
}

#[test]
fn rules_hold_inside_of_submodules() {
    in_own_mounts(|| {
        let installation = installation(true);
        let rules = r#"[{"deny": "/vendor/lib/src/**"}, {"read_only": "/vendor/lib/lib.txt"}]"#;
        let session = installation.session(rules, false);
        let denied = session.says("cat vendor/lib/src/deep.txt");
        assert!(!denied.contains("deep in") && denied.contains("cat:"), "{denied}");
        let blob = session.says("git -C vendor/lib show HEAD:src/deep.txt");
        assert!(!blob.starts_with("deep"), "{blob}");
        let seen = session.ok("cat vendor/lib/lib.txt; git -C vendor/lib status --porcelain; echo new > vendor/lib/new");
        assert_eq!(seen, "one\n");
        session.says("cd vendor/lib; echo x > lib.txt");
        let outputs = session.publish();
        let [one] = outputs.submodules() else { panic!("{outputs:?}") };
        let words = ["diff", "--name-status", one.base.as_str(), one.commit.as_str()];
        assert_eq!(session.mirror_git(&words), "A\tnew");
    });
}

#[test]
fn a_submodule_that_is_removed_is_removed_and_a_link_in_its_place_leads_nowhere() {
    in_own_mounts(|| {
        let installation = installation(true);
        let session = installation.session("[]", false);
        session.ok("git rm -q vendor/lib; git commit -qm Away");
        let outputs = session.publish();
        assert_eq!(changed(&session, &outputs), "M\t.gitmodules\nD\tvendor/lib");
        assert_eq!(outputs.submodules(), []);
        let session = installation.session("[]", false);
        session.ok("rm -rf vendor; ln -s /etc vendor");
        let outputs = session.publish();
        assert_eq!(changed(&session, &outputs), "A\tvendor\nD\tvendor/lib");
        assert_eq!(outputs.submodules(), []);
    });
}

#[test]
fn submodules_of_submodules_come_out_too() {
    in_own_mounts(|| {
        let installation = installation(true);
        let app = installation.app();
        let root = installation.directory.path();
        let inner = root.join("inner");
        write(&inner.join("i.txt"), b"i\n");
        git(&inner, &["init", "--quiet", "--initial-branch=main"]);
        git(&inner, &["add", "-A"]);
        git(&inner, &["commit", "--quiet", "-m", "Inner"]);
        let allow = ["-c", "protocol.file.allow=always", "submodule", "--quiet", "add"];
        let inner = inner.to_str().unwrap();
        git(&app.join("vendor/lib"), &[&allow[..], &[inner, "deep/inner"]].concat());
        git(&app.join("vendor/lib"), &["commit", "--quiet", "-m", "With inner"]);
        git(&app, &["commit", "--quiet", "-am", "With lib with inner"]);
        let source = Source::parse(app.to_str().unwrap()).unwrap();
        installation.mirror.update(&source, None).unwrap();
        let commit = installation.mirror.resolve("HEAD").unwrap().commit;
        installation.mirror.bring_submodules(&source, &commit).unwrap();
        let session = installation.session("[]", false);
        session.ok("echo more >> vendor/lib/deep/inner/i.txt");
        let outputs = session.publish();
        assert_eq!(outputs.violations, []);
        let [lib, inner] = outputs.submodules() else { panic!("{outputs:?}") };
        let shown = |spec: String| session.mirror_git(&["show", &spec]);
        assert_eq!(shown(format!("{}:i.txt", inner.commit)), "i\nmore");
        let link = session.mirror_git(&["rev-parse", &format!("{}:deep/inner", lib.commit)]);
        assert_eq!(link, inner.commit.as_str());
        assert_eq!(changed(&session, &outputs), "M\tvendor/lib");
    });
}

#[test]
fn a_commit_that_only_a_reflog_has_comes_out() {
    in_own_mounts(|| {
        let installation = installation(true);
        let session = installation.session("[]", false);
        session
            .ok("echo lost > lost.txt; git add -A; git commit -qm lost; git reset -q --hard HEAD~");
        let outputs = session.publish();
        let [one] = outputs.refs() else { panic!("{outputs:?}") };
        assert!(one.inside.starts_with("reflog"), "{one:?}");
        assert_eq!(session.mirror_git(&["show", &format!("{}:lost.txt", one.name)]), "lost");
        // One that was amended is there as it was before.
        let session = installation.session("[]", false);
        session.ok("echo 1 > f; git add -A; git commit -qm one; echo 2 > f; git commit -q -a --amend -m two");
        let outputs = session.publish();
        let [one] = outputs.refs() else { panic!("{outputs:?}") };
        assert_eq!(session.mirror_git(&["show", &format!("{}:f", one.name)]), "1");
    });
}
