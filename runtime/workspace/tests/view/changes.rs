//! Only what the session changed is changed, whatever git was told inside to keep out of the work tree or of its index.

use crate::outputs::{changed, with_session};

/// Runs a script inside, and compares what the branch changes with what is expected.
#[track_caller]
fn changes(script: &'static str, expected: &'static str) {
    with_session("[]", move |session| {
        session.ok(script);
        let outputs = session.publish();
        assert_eq!(outputs.violations, [], "{script}");
        assert_eq!(changed(session, &outputs), expected, "{script}");
    });
}

#[test]
fn what_a_sparse_checkout_hides_is_not_deleted() {
    for (set, commit) in [
        ("git sparse-checkout set secrets", "git commit -qam one"),
        ("git sparse-checkout set --no-cone /secrets/", "git commit -qam one"),
        ("git sparse-checkout set --cone --sparse-index secrets", "git commit -qam one"),
        ("git sparse-checkout set secrets", "true"),
        ("git config index.version 4; git sparse-checkout set secrets", "git commit -qam one"),
        ("git sparse-checkout set secrets; git update-index --split-index", "git commit -qam one"),
    ] {
        with_session("[]", move |session| {
            session.ok(&format!(
                "{set}; test ! -e src/a.txt; echo more >> secrets/key; {commit}; echo new > new",
            ));
            let outputs = session.publish();
            assert_eq!(outputs.violations, [], "{set}; {commit}");
            assert_eq!(changed(session, &outputs), "A\tnew\nM\tsecrets/key", "{set}; {commit}");
        });
    }
}

#[test]
fn a_file_that_is_deleted_in_a_sparse_checkout_is_deleted() {
    changes(
        "git sparse-checkout set src; rm src/a.txt; git rm -q src/run",
        "D\tsrc/a.txt\nD\tsrc/run",
    );
    changes(
        "git sparse-checkout set src; git commit -q --allow-empty -m one; git sparse-checkout disable; rm secrets/key",
        "D\tsecrets/key",
    );
}

#[test]
fn without_an_index_what_a_sparse_checkout_hides_is_named_and_not_deleted() {
    for broken in ["rm .git/index", "echo broken > .git/index", "rm .git/index; mkfifo .git/index"]
    {
        with_session("[]", move |session| {
            session.ok(&format!("git sparse-checkout set secrets; echo new > new; {broken}"));
            let outputs = session.publish();
            assert_eq!(changed(session, &outputs), "A\tnew", "{broken}");
            let named: Vec<_> = outputs.violations.iter().map(|v| v.path.to_string()).collect();
            assert_eq!(named, ["src/a.txt", "src/alias", "src/link", "src/run"], "{broken}");
        });
    }
}

#[test]
fn flags_of_the_index_hide_no_change_and_make_none() {
    changes(
        "git update-index --assume-unchanged src/a.txt LICENSE; echo more >> src/a.txt; rm LICENSE
         git update-index --skip-worktree src/run; echo more >> src/run
         git update-index --skip-worktree src/link; rm src/link",
        "D\tLICENSE\nM\tsrc/a.txt\nM\tsrc/run",
    );
}

#[test]
fn an_index_that_lacks_files_deletes_none() {
    changes("git rm -q --cached LICENSE; echo more >> src/a.txt", "M\tsrc/a.txt");
    changes("rm .git/index; echo more >> src/a.txt; git add src/a.txt", "M\tsrc/a.txt");
    changes(
        "rm .git/index; echo more >> src/a.txt; git add src/a.txt; git commit -qm 'all else is gone'",
        "M\tsrc/a.txt",
    );
    changes("echo more >> src/a.txt; touch .git/index.lock", "M\tsrc/a.txt");
}

#[test]
fn what_the_agent_ignores_and_takes_out_of_the_history_is_taken_out() {
    changes(
        "echo LICENSE >> .gitignore; git rm -q --cached LICENSE; git add .gitignore; git commit -qm one",
        "M\t.gitignore\nD\tLICENSE",
    );
}

#[test]
fn a_commit_that_was_made_beside_the_work_tree_is_not_reverted() {
    changes(
        "export GIT_INDEX_FILE=/tmp/beside-$$; git read-tree HEAD
         git update-index --cacheinfo 100644,$(echo other | git hash-object -w --stdin),src/a.txt
         git update-ref HEAD $(git commit-tree $(git write-tree) -p HEAD -m beside)",
        "M\tsrc/a.txt",
    );
    // But what stands there because it was put back is put back.
    changes(
        "echo x >> src/a.txt; git commit -qam one; git checkout -q HEAD~1 src/a.txt; echo 1 > n",
        "A\tn",
    );
}
