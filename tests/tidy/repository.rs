//! What stands at the top of the repository, and what the texts there must tell.

use std::os::unix::fs::PermissionsExt;

use custody_model::ErrorCode;
use custody_model::error::EXIT_KEY_UNVOUCHED;

use crate::tree::{FILES, METADATA, ROOT, packages};

/// Everything that may stand at the top.
const TOP: &[&str] = &[
    ".cargo",
    ".ci",
    ".gitignore",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE",
    "Makefile",
    "README.md",
    "api",
    "clippy.toml",
    "deny.toml",
    "deploy",
    "migrations",
    "runtime",
    "rust-toolchain.toml",
    "rustfmt.toml",
    "sandbox-images",
    "tests",
];

fn text(path: &str) -> &'static str {
    let file = FILES.iter().find(|file| file.path == path);
    file.unwrap_or_else(|| panic!("{path} is missing")).text.as_deref().expect("UTF-8")
}

#[test]
fn nothing_else_stands_at_the_top() {
    let wrong: Vec<&str> = FILES
        .iter()
        .map(|file| file.path.split('/').next().expect("a path has a part"))
        .filter(|top| !TOP.contains(top))
        .collect();
    assert!(wrong.is_empty(), "what is at the top is fixed: {wrong:?}");
}

#[test]
fn continuous_integration_can_start() {
    let mode = ROOT.join(".ci/run").metadata().expect(".ci/run is there").permissions().mode();
    assert_eq!(mode & 0o111, 0o111, ".ci/run is executable");
    assert!(text(".ci/run").contains("make test"), ".ci/run runs the tests");
}

#[test]
fn the_makefile_has_its_targets() {
    let makefile = text("Makefile");
    for target in ["setup", "build", "test", "check", "demo", "bench"] {
        let rule = format!("\n{target}:");
        assert!(makefile.contains(&rule), "make {target} is missing");
    }
}

#[test]
fn the_readme_lists_every_exit_code_with_its_meaning() {
    let readme = text("README.md");
    let table = readme.split("\n## Exit codes\n").nth(1).expect("README.md has the exit codes");
    let rows: Vec<&str> = table
        .lines()
        .skip_while(|line| !line.starts_with("|---"))
        .skip(1)
        .take_while(|line| line.starts_with('|'))
        .collect();
    let mut wanted = vec!["| 0 | | done |".to_owned()];
    wanted.extend(
        ErrorCode::ALL
            .map(|code| format!("| {} | `{code}` | {} |", code.exit_code(), code.meaning())),
    );
    let unvouched = "intact and complete, by a key that nobody vouched for";
    wanted.push(format!("| {EXIT_KEY_UNVOUCHED} | | {unvouched} |"));
    assert_eq!(rows, wanted);
}

#[test]
fn the_readme_shows_the_way() {
    let readme = text("README.md");
    for must in
        ["make setup", "make demo", "make test", "make bench", "custody run", "custody investigate"]
    {
        assert!(readme.contains(must), "README.md does not mention `{must}`");
    }
    let invariants = readme.lines().filter(|line| line.starts_with("Invariant:")).count();
    assert!(invariants >= 8, "the code map has {invariants} lines that begin with `Invariant:`");
    let root = ROOT.to_str().expect("UTF-8");
    for package in packages(true) {
        let manifest = package["manifest_path"].as_str().expect("a path");
        let folder = manifest.strip_prefix(root).expect("in the checkout").trim_start_matches('/');
        let folder = folder.trim_end_matches("Cargo.toml");
        assert!(readme.contains(folder), "the code map lacks {folder}");
    }
}

#[test]
fn the_licence_is_whole_and_everyone_names_it() {
    let licence = text("LICENSE");
    assert!(licence.contains("Apache License") && licence.contains("END OF TERMS AND CONDITIONS"));
    for package in packages(true) {
        assert_eq!(package["license"], "Apache-2.0", "{}", package["name"]);
    }
}

#[test]
fn the_changelog_knows_the_version() {
    let version =
        packages(true).next().expect("we have packages")["version"].as_str().expect("text");
    assert!(text("CHANGELOG.md").contains(version), "CHANGELOG.md does not mention {version}");
    assert!(METADATA["workspace_root"].is_string());
}
