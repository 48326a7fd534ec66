//! The write path under faults: each step of it fails in each way, the power is cut at each, the writer is killed at any
//! moment, and its directory vanishes. What was promised is kept, and what is there verifies.

mod faulty;
mod killed;
#[path = "../samples/mod.rs"]
mod samples;
mod story;
mod vanished;

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use faulty::{Fault, FaultyDisk, Kind, Plan};
use story::{assert_kept, assert_nothing_refused_is_there, tell};

const FAULTS: [Fault; 6] = [
    Fault::Error(libc::EIO),
    Fault::Error(libc::ENOSPC),
    Fault::Error(libc::EROFS),
    Fault::Error(libc::ENOENT),
    Fault::Short,
    Fault::Torn,
];

/// How many steps fail one after the other, where more than one do.
const LONG: usize = 4;

/// Observations of a story that is told often, and of one that fills a bundle of 256 entries.
const FEW: u64 = 20;
const MANY: u64 = 300;

/// Steps after one that failed before which the power is cut.
const CUTS: usize = 8;

fn run(plan: Option<Plan>, cut_at: Range<usize>, many: u64) -> (Arc<FaultyDisk>, usize) {
    let root = in_memory();
    let disk = Arc::new(FaultyDisk::new(root.path(), plan, cut_at));
    let refused = tell(&disk, root.path(), many);
    let what = format!("{plan:?}");
    for (number, cut) in disk.take_cuts().into_iter().enumerate() {
        assert_kept(cut.root.path(), &cut.promised, &format!("{what}, cut {number}"));
    }
    let cut = disk.cut();
    assert_kept(cut.root.path(), &cut.promised, &format!("{what}, cut at the end"));
    assert_nothing_refused_is_there(root.path(), &disk.promised(), &what);
    (disk, refused)
}

/// A place in memory, where there is one: what a power cut leaves of it is what the model says, and a process that dies
/// leaves it all the same.
fn in_memory() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    let dir = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
    tempfile::tempdir_in(dir).unwrap()
}

/// Does all of it on the processors that there are.
fn side_by_side<T: Sync>(all: &[T], what: impl Fn(&T) + Sync) {
    let next = AtomicUsize::new(0);
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(one) = all.get(next.fetch_add(1, Ordering::Relaxed)) {
                    what(one);
                }
            });
        }
    });
}

#[test]
fn the_power_may_be_cut_before_each_step() {
    let (disk, _) = run(None, 0..usize::MAX, MANY);
    let steps = disk.steps();
    assert!(steps.len() > 100, "{steps:?}");
    println!("the power was cut before each of {} steps", steps.len());
}

#[test]
fn each_step_may_fail_in_each_way_and_the_power_be_cut_after_it() {
    let (disk, refused) = run(None, 0..0, FEW);
    assert_eq!(refused, 0);
    let steps = disk.steps();
    let mut plans = Vec::new();
    for (at, kind) in steps.iter().enumerate() {
        for fault in FAULTS {
            if *kind != Kind::Write && !matches!(fault, Fault::Error(_)) {
                continue;
            }
            plans.push(Plan { at, times: 1, fault });
            if fault == Fault::Error(libc::EIO) {
                plans.push(Plan { at, times: LONG, fault });
            }
        }
    }
    let (failed, refused, cuts) =
        (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(plans.len()));
    side_by_side(&plans, |plan| {
        // A cut soon after a lost fsync is what finds who trusts the next one.
        let kind = steps[plan.at];
        let deep = matches!(kind, Kind::SyncFile | Kind::SyncDir | Kind::SyncFileSystem)
            && plan.fault == Fault::Error(libc::EIO)
            && plan.times == 1;
        let cut_at = if deep { plan.at + 1..plan.at + 1 + CUTS } else { 0..0 };
        cuts.fetch_add(cut_at.len(), Ordering::Relaxed);
        let (disk, told) = run(Some(*plan), cut_at, FEW);
        assert!(disk.failed() > 0, "{plan:?}");
        failed.fetch_add(disk.failed(), Ordering::Relaxed);
        refused.fetch_add(told, Ordering::Relaxed);
    });
    let mut kinds: BTreeMap<Kind, usize> = BTreeMap::new();
    for kind in steps {
        *kinds.entry(kind).or_default() += 1;
    }
    let refused = refused.into_inner();
    assert!(refused > 0, "no effect was ever refused");
    println!(
        "{kinds:?}: {} runs, {} failed steps, {} power cuts, {refused} effects refused",
        plans.len(),
        failed.into_inner(),
        cuts.into_inner(),
    );
}
