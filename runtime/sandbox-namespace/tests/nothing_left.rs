//! What sandboxes leave behind: nothing, whoever is killed. These tests are alone in their processes.

mod ground;

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use custody_sandbox::Driver as _;
use custody_sandbox::suite::{Fixture, Room};
use ground::{Real, sh};

/// How long the kernel may take to clear away what was killed.
const PATIENCE: Duration = Duration::from_secs(30);

/// Every process in a user namespace's range of ids, and every launcher.
fn sandboxed(uid: u32) -> BTreeSet<u32> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        let status = fs::read_to_string(entry.path().join("status")).unwrap_or_default();
        if status.contains(&format!("Uid:\t{uid}\t")) {
            found.insert(pid);
        }
    }
    found
}

fn children_of(pid: u32) -> Vec<u32> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    tasks
        .flatten()
        .flat_map(|task| {
            let list = fs::read_to_string(task.path().join("children")).unwrap_or_default();
            list.split_ascii_whitespace().map(|pid| pid.parse().unwrap()).collect::<Vec<_>>()
        })
        .collect()
}

fn mounts() -> usize {
    fs::read_to_string("/proc/self/mountinfo").unwrap().lines().count()
}

fn descriptors() -> usize {
    fs::read_dir("/proc/self/fd").unwrap().count()
}

/// Looks again and again until it is so.
fn comes_true(what: &str, mut so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !so() {
        assert!(Instant::now() < deadline, "{what} did not come true");
        std::thread::yield_now();
    }
}

#[test]
fn twenty_starts_leave_nothing() {
    let real = Real::new();
    let mut before = None;
    let mut times = Vec::new();
    for round in 0..20 {
        let room = Room::new();
        let mut spec = real.spec(&room);
        spec.identity.uid_base = 2_100_000_000;
        let began = Instant::now();
        let (sandbox, mut control) = real.run(&room, spec);
        times.push(began.elapsed());
        // A daemon that has left its parent.
        sh(&mut control, "setsid sleep 1000 < /dev/null > /dev/null 2>&1 &");
        sandbox.destroy().unwrap();
        drop((control, room));
        assert_eq!(sandboxed(2_100_001_000), BTreeSet::new());
        assert_eq!(real.groups(), Vec::<std::path::PathBuf>::new());
        assert_eq!(children_of(std::process::id()), Vec::<u32>::new());
        let counts = (mounts(), descriptors());
        // The first round may open what stays open for good.
        if round > 0 {
            assert_eq!(*before.get_or_insert(counts), counts);
        }
    }
    times.sort();
    println!("start to a connected init: median {:?}, slowest {:?}", times[10], times[19]);
}

#[test]
fn ten_at_once_start_and_end() {
    let real = Real::new();
    std::thread::scope(|scope| {
        let runs: Vec<_> = (0..10)
            .map(|number| {
                let real = &real;
                scope.spawn(move || {
                    let room = Room::new();
                    let (sandbox, mut control) = real.run(&room, real.spec(&room));
                    let word = number.to_string();
                    assert_eq!(control.order(&["echo", &word]), word);
                    sandbox.destroy().unwrap();
                })
            })
            .collect();
        for run in runs {
            run.join().unwrap();
        }
    });
    assert_eq!(real.groups(), Vec::<std::path::PathBuf>::new());
    assert_eq!(children_of(std::process::id()), Vec::<u32>::new());
}

#[test]
fn a_sandbox_that_can_not_be_made_leaves_nothing() {
    let (real, room) = (Real::new(), Room::new());
    let mut spec = real.spec(&room);
    spec.extra_read_only.push(custody_sandbox::ExtraBind {
        host: "/does/not/exist".into(),
        inside: "/tool".into(),
    });
    let authorization = custody_sandbox::suite::authorize(&spec.limits);
    spec.limits = authorization.intent().limits().clone();
    let error = real.driver().provision(&authorization, &spec).err().unwrap();
    assert!(error.to_string().contains("/does/not/exist"), "{error}");
    // A file that can't be executed is found out at the start.
    let mut spec = real.spec(&room);
    spec.limits = authorization.intent().limits().clone();
    spec.init = room.path("not-a-program");
    fs::write(&spec.init, "neither ELF nor a script").unwrap();
    let mut sandbox = real.driver().provision(&authorization, &spec).unwrap();
    let error = sandbox.start().unwrap_err();
    assert!(error.to_string().contains("execute init"), "{error}");
    sandbox.destroy().unwrap();
    assert_eq!(real.groups(), Vec::<std::path::PathBuf>::new());
    assert_eq!(children_of(std::process::id()), Vec::<u32>::new());
}

#[test]
fn the_death_of_the_launcher_ends_the_sandbox() {
    let (real, room) = (Real::new(), Room::new());
    let (mut sandbox, mut control) = real.run(&room, real.spec(&room));
    let [launcher] = children_of(std::process::id())[..] else { panic!("one child") };
    let pid = nix::unistd::Pid::from_raw(i32::try_from(launcher).unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).unwrap();
    assert!(control.has_ended());
    let exit = sandbox.wait(PATIENCE).unwrap().unwrap();
    assert_eq!(exit.end, custody_model::state::sandbox::SandboxEnd::Signal(9));
    sandbox.destroy().unwrap();
}

/// The test below runs this very test in a process of its own, which it then kills.
const HOLDER: &str = "CUSTODY_TEST_HOLDS_A_SANDBOX";

#[test]
#[expect(clippy::disallowed_methods, reason = "it is how a test tells its own copy what to do")]
fn the_death_of_the_keeper_ends_the_sandbox_and_the_rest_is_swept() {
    const NAME: &str = "the_death_of_the_keeper_ends_the_sandbox_and_the_rest_is_swept";
    if let Some(parent) = std::env::var_os(HOLDER) {
        let real = Real::below(parent.into_string().unwrap());
        let room = Room::new();
        let (sandbox, mut control) = real.run(&room, real.spec(&room));
        sh(&mut control, "setsid sleep 1000 < /dev/null > /dev/null 2>&1 &");
        println!("\nholds {} {}", room.session(), sandbox.pid().unwrap());
        // Until it is killed.
        let _ = std::io::stdin().read(&mut [0]);
        return;
    }
    let real = Real::new();
    let mut keeper = Command::new(std::env::current_exe().unwrap())
        .args([NAME, "--exact", "--nocapture"])
        .env(HOLDER, &real.parent)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(keeper.stdout.take().unwrap()).lines();
    let held = lines.find_map(|line| line.unwrap().strip_prefix("holds ").map(str::to_owned));
    let (session, pid) = held.as_deref().unwrap().split_once(' ').unwrap();
    let namespace = fs::metadata(format!("/proc/{pid}/ns/pid")).unwrap().ino();
    let [launcher] = children_of(keeper.id())[..] else { panic!("one launcher") };
    keeper.kill().unwrap();
    keeper.wait().unwrap();
    comes_true("the end of the launcher", || {
        !Path::new(&format!("/proc/{launcher}/ns/pid")).exists()
    });
    comes_true("the end of every process inside", || {
        fs::read_dir("/proc").unwrap().flatten().all(|entry| {
            fs::metadata(entry.path().join("ns/pid")).map_or(true, |meta| meta.ino() != namespace)
        })
    });
    assert!(!real.groups().is_empty());
    let session = session.parse().unwrap();
    assert_eq!(real.driver.remove_leftovers(&[]).unwrap(), Vec::new());
    assert_eq!(real.driver.remove_leftovers(&[session]).unwrap(), vec![session]);
    assert_eq!(real.groups(), Vec::<std::path::PathBuf>::new());
}

#[test]
fn every_probe_says_what_it_means() {
    for probe in custody_sandbox_namespace::probe() {
        println!("{}: {} — {}", probe.name, probe.found, probe.means);
        assert!(!probe.found.is_empty() && !probe.means.is_empty());
        assert!(probe.usable, "{} is needed by the tests of this driver", probe.name);
    }
}
