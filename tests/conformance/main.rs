//! The workspace behaves as a native file system does: `pjdfstest`, the test suite of the file systems' people, has the
//! same result on it, observed and strict, case by case, as on the file system below.
//!
//! The suite runs with `portable.c` preloaded, natively and in the workspace alike. It changes two things, for reasons
//! that are in it: the suite's character device is 1:7 instead of 0:0, which is a whiteout to every overlay; and
//! the most links of a file are said to be unknown, as the C library says of every overlay (`link_count_max` is
//! skipped everywhere). Nothing else is left out, and no difference is allowed for.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use custody_tests::{Installation, Repository};
use tempfile::TempDir;

/// Which features of a file system are tested; both sides get the same list.
const CONFIGURATION: &str = "
[features]
posix_fallocate = {}
utime_now = {}
utimensat = {}
rename_ctime = {}
stat_st_birthtime = {}

[settings]
naptime = 0.01
allow_remount = false

[dummy_auth]
entries = [[\"nobody\", \"nogroup\"], [\"daemon\", \"daemon\"]]
";

/// The suite, where `make tools` installs it.
fn suite() -> PathBuf {
    let program = std::env::current_exe().expect("the test program has a path");
    let target = program.ancestors().nth(3).expect("it lies in <target>/<profile>/deps");
    let suite = target.join("tools/bin/pjdfstest");
    assert!(suite.is_file(), "{} is missing: run `make tools` first", suite.display());
    suite
}

/// The result of each test case by its name.
fn results(command: &mut Command) -> BTreeMap<String, String> {
    let output = command.output().expect("it starts");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let results: BTreeMap<String, String> = text
        .lines()
        .filter_map(|line| {
            let (name, result) = line.trim_end().rsplit_once(char::is_whitespace)?;
            let known = ["ok", "FAILED", "skipped"].contains(&result) && name.contains("::");
            known.then(|| (name.trim().to_owned(), result.to_owned()))
        })
        .collect();
    assert!(
        results.len() > 300,
        "{} results: {text}{}",
        results.len(),
        String::from_utf8_lossy(&output.stderr)
    );
    results
}

/// Where the suite works, whatever is tested: the path is part of what fits into a socket's address.
const PLACE: &str = "/mnt";

/// Runs the suite on the directory that is its last argument, shown at [`PLACE`] in a mount namespace of its own.
const SCRIPT: &str = "set -e
mount --bind \"$4\" /mnt
LD_PRELOAD=$3 exec \"$1\" -c \"$2\" -s /dev/shm -p /mnt";

/// What a run needs: the suite's configuration and what is preloaded into it.
struct Conditions {
    directory: TempDir,
}

impl Conditions {
    fn new() -> Self {
        let directory = TempDir::new().expect("a directory");
        std::fs::write(directory.path().join("configuration"), CONFIGURATION).expect("written");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("conformance/portable.c");
        let compiled = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror", "-o"])
            .arg(directory.path().join("portable.so"))
            .arg(source)
            .arg("-ldl")
            .status()
            .expect("cc starts");
        assert!(compiled.success());
        // The suite works as other users too.
        std::fs::set_permissions(directory.path(), Permissions::from_mode(0o755)).expect("opened");
        Self { directory }
    }

    /// The command line that runs the suite on the directory `on`.
    fn command(&self, on: &str) -> Vec<String> {
        assert_eq!(PLACE, "/mnt", "the script names it");
        let text = |path: PathBuf| path.to_str().expect("UTF-8").to_owned();
        let at = |name| text(self.directory.path().join(name));
        let unshare = ["unshare", "--mount", "--propagation", "private", "--", "sh", "-c"];
        let mut words: Vec<String> = unshare.map(str::to_owned).to_vec();
        words.extend([SCRIPT.to_owned(), "sh".to_owned(), text(suite())]);
        words.extend([at("configuration"), at("portable.so"), on.to_owned()]);
        words
    }
}

/// The suite on the disk that also holds the state directories.
fn native(conditions: &Conditions) -> BTreeMap<String, String> {
    let directory = TempDir::new().expect("a directory");
    std::fs::set_permissions(directory.path(), Permissions::from_mode(0o755)).expect("opened");
    let command = conditions.command(directory.path().to_str().expect("UTF-8"));
    results(Command::new(&command[0]).args(&command[1..]))
}

/// The suite on a workspace as the sandbox sees it, run by root outside of any sandbox: it changes users.
fn workspace(conditions: &Conditions, strict: bool) -> BTreeMap<String, String> {
    let (installation, repository) = (Installation::new(), Repository::example());
    let repo = repository.path().to_str().expect("UTF-8").to_owned();
    let mode: &[&str] = if strict { &["--strict"] } else { &[] };
    let command = conditions.command("{}");
    let command: Vec<&str> = command.iter().map(String::as_str).collect();
    let arguments =
        [&["debug", "workspace", "--repo", &repo] as &[&str], mode, &["--"], &command].concat();
    results(&mut installation.command(repository.path(), &arguments))
}

fn equals_native(strict: bool) {
    let conditions = Conditions::new();
    let native = native(&conditions);
    let workspace = workspace(&conditions, strict);
    for (name, results) in [("native", &native), ("workspace", &workspace)] {
        let count = |result: &str| results.values().filter(|r| *r == result).count();
        println!(
            "{name}: {} passed, {} failed, {} skipped",
            count("ok"),
            count("FAILED"),
            count("skipped")
        );
    }
    assert!(native.values().all(|result| result != "FAILED"), "the disk fails: {native:#?}");
    let cases: BTreeSet<&String> = native.keys().chain(workspace.keys()).collect();
    let differ: Vec<_> = cases
        .into_iter()
        .map(|case| (case, native.get(case), workspace.get(case)))
        .filter(|(_, native, workspace)| native != workspace)
        .collect();
    assert!(differ.is_empty(), "(case, native, here): {differ:#?}");
}

#[test]
fn pjdfstest_on_an_observed_workspace_equals_the_native_result() {
    equals_native(false);
}

#[test]
fn pjdfstest_on_a_strict_workspace_equals_the_native_result() {
    equals_native(true);
}
