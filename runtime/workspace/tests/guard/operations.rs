//! Files behave as they do without a guard.

use super::workspace::{STRICT, Workspace};

#[test]
fn files_that_lost_their_name_stay_usable() {
    for kind in STRICT {
        let w = Workspace::new(kind, &[("d/f", "old")], &[], &[], &[]);
        let script = "exec 3<> d/f; rm d/f; echo more >&3; cat /proc/self/fd/3; stat -L -c %h /proc/self/fd/3;
            echo new > d/f; cat d/f";
        assert_eq!(w.ok(script), "more\n0\nnew\n", "{kind:?}");
        assert_eq!(w.ok("cd d; rmdir ../d 2>/dev/null || rm f; rmdir ../d; ls"), "", "{kind:?}");
    }
}

#[test]
fn names_follow_renames_of_the_directories_above() {
    for kind in STRICT {
        let w = Workspace::new(kind, &[("a/b/c/f", "x"), ("z/f", "y")], &[], &[], &[]);
        w.ok("cat a/b/c/f; mv a/b z/b; cat z/b/c/f; echo more > z/b/c/f; mv z q; cat q/b/c/f q/f");
        assert_eq!(w.written("z/b/c/f").len(), 1, "{kind:?}");
        assert_eq!(w.opened("q/b/c/f").len(), 1, "{kind:?}");
    }
}

#[test]
fn hard_links_are_one_file() {
    for kind in STRICT {
        let w = Workspace::new(kind, &[("a", "x")], &[], &[], &[]);
        w.ok("ln a b; test a -ef b; test $(stat -c %h a) = 2; echo y > b; test $(cat a) = y; rm a; cat b");
        assert_eq!(w.ok("stat -c %h b").trim(), "1");
        // The version is recorded for both names.
        assert_eq!((w.written("a").len(), w.written("b").len()), (1, 1), "{kind:?}");
    }
}

#[test]
fn data_operations_reach_the_file() {
    let python = "
import os, fcntl
f = os.open('f', os.O_RDWR | os.O_CREAT, 0o644)
os.posix_fallocate(f, 0, 65536)
assert os.fstat(f).st_size == 65536
os.pwrite(f, b'x' * 10, 1 << 20)
assert os.lseek(f, 0, os.SEEK_DATA) == 1 << 20
assert os.lseek(f, 1 << 20, os.SEEK_DATA) == 1 << 20
assert os.lseek(f, 1 << 20, os.SEEK_HOLE) == (1 << 20) + 10
g = os.open('g', os.O_RDWR | os.O_CREAT, 0o644)
assert os.copy_file_range(f, g, 10, 1 << 20, 0) == 10
os.pwrite(g, b'end', 10)
assert os.pread(g, 100, 0) == b'x' * 10 + b'end', os.pread(g, 100, 0)
fcntl.flock(g, fcntl.LOCK_EX)
fcntl.lockf(f, fcntl.LOCK_EX)
os.setxattr('f', 'user.a', b'b')
assert os.getxattr('f', 'user.a') == b'b' and os.listxattr('f') == ['user.a']
os.removexattr('f', 'user.a')
for name in ('trusted.a', 'security.a'):
    try: os.setxattr('f', name, b''); raise SystemExit(name)
    except PermissionError: pass
try: os.open('.', os.O_TMPFILE | os.O_RDWR); raise SystemExit('O_TMPFILE')
except OSError as e: assert e.errno in (95, 21), e
os.fsync(f); os.fdatasync(g); os.statvfs('.')
for i in range(3000): os.close(os.open(f'n{i:04}', os.O_CREAT))
assert len([n for n in os.listdir('.') if n.startswith('n')]) == 3000
";
    for kind in STRICT {
        let w = Workspace::new(kind, &[("script.py", python)], &[], &[], &[]);
        w.ok("python3 script.py");
    }
}
