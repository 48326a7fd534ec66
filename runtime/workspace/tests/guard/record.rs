//! What happened is in the record, with the content before and after.

use custody_model::Digest;
use custody_record::Body;
use custody_record::event::Access;

use super::workspace::{STRICT, Workspace};

#[test]
fn each_operation_of_a_strict_workspace_is_recorded() {
    for kind in STRICT {
        let w = Workspace::new(kind, &[("old", "before"), ("bin/tool", "#!/bin/sh\n")], &[], &[], &[]);
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
