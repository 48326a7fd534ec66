//! What happened without being recorded is found at the end, and so is what was recorded and did not happen.

use std::fs;
use std::os::fd::AsFd;
use std::sync::Arc;

use custody_record::Body;
use custody_record::event::DifferenceKind;
use custody_workspace::compare::{MAX_COMPARED_DEPTH, compare};
use custody_workspace::content::{Contents, GitHash, HashLimits};
use custody_workspace::spelling::Spelling;

use crate::fixture::{Fixture, Setup, base, observed, observed_with, path};

const SCRIPT: &str = "echo 1 > new; echo x >> src/a.rs; rm README.md; mv src/deep deeper; mkdir empty; \
                      ln -s new s; mkfifo p; mkdir -p gone/below; rm -r gone; rm -r src; mkdir src; echo n > src/n; \
                      mv new renamed; rm tool; echo 2 > tool";

fn found(w: &Fixture) -> Vec<(String, DifferenceKind)> {
    w.compare().differences.into_iter().map(|d| (d.path.to_string(), d.kind)).collect()
}

#[test]
fn a_session_of_every_operation_has_no_difference() {
    observed(|w| {
        w.sh(SCRIPT);
        w.told();
        let compared = w.compare();
        assert_eq!(compared.differences, []);
        assert_eq!(compared.difference_count, 0);
        assert!(compared.entries > 8, "{compared:?}");
    });
}

#[test]
fn each_planted_difference_is_found() {
    observed(|w| {
        w.sh(SCRIPT);
        w.told();
        // By this process, whose accesses are not told.
        fs::write(w.view().join("planted"), "1").unwrap();
        fs::write(w.view().join("renamed"), "other").unwrap();
        fs::write(w.view().join("deeper/c.rs"), "other").unwrap();
        fs::remove_file(w.view().join("src/n")).unwrap();
        fs::remove_file(w.view().join("link")).unwrap();
        fs::remove_file(w.view().join("s")).unwrap();
        std::os::unix::fs::symlink("elsewhere", w.view().join("s")).unwrap();
        fs::create_dir(w.view().join("dir")).unwrap();
        fs::rename(w.view().join("secrets"), w.view().join("open")).unwrap();
        let kinds = |names: &[(&str, DifferenceKind)]| -> Vec<(String, DifferenceKind)> {
            names.iter().map(|(name, kind)| ((*name).to_owned(), *kind)).collect()
        };
        assert_eq!(
            found(w),
            kinds(&[
                ("deeper/c.rs", DifferenceKind::Differs),
                ("dir", DifferenceKind::Unrecorded),
                ("link", DifferenceKind::Missing),
                ("open", DifferenceKind::Unrecorded),
                ("open/key", DifferenceKind::Unrecorded),
                ("planted", DifferenceKind::Unrecorded),
                ("renamed", DifferenceKind::Differs),
                ("s", DifferenceKind::Differs),
                ("secrets/key", DifferenceKind::Missing),
                ("src/n", DifferenceKind::Missing),
            ])
        );
    });
}

#[test]
fn a_record_that_is_read_back_tells_the_same_as_the_keeper_knew() {
    observed(|w| {
        w.sh(SCRIPT);
        let told: Vec<Body> = w.told().into_iter().map(|(_, body)| body).collect();
        let root = w.contents.root().try_clone_to_owned().unwrap();
        let replayed = Arc::new(Contents::new(root, GitHash::Sha1, base(), HashLimits::default()));
        for body in &told {
            replayed.replay(body);
        }
        let upper = w.upper_fd();
        assert_eq!(
            compare(upper.as_fd(), &replayed, Spelling::as_it_is()).unwrap().told.differences,
            []
        );
        // The keeper died before the last event on this path was on disk.
        let lost = Contents::new(
            w.contents.root().try_clone_to_owned().unwrap(),
            GitHash::Sha1,
            base(),
            HashLimits::default(),
        );
        let about = path("renamed");
        for body in &told {
            if !matches!(body, Body::FileRenamed(renamed) if renamed.to == about) {
                lost.replay(body);
            }
        }
        let names: Vec<(String, DifferenceKind)> =
            compare(upper.as_fd(), &lost, Spelling::as_it_is())
                .unwrap()
                .told
                .differences
                .into_iter()
                .map(|d| (d.path.to_string(), d.kind))
                .collect();
        let expected = [
            ("new".to_owned(), DifferenceKind::Missing),
            ("renamed".to_owned(), DifferenceKind::Unrecorded),
        ];
        assert_eq!(names, expected);
    });
}

#[test]
fn what_is_too_deep_is_not_compared_and_told() {
    observed(|w| {
        w.python(&format!(
            "import os\nfor n in range({MAX_COMPARED_DEPTH} + 20): os.mkdir('d'); os.chdir('d')\nopen('end', 'w')"
        ));
        w.told();
        let compared = w.compare_with_gaps();
        assert_eq!(compared.told.differences, []);
        assert_eq!(compared.told.entries, MAX_COMPARED_DEPTH as u64 + 1);
        let [gap] = &compared.gaps[..] else { panic!("{compared:?}") };
        assert!(gap.contains("1 directories") && gap.contains(" d/d/d/"), "{gap}");
    });
}

#[test]
fn more_than_may_be_hashed_at_the_end_is_compared_by_its_size_and_told() {
    let limits = HashLimits { end: 1_000, ..HashLimits::default() };
    observed_with(Setup { limits, ..Setup::default() }, |w| {
        w.sh("for n in 1 2 3; do head -c 400 /dev/zero >file$n; done");
        w.told();
        // By this process, whose accesses are not told. One of the three is not hashed: which one is not said.
        for name in ["file1", "file2", "file3"] {
            fs::write(w.view().join(name), vec![1; 400]).unwrap();
        }
        let compared = w.compare_with_gaps();
        assert_eq!(compared.told.difference_count, 2);
        let [gap] = &compared.gaps[..] else { panic!("{compared:?}") };
        assert!(gap.starts_with("1 times") && gap.contains("1000 bytes"), "{gap}");
    });
}

#[test]
fn the_probes_tell_what_these_tests_needed() {
    let probes = custody_workspace::observe::probe();
    for name in ["openat2", "overlay", "fanotify_filesystem"] {
        assert!(probes.iter().any(|p| p.name == name && p.found), "{name}: {probes:?}");
    }
}
