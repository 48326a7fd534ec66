//! The base checkout: made once, whole, and without what a rule denies.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;

use custody_workspace::base::Progress;

use crate::fixture::{DENY_SECRETS, Installation, OWNER, git, in_own_mounts, rules, write};

#[test]
fn git_inside_sees_a_clean_tree_and_rereads_no_file() {
    in_own_mounts(|| {
        let installation = Installation::new();
        for text in ["[]", DENY_SECRETS] {
            let session = installation.session(text, false);
            let output = session.sh("git status --porcelain");
            assert!(output.status.success() && output.stdout.is_empty(), "{output:?}");
            assert_eq!(String::from_utf8_lossy(&output.stderr), "");
            // Without a refresh, diff-files tells every file whose stat data does not fit.
            assert_eq!(session.ok("git diff-files --name-only"), "");
            assert_eq!(
                session.ok("git describe").trim(),
                "v1-1-".to_owned() + session.ok("git log -1 --format=g%h").trim()
            );
        }
    });
}

#[test]
fn what_a_rule_denies_is_absent_from_gits_objects() {
    in_own_mounts(|| {
        let installation = Installation::new();
        let session = installation.session(DENY_SECRETS, false);
        for script in [
            "git show HEAD:secrets/key",
            "git show HEAD~1:secrets/key",
            "git show HEAD:.env",
            "git cat-file --batch --batch-all-objects",
            "git archive HEAD | tar -xO",
            "git worktree add /tmp/other HEAD; cat /tmp/other/secrets/key /tmp/other/.env",
            "git log -p",
            "git checkout HEAD~1; cat secrets/key; git checkout -f work",
            "git stash list; git grep hidden HEAD; git fsck",
            "cat secrets/key src/alias .env; grep -r hidden .",
            "git clone . /tmp/clone; grep -r hidden /tmp/clone",
        ] {
            let said = session.says(script);
            for secret in ["the hidden key", "old hidden key", "hidden token"] {
                assert!(!said.contains(secret), "{script}: {said}");
            }
        }
        // What stood at an allowed path once is no secret.
        assert_eq!(session.ok("git show HEAD~1:src/moved"), "was public once\n");
    });
}

#[test]
fn git_inside_works_with_withheld_files() {
    in_own_mounts(|| {
        let installation = Installation::new();
        let session = installation.session(DENY_SECRETS, false);
        session.ok(
            "git log --stat >/tmp/log && git diff --exit-code
             echo more >> src/a.txt && git diff --stat
             git add src/a.txt && git commit -qm one
             git checkout -q -b other && git mv src/a.txt src/b.txt && git commit -qam two
             echo stashed >> src/b.txt && git stash -q && git stash pop -q && git checkout -q -- src/b.txt
             git checkout -q work && git merge -q other && test -f src/b.txt
             git rebase -q HEAD~1 && git tag here && git gc -q && git status --porcelain > /tmp/status
             test ! -s /tmp/status",
        );
    });
}

#[test]
fn a_base_is_made_once_and_reused() {
    let installation = Installation::new();
    let rules = rules(DENY_SECRETS);
    let (first, steps) = installation.base(&rules);
    assert_eq!(steps.last(), Some(&Progress::Ready { reused: false }));
    let (second, steps) = installation.base(&rules);
    assert_eq!(steps, [Progress::Ready { reused: true }]);
    assert_eq!((first.tree(), first.manifest()), (second.tree(), second.manifest()));
    let key = first.manifest().get(&"secrets/key".parse().unwrap()).unwrap();
    assert!(key.withheld);
    let run = fs::metadata(first.tree().join("src/run")).unwrap();
    assert_eq!((run.uid(), run.mode() & 0o7777), (OWNER.uid, 0o755));
    assert!(fs::read_dir(first.tree().join("secrets")).unwrap().next().is_none());
    assert_eq!(fs::metadata(first.tree().join(".env")).unwrap().len(), 0);
}

#[test]
fn sessions_that_start_together_share_one_base() {
    let installation = Installation::new();
    let rules = rules(DENY_SECRETS);
    let reports: Vec<_> = std::thread::scope(|threads| {
        let prepare = || installation.base(&rules).1;
        let running: Vec<_> = (0..4).map(|_| threads.spawn(prepare)).collect();
        running.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let made = reports.iter().filter(|steps| steps.contains(&Progress::Ready { reused: false }));
    assert_eq!(made.count(), 1, "{reports:?}");
    let name = installation.mirror.name().as_str();
    let left: BTreeSet<_> = fs::read_dir(installation.state().join("bases").join(name))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with('.'))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_crash_while_a_base_is_made_leaves_nothing_that_looks_complete() {
    let installation = Installation::new();
    let rules = rules("[]");
    let (base, _) = installation.base(&rules);
    let directory = base.tree().parent().unwrap().to_owned();
    fs::remove_file(directory.join("complete")).unwrap();
    fs::remove_file(base.tree().join("src/a.txt")).unwrap();
    let (again, steps) = installation.base(&rules);
    assert_eq!(steps.last(), Some(&Progress::Ready { reused: false }));
    assert_eq!(fs::read(again.tree().join("src/a.txt")).unwrap(), b"a\n");
}

#[test]
fn a_later_base_adds_to_the_objects_and_releases_what_became_public() {
    in_own_mounts(|| {
        let installation = Installation::new();
        let rules = rules(DENY_SECRETS);
        let (before, _) = installation.base(&rules);
        let app = installation.app();
        fs::copy(app.join(".env"), app.join("src/public")).unwrap();
        write(&app.join("secrets/new"), b"a newer secret\n");
        git(&app, &["add", "-A"]);
        git(&app, &["commit", "--quiet", "-m", "Third"]);
        let source = custody_workspace::mirror::Source::parse(app.to_str().unwrap()).unwrap();
        installation.mirror.update(&source, None).unwrap();
        let session = installation.session(DENY_SECRETS, false);
        assert_eq!(session.base.objects(), before.objects());
        assert_eq!(session.ok("git show HEAD:src/public"), "TOKEN=hidden token\n");
        let all = session.says("git cat-file --batch --batch-all-objects");
        assert!(!all.contains("a newer secret") && !all.contains("the hidden key"), "{all}");
        assert_eq!(session.ok("git status --porcelain"), "");
    });
}

#[test]
fn a_thousand_files_are_ready_within_seconds() {
    let directory = tempfile::tempdir().unwrap();
    let app = directory.path().join("app");
    fs::create_dir(&app).unwrap();
    git(&app, &["init", "--quiet", "--initial-branch=main"]);
    for number in 0..1000 {
        let path = app.join(format!("d{}/f{number}.rs", number % 40));
        write(&path, format!("// {number}\n").repeat(200).as_bytes());
    }
    git(&app, &["add", "-A"]);
    git(&app, &["commit", "--quiet", "-m", "Many"]);
    let installation = Installation::of(directory);
    for text in ["[]", DENY_SECRETS] {
        let begin = std::time::Instant::now();
        let (base, _) = installation.base(&rules(text));
        let made = begin.elapsed();
        assert_eq!(base.manifest().len(), 1000);
        let begin = std::time::Instant::now();
        installation.base(&rules(text));
        let reused = begin.elapsed();
        eprintln!("1,000 files under {text}: made in {made:?}, reused in {reused:?}");
        assert!(made.as_secs() < 30 && reused.as_secs() < 2, "{made:?} {reused:?}");
    }
}
