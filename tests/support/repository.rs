//! Real git repositories, made for one test.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

/// A git repository with a working tree, gone when dropped.
#[derive(Debug)]
pub struct Repository {
    dir: TempDir,
}

impl Repository {
    /// An empty one, on branch `main`.
    ///
    /// # Panics
    /// If git is missing or fails, as all functions here do.
    #[must_use]
    pub fn new() -> Self {
        let repository =
            Self { dir: TempDir::with_prefix("custody-repository-").expect("a directory") };
        repository.git(&["init", "--quiet", "--initial-branch=main"]);
        repository.git(&["config", "user.name", "Dana Developer"]);
        repository.git(&["config", "user.email", "dana@example.org"]);
        repository.git(&["config", "commit.gpgsign", "false"]);
        repository
    }

    /// A small project with history: sources, a secret, a build.
    #[must_use]
    pub fn example() -> Self {
        let repository = Self::new();
        repository
            .file("README.md", "# Example\n")
            .file("src/main.c", "#include <stdio.h>\nint main(void) { puts(\"one\"); return 0; }\n")
            .file("src/unused.c", "int unused;\n")
            .file("Makefile", "all: example\nexample: src/main.c\n\tcc -o $@ $<\n")
            .file("LICENSE", "All of it is yours.\n")
            .file("docs/guide.md", "Read me.\n")
            .commit("Start");
        repository
            .file("src/main.c", "#include <stdio.h>\nint main(void) { puts(\"two\"); return 0; }\n")
            .commit("Say two");
        repository
    }

    /// [`Repository::example`] with `secrets/key.txt` and `.env` in its history.
    #[must_use]
    pub fn with_secrets() -> Self {
        let repository = Self::example();
        repository
            .file("secrets/key.txt", &format!("{SECRET}\n"))
            .file(".env", &format!("TOKEN={SECRET}\n"))
            .commit("Add what must not be read");
        repository
    }

    /// Its working tree.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Writes a file of the working tree, its directories included.
    pub fn file(&self, path: &str, content: &str) -> &Self {
        let path = self.path().join(path);
        std::fs::create_dir_all(path.parent().expect("below the root")).expect("directories");
        std::fs::write(path, content).expect("written");
        self
    }

    /// As [`Repository::file`], executable.
    pub fn script(&self, path: &str, content: &str) -> &Self {
        self.file(path, content);
        let mode = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(self.path().join(path), mode).expect("made executable");
        self
    }

    /// Commits everything in the working tree and returns the commit's id.
    pub fn commit(&self, message: &str) -> String {
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--message", message]);
        self.git(&["rev-parse", "HEAD"])
    }

    /// Runs git in the working tree and returns what it printed, trimmed.
    pub fn git(&self, arguments: &[&str]) -> String {
        let output = Command::new("git")
            .current_dir(self.path())
            .args(arguments)
            .output()
            .expect("git starts");
        assert!(
            output.status.success(),
            "git {arguments:?} failed: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
    }
}

impl Default for Repository {
    fn default() -> Self {
        Self::new()
    }
}

/// What [`Repository::with_secrets`] hides: random enough to be looked for everywhere.
pub const SECRET: &str = "hunter2-9f4c1d7be6a05283";

/// A policy that denies the secrets of [`Repository::with_secrets`] and protects its licence.
pub const POLICY: &str = include_str!("policy.yaml");
