//! What the session's layer holds is all that differs: generated changes, against a git that looks at everything.

use std::fmt::Write as _;

use custody_workspace::outputs::Outputs;

use crate::fixture::{Installation, Session, git, in_own_mounts, write};
use crate::outputs::changed;

/// Sequences that are tried.
const SEQUENCES: u64 = 40;

/// Changes in each.
const CHANGES: u64 = 12;

/// A generator of numbers (Steele, Lea, Flood: `SplitMix64`): the same seed gives the same changes.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % limit
    }

    fn directory(&mut self) -> String {
        let depth = self.below(3);
        let names: Vec<_> = (0..=depth).map(|_| format!("d{}", self.below(3))).collect();
        names.join("/")
    }

    fn file(&mut self) -> String {
        match self.below(6) {
            0 => format!("f{}", self.below(4)),
            _ => format!("{}/f{}", self.directory(), self.below(4)),
        }
    }

    /// One change; what can't be done in this state is not done.
    fn change(&mut self) -> String {
        let (a, b) = (self.file(), self.file());
        let (c, d) = (self.directory(), self.directory());
        let n = self.below(1000);
        match self.below(16) {
            0..=2 => format!("mkdir -p $(dirname {a}) && echo {n} >{a}"),
            3 => format!("echo {n} >>{a}"),
            4 => format!("rm -f {a}"),
            5 => format!("rm -rf {c}"),
            6 => format!("mkdir -p $(dirname {b}) && mv {a} {b}"),
            7 | 8 => format!("mkdir -p $(dirname {d}) && mv {c} {d}"),
            9 => format!("touch {a}; chmod +x {b}"),
            10 => format!("rm -rf {c}; echo {n} >{c}"),
            11 => format!("rm -rf {a}; mkdir -p {a} && echo {n} >{a}/below"),
            12 => format!("rm -f {a}; ln -s {b} {a}"),
            13 => format!("rm -rf {c}; mkdir -p {c}; echo {n} >{c}/f0"),
            14 => format!("git add -A && git commit -qm 'commit {n}'"),
            _ => format!("chmod 700 {c}; chmod 755 {c}"),
        }
    }
}

fn base(many: u64) -> Installation {
    let directory = tempfile::tempdir().unwrap();
    let app = directory.path().join("app");
    std::fs::create_dir(&app).unwrap();
    git(&app, &["init", "--quiet", "--initial-branch=main"]);
    for a in 0..3 {
        for b in 0..3 {
            for file in 0..4 {
                write(
                    &app.join(format!("d{a}/d{b}/f{file}")),
                    format!("{a} {b} {file}\n").as_bytes(),
                );
                write(&app.join(format!("d{a}/f{file}")), format!("{a} {file}\n").as_bytes());
            }
        }
    }
    for file in 0..many {
        write(&app.join(format!("many/{}/{file}", file % 100)), format!("{file}\n").as_bytes());
    }
    git(&app, &["add", "-A"]);
    git(&app, &["commit", "--quiet", "-m", "First"]);
    Installation::of(directory)
}

/// The tree of the work tree as a git of the machine sees it that looks at all of it.
fn whole(session: &Session<'_>) -> String {
    let index = tempfile::tempdir().unwrap();
    let index = index.path().join("index").display().to_string();
    let (tree, mirror) =
        (session.workspace.clean_path(), session.mirror_git(&["rev-parse", "--absolute-git-dir"]));
    let run = |words: &[&str]| {
        let mut script = String::new();
        for word in words {
            let _ = write!(script, "'{word}' ");
        }
        let output = std::process::Command::new("git")
            .args(words)
            .current_dir(tree)
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("GIT_DIR", &mirror)
            .env("GIT_WORK_TREE", tree)
            .env("GIT_INDEX_FILE", &index)
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_COUNT", "1")
            .env("GIT_CONFIG_KEY_0", "safe.directory")
            .env("GIT_CONFIG_VALUE_0", "*")
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "git {script}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    };
    run(&["read-tree", session.base.commit().as_str()]);
    run(&["add", "--all", "--", "."]);
    run(&["write-tree"])
}

fn tree_of(session: &Session<'_>, outputs: &Outputs) -> String {
    let commit = outputs.head.as_ref().unwrap_or_else(|| session.base.commit());
    session.mirror_git(&["rev-parse", &format!("{commit}^{{tree}}")])
}

#[test]
fn what_comes_out_is_what_a_git_that_looks_everywhere_sees() {
    in_own_mounts(|| {
        let installation = base(0);
        for seed in 0..SEQUENCES {
            let mut numbers = Numbers(seed);
            let mut script = String::new();
            for _ in 0..numbers.below(CHANGES) {
                let _ = writeln!(script, "{} 2>/dev/null", numbers.change());
            }
            let session = installation.session("[]", seed % 4 == 3);
            session.says(&script);
            let expected = whole(&session);
            let outputs = session.publish();
            assert_eq!(outputs.violations, [], "sequence {seed}:\n{script}");
            assert_eq!(tree_of(&session, &outputs), expected, "sequence {seed}:\n{script}");
        }
    });
}

/// What is untouched is not looked at, however large it is: here it could not even be seen.
#[test]
fn the_end_of_a_session_looks_only_at_what_was_touched() {
    in_own_mounts(|| {
        let installation = base(200);
        for (script, expected) in [("cat many/3/3", ""), ("echo new >many/4/4", "M\tmany/4/4")] {
            let session = installation.session("[]", false);
            session.ok(script);
            let hidden = session.workspace.clean_path().join("many/3");
            let nothing = tempfile::tempdir().unwrap();
            let none: Option<&str> = None;
            let flags = nix::mount::MsFlags::MS_BIND;
            nix::mount::mount(Some(nothing.path()), &hidden, none, flags, none).unwrap();
            let outputs = session.publish();
            nix::mount::umount(&hidden).unwrap();
            let changed = outputs.head.as_ref().map(|_| changed(&session, &outputs));
            assert_eq!(changed.unwrap_or_default(), expected);
        }
    });
}

#[test]
fn many_changes_come_out_whole() {
    in_own_mounts(|| {
        let installation = base(3000);
        for script in [
            // More places than are told apart, in many directories, in one, and everywhere.
            "for d in many/*; do echo new >$d/new; rm -f $d/1??; done",
            "for i in $(seq 500); do echo $i >many/7/n$i; done; mkdir -p many/7/x/.git; echo 1 >many/7/x/y",
            "for i in $(seq 500); do echo $i >n$i; done; rm -rf many/3",
        ] {
            let session = installation.session("[]", false);
            session.ok(script);
            let expected = whole(&session);
            let outputs = session.publish();
            assert_eq!(tree_of(&session, &outputs), expected, "{script}");
        }
    });
}
