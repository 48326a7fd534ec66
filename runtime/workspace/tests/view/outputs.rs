//! The outputs: what may get out does, what may not does not, whatever the agent did to `.git`.

use custody_record::event::{ChangeStatus, CommitAuthor};
use custody_workspace::outputs::{CUT_DIFF, Diff, OutputLimits, Outputs, WHOLE_DIFF};

use crate::fixture::{DENY_SECRETS, Installation, Session, in_own_mounts, rules};

pub(crate) fn with_session(text: &'static str, test: impl FnOnce(&Session<'_>) + Send + 'static) {
    in_own_mounts(move || {
        let installation = Installation::new();
        test(&installation.session(text, false));
    });
}

pub(crate) fn changed(session: &Session<'_>, outputs: &Outputs) -> String {
    let head = outputs.head.as_ref().unwrap().as_str();
    let base = session.base.commit().as_str();
    session.mirror_git(&[
        "-c",
        "core.quotePath=true",
        "diff",
        "--no-renames",
        "--name-status",
        base,
        head,
    ])
}

/// The content of the diff that is kept.
fn diff_of(session: &Session<'_>, outputs: &Outputs) -> Vec<u8> {
    let blob = outputs.diff.as_ref().and_then(|diff| diff.blob.as_ref()).unwrap();
    session.blobs().get(&blob.digest).unwrap()
}

pub(crate) fn authors(outputs: &Outputs) -> Vec<CommitAuthor> {
    outputs.commits.iter().map(|commit| commit.event.author).collect()
}

#[test]
fn a_session_that_changes_nothing_has_no_branch() {
    with_session(DENY_SECRETS, |session| {
        session.ok("cat src/a.txt; touch src/a.txt; git status; make -v || true; echo x > made.o");
        let outputs = session.publish();
        assert_eq!((outputs.branch, outputs.commits.len()), (None, 0));
        assert_eq!(outputs.violations, []);
        assert_eq!(session.mirror_git(&["branch", "--list", "custody/*"]), "");
    });
}

#[test]
fn changes_become_a_commit_with_trailers_on_a_branch_that_git_can_fetch() {
    with_session(DENY_SECRETS, |session| {
        session.ok(
            r"echo more >> src/a.txt; chmod -x src/run; rm src/link; ln -s /etc/passwd src/out
              printf 'a\000b' > bin; printf x > $(printf 'od\377d\n'); mkdir new; echo n > new/file",
        );
        let outputs = session.publish();
        assert_eq!(outputs.violations, []);
        assert_eq!(authors(&outputs), [CommitAuthor::Custody]);
        assert_eq!(
            changed(session, &outputs),
            "A\tbin\nA\tnew/file\nA\t\"od\\377d\"\nM\tsrc/a.txt\nD\tsrc/link\nA\tsrc/out\nM\tsrc/run"
        );
        let branch = outputs.branch.clone().unwrap();
        assert_eq!(branch, format!("custody/{}", session.id));
        let trailer = |key: &str| {
            let format = format!("--format=%(trailers:key={key},valueonly)");
            session.mirror_git(&["log", "-1", &format, &branch])
        };
        assert_eq!(trailer("Custody-Session"), session.id.to_string());
        assert_eq!(trailer("Custody-Record"), "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=");
        let event = &outputs.commits[0].event;
        let file = event.files.iter().find(|file| file.path.to_string() == "src/a.txt").unwrap();
        assert_eq!(file.status, ChangeStatus::Modified);
        assert_eq!(file.digest, Some(custody_model::Digest::of(b"a\nmore\n")));
        assert_eq!(
            (event.file_count, event.parents.clone()),
            (7, vec![session.base.commit().clone()])
        );
        let diff = diff_of(session, &outputs);
        let diff = String::from_utf8_lossy(&diff);
        assert!(diff.contains("+more") && diff.contains("GIT binary patch"), "{diff}");
        session.mirror_git(&["fsck", "--strict"]);
    });
}

#[test]
fn commits_of_the_agent_are_kept_as_they_are() {
    with_session(DENY_SECRETS, |session| {
        let tip = session.ok(
            "echo 1 >> src/a.txt; git commit -qam one; git gc -q
             git checkout -q -b other; echo 2 > b; git add b; git commit -qm two
             git mv b c; git commit -qm three; echo f > forced.o; git add -f forced.o; git commit -qm four
             echo uncommitted > left; git rev-parse HEAD",
        );
        let outputs = session.publish();
        assert_eq!(outputs.violations, []);
        let [.., agent, custody] = &outputs.commits[..] else { panic!("{outputs:?}") };
        assert_eq!(agent.event.commit.as_str(), tip.trim());
        assert_eq!(custody.event.parents.first(), Some(&agent.event.commit));
        assert_eq!(authors(&outputs)[..4], [CommitAuthor::Agent; 4]);
        assert_eq!(changed(session, &outputs), "A\tc\nA\tforced.o\nA\tleft\nM\tsrc/a.txt");
        assert_eq!(custody.event.files.len(), 1);
    });
}

#[test]
fn when_everything_is_committed_an_empty_commit_carries_the_trailers() {
    with_session("[]", |session| {
        session.ok("echo 1 >> src/a.txt; git commit -qam one");
        let outputs = session.publish();
        assert_eq!(authors(&outputs), [CommitAuthor::Agent, CommitAuthor::Custody]);
        assert_eq!(outputs.commits[1].event.file_count, 0);
        assert_eq!(outputs.commits[0].event.tree, outputs.commits[1].event.tree);
    });
}

#[test]
fn a_commit_with_a_forbidden_path_is_dropped_and_its_allowed_changes_are_kept() {
    with_session(DENY_SECRETS, |session| {
        session.ok("blob=$(echo mine | git hash-object -w --stdin)
             git update-index --no-skip-worktree secrets/key
             git update-index --add --cacheinfo 100644,$blob,secrets/key
             echo 1 >> src/a.txt; git add src/a.txt; git commit -qm 'with a secret'
             git update-index --cacheinfo 100644,$(git rev-parse HEAD~1:secrets/key),secrets/key
             git update-index --skip-worktree secrets/key
             git commit -qm 'and back'");
        let outputs = session.publish();
        assert_eq!(authors(&outputs), [CommitAuthor::Custody]);
        assert_eq!(changed(session, &outputs), "M\tsrc/a.txt");
        let violated: Vec<_> = outputs.violations.iter().map(|v| v.path.to_string()).collect();
        assert_eq!(violated, [".git", "secrets/key"]);
        assert_eq!(outputs.violations[1].rule, "deny: secrets/");
        let all =
            session.mirror_git(&["cat-file", "--batch-all-objects", "--batch-check=%(objecttype)"]);
        assert!(!all.is_empty());
        let mine = session.ok("echo mine | git hash-object --stdin");
        assert!(!session.base.objects().join(&mine[..2]).join(mine[2..].trim()).exists());
        let listed = session.mirror_git(&["cat-file", "--batch-all-objects", "--batch-check"]);
        assert!(!listed.contains(mine.trim()), "the denied content reached the mirror");
    });
}

#[test]
fn a_merge_brings_no_old_version_of_a_forbidden_path_back() {
    // Compared with its first parent, which the base's own history holds, neither merge changes a thing.
    for last in ["HEAD $old", "HEAD $merge"] {
        with_session(DENY_SECRETS, move |session| {
            session.ok(&format!(
                "old=$(git rev-parse HEAD~1)
                 merge=$(git commit-tree -p $old -p HEAD -m 'old again' $old^{{tree}})
                 set -- {last}
                 [ $2 = $old ] || merge=$(git commit-tree -p $1 -p $2 -m 'and back' HEAD^{{tree}})
                 git update-ref HEAD $merge; echo 1 >> src/a.txt",
            ));
            let outputs = session.publish();
            assert_eq!(authors(&outputs), [CommitAuthor::Custody], "{last}");
            assert_eq!(changed(session, &outputs), "M\tsrc/a.txt", "{last}");
            let violated: Vec<_> = outputs.violations.iter().map(|v| v.path.to_string()).collect();
            assert_eq!(violated[0], ".git", "{last}");
            assert!(violated.contains(&"secrets/key".to_owned()), "{last}: {violated:?}");
        });
    }
}

#[test]
fn a_file_that_git_cannot_take_costs_no_other_its_place() {
    with_session("[]", |session| {
        session.ok("echo '*.txt working-tree-encoding=UTF-16' > .gitattributes
             for n in 1 2 3 4 5; do echo $n > file$n; done; echo more >> src/a.txt; rm LICENSE");
        let outputs = session.publish();
        assert_eq!(
            changed(session, &outputs),
            "A\t.gitattributes\nD\tLICENSE\nA\tfile1\nA\tfile2\nA\tfile3\nA\tfile4\nA\tfile5"
        );
        let violated: Vec<_> = outputs.violations.iter().map(|v| v.path.to_string()).collect();
        assert_eq!(violated, ["src/a.txt"]);
    });
}

/// Git passes over them without a failure.
#[test]
fn names_that_git_takes_for_its_own_are_named() {
    with_session(DENY_SECRETS, |session| {
        session.ok(
            "mkdir -p .GIT sub/.Git n; echo 1 >.GIT/notes.txt; echo 2 >git~1; echo 3 >sub/.Git/x; echo 4 >'.git '
             echo 5 >'.git::$INDEX'; echo 6 >'.git.'; printf 7 >\"$(printf 'GIT~1\nx')\"; echo 8 >sub/GIT~1
             printf 9 >\"$(printf 'n/two\nlines missing\nx')\"; echo 0 >n/0:0:x",
        );
        let outputs = session.publish();
        let kept: Vec<String> = outputs.violations.iter().map(|v| v.path.to_string()).collect();
        let changes = changed(session, &outputs);
        assert_eq!(changes.lines().count() + kept.len(), 10, "{kept:?} {changes}");
        for name in [".GIT/notes.txt", "git~1", "sub/.Git/x", ".git ", "sub/GIT~1"] {
            assert!(kept.iter().any(|path| path == name), "{name}: {kept:?}");
        }
        assert!(kept.iter().all(|path| path.to_lowercase().contains("git")), "{kept:?}");
    });
}

#[test]
fn a_file_of_patterns_that_is_large_is_not_given_to_git() {
    with_session("[]", |session| {
        session.ok("truncate -s 20G .gitignore src/.gitattributes; echo fine > fine");
        let outputs = session.publish();
        assert_eq!(changed(session, &outputs), "A\tfine");
        let mut violated: Vec<_> = outputs.violations.iter().map(|v| v.path.to_string()).collect();
        violated.sort();
        violated.dedup();
        assert_eq!(violated, [".gitignore", "src/.gitattributes"]);
    });
}

#[test]
fn directories_deeper_than_any_path_cost_nothing_but_themselves() {
    with_session("[]", |session| {
        session.ok(
            "name=$(printf 'd%.0s' $(seq 200)); echo fine > fine
             i=0; while [ $i -lt 30 ]; do mkdir $name; cd -P $name; i=$((i+1)); [ $i = 19 ] && mkfifo .gitignore; done
             echo deep > deep",
        );
        let outputs = session.publish();
        assert_eq!(changed(session, &outputs), "A\tfine");
        assert!(outputs.violations.iter().any(|v| v.path.as_bytes().ends_with(b"/.gitignore")));
        assert!(outputs.violations.iter().any(|v| v.what.contains("a path that is too long")));
    });
}

#[test]
fn a_history_that_does_not_descend_from_the_base_is_not_kept() {
    for script in [
        "git commit -q --amend -m amended; echo 1 >> src/a.txt; git commit -qam one",
        "git checkout -q --orphan fresh; git commit -qm root; echo 1 >> src/a.txt; git commit -qam one",
        "rm -rf .git; git init -q; git add src; git -c user.name=a -c user.email=b commit -qm r; echo 1 >> src/a.txt",
    ] {
        with_session("[]", move |session| {
            session.ok(script);
            let outputs = session.publish();
            let on_branch =
                outputs.commits.iter().filter(|c| Some(&c.event.branch) == outputs.branch.as_ref());
            let authors: Vec<_> = on_branch.map(|commit| commit.event.author).collect();
            assert_eq!(authors, [CommitAuthor::Custody], "{script}");
            assert_eq!(changed(session, &outputs), "M\tsrc/a.txt", "{script}");
            assert_eq!(outputs.violations[0].path.to_string(), ".git", "{script}");
        });
    }
}

#[test]
fn what_the_agent_writes_into_dot_git_is_never_in_force() {
    with_session("[]", |session| {
        session.ok(
            r"touch /tmp/trap-was-not-run; T='touch /workspace/trapped'
              for key in core.fsmonitor core.sshCommand diff.external core.pager core.editor \
                filter.x.clean filter.x.smudge filter.x.process gpg.program; do git config $key '$T'; done
              git config core.worktree /etc; git config core.hooksPath /workspace/hooks
              git config core.bare true; git config include.path /etc/passwd
              mkdir -p hooks; for hook in pre-commit post-commit reference-transaction fsmonitor-watchman; do
                printf '#!/bin/sh\ntouch /workspace/trapped\n' > hooks/$hook; chmod +x hooks/$hook; done
              echo '* filter=x diff=x' > .gitattributes
              echo /etc > .git/objects/info/alternates; echo /proc/1/root > .git/commondir
              rm -rf .git/refs; ln -s /etc .git/refs; ln -sf /etc/passwd .git/packed-refs
              rm .git/index; mkfifo .git/index; rm -rf .git/objects/pack; ln -s /etc .git/objects/pack
              mkdir -p sub && cd sub && git init -q && git config core.fsmonitor 'touch /workspace/trapped'
              git config user.name a; git config user.email b; echo x > x; git add x 2>/dev/null; true",
        );
        session.ok("rm -f trapped; echo 1 >> src/a.txt");
        let outputs = session.publish();
        assert!(!session.workspace.clean_path().join("trapped").exists());
        assert_eq!(authors(&outputs), [CommitAuthor::Custody]);
        let violated: Vec<_> = outputs.violations.iter().map(|v| v.path.to_string()).collect();
        assert_eq!(violated, ["sub"]);
        let changed = changed(session, &outputs);
        assert!(changed.contains("M\tsrc/a.txt\n") && changed.ends_with("A\tsub/x"), "{changed}");
    });
}

#[test]
fn forged_objects_are_refused() {
    with_session("[]", |session| {
        // A loose blob whose name is not the hash of its content, and a commit that uses it.
        session.ok(
            r"echo honest > f; git add f; git commit -qm one
              blob=$(git rev-parse HEAD:f); path=.git/objects/$(echo $blob | cut -c1-2)/$(echo $blob | cut -c3-)
              other=$(echo forged | git hash-object -w --stdin)
              chmod +w $path; cp .git/objects/$(echo $other | cut -c1-2)/$(echo $other | cut -c3-) $path",
        );
        let outputs = session.publish();
        assert_eq!(authors(&outputs), [CommitAuthor::Custody]);
        assert_eq!(outputs.violations[0].path.to_string(), ".git");
        assert_eq!(changed(session, &outputs), "A\tf");
        session.mirror_git(&["fsck", "--strict"]);
    });
}

#[test]
fn a_tree_with_a_path_into_dot_git_is_refused() {
    with_session("[]", |session| {
        session.ok(r"blob=$(echo evil | git hash-object -w --stdin)
              inner=$(printf '100644 blob %s\tconfig\n' $blob | git mktree)
              tree=$( (git ls-tree HEAD; printf '040000 tree %s\t.GIT\n' $inner) | git mktree)
              git update-ref HEAD $(git commit-tree $tree -p HEAD -m evil)
              echo 1 >> src/a.txt");
        let outputs = session.publish();
        assert_eq!(authors(&outputs), [CommitAuthor::Custody]);
        assert_eq!(changed(session, &outputs), "M\tsrc/a.txt");
        assert_eq!(outputs.violations[0].path.to_string(), ".git");
    });
}

#[test]
fn a_new_submodule_stays_out() {
    with_session("[]", |session| {
        session.ok("git update-index --add --cacheinfo 160000,$(git rev-parse HEAD),vendor
             git commit -qm 'a submodule'; echo 1 >> src/a.txt");
        let outputs = session.publish();
        assert_eq!(authors(&outputs), [CommitAuthor::Custody]);
        assert_eq!(changed(session, &outputs), "M\tsrc/a.txt");
        assert!(outputs.violations.iter().any(|v| v.path.to_string() == "vendor"));
    });
}

#[test]
fn new_paths_that_a_rule_guards_stay_out() {
    with_session(r#"[{"deny": "*.pem"}, {"read_only": "/locked/"}]"#, |session| {
        session.ok("echo k > new.pem; mkdir locked; echo l > locked/file; echo ok > fine");
        let outputs = session.publish();
        assert_eq!(changed(session, &outputs), "A\tfine");
        let violated: Vec<_> = outputs.violations.iter().map(|v| v.path.to_string()).collect();
        assert_eq!(violated, ["locked/file", "new.pem"]);
    });
}

#[test]
fn a_file_in_the_place_of_a_directory_takes_no_guarded_file_with_it() {
    in_own_mounts(|| {
        let installation = Installation::new();
        // The guard would have refused it: as if it had been gone round.
        let mut session = installation.session("[]", false);
        session.ok("rm -r src; echo file > src; echo fine > fine");
        session.rules = rules(r#"[{"read_only": "/src/a.txt"}]"#);
        let outputs = session.publish();
        let head = outputs.head.as_ref().unwrap().as_str();
        assert_eq!(session.mirror_git(&["show", &format!("{head}:src/a.txt")]), "a");
        let violated: Vec<_> = outputs.violations.iter().map(|v| v.path.to_string()).collect();
        assert_eq!(violated, ["src/a.txt", "src/a.txt"]);
    });
}

#[test]
fn pipes_in_the_place_of_files_neither_hang_nor_break_the_outputs() {
    with_session("[]", |session| {
        session.ok(
            "rm .gitignore LICENSE; mkfifo .gitignore LICENSE .gitattributes pipe src/.gitignore
             echo fine > fine",
        );
        let outputs = session.publish();
        assert_eq!(changed(session, &outputs), "A\tfine");
        let mut violated: Vec<_> = outputs.violations.iter().map(|v| v.path.to_string()).collect();
        violated.sort();
        violated.dedup();
        assert_eq!(violated, [".gitattributes", ".gitignore", "LICENSE", "src/.gitignore"]);
    });
}

#[test]
fn files_that_have_too_many_bytes_together_stay_out() {
    with_session("[]", |session| {
        session.ok("for name in a b c; do truncate -s 1000 $name; done");
        let limits = OutputLimits { total_bytes: 2_500, ..OutputLimits::default() };
        let outputs = session.publish_within(limits);
        assert_eq!(changed(session, &outputs), "A\ta\nA\tb");
        let violated: Vec<_> = outputs.violations.iter().map(|v| v.path.to_string()).collect();
        assert_eq!(violated, ["c"]);
    });
}

#[test]
fn repositories_inside_that_lead_git_astray_neither_hang_it_nor_take_honest_changes_with_them() {
    with_session("[]", |session| {
        session.ok(
            "for d in pipe zero src LICENSE; do
               rm -f LICENSE; mkdir -p $d/.git/objects $d/.git/refs; echo inner > $d/inner
             done
             mkfifo pipe/.git/HEAD src/.git/HEAD LICENSE/.git/HEAD
             echo 'ref: refs/heads/main' > zero/.git/HEAD; ln -s /dev/zero zero/.git/commondir
             mkdir file link no; echo 'gitdir: ../pipe/.git' > file/.git; ln -s ../pipe/.git link/.git
             mkdir no/.git; mkfifo no/.git/HEAD; echo 1 | tee file/inner link/inner > no/inner
             echo more >> src/a.txt; echo fine > fine",
        );
        let outputs = session.publish();
        assert_eq!(
            changed(session, &outputs),
            "D\tLICENSE\nA\tLICENSE/inner\nA\tfile/inner\nA\tfine\nA\tlink/inner\nA\tno/inner\nA\tpipe/inner\n\
             M\tsrc/a.txt\nA\tsrc/inner\nA\tzero/inner"
        );
        let mut violated: Vec<_> = outputs.violations.iter().map(|v| v.path.to_string()).collect();
        violated.sort();
        assert_eq!(violated, ["LICENSE", "file", "link", "pipe", "src", "zero"]);
    });
}

#[test]
fn nothing_in_the_place_of_a_file_of_its_git_directory_makes_the_keeper_wait() {
    for kind in ["mkfifo $f", "mkdir $f", "ln -s /dev/zero $f", "ln -s ../pipe $f"] {
        with_session("[]", move |session| {
            session.ok(&format!(
                "mkfifo pipe; for f in HEAD config index packed-refs commondir shallow refs/heads/main \
                   objects/info/alternates objects/pack objects/00; do
                   rm -rf .git/$f; mkdir -p .git/objects/info; (cd .git; {kind}); done
                 echo fine > fine",
            ));
            let outputs = session.publish();
            assert_eq!(changed(session, &outputs), "A\tfine", "{kind}");
        });
    }
}

#[test]
fn objects_above_the_limit_are_not_taken() {
    with_session("[]", |session| {
        session.ok("echo 1 >> src/a.txt; git commit -qam one; echo 2 > two");
        let limits = OutputLimits { import_bytes: 10, ..OutputLimits::default() };
        let outputs = session.publish_within(limits);
        assert_eq!(authors(&outputs), [CommitAuthor::Custody]);
        assert_eq!(changed(session, &outputs), "M\tsrc/a.txt\nA\ttwo");
        assert_eq!(outputs.violations.len(), 1);
    });
}

/// What a diff consists of: each file's part.
fn parts(diff: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(diff);
    text.split("diff --git ").skip(1).map(str::to_owned).collect()
}

#[test]
fn a_large_diff_goes_to_the_record_as_it_comes_and_is_kept_whole() {
    with_session("[]", |session| {
        session.ok("head -c 300000 /dev/urandom >noise; seq 6000000 >numbers; echo last >z");
        let outputs = session.publish();
        let Some(Diff { blob: Some(blob), cut: None }) = &outputs.diff else {
            panic!("{outputs:?}")
        };
        assert_eq!(blob.role, WHOLE_DIFF);
        assert!(blob.size > 45_000_000, "{blob:?}");
        assert_eq!(parts(&diff_of(session, &outputs)).len(), 3);
    });
}

#[test]
fn the_diff_has_the_content_of_small_binary_files_and_names_the_objects_of_large_ones() {
    with_session("[]", |session| {
        let size = 3 << 20;
        session.ok(&format!(
            "head -c {size} /dev/urandom >noise; head -c {size} /dev/urandom >src/a.txt; printf 'a\\000' >small
             rm -r src/link; mkdir src/link; head -c {size} /dev/urandom >src/link/in; seq 900000 >numbers; echo z >z"
        ));
        let outputs = session.publish();
        assert_eq!(outputs.violations, []);
        let diff = outputs.diff.clone().unwrap();
        assert_eq!(diff.cut, None);
        let content = diff_of(session, &outputs);
        assert!((5 << 20..8 << 20).contains(&content.len()), "{} bytes", content.len());
        let parts = parts(&content);
        let part =
            |name: &str| parts.iter().find(|part| part.starts_with(&format!("a/{name} "))).unwrap();
        let branch = outputs.branch.as_ref().unwrap();
        for name in ["noise", "src/a.txt", "src/link/in"] {
            let blob = session.mirror_git(&["rev-parse", &format!("{branch}:{name}")]);
            assert!(part(name).contains(&format!("..{blob}")), "{}", part(name));
            assert!(part(name).contains("Binary files "), "{}", part(name));
        }
        assert!(part("small").contains("GIT binary patch"));
        assert!(part("numbers").contains("\n+900000\n") && part("z").contains("\n+z\n"));
        // One part for each file, however they are told.
        assert_eq!(
            parts.len(),
            7,
            "{:?}",
            parts.iter().map(|p| &p[..20.min(p.len())]).collect::<Vec<_>>()
        );
        // A limit cuts both halves alike.
        session.forget_branch();
        let limits = OutputLimits { diff_bytes: 1 << 20, ..OutputLimits::default() };
        let cut = session.publish_within(limits).diff.unwrap();
        assert!(cut.cut.is_some_and(|cut| cut.contains("larger than 1048576 bytes")));
        assert_eq!(cut.blob.unwrap().role, CUT_DIFF);
    });
}

#[test]
fn a_diff_above_the_limit_ends_with_a_whole_file_and_says_so() {
    with_session("[]", |session| {
        // A line that looks like the beginning of a part is not one.
        session.ok("echo a >a; echo 'diff --git a/x b/x' >b; seq 10000 >c; echo d >d");
        let whole = session.publish();
        let all = parts(&diff_of(session, &whole));
        assert_eq!(all.len() - 1, 4, "{all:?}");
        let size = whole.diff.as_ref().and_then(|diff| diff.blob.as_ref()).unwrap().size;
        let at = |part: usize| {
            let text = String::from_utf8(diff_of(session, &whole)).unwrap();
            text.match_indices("\ndiff --git ").nth(part - 1).unwrap().0 as u64 + 1
        };
        for (limit, kept) in
            [(size, 4), (size - 1, 3), (at(3), 3), (at(3) - 1, 2), (at(2) + 5, 2), (at(1), 1)]
        {
            session.forget_branch();
            let limits = OutputLimits { diff_bytes: limit, ..OutputLimits::default() };
            let outputs = session.publish_within(limits);
            let diff = outputs.diff.clone().unwrap();
            let blob = diff.blob.unwrap();
            assert_eq!(diff.cut.is_some(), kept < 4, "{limit}");
            assert_eq!(blob.role, if kept < 4 { CUT_DIFF } else { WHOLE_DIFF });
            let end = if kept < 4 { at(kept) } else { size };
            let (beginning, content) = (diff_of(session, &whole), diff_of(session, &outputs));
            assert_eq!(content, beginning[..usize::try_from(end).unwrap()], "{limit}");
        }
        session.forget_branch();
        let limits = OutputLimits { diff_bytes: 10, ..OutputLimits::default() };
        let diff = session.publish_within(limits).diff.unwrap();
        assert_eq!(diff.blob, None);
        assert!(diff.cut.is_some_and(|cut| cut.contains("larger than 10 bytes")));
    });
}
