//! The tools of developers work in a workspace, observed and strict: ripgrep, git, a C build, npm, cargo.

use custody_tests::toolchain::TOOLCHAIN;
use custody_tests::{Installation, Repository};

/// Runs a script in a fresh session in either mode; it must succeed. Returns what it printed, observed first.
fn in_both_modes(repository: &Repository, script: &str) -> [String; 2] {
    [&[] as &[&str], &["--strict"]].map(|options| {
        let installation = Installation::new();
        let options = [options, &["--quiet"]].concat();
        let output = installation.run(repository, &options, script);
        assert_eq!(output.code, Some(0), "{script}: {}", output.text());
        let _ = installation.verify(installation.session()).succeeded();
        // What a terminal would show ends its lines with CR LF.
        output.stdout.replace('\r', "")
    })
}

#[test]
fn ripgrep_finds_what_it_finds_natively() {
    let repository = Repository::example();
    let script = "rg --line-number --sort path 'two|Read' .";
    let native = std::process::Command::new("sh")
        .current_dir(repository.path())
        .args(["-c", script])
        .stdin(std::process::Stdio::null())
        .output()
        .expect("ripgrep is there");
    let native = String::from_utf8(native.stdout).expect("UTF-8");
    assert!(!native.is_empty());
    for found in in_both_modes(&repository, script) {
        assert_eq!(found, native);
    }
}

#[test]
fn git_sees_a_clean_checkout_with_its_history_and_commits() {
    let repository = Repository::example();
    let head = repository.git(&["rev-parse", "HEAD"]);
    let script = "set -e
git status --porcelain
git log --format=%H --max-count 1
git diff --stat
echo more >>README.md
git -c user.name=A -c user.email=a@example.org commit --quiet --all --message 'Say more'
git status --porcelain
git log --format=%s
git blame --porcelain README.md >/dev/null
git stash list
git switch --quiet --create topic
git show --format= --name-only HEAD";
    for printed in in_both_modes(&repository, script) {
        let expected = format!("{head}\nSay more\nSay two\nStart\nREADME.md\n");
        assert_eq!(printed, expected);
    }
}

#[test]
fn a_c_program_builds_and_runs() {
    for printed in in_both_modes(&Repository::example(), "make --silent && ./example") {
        assert!(printed.ends_with("two\n"), "{printed}");
    }
}

#[test]
fn npm_installs_from_a_lock_file_and_runs() {
    let repository = Repository::new();
    repository
        .file(
            "package.json",
            r#"{"name":"app","version":"1.0.0","dependencies":{"left":"file:left"}}"#,
        )
        .file("left/package.json", r#"{"name":"left","version":"1.0.0","main":"left.js"}"#)
        .file("left/left.js", "module.exports = (text, width) => text.padStart(width);\n")
        .file("main.js", "console.log(require('left')('custody', 10));\n")
        .file(".gitignore", "node_modules\n");
    let lock = std::process::Command::new("npm")
        .current_dir(repository.path())
        .args(["install", "--package-lock-only", "--offline", "--no-audit", "--no-fund"])
        .output()
        .expect("npm is there");
    assert!(lock.status.success(), "{}", String::from_utf8_lossy(&lock.stderr));
    repository.commit("Depend on a package");
    let script = "npm ci --offline --no-audit --no-fund --silent && node main.js";
    for printed in in_both_modes(&repository, script) {
        assert_eq!(printed, "   custody\n");
    }
}

#[test]
fn cargo_checks_and_tests_a_crate() {
    let repository = Repository::new();
    repository
        .file("Cargo.toml", "[package]\nname = \"app\"\nversion = \"0.1.0\"\nedition = \"2024\"\n")
        .file("src/lib.rs", "#[test]\nfn one_is_one() { assert_eq!(1, 1); }\n")
        .file(".gitignore", "/target\n");
    repository.commit("Start");
    let script = format!(
        "export CARGO_HOME=/tmp/cargo PATH={TOOLCHAIN}/bin:$PATH
cargo check --offline --quiet && cargo test --offline --quiet 2>&1"
    );
    for options in [&[] as &[&str], &["--strict"]] {
        let installation = Installation::new();
        let output = installation.run_with_toolchain(&repository, options, &script);
        assert_eq!(output.code, Some(0), "{}", output.text());
        assert!(output.stdout.contains("1 passed"), "{}", output.text());
    }
}
