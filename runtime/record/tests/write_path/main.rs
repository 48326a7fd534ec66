//! The write path under faults: each step of it fails in each way, the power is cut at each, the writer is killed at any
//! moment, and its directory vanishes. What was promised is kept, and what is there verifies.

mod faulty;
mod killed;
#[path = "../samples/mod.rs"]
mod samples;
mod story;
mod vanished;
mod vault;

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use faulty::{Fault, FaultyDisk, Kind, Plan, Promise};
use story::assert_nothing_refused_is_there;

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

/// Observations of a record whose tiles are so many files that one `syncfs` makes them durable.
const LARGE: u64 = 17_000;

/// Every how manieth of the steps that write such tiles, which are alike, is tried.
const SOME: usize = 96;

/// How those fail: each of them takes a second.
const FAULTS_OF_MUCH: [Fault; 3] =
    [Fault::Error(libc::EIO), Fault::Error(libc::ENOSPC), Fault::Torn];

/// Steps after one that failed before which the power is cut.
const CUTS: usize = 8;

/// What is told on a disk, and what must be true afterwards.
#[derive(Clone, Copy)]
enum Story {
    /// Of a session, the installation log and the control log, with so many observations.
    Record(u64),
    /// Of the vault's files.
    Vault,
}

impl Story {
    fn tell(self, disk: &Arc<FaultyDisk>, root: &Path) -> usize {
        match self {
            Self::Record(many) => story::tell(disk, root, many),
            Self::Vault => vault::tell(disk, root),
        }
    }

    fn assert_kept(self, root: &Path, all: &[Promise], what: &str) {
        match self {
            Self::Record(_) => story::assert_kept(root, all, what),
            Self::Vault => vault::assert_kept(root, all, what),
        }
    }
}

fn run(plan: Option<Plan>, cut_at: Range<usize>, story: Story) -> (Arc<FaultyDisk>, usize) {
    let root = in_memory();
    let disk = Arc::new(FaultyDisk::new(root.path(), plan, cut_at));
    let refused = story.tell(&disk, root.path());
    let what = format!("{plan:?}");
    for (number, cut) in disk.take_cuts().into_iter().enumerate() {
        story.assert_kept(cut.root.path(), &cut.promised, &format!("{what}, cut {number}"));
    }
    let cut = disk.cut();
    story.assert_kept(cut.root.path(), &cut.promised, &format!("{what}, cut at the end"));
    match story {
        Story::Record(_) => {
            assert_nothing_refused_is_there(root.path(), &disk.promised(), &what);
        }
        // Without the power cut: what a process finds that goes on.
        Story::Vault => vault::assert_kept(root.path(), &disk.promised(), &what),
    }
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

/// Each step fails in each way, alone and with those after it; after a lost fsync the power is cut, too.
fn fail_each_step(story: Story, faults: &[Fault], only: impl Fn(&[Kind], usize) -> bool) {
    let (disk, refused) = run(None, 0..0, story);
    assert_eq!(refused, 0);
    let steps = disk.steps();
    let mut plans = Vec::new();
    for (at, kind) in steps.iter().enumerate().filter(|(at, _)| only(&steps, *at)) {
        for &fault in faults {
            if *kind != Kind::Write && !matches!(fault, Fault::Error(_)) {
                continue;
            }
            plans.push(Plan { at, times: 1, fault });
            if fault == Fault::Error(libc::EIO) && faults.len() == FAULTS.len() {
                plans.push(Plan { at, times: LONG, fault });
            }
        }
    }
    let (failed, refused, cuts) =
        (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(plans.len()));
    side_by_side(&plans, |plan| {
        // A cut soon after a lost fsync is what finds who trusts the next one.
        let kind = steps[plan.at];
        let deep = faults.len() == FAULTS.len()
            && matches!(kind, Kind::SyncFile | Kind::SyncDir | Kind::SyncFileSystem)
            && plan.fault == Fault::Error(libc::EIO)
            && plan.times == 1;
        let cut_at = if deep { plan.at + 1..plan.at + 1 + CUTS } else { 0..0 };
        cuts.fetch_add(cut_at.len(), Ordering::Relaxed);
        let (disk, told) = run(Some(*plan), cut_at, story);
        assert!(disk.failed() > 0, "{plan:?}");
        failed.fetch_add(disk.failed(), Ordering::Relaxed);
        refused.fetch_add(told, Ordering::Relaxed);
    });
    let mut kinds: BTreeMap<Kind, usize> = BTreeMap::new();
    for (_, kind) in steps.iter().enumerate().filter(|(at, _)| only(&steps, *at)) {
        *kinds.entry(*kind).or_default() += 1;
    }
    let refused = refused.into_inner();
    assert!(refused > 0, "no call was ever refused");
    println!(
        "{kinds:?}: {} runs, {} failed steps, {} power cuts, {refused} calls refused",
        plans.len(),
        failed.into_inner(),
        cuts.into_inner(),
    );
}

#[test]
fn the_power_may_be_cut_before_each_step() {
    for (story, least) in [(Story::Record(MANY), 100), (Story::Vault, 50)] {
        let (disk, _) = run(None, 0..usize::MAX, story);
        let steps = disk.steps();
        assert!(steps.len() > least, "{steps:?}");
        println!("the power was cut before each of {} steps", steps.len());
    }
}

#[test]
fn each_step_may_fail_in_each_way_and_the_power_be_cut_after_it() {
    fail_each_step(Story::Record(FEW), &FAULTS, |_, _| true);
}

#[test]
fn each_step_of_the_vault_may_fail_in_each_way_and_the_power_be_cut_after_it() {
    fail_each_step(Story::Vault, &FAULTS, |_, _| true);
}

/// Some of the steps that write the tiles of a large record, and all around the `syncfs` that makes them durable.
fn of_the_large_seal(steps: &[Kind], at: usize) -> bool {
    let sync = steps.iter().position(|kind| *kind == Kind::SyncFileSystem);
    let sync = sync.expect("so many tiles are made durable at once");
    let tiles = steps[..sync].iter().rposition(|kind| *kind == Kind::SyncFile).unwrap_or(0);
    (sync - 2..=sync + 6).contains(&at) || (at > tiles && at < sync && (at - tiles) % SOME == 1)
}

#[test]
fn each_step_of_a_large_seal_may_fail_and_the_power_be_cut_before_it() {
    let large = Story::Record(LARGE);
    fail_each_step(large, &FAULTS_OF_MUCH, of_the_large_seal);
    let (disk, _) = run(None, 0..0, large);
    let steps = disk.steps();
    let sync = steps.iter().position(|kind| *kind == Kind::SyncFileSystem).unwrap();
    let cuts = sync - 1..sync + 7;
    let count = cuts.len();
    let _ = run(None, cuts, large);
    println!("the power was cut before each of {count} steps around the syncfs");
}
