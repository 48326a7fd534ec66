//! Under load nothing is lost, and a drain is a barrier.

use std::collections::HashSet;
use std::io::{BufRead, BufReader, Write};
use std::time::{Duration, Instant};

use custody_record::Body;
use custody_record::event::Access;
use custody_workspace::observe::BacklogLimits;

use crate::fixture::{Setup, observed, observed_with, path, version};

#[test]
fn a_hundred_thousand_opens_are_all_told() {
    observed(|w| {
        // Different files, so that none merge: 10,000 files by 10 processes.
        w.python("import os\nos.mkdir('m')\nfor i in range(10000): open('m/%d' % i, 'w').close()");
        w.told();
        let script = "import os\nfor i in range(10000): os.close(os.open('m/%d' % i, 0))";
        let cpu = cpu_millis();
        let started = Instant::now();
        let mut children: Vec<_> = (0..10).map(|_| w.spawn("python3", &["-Sc", script])).collect();
        for child in &mut children {
            assert!(child.wait().unwrap().success());
        }
        let ran = started.elapsed();
        let told = w.told();
        let drained = started.elapsed();
        let opens = told
            .iter()
            .filter(|(_, b)| matches!(b, Body::FileOpened(o) if o.path.starts_with(&path("m"))))
            .count();
        let cpu = cpu_millis() - cpu;
        println!("100,000 opens in {ran:?}, all told after {drained:?}, {cpu} ms of processor");
        assert_eq!(opens, 100_000);
    });
}

/// Processor time of this process, in milliseconds (proc(5): `utime` and `stime`, in hundredths of a second).
fn cpu_millis() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    10 * (fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap())
}

#[test]
fn a_drain_is_a_barrier_a_thousand_times() {
    observed(|w| {
        let script = "import sys\n\
             for i in range(1000):\n \
             sys.stdin.readline()\n \
             open('f%d' % i, 'w').write(str(i))\n \
             print(i, flush=True)\n";
        let mut child = w.spawn("python3", &["-Sc", script]);
        let pid = child.id();
        let mut stdin = child.stdin.take().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut slowest = Duration::ZERO;
        for i in 0..1_000 {
            stdin.write_all(b"\n").unwrap();
            let mut line = String::new();
            stdout.read_line(&mut line).unwrap();
            let started = Instant::now();
            let told = w.told();
            slowest = slowest.max(started.elapsed());
            let name = format!("f{i}");
            let closed = |(by, body): &(u32, Body)| {
                *by == pid
                    && matches!(body, Body::FileWritten(f) if f.path == path(&name)
                        && f.after == version(i.to_string().as_bytes())
                        && !f.open)
            };
            assert!(told.iter().any(closed), "{name}: {told:?}");
        }
        println!("slowest drain {slowest:?}");
        assert!(child.wait().unwrap().success());
    });
}

#[test]
fn a_backlog_asks_for_the_freezer_and_ends_it() {
    let backlog = BacklogLimits { freeze_events: 100, thaw_events: 50 };
    observed_with(Setup { backlog, ..Setup::default() }, |w| {
        // Whoever makes files is faster than the engine, which looks at each of them.
        let script = "import itertools, select, sys\n\
             for i in itertools.count():\n \
             open('x%d' % (i % 20000), 'w').close()\n \
             if i % 64 == 0 and select.select([sys.stdin], [], [], 0)[0]: break\n";
        let mut child = w.spawn("python3", &["-Sc", script]);
        let deadline = Instant::now() + Duration::from_secs(60);
        let wait_for = |high: bool| {
            while w.told.backlog.lock().unwrap().last() != Some(&high) {
                assert!(Instant::now() < deadline, "the alarm for {high} never came");
                std::thread::yield_now();
            }
        };
        wait_for(true);
        drop(child.stdin.take());
        assert!(child.wait().unwrap().success());
        w.told();
        wait_for(false);
        let told = w.told.backlog.lock().unwrap();
        assert_eq!(told.first(), Some(&true));
        assert!(told.windows(2).all(|pair| pair[0] != pair[1]), "{told:?}");
    });
}

#[test]
fn a_build_like_churn_leaves_no_difference() {
    observed(|w| {
        w.python(
            "import os, random, shutil\n\
             random.seed(7)\n\
             names = ['d%d' % i for i in range(6)]\n\
             for step in range(3000):\n \
             a, b = random.choice(names), random.choice(names)\n \
             f = '%s/f%d' % (a, random.randrange(5))\n \
             k = random.randrange(7)\n \
             try:\n  \
             if k == 0: os.mkdir(a)\n  \
             elif k in (1, 2): open(f, 'a').write(str(step))\n  \
             elif k == 3: os.rename(f, '%s/f%d' % (b, random.randrange(5)))\n  \
             elif k == 4: os.rename(a, b)\n  \
             elif k == 5: os.remove(f)\n  \
             elif random.random() < 0.2: shutil.rmtree(a)\n \
             except OSError: pass\n",
        );
        // Directories go there and back, so that some paths are uncertain, which is told.
        w.told_with_gaps();
        assert_eq!(w.compare().differences, []);
    });
}

/// The notice of an open does not say what it is for; the queue is emptied between the open and the close of many of them.
#[test]
fn what_is_only_written_is_not_told_as_read() {
    const FILES: usize = 5_000;
    observed(|w| {
        let script = format!(
            "for i in range({FILES}):\n \
             f = open('w%d' % i, 'w'); f.write(str(i)); f.close()\n \
             f = open('src/a.rs', 'a'); f.write('x'); f.close()\n"
        );
        let mut child = w.spawn("python3", &["-c", &script]);
        let mut told = Vec::new();
        while child.try_wait().unwrap().is_none() {
            told.extend(w.told());
        }
        told.extend(w.told());
        let own = |path: &custody_model::WorkspacePath| {
            let path = path.to_string();
            path.starts_with('w') || path == "src/a.rs"
        };
        let reads = told.iter().filter(|(_, body)| match body {
            Body::FileOpened(told) => own(&told.path) && told.access == Access::Read,
            _ => false,
        });
        assert_eq!(reads.count(), 0);
        let written: HashSet<_> = told
            .iter()
            .filter_map(|(_, body)| match body {
                Body::FileWritten(told) if own(&told.path) => Some(told.path.clone()),
                _ => None,
            })
            .collect();
        assert_eq!(written.len(), FILES + 1);
    });
}
