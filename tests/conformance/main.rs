//! The workspace behaves as a native file system does: `pjdfstest`, the test suite of the file systems' people, has the
//! same result on it, observed and strict, as on the file system below, but for what a plain overlay of the kernel
//! does otherwise too.

use std::collections::BTreeMap;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
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

fn configuration() -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), CONFIGURATION).expect("written");
    file
}

/// Where the suite works, whatever is tested: the path is part of what fits into a socket's address.
const PLACE: &str = "/mnt";

/// Runs the suite on the directory that is its last argument, shown at [`PLACE`] in a mount namespace of its own.
const ON_DIRECTORY: &str = "set -e
mount --bind \"$3\" /mnt
exec \"$1\" -c \"$2\" -s /dev/shm -p /mnt";

/// As [`ON_DIRECTORY`], on a plain overlay of two layers below that directory.
const ON_OVERLAY: &str = "set -e
cd \"$3\"
mkdir lower upper work
mount -t overlay -o lowerdir=lower,upperdir=upper,workdir=work,index=on,nfs_export=on,redirect_dir=on,xino=auto none /mnt
exec \"$1\" -c \"$2\" -s /dev/shm -p /mnt";

/// The command line that runs a script with the suite and its configuration in a mount namespace.
fn in_namespace<'a>(
    script: &'a str,
    suite: &'a str,
    configuration: &'a str,
    on: &'a str,
) -> Vec<&'a str> {
    assert_eq!(PLACE, "/mnt", "the scripts name it");
    let unshare = ["unshare", "--mount", "--propagation", "private", "--", "sh", "-c"];
    [&unshare as &[&str], &[script, "sh", suite, configuration, on]].concat()
}

/// The suite on the disk that also holds the state directories: directly, or through a plain overlay.
fn baseline(script: &str, configuration: &str) -> BTreeMap<String, String> {
    let directory = TempDir::new().expect("a directory");
    // The suite works as other users too.
    std::fs::set_permissions(directory.path(), Permissions::from_mode(0o755)).expect("opened");
    let suite = suite();
    let arguments = in_namespace(
        script,
        suite.to_str().expect("UTF-8"),
        configuration,
        directory.path().to_str().expect("UTF-8"),
    );
    results(Command::new(arguments[0]).args(&arguments[1..]))
}

/// The suite on a workspace as the sandbox sees it, run by root outside of any sandbox: it changes users.
fn workspace(configuration: &str, strict: bool) -> BTreeMap<String, String> {
    let (installation, repository) = (Installation::new(), Repository::example());
    let repo = repository.path().to_str().expect("UTF-8").to_owned();
    let mode: &[&str] = if strict { &["--strict"] } else { &[] };
    let suite = suite();
    let suite = suite.to_str().expect("UTF-8");
    let run = in_namespace(ON_DIRECTORY, suite, configuration, "{}");
    let arguments =
        [&["debug", "workspace", "--repo", &repo] as &[&str], mode, &["--"], &run].concat();
    results(&mut installation.command(repository.path(), &arguments))
}

/// What overlayfs itself does otherwise than the file system below it.
fn is_a_property_of_overlayfs(case: &str) -> bool {
    // The suite's character device has the number 0:0, with which overlayfs marks what is removed: nobody can make one.
    // And overlayfs does not say how many links a file may have.
    case.ends_with("::char") || case.ends_with("::char_device") || case == "link::link_count_max"
}

fn differences<'a>(
    one: &'a BTreeMap<String, String>,
    other: &'a BTreeMap<String, String>,
) -> Vec<(&'a str, &'a str, Option<&'a str>)> {
    one.iter()
        .map(|(case, result)| (case.as_str(), result.as_str(), other.get(case).map(String::as_str)))
        .filter(|(_, result, other)| Some(*result) != *other)
        .collect()
}

fn equals_native(strict: bool) {
    let configuration = configuration();
    let configuration = configuration.path().to_str().expect("UTF-8");
    let native = baseline(ON_DIRECTORY, configuration);
    let overlay = baseline(ON_OVERLAY, configuration);
    let workspace = workspace(configuration, strict);
    for (name, results) in [("native", &native), ("overlay", &overlay), ("workspace", &workspace)] {
        let count = |result: &str| results.values().filter(|r| *r == result).count();
        println!(
            "{name}: {} passed, {} failed, {} skipped",
            count("ok"),
            count("FAILED"),
            count("skipped")
        );
    }
    let of_overlayfs = differences(&native, &overlay);
    assert!(
        of_overlayfs.iter().all(|(case, ..)| is_a_property_of_overlayfs(case)),
        "{of_overlayfs:#?}"
    );
    let differ: Vec<_> = differences(&native, &workspace)
        .into_iter()
        .filter(|(case, ..)| {
            !is_a_property_of_overlayfs(case) || overlay.get(*case) != workspace.get(*case)
        })
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
