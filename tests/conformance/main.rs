//! The workspace behaves as a native file system does: `pjdfstest`, the test suite of the file systems' people, has the
//! same result on it, observed and strict, as on the file system below.

use std::collections::BTreeMap;
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

/// Another file system, for what must not work across two.
const SECONDARY: &str = "/dev/shm";

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

fn native(configuration: &Path) -> BTreeMap<String, String> {
    // Beside the state directories, so on the same file system.
    let directory = TempDir::new().expect("a directory");
    // The suite works as other users too.
    std::fs::set_permissions(directory.path(), Permissions::from_mode(0o755)).expect("opened");
    results(
        Command::new(suite())
            .arg("-c")
            .arg(configuration)
            .args(["-s", SECONDARY, "-p"])
            .arg(directory.path()),
    )
}

/// The suite on a workspace as the sandbox sees it, run by root outside of any sandbox: it changes users.
fn workspace(configuration: &Path, strict: bool) -> BTreeMap<String, String> {
    let (installation, repository) = (Installation::new(), Repository::example());
    let repo = repository.path().to_str().expect("UTF-8").to_owned();
    let mode: &[&str] = if strict { &["--strict"] } else { &[] };
    let (suite, configuration) = (suite(), configuration.to_str().expect("UTF-8"));
    let suite = suite.to_str().expect("UTF-8");
    let arguments = [
        &["debug", "workspace", "--repo", &repo] as &[&str],
        mode,
        &["--", suite, "-c", configuration, "-s", SECONDARY, "-p", "{}"],
    ]
    .concat();
    results(&mut installation.command(repository.path(), &arguments))
}

fn equals_native(strict: bool) {
    let configuration = configuration();
    let native = native(configuration.path());
    let workspace = workspace(configuration.path(), strict);
    let count = |result: &str| native.values().filter(|r| *r == result).count();
    println!(
        "native: {} passed, {} failed, {} skipped",
        count("ok"),
        count("FAILED"),
        count("skipped")
    );
    let differences: Vec<String> = native
        .iter()
        .filter(|(name, result)| workspace.get(*name) != Some(result))
        .map(|(name, result)| format!("{name}: native {result}, here {:?}", workspace.get(name)))
        .collect();
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

#[test]
fn pjdfstest_on_an_observed_workspace_equals_the_native_result() {
    equals_native(false);
}

#[test]
fn pjdfstest_on_a_strict_workspace_equals_the_native_result() {
    equals_native(true);
}
