//! What a rule hides stays hidden, whichever way it is asked for.

use custody_record::event::Operation;
use custody_tests::repository::{POLICY, SECRET};
use custody_tests::{Installation, Record, Repository};

/// Runs a script that may only fail to see the secret, in either mode; returns the records.
fn the_secret_stays_hidden(script: &str) -> [Record; 2] {
    [&[] as &[&str], &["--strict"]].map(|options| {
        let (installation, repository) = (Installation::new(), Repository::with_secrets());
        let policy = installation.policy(POLICY);
        let options = [&["--policy", policy.as_str()], options].concat();
        let output = installation.run(&repository, &options, &format!("{script}\necho the-end"));
        assert!(output.text().contains("the-end"), "{}", output.text());
        assert!(!output.text().contains(SECRET), "{options:?} printed it: {}", output.text());
        installation.record(installation.session())
    })
}

#[test]
fn from_reading() {
    let script = "cat secrets/key.txt; head -c 9 secrets/key.txt; ls secrets; find . -name key.txt -exec cat {} +
(cd secrets && cat key.txt); cat <secrets/key.txt; cat .env; grep -r hunter . ; rg --hidden --no-ignore hunter";
    for record in the_secret_stays_hidden(script) {
        assert!(record.refusals("secrets").next().is_some());
        assert!(record.refusals(".env").next().is_some());
    }
}

#[test]
fn from_renames_of_it_and_of_what_it_lies_in() {
    let script =
        "mv secrets moved; cat moved/key.txt; mv secrets/key.txt key; cat key; mv .env env; cat env
mkdir deep; mv secrets deep/; cat deep/secrets/key.txt";
    for record in the_secret_stays_hidden(script) {
        assert!(record.refusals("secrets").next().is_some());
    }
}

/// The kernel refuses to rename or remove a mount point by itself, before the guard hears of it: that is on record too,
/// whichever way the path is spelled, and no other rename is taken for one.
#[test]
fn renames_and_removals_of_a_guarded_path_are_on_record() {
    let (installation, repository) = (Installation::new(), Repository::with_secrets());
    let policy = installation.policy(POLICY);
    let script = "mv secrets moved; mv README.md secrets; rmdir secrets; rm -f .env; mv .env env
mkdir -p sub; cd sub; mv ../secrets y; ln -s .. up; rmdir up/secrets; mv /workspace/secrets /tmp/q
perl -e 'chdir q(/workspace); rename(q(secrets//), q(z)) and exit 1; unlink(q(.env)) and exit 1'
cd /workspace; touch plain; mv plain other; mkdir sub/secrets; mv sub/secrets sub/fine; rmdir sub/fine; rm other; echo the-end";
    let output = installation.run(&repository, &["--policy", policy.as_str()], script);
    assert!(output.text().contains("the-end"), "{}", output.text());
    let record = installation.record(installation.session());
    let refused = |errno: &str, path: &str, operation: Operation| {
        let told = record.denied().filter(|(event, denied)| {
            let ours = denied.path.to_string() == path && denied.operation == operation;
            // Each names the process that tried.
            ours && denied.errno == errno && !record.program(event).argv.is_empty()
        });
        told.count()
    };
    let busy = |path: &str, operation: Operation| refused("EBUSY", path, operation);
    assert_eq!(busy("secrets", Operation::Rename), 3, "mv out, in a subdirectory, perl");
    assert_eq!(refused("EXDEV", "secrets", Operation::Rename), 1, "mv to another mount");
    assert_eq!(refused("EXDEV", "README.md", Operation::Rename), 1, "mv into it");
    assert_eq!(busy("secrets", Operation::Rmdir), 2, "rmdir, through a link");
    assert_eq!(busy(".env", Operation::Rename), 1);
    assert_eq!(busy(".env", Operation::Unlink), 2, "rm, perl");
    let others = record.denied().filter(|(_, denied)| {
        let guarded = |path: &custody_model::WorkspacePath| {
            let path = path.to_string();
            path.starts_with("secrets") || path == ".env"
        };
        !guarded(&denied.path) && !denied.target.as_ref().is_some_and(guarded)
    });
    assert_eq!(others.count(), 0);
}

#[test]
fn from_links() {
    let script = "ln secrets/key.txt hard; cat hard; ln -s secrets/key.txt soft; cat soft
ln -s secrets dir; cat dir/key.txt; ln -s /workspace/secrets/key.txt /tmp/k; cat /tmp/k; cp -a secrets copy; cat copy/*";
    let _ = the_secret_stays_hidden(script);
}

#[test]
fn from_git() {
    let script = "git show HEAD:secrets/key.txt; git log -p --all | cat; git cat-file --batch-all-objects --batch
git archive HEAD | cat; git worktree add /tmp/w HEAD; cat /tmp/w/secrets/key.txt; git checkout HEAD -- secrets; cat secrets/key.txt
git restore --source HEAD --staged --worktree .env; cat .env; git grep hunter HEAD; git fsck --full
git stash; git bundle create - --all | cat; git clone . /tmp/c; cat /tmp/c/secrets/key.txt /tmp/c/.env
strings -a .git -r 2>/dev/null; find / -xdev -type f -name '*.pack' 2>/dev/null | while read -r pack; do git unpack-objects -n <\"$pack\"; done";
    let _ = the_secret_stays_hidden(script);
}

#[test]
fn from_the_layers_below_the_workspace() {
    let script = "cat /proc/self/mountinfo; cat /proc/1/root/workspace/secrets/key.txt
find / -name key.txt -not -path '/proc/*' -exec cat {} + 2>/dev/null; umount /workspace/secrets; cat secrets/key.txt
unshare --user --map-root-user --mount sh -c 'umount -l /workspace/secrets; cat /workspace/secrets/key.txt; mkdir /tmp/m; mount --bind /workspace /tmp/m; cat /tmp/m/secrets/key.txt'";
    let _ = the_secret_stays_hidden(script);
}

/// Whether its content lies in the tree or in the history: who asks for what is denied made an attempt.
#[test]
fn what_is_asked_for_of_the_history_is_a_refused_attempt() {
    let record =
        &the_secret_stays_hidden("git show HEAD:secrets/key.txt; git show HEAD:src/main.c")[0];
    let asked: Vec<_> = record.denied().filter(|(_, denied)| denied.object.is_some()).collect();
    assert!(!asked.is_empty(), "git's attempt is on record");
    for (event, denied) in asked {
        assert_eq!(denied.path.to_string(), "secrets/key.txt");
        assert_eq!((denied.operation, denied.rule.as_str()), (Operation::Read, "deny: secrets/**"));
        assert_eq!(record.program(event).argv, ["git", "show", "HEAD:secrets/key.txt"]);
    }
}

/// What is denied elsewhere in the tree is nothing to git that is asked for something else.
#[test]
fn git_archives_and_searches_what_is_allowed() {
    let (installation, repository) = (Installation::new(), Repository::with_secrets());
    let policy = installation.policy(POLICY);
    let script =
        "set -e; git archive HEAD src README.md | tar t; git grep -h 'puts' HEAD -- src; git gc -q
git status --porcelain; git log --oneline --stat -- src | cat";
    let output = installation.run(&repository, &["--policy", policy.as_str()], script);
    let text = output.succeeded().stdout;
    for expected in ["src/main.c\n", "README.md\n", "puts(\"two\")"] {
        assert!(text.contains(expected), "{expected:?} is not in {text}");
    }
    let record = installation.record(installation.session());
    let archive = |event: &custody_record::event::Event| {
        record.program(event).argv.iter().any(|word| word == "archive" || word == "grep")
    };
    assert_eq!(record.denied().filter(|(event, _)| archive(event)).count(), 0);
}
