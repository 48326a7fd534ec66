//! Mounts the guard as a whole workspace until standard input ends, for conformance suites such as
//! pjdfstest: `strict_mount BACKING TARGET [--plain] [--deny PATTERN]… [--read-only PATTERN]…`.
//! Prints `ready` when the mount serves, and the number of recorded accesses at the end.

use std::error::Error;
use std::io::Read as _;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use custody_model::{SystemClock, Timestamp};
use custody_policy::{PathPattern, PathRule, PathRules};
use custody_record::{Body, SinkError};
use custody_workspace::access::AccessSink;
use custody_workspace::content::{Contents, GitHash, HashLimits};
use custody_workspace::guard::{Guard, GuardConfig, GuardLimits, GuardMode};

#[derive(Default)]
struct Counted(AtomicU64);

impl AccessSink for Counted {
    fn access(&self, _: Timestamp, _: u32, _: Body) -> Result<(), SinkError> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut directories: Vec<PathBuf> = Vec::new();
    let mut rules = Vec::new();
    let mut passthrough = true;
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut pattern = || arguments.next().ok_or("a pattern is missing");
        match argument.as_str() {
            "--plain" => passthrough = false,
            "--deny" => rules.push(PathRule::Deny(PathPattern::new(&pattern()?)?)),
            "--read-only" => rules.push(PathRule::ReadOnly(PathPattern::new(&pattern()?)?)),
            _ => directories.push(argument.into()),
        }
    }
    let [backing, target] = directories.try_into().map_err(|_| "two directories are wanted")?;
    let root = || std::fs::File::open(&backing).map(OwnedFd::from);
    let contents = Contents::new(root()?, GitHash::Sha1, Vec::new(), HashLimits::default());
    let counted = Arc::new(Counted::default());
    let config = GuardConfig {
        backing: root()?,
        rules: PathRules::new(rules)?,
        mode: GuardMode::Strict,
        contents: Arc::new(contents),
        sink: Arc::clone(&counted) as Arc<dyn AccessSink>,
        clock: Arc::new(SystemClock),
        passthrough,
        threads: 2,
        scan_links: false,
        limits: GuardLimits::default(),
    };
    let guard = Guard::mount(config, &target)?;
    println!("ready, passthrough {}", guard.passthrough());
    std::io::stdin().read_to_end(&mut Vec::new())?;
    guard.unmount()?;
    println!("{} accesses", counted.0.load(Ordering::Relaxed));
    Ok(())
}
