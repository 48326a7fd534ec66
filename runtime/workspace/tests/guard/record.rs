//! What happened is in the record, with the content before and after.

use std::io::Write as _;

use custody_model::Digest;
use custody_record::Body;
use custody_record::event::Access;

use super::workspace::{STRICT, Workspace};

#[test]
fn each_operation_of_a_strict_workspace_is_recorded() {
    for kind in STRICT {
        let w =
            Workspace::new(kind, &[("old", "before"), ("bin/tool", "#!/bin/sh\n")], &[], &[], &[]);
        w.ok("chmod 755 bin/tool");
        w.forget_events();
        w.ok("cat old; ./bin/tool; echo after > old; mkdir d; mv old d/new; ln d/new l; ln -s l s;
            chmod 600 l; setfattr -n user.a -v b l 2>/dev/null || true; rm s; rmdir bin 2>/dev/null; ls d");
        let opened = w.opened("old");
        assert_eq!(opened[0].content.digest, Some(Digest::of(b"before")), "{kind:?}");
        assert_eq!(opened[1].access, Access::Write);
        assert!(w.opened("bin/tool").iter().any(|o| o.access == Access::Execute));
        let written = w.written("old");
        assert_eq!(written.len(), 1);
        assert_eq!(written[0].before.as_ref().unwrap().digest, Some(Digest::of(b"before")));
        assert_eq!(written[0].after.digest, Some(Digest::of(b"after\n")));
        let mut seen = Vec::new();
        for (_, body) in w.events() {
            seen.push(match body {
                Body::FileRenamed(r) => format!("mv {} {}", r.from, r.to),
                Body::FileLinked(l) => format!("ln {} {}", l.target.unwrap(), l.path),
                Body::FileSymlinked(l) => format!("ln -s {} {}", l.target, l.path),
                Body::FileRemoved(r) => format!("rm {}", r.path),
                Body::AttributesChanged(a) if a.mode.is_some() => {
                    format!("chmod {} {}", a.mode.unwrap(), a.path)
                }
                Body::FileWritten(f) if f.path.to_string() == "d" => "mkdir d".to_owned(),
                _ => continue,
            });
        }
        let expected =
            ["mkdir d", "mv old d/new", "ln d/new l", "ln -s l s", "chmod 0600 l", "rm s"];
        assert_eq!(seen, expected, "{kind:?}");
    }
}

#[test]
fn a_file_that_is_emptied_and_stays_empty_is_recorded_before_the_next_effect() {
    for kind in STRICT {
        let w = Workspace::new(kind, &[("a", "x"), ("b", "x")], &[], &[], &[]);
        w.ok(": > a; echo y > b");
        w.settle();
        let empty = w.written("a");
        assert_eq!(empty.len(), 1, "{kind:?}");
        assert_eq!(empty[0].before.as_ref().unwrap().digest, Some(Digest::of(b"x")), "{kind:?}");
        assert_eq!(empty[0].after.digest, Some(Digest::of(b"")), "{kind:?}");
        // Emptied and then written is one version.
        assert_eq!(w.written("b").len(), 1, "{kind:?}");
        // Nothing is told twice.
        w.settle();
        assert_eq!(w.written("a").len(), 1, "{kind:?}");
    }
}

#[test]
fn what_is_written_to_an_open_file_is_recorded_before_the_next_effect() {
    for kind in STRICT {
        let w = Workspace::new(kind, &[("a", "")], &[], &[], &[]);
        let mut file = std::fs::OpenOptions::new().append(true).open(w.root.join("a")).unwrap();
        for text in ["one", "two"] {
            file.write_all(text.as_bytes()).unwrap();
            w.settle();
        }
        drop(file);
        let versions: Vec<_> =
            w.written("a").into_iter().map(|v| (v.after.digest, v.open)).collect();
        let digest = |text: &str| Some(Digest::of(text.as_bytes()));
        assert_eq!(versions, [(digest("one"), true), (digest("onetwo"), true)], "{kind:?}");
    }
}

/// A version that is closed while another process still writes is that of the one who closed it,
/// and is said to be open; the last one is that of the last writer.
#[test]
fn each_of_two_writers_of_a_file_is_told_its_own_version() {
    for kind in STRICT {
        let w = Workspace::new(kind, &[("a", "")], &[], &[], &[]);
        // The inner shell writes and ends while the outer one has the file open.
        let script =
            "exec 3>> a; sh -c 'echo $$; echo inner >> a'; echo outer >&3; echo $$; exec 3>&-";
        let pids: Vec<u32> = w.ok(script).lines().map(|pid| pid.parse().unwrap()).collect();
        w.settle();
        let versions: Vec<_> = w
            .events()
            .into_iter()
            .filter_map(|(pid, body)| match body {
                Body::FileWritten(written) => Some((pid, written.after.digest, written.open)),
                _ => None,
            })
            .collect();
        let inner = (pids[0], Some(Digest::of(b"inner\n")), true);
        let outer = (pids[1], Some(Digest::of(b"inner\nouter\n")));
        assert_eq!(versions.first(), Some(&inner), "{kind:?}");
        let (pid, digest, _) = versions[versions.len() - 1];
        assert_eq!((versions.len(), (pid, digest)), (2, outer), "{kind:?}");
    }
}
