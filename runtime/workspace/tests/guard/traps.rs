//! The traps of the field notes, as far as the guard has to see to them.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use custody_model::Digest;
use custody_record::event::Operation;

use super::workspace::{ALL, Kind, STRICT, Workspace};

const FILES: [(&str, &str); 3] =
    [("secrets/key", "the key"), ("app/config/secrets/key", "another"), ("app/main.c", "int x;")];

fn workspace(kind: Kind) -> Workspace {
    Workspace::new(kind, &FILES, &["secrets"], &[], &["secrets", "app/config/secrets"])
}

/// Trap 1.
#[test]
fn no_rename_of_a_denied_directory_or_of_one_above_it_opens_it() {
    for kind in STRICT {
        let w = workspace(kind);
        for (from, to) in [("secrets", "x"), ("app/config", "app/x"), ("app", "y")] {
            w.fails(&format!("mv -T {from} {to}"));
            assert!(w.was_denied(Operation::Rename, from), "{kind:?} {from}");
            let python = format!(
                "import ctypes,sys; l=ctypes.CDLL(None); sys.exit(l.renameat2(-100,b'{from}',-100,b'app/main.c',2)!=0)"
            );
            w.fails(&format!("python3 -c \"{python}\""));
        }
        w.ok("mkdir free && mv free app2");
        w.fails("cat secrets/key app/config/secrets/key");
    }
    let w = workspace(Kind::Paths);
    assert!(w.fails("mv -T secrets x").contains("busy"));
    w.ok("mv -T app y");
    assert!(w.fails("cat y/config/secrets/key").contains("Permission denied"));
    assert!(w.was_denied(Operation::Lookup, "app/config/secrets/key"));
}

/// Trap 2.
#[test]
fn the_digest_is_that_of_the_version_that_was_closed() {
    for kind in STRICT {
        let w = workspace(kind);
        let script = "i=0; while [ $i -lt 100 ]; do echo $i > f; i=$((i+1)); done";
        w.ok(script);
        let digests: Vec<_> = w.written("f").into_iter().filter_map(|w| w.after.digest).collect();
        let mut expected = vec![Digest::of(b"")];
        expected.extend((0..100).map(|i| Digest::of(format!("{i}\n").as_bytes())));
        assert_eq!(digests, expected, "{kind:?}");
    }
}

/// Trap 3.
#[test]
fn a_write_drops_set_id_bits_and_the_mount_ignores_them() {
    for kind in STRICT {
        let w = workspace(kind);
        w.ok("echo x > tool && chmod 6775 tool && cat tool");
        let mode = || fs::metadata(w.root.join("tool")).unwrap().permissions().mode() & 0o7777;
        assert_eq!(mode(), 0o6775);
        w.ok("echo y >> tool");
        assert_eq!(mode(), 0o775, "{kind:?}");
        w.ok("chmod 6775 tool && truncate -s 1 tool");
        assert_eq!(mode(), 0o775, "{kind:?}");
        let mounts = fs::read_to_string("/proc/thread-self/mountinfo").unwrap();
        let line = mounts.lines().find(|l| l.contains("fuse.custody")).unwrap();
        assert!(line.contains("nosuid") && line.contains("nodev"), "{line}");
    }
}

/// Trap 4.
#[test]
fn what_a_mapping_writes_is_seen_and_recorded() {
    let python = "
import mmap, os
f = os.open('m', os.O_RDWR | os.O_CREAT)
os.ftruncate(f, 5)
m = mmap.mmap(f, 5)
os.close(f)
m[0:5] = b'hello'
m.flush()
m.close()
assert open('m').read() == 'hello'
";
    for kind in STRICT {
        let w = workspace(kind);
        fs::write(w.clean.join("script.py"), python).unwrap();
        w.ok("python3 script.py");
        let last = w.opened("m").pop().unwrap();
        assert_eq!(last.content.digest, Some(Digest::of(b"hello")), "{kind:?}");
        let versions: Vec<_> = w.written("m").into_iter().map(|v| v.after.digest).collect();
        assert!(versions.contains(&Some(Digest::of(b"hello"))), "{kind:?} {versions:?}");
    }
}

/// Trap 9, by a mapping: size and times tell nothing of what it writes.
#[test]
fn what_a_mapping_hid_while_another_process_ran_it_is_not_told_as_what_was_run() {
    let python = "
import mmap, os, subprocess
old, new = b'#!/bin/true\\n', b'#!/bin/echo\\n'
old = old.ljust(16, b'#'); new = new.ljust(16, b'#')
with open('tool', 'wb') as f:
    f.write(old)
os.chmod('tool', 0o755)
f = os.open('tool', os.O_RDWR)
m = mmap.mmap(f, 16)
os.close(f)
m[0:16] = old
subprocess.run(['cat', 'tool'], check=True, stdout=subprocess.DEVNULL)
m[0:16] = new
shown = subprocess.run(['cat', 'tool'], check=True, stdout=subprocess.PIPE).stdout
assert shown == new, shown
print(subprocess.Popen(['cat', 'tool'], stdout=subprocess.DEVNULL).pid)
os.wait()
subprocess.run(['cat', 'tool'], check=True, stdout=subprocess.DEVNULL)
m[0:16] = old
m.close()
";
    let content = |start: &str| Digest::of(format!("{start:#<16}").as_bytes());
    let (old, new) = (content("#!/bin/true\n"), content("#!/bin/echo\n"));
    for kind in STRICT {
        let w = workspace(kind);
        fs::write(w.clean.join("script.py"), python).unwrap();
        let ran: u32 = w.ok("python3 script.py").trim().parse().unwrap();
        let reads: Vec<_> = w
            .events()
            .into_iter()
            .filter_map(|(pid, body)| match body {
                custody_record::Body::FileOpened(o)
                    if o.path.to_string() == "tool" && pid == ran =>
                {
                    Some(o)
                }
                _ => None,
            })
            .collect();
        assert!(!reads.is_empty(), "{kind:?}");
        for read in &reads {
            assert_ne!(read.content.digest, Some(old), "{kind:?} {read:?}");
            // Hashed in that moment, or told without a digest and as uncertain.
            let uncertain = read.uncertain.is_some_and(|u| u.content());
            assert!(read.content.digest == Some(new) || uncertain, "{kind:?} {read:?}");
        }
    }
}

/// Trap 5.
#[test]
fn a_denied_inode_gets_no_other_name() {
    let files = [("deny.key", "the key"), ("free", "x")];
    for kind in STRICT {
        let w = Workspace::new(kind, &files, &["*.key"], &[], &[]);
        w.fails("ln deny.key alias");
        assert!(w.was_denied(Operation::Link, "deny.key"), "{kind:?}");
        w.ok("ln -s deny.key soft");
        assert!(w.fails("cat soft").contains("Permission denied"));
        assert!(w.was_denied(Operation::Open, "deny.key"));
    }
    let w = Workspace::new(Kind::Paths, &files, &["*.key"], &[], &["deny.key"]);
    w.fails("ln deny.key alias");
    assert!(!w.root.join("alias").exists());
}

/// Trap 6.
#[test]
fn what_is_made_belongs_to_the_caller_and_the_pid_is_its() {
    for kind in STRICT {
        let w = workspace(kind);
        w.ok("umask 027; echo x > f; mkdir d; ln -s f l; mkfifo p");
        assert_eq!(w.ok("stat -c '%u %g %a' f d p").trim(), {
            let id = super::workspace::AGENT;
            format!("{id} {id} 640\n{id} {id} 750\n{id} {id} 640")
        });
        let pid = w.ok("echo $$; : > g").trim().parse::<u32>().unwrap();
        let of = w.events().into_iter().rev().find(|(_, body)| {
            matches!(body, custody_record::Body::FileWritten(w) if w.path.to_string() == "g")
        });
        assert_eq!(of.unwrap().0, pid, "{kind:?}");
    }
}

/// Trap 7.
#[test]
fn all_opens_of_a_file_agree_on_how_data_moves() {
    for kind in STRICT {
        let w = workspace(kind);
        w.ok("echo a > f; exec 3< f; chmod 6775 f; cat f; exec 4>> f; echo b >&4; cat <&3 f >/dev/null");
        w.ok("chmod 6775 f; exec 3< f; chmod 775 f; exec 4<> f; cat f; echo c >> f; test $(wc -l < f) = 3");
    }
}

/// Trap 8: the record is the only queue, and when it refuses, nothing happens.
#[test]
fn what_the_record_does_not_take_does_not_happen() {
    for kind in STRICT {
        let w = workspace(kind);
        w.ok("echo a > f; mkdir d");
        w.log.broken.store(true, std::sync::atomic::Ordering::SeqCst);
        for script in [
            "cat f",
            "echo b > f",
            "echo b > new",
            "rm -f f",
            "mv f g",
            "ln f g",
            "ln -s f g",
            "mkdir e",
            "rmdir d",
            "chmod 700 f",
            "touch f",
            "truncate -s 0 f",
            "mkfifo p",
            "cat secrets/key",
            "ls d",
        ] {
            let complaint = w.fails(script);
            assert!(complaint.contains("Input/output error"), "{kind:?} {script}: {complaint}");
        }
        w.log.broken.store(false, std::sync::atomic::Ordering::SeqCst);
        assert_eq!(w.ok("cat f; stat -c %a f; ls"), "a\n644\napp\nd\nf\nsecrets\n");
    }
}

/// Trap 9.
#[test]
fn a_write_through_an_inherited_descriptor_is_recorded() {
    for kind in STRICT {
        let w = workspace(kind);
        w.ok("exec 3> f; (read go; echo child >&3) <&0 & echo parent >&3; exec 3>&-; wait");
        w.ok("(sh -c 'echo late' ) > g & wait; cat g");
        let digests: Vec<_> = w.written("g").into_iter().filter_map(|v| v.after.digest).collect();
        assert_eq!(digests.last(), Some(&Digest::of(b"late\n")), "{kind:?}");
    }
}

/// Trap 10 is in every test: the backing is an overlay. Here with a copy-up under an open reader.
#[test]
fn a_copy_up_keeps_the_number_and_reaches_open_readers() {
    for kind in STRICT {
        let w = workspace(kind);
        let script = "exec 3< app/main.c; i=$(stat -c %i app/main.c); echo more >> app/main.c;
            test $i = $(stat -c %i app/main.c); cat app/main.c";
        assert_eq!(w.ok(script), "int x;more\n", "{kind:?}");
    }
}

/// Trap 11.
#[test]
fn access_control_lists_are_not_pretended() {
    for kind in STRICT {
        let w = workspace(kind);
        let complaint = w.fails("echo x > f; setfacl -m u:daemon:rw f");
        assert!(complaint.contains("not supported"), "{kind:?}: {complaint}");
    }
}

#[test]
fn a_guard_that_ended_leaves_no_thread_and_no_mount() {
    for kind in ALL {
        let mut w = workspace(kind);
        let held = fs::File::open(w.root.join("app")).unwrap();
        let threads = || {
            fs::read_dir("/proc/self/task")
                .unwrap()
                .filter(|t| {
                    let name = t.as_ref().unwrap().path().join("comm");
                    fs::read_to_string(name).is_ok_and(|n| n.starts_with("fuser") || n == "guard\n")
                })
                .count()
        };
        assert!(threads() >= 3);
        w.guard.take().unwrap().unmount().unwrap();
        assert_eq!(threads(), 0, "{kind:?}");
        if kind != Kind::Paths {
            assert!(fs::read_dir(w.root.join("app")).is_err());
        }
        drop(held);
    }
}
