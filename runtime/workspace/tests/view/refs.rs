//! What the session made beside its branch comes out, or is named: other refs, the stash, work trees, repositories inside.

use custody_workspace::outputs::Outputs;

use crate::fixture::{DENY_SECRETS, Session};
use crate::outputs::{changed, with_session};

/// The refs as people find them in the mirror, with the subjects of their commits.
fn refs(session: &Session<'_>, outputs: &Outputs) -> Vec<String> {
    let told = outputs.refs().iter().map(|one| {
        let subject = session.mirror_git(&["log", "-1", "--format=%s", &one.name]);
        assert_eq!(session.mirror_git(&["rev-parse", &one.name]), one.object.as_str());
        let name = one.name.replace(&session.id.to_string(), "ID");
        format!("{name} is {}: {subject}", one.inside)
    });
    let told = told.collect();
    session.mirror_git(&["fsck", "--strict"]);
    told
}

fn words(outputs: &Outputs) -> String {
    let words: Vec<_> =
        outputs.violations.iter().map(|v| format!("{}: {}", v.path, v.what)).collect();
    words.join("\n")
}

#[test]
fn commits_on_another_branch_come_out() {
    with_session("[]", |session| {
        session.ok("git checkout -q -b topic; echo 1 > one; git add one; git commit -qm one
             git checkout -q -b sub/topic HEAD~1; echo 2 > two; git add two; git commit -qm two
             git tag v2; git tag -a -m annotated v3; git pack-refs --all; git checkout -q work");
        let outputs = session.publish();
        assert_eq!(outputs.violations, []);
        assert_eq!(changed(session, &outputs), "");
        assert_eq!(
            refs(session, &outputs),
            [
                "refs/heads/custody/ID.refs/heads/sub/topic is refs/heads/sub/topic: two",
                "refs/heads/custody/ID.refs/heads/topic is refs/heads/topic: one",
                "refs/tags/custody/ID/v2 is refs/tags/v2: two",
                "refs/tags/custody/ID/v3 is refs/tags/v3: two",
            ]
        );
        let branches: Vec<_> = outputs
            .commits
            .iter()
            .map(|c| c.event.branch.replace(&session.id.to_string(), "ID"))
            .collect();
        assert_eq!(
            branches,
            ["custody/ID.refs/heads/sub/topic", "custody/ID.refs/heads/topic", "custody/ID"]
        );
        assert_eq!(outputs.commits[1].event.files[0].path.to_string(), "one");
        let message =
            session.mirror_git(&["log", "-1", "--format=%B", outputs.branch.as_ref().unwrap()]);
        assert!(message.contains("Custody-Ref: "), "{message}");
    });
}

#[test]
fn every_entry_of_the_stash_comes_out() {
    with_session("[]", |session| {
        session.ok("echo 1 >> src/a.txt; git stash -q -m first
             echo 2 >> src/a.txt; echo u > untracked; git stash -q -u -m second");
        let outputs = session.publish();
        assert_eq!(outputs.violations, []);
        assert_eq!(
            refs(session, &outputs),
            [
                "refs/heads/custody/ID.refs/stash/0 is stash@{0}: On work: second",
                "refs/heads/custody/ID.refs/stash/1 is stash@{1}: On work: first",
            ]
        );
        let first = &outputs.refs()[1].name;
        assert_eq!(session.mirror_git(&["show", &format!("{first}:src/a.txt")]), "a\n1");
        let untracked = format!("{}^3:untracked", outputs.refs()[0].name);
        assert_eq!(session.mirror_git(&["show", &untracked]), "u");
    });
}

#[test]
fn what_a_linked_work_tree_committed_comes_out_and_the_rest_is_named() {
    with_session("[]", |session| {
        session.ok("git worktree add -q -b beside /tmp/beside-$$; cd /tmp/beside-$$
             echo 1 > one; git add one; git commit -qm one; echo left > left
             cd /workspace; git worktree add -q --detach inner; cd inner
             echo 2 > two; git add two; git commit -qm two; echo left > left");
        let outputs = session.publish();
        assert_eq!(changed(session, &outputs), "");
        let refs = refs(session, &outputs);
        assert!(refs[0].ends_with("refs/heads/beside: one"), "{refs:?}");
        assert!(refs[1].ends_with("worktrees/inner/HEAD: two"), "{refs:?}");
        let words = words(&outputs);
        assert!(words.contains("in the linked work tree /tmp/beside-"), "{words}");
        assert!(words.contains("in the linked work tree /workspace/inner"), "{words}");
    });
}

#[test]
fn a_history_that_is_not_the_branchs_comes_out_beside_it() {
    for (script, expected) in [
        (
            "git commit -q --amend -m amended; echo 1 >> src/a.txt; git commit -qam one",
            "refs/heads/custody/ID.refs/heads/work is refs/heads/work: one",
        ),
        (
            "git checkout -q --orphan pages; git rm -rqf .; echo p > page; git add page; git commit -qm page",
            "refs/heads/custody/ID.refs/heads/pages is refs/heads/pages: page",
        ),
        (
            "git checkout -q --detach HEAD~1; echo 1 >> src/a.txt; git commit -qam detached",
            "refs/heads/custody/ID.refs/HEAD is HEAD: detached",
        ),
    ] {
        with_session("[]", move |session| {
            session.ok(script);
            let outputs = session.publish();
            assert_eq!(refs(session, &outputs), [expected], "{script}");
        });
    }
}

#[test]
fn a_detached_head_that_descends_from_the_base_is_the_branch() {
    with_session("[]", |session| {
        session.ok("git checkout -q --detach; echo 1 >> src/a.txt; git commit -qam detached");
        let outputs = session.publish();
        assert_eq!((outputs.commits.len(), outputs.refs().len()), (2, 0));
        assert_eq!(changed(session, &outputs), "M\tsrc/a.txt");
    });
}

#[test]
fn no_other_ref_gets_past_the_gate() {
    with_session(DENY_SECRETS, |session| {
        session.ok("blob=$(echo mine | git hash-object -w --stdin)
             with() { git update-index --no-skip-worktree $1 || true; git update-index --add --cacheinfo 100644,$blob,$1
               git commit-tree $(git write-tree --missing-ok) -p $2 -m \"with $1\"; }
             cp .git/index /tmp/index-$$; export GIT_INDEX_FILE=/tmp/index-$$
             git branch denied $(with secrets/key HEAD)
             git read-tree HEAD; git tag readonly $(with LICENSE HEAD)
             git read-tree HEAD~1; git branch old $(with src/new HEAD~1)
             git branch mixed $(git commit-tree HEAD~1^{tree} -p HEAD~1 -p HEAD -m mixed)
             git branch fine $(git commit-tree HEAD^{tree} -p HEAD -m fine)");
        let outputs = session.publish();
        let refs = refs(session, &outputs);
        assert_eq!(
            refs,
            [
                "refs/heads/custody/ID.refs/heads/fine is refs/heads/fine: fine",
                // It lacks what the base changed, and brings nothing of it back: its own line of history had it so.
                "refs/heads/custody/ID.refs/heads/old is refs/heads/old: with src/new",
            ]
        );
        let words = words(&outputs);
        for name in ["refs/heads/denied", "refs/tags/readonly", "refs/heads/mixed"] {
            assert!(words.contains(&format!(".git: {name} (")), "{words}");
        }
        let listed = session.mirror_git(&["cat-file", "--batch-all-objects", "--batch-check"]);
        let mine = session.ok("echo mine | git hash-object --stdin");
        // `old` has it at a path that no rule guards.
        assert!(listed.contains(mine.trim()), "{listed}");
    });
}

#[test]
fn refs_that_cannot_be_taken_are_named_and_cost_no_other() {
    with_session("[]", |session| {
        session.ok("echo 1 > one; git add one; git commit -qm one
             git branch good $(git commit-tree HEAD^{tree} -p HEAD -m good)
             git tag blob $(git rev-parse HEAD:one)
             echo 1234567890123456789012345678901234567890 > .git/refs/heads/absent
             git rev-parse HEAD > '.git/refs/heads/not a name'; mkfifo .git/refs/heads/pipe; ln -s /etc/passwd .git/refs/heads/link");
        let outputs = session.publish();
        assert_eq!(
            refs(session, &outputs),
            ["refs/heads/custody/ID.refs/heads/good is refs/heads/good: good"]
        );
        let words = words(&outputs);
        for name in ["refs/tags/blob", "refs/heads/absent", "refs/heads/not a name"] {
            assert!(words.contains(&format!("{name} is not kept")), "{words}");
        }
        assert_eq!(changed(session, &outputs), "A\tone");
    });
}

#[test]
fn the_files_of_a_repository_that_was_made_inside_come_out_and_its_history_is_named() {
    with_session("[]", |session| {
        session.ok("mkdir -p app ignored; git init -q app; cd app; echo '*.log' > .gitignore; echo 1 > main; echo l > a.log
             git config user.name a; git config user.email b; git add -A; git commit -qm scaffold; cd ..
             git init -q ignored; echo x > ignored/x; echo ignored >> .gitignore");
        let outputs = session.publish();
        assert_eq!(changed(session, &outputs), "M\t.gitignore\nA\tapp/.gitignore\nA\tapp/main");
        assert_eq!(
            words(&outputs),
            "app: a git repository of its own was made here: its files are taken in, its history stays out"
        );
    });
}

#[test]
fn refs_with_long_names_and_files_with_long_paths_have_room_in_one_event() {
    with_session("[]", |session| {
        session.ok("n=$(printf 'n%.0s' $(seq 140)); for i in $(seq 100); do git branch $n$i $(git commit-tree HEAD^{tree} -p HEAD -m $i); done
             d=$(printf 'd%.0s' $(seq 200)); d=$d/$d/$d; mkdir -p $d; for i in $(seq 100); do echo $i > $d/$i; done");
        let outputs = session.publish();
        let told = outputs.refs().len();
        assert!((10..100).contains(&told), "{told}");
        let left = format!("{} of the refs that it made stay out", 100 - told);
        assert!(words(&outputs).contains(&left), "{}", words(&outputs));
        let last = &outputs.commits.last().unwrap().event;
        let bytes = serde_json::to_vec(last).unwrap().len();
        assert!(bytes < 64_000, "{bytes}");
        assert_eq!(changed(session, &outputs).lines().count(), 100);
    });
}
