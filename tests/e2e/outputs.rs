//! What comes out of a session: a branch with its commits, a diff, the terminal, and nothing that a rule forbids.

use custody_record::event::CommitAuthor;
use custody_tests::repository::{POLICY, SECRET};
use custody_tests::{Installation, Repository};

/// The bare mirror, which any git can fetch from.
fn mirror(installation: &Installation) -> String {
    let entries = std::fs::read_dir(installation.state().join("repositories")).expect("mirrors");
    let mirrors: Vec<_> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "git"))
        .collect();
    assert_eq!(mirrors.len(), 1, "{mirrors:?}");
    mirrors[0].to_str().expect("UTF-8").to_owned()
}

#[test]
fn the_agents_commits_are_kept_and_the_rest_is_committed_with_trailers() {
    let (installation, repository) = (Installation::new(), Repository::example());
    let script = "set -e
echo one >>README.md
git -c user.name=Agent -c user.email=agent@example.org commit --quiet --all --message 'By the agent'
git rev-parse HEAD >.git/agent-commit
echo two >left.txt
rm src/unused.c";
    let _ = installation.run(&repository, &[], script).succeeded();
    let session = installation.session();
    let branch = format!("custody/{session}");
    repository.git(&["fetch", "--quiet", &mirror(&installation), &format!("{branch}:{branch}")]);
    assert_eq!(
        repository.git(&["log", "--format=%s", "--max-count=1", &format!("{branch}~1")]),
        "By the agent"
    );
    let trailer = |key: &str| {
        let format = format!("--format=%(trailers:key={key},valueonly)");
        repository.git(&["log", "--max-count=1", &format, &branch])
    };
    assert_eq!(trailer("Custody-Session").trim(), session.to_string());
    assert!(!trailer("Custody-Record").trim().is_empty());
    let changed = repository.git(&["diff", "--name-status", "HEAD", &branch]);
    assert_eq!(changed, "M\tREADME.md\nA\tleft.txt\nD\tsrc/unused.c");
    let record = installation.record(session);
    let commits: Vec<_> = record.commits().map(|(_, data)| data).collect();
    assert_eq!(
        commits.iter().map(|commit| commit.author).collect::<Vec<_>>(),
        [CommitAuthor::Agent, CommitAuthor::Custody]
    );
    let tips: Vec<String> = commits.iter().map(|commit| commit.commit.to_string()).collect();
    assert_eq!(
        tips,
        [format!("{branch}~1"), branch.clone()].map(|rev| repository.git(&["rev-parse", &rev]))
    );
}

#[test]
fn apply_takes_the_branch_over() {
    let (installation, repository) = (Installation::new(), Repository::example());
    let _ = installation.run(&repository, &[], "echo applied >applied.txt").succeeded();
    let session = installation.session().to_string();
    let _ = installation.custody(repository.path(), &["session", "apply", &session]).succeeded();
    assert_eq!(repository.git(&["show", "HEAD:applied.txt"]), "applied");
    assert_eq!(repository.git(&["status", "--porcelain"]), "");
}

#[test]
fn nothing_changed_gives_no_commit() {
    let (installation, repository) = (Installation::new(), Repository::example());
    let _ = installation.run(&repository, &[], "cat README.md").succeeded();
    assert_eq!(installation.record(installation.session()).commits().count(), 0);
}

/// Nobody's work stays behind without a word.
#[test]
fn what_git_ignores_is_named_in_the_outcome() {
    let (installation, repository) = (Installation::new(), Repository::example());
    let script = "echo '*.log' >.gitignore; mkdir out empty; echo important >out/lost.log; mkfifo pipe; echo x >kept.txt
echo gone >gone.log; rm gone.log";
    let ran = installation.run(&repository, &[], script).succeeded();
    let said = ran.text();
    assert!(said.contains("left      "), "{said}");
    let left = said.split("left      ").nth(1).and_then(|rest| rest.split("  commits").next());
    let left = left.expect("a part of its own").split("\ncustody:").next().unwrap_or_default();
    for path in ["out/lost.log", "pipe"] {
        assert!(left.contains(&format!("    {path}")), "{path}: {said}");
    }
    for path in ["kept.txt", "gone.log", ".gitignore"] {
        assert!(!left.contains(&format!("    {path}")), "{path}: {said}");
    }
    let _ = installation.run(&repository, &[], "echo x >kept.txt").succeeded();
    let page = installation.custody(installation.state(), &["session", "show", "last"]);
    assert!(!page.succeeded().text().contains("left      "));
}

#[test]
fn a_dirty_run_starts_from_the_working_tree_and_leaves_it_alone() {
    let (installation, repository) = (Installation::new(), Repository::example());
    repository.file("README.md", "# Not committed\n").file("new.txt", "untracked\n");
    let before = repository.git(&["status", "--porcelain"]);
    let output =
        installation.run(&repository, &["--dirty"], "cat README.md new.txt; echo x >>new.txt");
    let output = output.succeeded();
    assert!(output.stdout.contains("# Not committed"), "{}", output.text());
    assert!(output.stdout.contains("untracked"), "{}", output.text());
    assert_eq!(repository.git(&["status", "--porcelain"]), before);
}

#[test]
fn forbidden_paths_stay_out_of_the_outputs_whatever_happened_inside() {
    let (installation, repository) = (Installation::new(), Repository::with_secrets());
    let policy = installation.policy(POLICY);
    let script = "mkdir -p sub/secrets; echo leak >sub/secrets/x; mkdir -p secrets 2>/dev/null
echo leak >secrets/new.txt; echo no >LICENSE; git add --all; \
git -c user.name=A -c user.email=a@example.org commit --quiet --message 'Everything'; echo fine >fine.txt; true";
    let _ = installation.run(&repository, &["--policy", &policy], script).succeeded();
    let branch = format!("custody/{}", installation.session());
    repository.git(&["fetch", "--quiet", &mirror(&installation), &format!("{branch}:{branch}")]);
    let changed = repository.git(&["diff", "--name-status", "HEAD", &branch]);
    assert!(changed.contains("fine.txt"), "{changed}");
    // In particular: what was hidden is not taken for deleted.
    for line in changed.lines() {
        let path = line.split('\t').nth(1).expect("a path");
        assert!(
            !(path.starts_with("secrets/") || path == ".env" || path == "LICENSE"),
            "the branch changes {line}"
        );
    }
    assert!(repository.git(&["show", &format!("{branch}:secrets/key.txt")]).contains(SECRET));
}

#[test]
fn the_terminal_is_kept_as_asciicast() {
    let (installation, repository) = (Installation::new(), Repository::example());
    let _ = installation.run(&repository, &[], "echo on the screen").succeeded();
    let output = installation
        .custody(installation.state(), &["session", "play", "last", "--cast"])
        .succeeded();
    let mut lines = output.stdout.lines();
    let header: serde_json::Value =
        serde_json::from_str(lines.next().expect("a header")).expect("JSON");
    assert_eq!(header["version"], 3);
    assert!(lines.any(|line| line.contains("on the screen")), "{}", output.stdout);
}

#[test]
fn the_diff_is_a_patch_that_git_applies() {
    let (installation, repository) = (Installation::new(), Repository::example());
    let _ =
        installation.run(&repository, &[], "echo more >>README.md; echo new >new.txt").succeeded();
    let diff = installation.custody(installation.state(), &["session", "diff", "last"]).succeeded();
    std::fs::write(repository.path().join("session.patch"), diff.stdout).expect("written");
    repository.git(&["apply", "--index", "session.patch"]);
    assert_eq!(repository.git(&["diff", "--cached", "--name-status"]), "M\tREADME.md\nA\tnew.txt");
}
