//! What a session leaves at its end for the keeper to take in can't be a trap for it.

use custody_record::Body;
use custody_tests::repository::POLICY;
use custody_tests::{Installation, Record, Repository};

/// As deep as the workspace is compared with the record at the end.
const MAX_COMPARED_DEPTH: usize = 256;

/// Runs a script that is followed by an honest change; the branch has to have that change.
fn left_behind(script: &str) -> Record {
    let (installation, repository) = (Installation::new(), Repository::with_secrets());
    let policy = installation.policy(POLICY);
    let script = format!("{script}\ncd /workspace; echo honest >honest.txt");
    let output = installation.run(&repository, &["--policy", &policy], &script).succeeded();
    let record = installation.record(installation.session());
    let files = |commit: &custody_record::event::CommitCreated| {
        commit.files.iter().any(|file| file.path.to_string() == "honest.txt")
    };
    assert!(record.commits().any(|(_, commit)| files(commit)), "{}", output.text());
    record
}

#[test]
fn no_merge_brings_back_what_the_policy_guards() {
    // Made of two parents of which the first is older than what the rules guard: nothing differs from that one.
    let record = left_behind(
        "old=$(git rev-list --max-parents=0 HEAD); base=$(git rev-parse HEAD)
back=$(git commit-tree -p $old -p $base -m back $old^{tree})
git update-ref HEAD $(git commit-tree -p $base -p $back -m 'and forth' $base^{tree})",
    );
    assert_eq!(record.commits().count(), 1, "only Custody's own");
}

#[test]
fn no_attribute_makes_the_work_unpublishable() {
    let _ = left_behind("echo '*.md working-tree-encoding=UTF-16' >.gitattributes; echo x >a.md");
}

#[test]
fn neither_pipes_nor_holes_nor_depth_stop_the_keeper() {
    let _ = left_behind(
        "mkfifo .gitattributes; truncate -s 64M .gitignore
name=$(printf 'd%.0s' $(seq 200)); i=0
while [ $i -lt 25 ]; do mkdir $name; cd -P $name; i=$((i+1)); [ $i = 19 ] && mkfifo .gitignore; done; true",
    );
}

#[test]
fn a_chain_of_directories_deeper_than_any_path_ends_in_a_sealed_record_and_leaves_nothing() {
    for options in [&[][..], &["--strict"]] {
        let (installation, repository) = (Installation::new(), Repository::example());
        let script = "echo honest >honest.txt
perl -e 'for (1..5000) { mkdir \"d\" or exit 0; chdir \"d\" or exit 0 } open(F, \">end\")'";
        let output = installation.run(&repository, options, script).succeeded();
        let session = installation.session();
        let record = installation.record(session);
        assert!(record.commits().count() == 1, "{options:?}: {}", output.text());
        let verified = installation.verify(session);
        assert!(verified.stdout.contains("intact"), "{options:?}: {}", verified.text());
        let told = record.events().iter().any(|event| matches!(event.body, Body::RecorderGap(_)));
        // In strict mode the guard refuses what it could not name.
        assert_eq!(told, options.is_empty() || depth(&record) > MAX_COMPARED_DEPTH, "{options:?}");
        for name in ["workspace", "run"] {
            assert!(!installation.directory(session).join(name).exists(), "{options:?}: {name}");
        }
    }
}

/// Of the deepest directory on record.
fn depth(record: &Record) -> usize {
    let slashes = |path: &str| path.bytes().filter(|byte| *byte == b'/').count() + 1;
    record.written().map(|(_, written)| slashes(&written.path.to_string())).max().unwrap_or(0)
}
