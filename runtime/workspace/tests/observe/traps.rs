//! The traps of mediation that concern an observer: each was reproduced once, and stays closed.

use std::io::{BufRead, BufReader, Write};
use std::process::Child;

use custody_record::Body;
use custody_record::event::{Access, DifferenceKind, Uncertain};
use custody_workspace::content::HashLimits;

use crate::fixture::{Fixture, Setup, blob, observed, observed_with, path, version, written};

/// Waits for a line of the child's output.
fn said(child: &mut Child, line: &str) {
    let mut text = String::new();
    let mut reader = BufReader::new(child.stdout.as_mut().unwrap());
    reader.read_line(&mut text).unwrap();
    assert_eq!(text.trim_end(), line);
}

/// Lets the child go on, to its end.
fn release(mut child: Child) {
    child.stdin.take().unwrap().write_all(b"\n").unwrap();
    assert!(child.wait().unwrap().success());
}

/// A process that runs `script`, says `ready` and then waits for a line before it runs `after`.
fn held(w: &Fixture, script: &str, after: &str) -> Child {
    let script = format!(
        "import os, sys\n{script}\nprint('ready', flush=True)\nsys.stdin.readline()\n{after}\n"
    );
    let mut child = w.spawn("python3", &["-Sc", &script]);
    said(&mut child, "ready");
    child
}

/// A shared mapping whose file is closed (Python's own keeps a descriptor).
const MAPPING: &str = "import ctypes\n\
     c = ctypes.CDLL(None)\n\
     c.mmap.restype = ctypes.c_void_p\n\
     c.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t] + [ctypes.c_int] * 3 + [ctypes.c_long]\n\
     f = open('f', 'w+b'); f.write(b'a' * 4096); f.flush()\n\
     m = c.mmap(None, 4096, 3, 1, f.fileno(), 0)\n\
     f.close()\n";

#[test]
fn trap_2_the_digest_is_never_that_of_another_process_s_later_version() {
    observed(|w| {
        let first = w.sh("echo first > f");
        let second = w.sh("echo second > f");
        let told = w.told();
        let versions: Vec<_> = told
            .iter()
            .filter_map(|(pid, body)| match body {
                Body::FileWritten(written) => Some((*pid, written.after.clone())),
                _ => None,
            })
            .collect();
        assert_eq!(versions.last(), Some(&(second, version(b"second\n"))));
        let (pid, after) = &versions[0];
        assert_eq!((*pid, versions.len()), (first, 2));
        // Whoever drained in between has seen it; else nobody knows what it was.
        assert!(after.digest.is_none() || *after == version(b"first\n"), "{after:?}");
    });
}

#[test]
fn trap_2_a_writer_that_is_not_done_leaves_no_digest_of_half_a_version_as_a_closed_one() {
    observed(|w| {
        let child = held(
            w,
            "f = os.open('f', os.O_CREAT | os.O_WRONLY)\nos.write(f, b'half')",
            "os.write(f, b' whole')",
        );
        let pid = child.id();
        let told = w.told();
        let half =
            told.iter().filter(|(_, b)| matches!(b, Body::FileWritten(f) if f.path == path("f")));
        let open =
            half.map(|(_, b)| matches!(b, Body::FileWritten(f) if f.open)).collect::<Vec<_>>();
        assert!(!open.is_empty() && open.iter().all(|open| *open), "{told:?}");
        release(child);
        let closed: Vec<_> = w
            .told()
            .into_iter()
            .filter(|(_, b)| matches!(b, Body::FileWritten(f) if !f.open))
            .collect();
        assert_eq!(closed.len(), 1, "{closed:?}");
        assert!(matches!(&closed[0], (p, Body::FileWritten(written))
            if *p == pid && !written.open && written.after == version(b"half whole")));
    });
}

#[test]
fn trap_4_a_change_behind_the_overlay_is_found_by_the_comparison() {
    observed(|w| {
        w.sh("echo 1 > f");
        std::fs::write(w.upper().join("f"), "2\n").unwrap();
        std::fs::write(w.upper().join("g"), "3\n").unwrap();
        w.told();
        let differences = w.compare().differences;
        let found: Vec<_> = differences.iter().map(|d| (d.path.to_string(), d.kind)).collect();
        let expected = [
            ("f".to_owned(), DifferenceKind::Differs),
            ("g".to_owned(), DifferenceKind::Unrecorded),
        ];
        // The overlay may have told the first version only after the change: then it is the recorded one.
        assert!(found == expected || found == expected[1..], "{found:?}");
    });
}

#[test]
fn trap_5_a_hard_link_is_known_by_both_names() {
    observed(|w| {
        w.sh("echo 1 > f; ln f g; echo 2 >> g");
        w.told();
        w.sh("cat f");
        let told = w.bodies();
        assert!(
            matches!(told.last(), Some(Body::FileOpened(o))
            if o.path == path("f") && o.content == version(b"1\n2\n")),
            "{told:?}"
        );
        w.sh("ln src/a.rs h; echo x >> h");
        w.told();
        w.sh("cat src/a.rs");
        let told = w.bodies();
        assert!(
            matches!(told.last(), Some(Body::FileOpened(o))
            if o.path == path("src/a.rs") && o.content == version(b"fn a() {}\nx\n")),
            "{told:?}"
        );
        assert_eq!(w.compare().differences, []);
    });
}

#[test]
fn trap_6_a_thread_s_access_is_that_of_its_process() {
    observed(|w| {
        let pid = w.python(
            "import threading\nt = threading.Thread(target=lambda: open('src/a.rs').read())\nt.start()\nt.join()",
        );
        assert!(w.told().iter().any(|(p, body)| *p == pid
            && matches!(body, Body::FileOpened(o) if o.path == path("src/a.rs"))));
    });
}

#[test]
fn trap_9_a_reader_is_never_told_the_version_before_a_write_through_a_mapping() {
    observed(|w| {
        let child = held(w, MAPPING, "ctypes.memmove(m, b'Z', 1)");
        let writer = child.id();
        w.told();
        release(child);
        let mut told = w.told();
        let reader = w.run("/bin/cat", &["f"]);
        told.extend(w.told());
        w.observer.settle().unwrap();
        told.extend(w.told());
        let mut content = vec![b'a'; 4096];
        content[0] = b'Z';
        let after = version(&content);
        let read = told.iter().find_map(|(pid, body)| match body {
            Body::FileOpened(opened) if *pid == reader => Some(opened.clone()),
            _ => None,
        });
        let read = read.expect("the read is told");
        let lower = read.content.digest.is_none() && read.uncertain == Some(Uncertain::Content);
        assert!(read.content == after || lower, "{read:?}");
        let written = |(pid, body): &(u32, Body)| {
            *pid == writer && matches!(body, Body::FileWritten(f) if f.after == after)
        };
        assert!(told.iter().any(written), "{told:?}");
        assert_eq!(w.compare().differences, []);
    });
}

#[test]
fn trap_9_a_write_through_a_mapping_after_the_close_is_told_as_the_writer_s_version() {
    observed(|w| {
        let child = held(
            w,
            &format!("{MAPPING}ctypes.memmove(m + 1, b'Y', 1)"),
            "ctypes.memmove(m, b'Z', 1)",
        );
        let writer = child.id();
        w.told();
        release(child);
        let told = w.told();
        let mut content = vec![b'a'; 4096];
        content[..2].copy_from_slice(b"ZY");
        let after = version(&content);
        assert!(
            told.iter().any(|(pid, body)| *pid == writer
                && matches!(body, Body::FileWritten(f) if f.after == after && !f.open)),
            "{told:?}"
        );
        assert_eq!(w.compare().differences, []);
    });
}

/// Two directories that change places, and what is done in them.
const EXCHANGES: &str = "import ctypes\n\
     c = ctypes.CDLL(None)\n\
     def exchange(a, b): assert c.renameat2(-100, a, -100, b, 2) == 0\n";

/// Every path that is told without a doubt is among these.
fn only(told: &[(u32, Body)], paths: &[&str]) {
    for (_, body) in told {
        let (path, uncertain) = match body {
            Body::FileOpened(told) => (&told.path, told.uncertain),
            Body::FileWritten(told) => (&told.path, told.uncertain),
            _ => continue,
        };
        let certain = !uncertain.is_some_and(Uncertain::path);
        assert!(!certain || paths.contains(&path.to_string().as_str()), "{body:?}");
    }
}

#[test]
fn renames_that_the_kernel_merges_leave_no_wrong_path() {
    for back in 0..4 {
        observed(move |w| {
            let last = if back % 2 == 0 { "Y" } else { "X" };
            w.python(&format!(
                "import os\nos.mkdir('X'); os.rename('X', 'Y')\n\
                 for i in range({back}): os.rename(*(('Y', 'X') if i % 2 == 0 else ('X', 'Y')))\n\
                 open('{last}/f', 'w').write('1')\nopen('{last}/f').read()\n"
            ));
            let (told, gaps) = w.told_with_gaps();
            only(&told, &["X", "Y", &format!("{last}/f")]);
            // Once there is no way without return.
            assert_eq!(gaps.is_empty(), back == 0, "{gaps:?} {told:?}");
            assert_eq!(w.compare().differences, [], "{told:?}");
        });
    }
}

#[test]
fn two_hundred_exchanges_of_directories_of_the_base_leave_no_difference() {
    for count in [199, 200] {
        observed(move |w| {
            w.python(&format!(
                "{EXCHANGES}def many():\n for i in range({count}): exchange(b'src', b'secrets')\n\
                 many()\n\
                 open('src/new', 'w').write('1')\n"
            ));
            let (told, gaps) = w.told_with_gaps();
            only(&told, &["src/new", "src", "secrets", ""]);
            assert_eq!(w.compare().differences, [], "{gaps:?} {told:?}");
        });
    }
}

/// The directories end where the number of all exchanges says, whoever came between whom.
#[test]
fn threads_that_exchange_directories_at_once_leave_no_wrong_path() {
    for (threads, count) in [(2, 100), (2, 101), (3, 67), (4, 50)] {
        observed(move |w| {
            w.python(&format!(
                "{EXCHANGES}import threading\n\
                 def many():\n for i in range({count}): exchange(b'src', b'secrets')\n\
                 all = [threading.Thread(target=many) for _ in range({threads})]\n\
                 for one in all: one.start()\n\
                 for one in all: one.join()\n\
                 open('src/new', 'w').write('1')\nopen('secrets/new', 'w').write('2')\n"
            ));
            let (told, gaps) = w.told_with_gaps();
            only(&told, &["src/new", "secrets/new", "src", "secrets", ""]);
            assert_eq!(w.compare().differences, [], "{threads} {count} {gaps:?} {told:?}");
            // What is told of the two files is theirs.
            for (_, body) in &told {
                if let Body::FileWritten(told) = body
                    && !told.uncertain.is_some_and(Uncertain::path)
                {
                    let content: &[u8] = if told.path == path("src/new") { b"1" } else { b"2" };
                    assert_eq!(told.after, version(content), "{told:?}");
                }
            }
        });
    }
}

#[test]
fn what_a_mapping_hid_while_an_interpreter_ran_it_is_not_told_as_what_was_run() {
    observed(|w| {
        w.sh("printf 'exit 3\\n' > script; chmod 755 script");
        w.told();
        let script = "import ctypes, os, subprocess\n\
             c = ctypes.CDLL(None)\n\
             c.mmap.restype = ctypes.c_void_p\n\
             c.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t] + [ctypes.c_int] * 3 + [ctypes.c_long]\n\
             f = os.open('script', os.O_RDWR)\n\
             m = c.mmap(None, 4096, 3, 1, f, 0)\n\
             os.close(f)\n\
             ctypes.memmove(m, b'exit 5', 6)\n\
             assert subprocess.call(['/bin/sh', 'script']) == 5\n\
             ctypes.memmove(m, b'exit 3', 6)\n";
        w.python(script);
        let told = w.told();
        let mut read = 0;
        for (_, body) in &told {
            if let Body::FileOpened(opened) = body
                && opened.path == path("script")
                && opened.access == Access::Read
            {
                read += 1;
                let old = opened.content == version(b"exit 3\n");
                let lower = opened.uncertain.is_some_and(Uncertain::content);
                assert!(!old || lower, "{told:?}");
            }
        }
        assert!(read > 0, "{told:?}");
        assert_eq!(w.compare().differences, []);
    });
}

#[test]
fn a_version_is_its_writer_s_also_if_a_child_closes_the_file() {
    observed(|w| {
        let pid = w.python(
            "import os\nf = os.open('f', os.O_CREAT | os.O_WRONLY)\nos.write(f, b'parent')\n\
             r, v = os.pipe()\n\
             if os.fork() == 0:\n os.close(v); os.read(r, 1); os.close(f); os._exit(0)\n\
             os.close(f); os.close(r); os.close(v); os.wait()\n",
        );
        let versions: Vec<_> = w
            .told()
            .into_iter()
            .filter(|(_, b)| matches!(b, Body::FileWritten(f) if f.after == version(b"parent")))
            .map(|(pid, _)| pid)
            .collect();
        assert!(!versions.is_empty() && versions.iter().all(|by| *by == pid), "{versions:?}");
    });
}

#[test]
fn trap_9_a_descriptor_that_was_passed_on_writes_in_the_record_all_the_same() {
    observed(|w| {
        // The shell opens, its child writes, the shell exits first.
        w.sh("exec 3> f; (echo child >&3)");
        let told = w.bodies();
        assert!(
            matches!(told.last(), Some(Body::FileWritten(f))
            if f.path == path("f") && f.after == version(b"child\n")),
            "{told:?}"
        );
    });
}

#[test]
fn what_is_still_open_is_told_by_settling_and_counted_as_open() {
    observed(|w| {
        let child = held(
            w,
            "f = os.open('src/a.rs', os.O_WRONLY | os.O_TRUNC)\nos.write(f, b'new')",
            "os.close(f)",
        );
        w.told();
        w.observer.settle().unwrap();
        let before = Some(blob("fn a() {}\n"));
        let told = w.bodies();
        assert_eq!(told, [written("src/a.rs", before, version(b"new"), true)]);
        w.observer.settle().unwrap();
        assert_eq!(w.bodies(), []);
        release(child);
        w.told();
        assert_eq!(w.compare().differences, []);
    });
}

#[test]
fn a_file_above_the_limit_is_told_with_its_size_and_without_a_digest() {
    let limits = HashLimits { closed: 10, open: 10, ..HashLimits::default() };
    observed_with(Setup { limits, ..Setup::default() }, |w| {
        w.sh("echo 12345678901234567890 > f");
        let told = w.bodies();
        assert!(
            matches!(&told[..], [Body::FileWritten(f)]
            if f.after.size == Some(21) && f.after.digest.is_none()),
            "{told:?}"
        );
        assert_eq!(w.compare().differences, []);
    });
}

#[test]
fn a_path_that_is_swapped_for_a_link_or_a_fifo_is_neither_followed_nor_waited_for() {
    observed(|w| {
        // Each round is a race between the observer, which hashes, and the swap.
        w.sh("for i in 1 2 3 4 5 6 7 8 9 10; do echo $i > f; rm f; ln -s /etc/shadow f; rm f; mkfifo f; rm f; done");
        let shadow = std::fs::read("/etc/shadow").unwrap_or_default();
        for body in w.bodies() {
            if let Body::FileWritten(f) = body {
                assert_ne!(f.after.digest, version(&shadow).digest);
            }
        }
        let mut looked = std::process::Command::new("/bin/sh");
        assert!(looked.args(["-ec", "mkfifo p"]).current_dir(w.view()).status().unwrap().success());
        // By path as well, which is what the guard uses.
        assert_eq!(w.contents.written(&path("p")).after.digest, None);
        assert_eq!(w.contents.written(&path("link")).after.digest, None);
    });
}

#[test]
fn what_the_keeper_does_itself_is_not_told() {
    observed(|w| {
        std::fs::read(w.view().join("src/a.rs")).unwrap();
        std::fs::write(w.view().join("mine"), "1").unwrap();
        assert_eq!(w.told(), []);
    });
}

#[test]
fn an_access_through_another_mount_of_the_overlay_is_told() {
    observed(|w| {
        let elsewhere = tempfile::tempdir().unwrap();
        let none: Option<&str> = None;
        let flags = nix::mount::MsFlags::MS_BIND;
        nix::mount::mount(Some(&w.view().join("src")), elsewhere.path(), none, flags, none)
            .unwrap();
        let pid = w.run("/bin/cat", &[elsewhere.path().join("deep/c.rs").to_str().unwrap()]);
        assert!(w.told().iter().any(|(p, body)| *p == pid
            && matches!(body, Body::FileOpened(o) if o.path == path("src/deep/c.rs"))));
        nix::mount::umount(elsewhere.path()).unwrap();
    });
}

#[test]
fn a_record_that_can_t_be_written_fails_every_barrier() {
    observed(|w| {
        w.told();
        *w.told.full.lock().unwrap() = true;
        w.sh("cat src/a.rs");
        assert!(w.observer.drain().is_err());
        assert!(w.observer.settle().is_err());
    });
}

/// What is read through it may get out before it is closed.
#[test]
fn an_open_for_reading_and_writing_is_told_while_it_is_held() {
    for mode in ["r+", "r"] {
        observed(move |w| {
            w.sh("echo new >fresh; echo more >>src/a.rs");
            w.told();
            let script = format!(
                "a, b = open('src/a.rs', '{mode}'), open('fresh', '{mode}')\na.read(); b.read()"
            );
            let child = held(w, &script, "");
            let told = w.told();
            for name in ["src/a.rs", "fresh"] {
                let is_told = |(_, body): &(u32, Body)| matches!(body, Body::FileOpened(o) if o.path == path(name));
                assert!(told.iter().any(is_told), "{mode} {name}: {told:?}");
            }
            release(child);
        });
    }
}
