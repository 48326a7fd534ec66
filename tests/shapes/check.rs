//! One session on one repository, and what must be true after it.

use std::path::{Path, PathBuf};

use custody_tests::Installation;
use custody_tests::installation::Output;

use crate::act::Act;
use crate::catalogue::{Apply, Shape, Start};
use crate::ground::{Ground, command, git, git_asks, standing};

/// A session to be run and looked at.
pub(crate) struct Case<'a> {
    pub(crate) shape: &'a Shape,
    pub(crate) acts: &'a [Act],
    pub(crate) dirty: bool,
    pub(crate) ground: &'a Ground,
    pub(crate) installation: &'a Installation,
}

impl Case<'_> {
    fn says(&self) -> String {
        let dirty = if self.dirty { ", --dirty" } else { "" };
        format!("{} × {:?}{dirty}", self.shape.name, self.acts)
    }

    fn root(&self) -> PathBuf {
        self.ground.at("r")
    }

    /// As the owner, with his settings of git.
    fn custody(&self, directory: &Path, arguments: &[&str]) -> Output {
        let mut made = self.installation.command(directory, arguments);
        let owner = command("true", directory);
        made.envs(owner.get_envs().filter_map(|(name, value)| Some((name, value?))));
        made.output().expect("custody starts").into()
    }

    /// Runs it; the number of cells that were checked.
    pub(crate) fn run(&self) -> usize {
        let acts: Vec<_> = self.acts.iter().map(|act| act.script()).collect();
        let script = format!("set -e; pwd; cd /workspace\n{}", acts.join("\n"));
        let before = standing(&self.root());
        let mut arguments = vec!["run"];
        arguments.extend(self.dirty.then_some("--dirty"));
        arguments.extend(["--", "sh", "-c", &script]);
        let start = self.ground.at(self.shape.directory);
        if self.shape.start == Start::Dirty {
            let refused = self.custody(&start, &["run", "--", "true"]);
            assert_ne!(refused.code, Some(0), "{}: {}", self.says(), refused.text());
            assert!(refused.stderr.contains("commit something first"), "{}", refused.text());
        }
        let ran = self.custody(&start, &arguments);
        assert_eq!(ran.code, Some(0), "{}: {}", self.says(), ran.text());
        assert!(standing(&self.root()) == before, "{}: the checkout was touched", self.says());
        self.starts_in_its_directory(&ran);
        let session =
            self.installation.sessions().into_iter().max().expect("a session").to_string();
        let outputs = self.custody(&self.root(), &["session", "outputs", &session, "-o", "json"]);
        let outputs = outputs.succeeded().json();
        let Some(branch) = outputs["branch"].as_str() else {
            assert_eq!(self.acts, [Act::Nothing], "{}: {}", self.says(), ran.text());
            assert!(ran.stderr.contains("no changes came out of it\n"), "{}", ran.text());
            return 1;
        };
        assert_ne!(self.acts, [Act::Nothing], "{}: {}", self.says(), ran.text());
        let mirror = PathBuf::from(outputs["mirror"].as_str().expect("a mirror"));
        let mut cells = self.diff(&mirror, branch, &session);
        cells += self.beside(&mirror, &outputs, &ran);
        if !self.dirty || self.shape.start == Start::Dirty {
            cells += self.apply(branch, &session);
        }
        cells
    }

    fn starts_in_its_directory(&self, ran: &Output) {
        let expected = match self.shape.directory {
            "r" => "/workspace",
            _ => "/workspace/src/deep",
        };
        assert_eq!(ran.stdout.lines().next(), Some(expected), "{}", self.says());
    }

    /// The branch and the diff have what was written, and nothing else.
    fn diff(&self, mirror: &Path, branch: &str, session: &str) -> usize {
        let base = self.custody(&self.root(), &["session", "show", session, "-o", "json"]);
        let base =
            base.succeeded().json()["request"]["base_commit"].as_str().expect("a base").to_owned();
        if self.dirty && self.shape.start == Start::Head {
            // What the working tree hides (a sparse checkout) is in the snapshot too.
            let words = [
                "diff",
                "--no-renames",
                "--diff-filter=D",
                "--name-only",
                "refs/sources/HEAD",
                &base,
            ];
            assert_eq!(git(mirror, &words), "", "{}", self.says());
        }
        let changed = git(mirror, &["diff", "--no-renames", "--name-status", &base, branch]);
        let files: Vec<_> = self.acts.iter().filter_map(|act| act.file()).collect();
        // What was there untracked is in the snapshot that the session started from.
        let status =
            |path: &str| match git_asks(mirror, &["cat-file", "-e", &format!("{base}:{path}")]) {
                true => "M",
                false => "A",
            };
        let mut expected: Vec<_> =
            files.iter().map(|(path, _)| format!("{}\t{path}", status(path))).collect();
        expected.sort();
        assert_eq!(changed, expected.join("\n"), "{}", self.says());
        let diff = self.custody(&self.root(), &["session", "diff", session]).succeeded().stdout;
        for (path, line) in &files {
            assert_eq!(
                git(mirror, &["show", &format!("{branch}:{path}")]),
                *line,
                "{}",
                self.says()
            );
            assert!(diff.contains(&format!("\n+{line}\n")), "{}: {diff}", self.says());
        }
        1 + files.len()
    }

    /// Other refs have what was put there, and what stays out is named.
    fn beside(&self, mirror: &Path, outputs: &serde_json::Value, ran: &Output) -> usize {
        let mut cells = 0;
        for act in self.acts {
            if let Some((inside, path, line)) = act.beside() {
                let refs = outputs["refs"].as_array().expect("refs");
                let found = refs.iter().find(|one| one["inside"] == inside);
                let found =
                    found.unwrap_or_else(|| panic!("{}: no {inside}: {outputs}", self.says()));
                let name = found["name"].as_str().expect("a name");
                let content = git(mirror, &["show", &format!("{name}:{path}")]);
                assert_eq!(content.lines().last(), Some(line), "{}", self.says());
                cells += 1;
            }
            if let Some(words) = act.named() {
                assert!(ran.stderr.contains(words), "{}: {}", self.says(), ran.text());
                cells += 1;
            }
        }
        cells
    }

    /// Applied, it changes what the session changed; and a line names its session.
    fn apply(&self, branch: &str, session: &str) -> usize {
        let root = self.root();
        let before = standing(&root);
        let applied = self.custody(&root, &["session", "apply", session]);
        assert!(!root.join("hook-ran").exists(), "{}: a hook ran", self.says());
        let after = standing(&root);
        for (path, content) in &before {
            let shown = String::from_utf8_lossy(path);
            assert!(after.get(path) == Some(content), "{}: {shown} was changed", self.says());
        }
        let files: Vec<_> = self.acts.iter().filter_map(|act| act.file()).collect();
        for path in after.keys().filter(|path| !before.contains_key(*path)) {
            let own = files.iter().any(|(own, _)| own.as_bytes() == *path);
            let shown = String::from_utf8_lossy(path);
            assert!(own, "{}: {shown} is there now", self.says());
        }
        let refused = match self.shape.apply {
            Apply::Refused(words) => Some(words),
            Apply::InTheWay(words) => self.acts.contains(&Act::Write).then_some(words),
            Apply::Merged => None,
        };
        if let Some(words) = refused {
            assert_ne!(applied.code, Some(0), "{}: {}", self.says(), applied.text());
            assert!(applied.stderr.contains(words), "{}: {}", self.says(), applied.text());
            let fetched = self.custody(&root, &["session", "apply", session, "--fetch-only"]);
            assert_eq!(fetched.code, Some(0), "{}: {}", self.says(), fetched.text());
            assert!(git_asks(&root, &["rev-parse", "--verify", branch]), "{}", self.says());
            let answer = self.custody(&root, &["investigate", branch]);
            assert!(answer.stdout.contains(session), "{}: {}", self.says(), answer.text());
            return 2;
        }
        assert_eq!(applied.code, Some(0), "{}: {}", self.says(), applied.text());
        for (path, line) in &files {
            assert_eq!(git(&root, &["show", &format!("HEAD:{path}")]), *line, "{}", self.says());
        }
        let Some((path, _)) = files.first() else { return 1 };
        // A sparse checkout has it in the commit alone.
        let asked = match root.join(path).exists() {
            true => format!("{path}:1"),
            false => branch.to_owned(),
        };
        let answer = self.custody(&root, &["investigate", &asked]);
        assert!(answer.stdout.contains(session), "{}: {}", self.says(), answer.text());
        if !root.join("kept.txt").exists() {
            return 2;
        }
        let answer = self.custody(&root, &["investigate", "kept.txt:1"]);
        assert!(!answer.stdout.contains(session), "{}: {}", self.says(), answer.text());
        3
    }
}
