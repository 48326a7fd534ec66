//! What a rule hides stays hidden, whichever way it is asked for.

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
