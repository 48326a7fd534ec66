//! What a rule forbids is refused and recorded, with the process that tried.

use custody_record::event::Operation;

use super::workspace::{ALL, Kind, STRICT, Workspace};

const FILES: [(&str, &str); 5] = [
    ("src/main.rs", "fn main() {}"),
    ("secrets/key", "the key"),
    ("app/config/secrets/key", "another key"),
    (".env", "TOKEN=1"),
    ("vendor/lib.c", "int x;"),
];

fn workspace(kind: Kind) -> Workspace {
    let covered = ["secrets", "app/config/secrets", ".env", "vendor"];
    Workspace::new(kind, &FILES, &["secrets", ".env"], &["vendor"], &covered)
}

#[test]
fn a_denied_path_can_be_seen_and_nothing_more() {
    for kind in ALL {
        let w = workspace(kind);
        w.ok("test -d secrets && test -e .env && test -d app/config/secrets");
        for (script, operation, path) in [
            ("cat secrets/key", Operation::Lookup, "secrets/key"),
            ("cat app/config/secrets/none", Operation::Lookup, "app/config/secrets/none"),
            ("ls secrets", Operation::List, "secrets"),
            ("cat .env", Operation::Open, ".env"),
            ("echo x >> .env", Operation::Write, ".env"),
            ("chmod 600 .env", Operation::Chmod, ".env"),
            ("truncate -s 0 .env", Operation::Write, ".env"),
            ("touch -d 2001-01-01 .env", Operation::Write, ".env"),
            ("touch secrets/new", Operation::Lookup, "secrets/new"),
            ("./.env", Operation::Execute, ".env"),
        ] {
            let complaint = w.fails(script);
            assert!(complaint.contains("Permission denied"), "{kind:?} {script}: {complaint}");
            assert!(w.was_denied(operation, path), "{kind:?} {script}: {:?}", w.denied());
        }
        assert!(
            w.denied().iter().all(|(_, d)| d.errno == "EACCES" && d.rule.starts_with("deny: "))
        );
    }
}

#[test]
fn each_attempt_is_recorded_with_its_process_also_after_a_flood_of_others() {
    for kind in ALL {
        let w = workspace(kind);
        let script = "for i in $(seq 1000); do : < secrets/a$i; done; exec cat secrets/key";
        let mut child = std::process::Command::new("/bin/bash")
            .args(["-c", script])
            .current_dir(&w.root)
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        let pid = child.id();
        assert!(!child.wait().unwrap().success());
        let denied = w.denied();
        let lookups = denied.iter().filter(|(_, d)| d.operation == Operation::Lookup);
        let paths: std::collections::BTreeSet<_> =
            lookups.map(|(p, d)| (*p, d.path.to_string())).collect();
        assert_eq!(paths.len(), 1001, "{kind:?}");
        assert!(paths.contains(&(pid, "secrets/key".to_owned())), "{kind:?}");
    }
}

#[test]
fn a_denied_lookup_is_never_answered_from_a_cache() {
    for kind in ALL {
        let w = workspace(kind);
        for _ in 0..3 {
            w.fails("cat secrets/key");
        }
        let tried = w.denied().iter().filter(|(_, d)| d.path.to_string() == "secrets/key").count();
        assert_eq!(tried, 3, "{kind:?}");
    }
}

#[test]
fn what_is_read_only_is_read_and_not_changed() {
    for kind in ALL {
        let w = workspace(kind);
        assert_eq!(w.ok("cat vendor/lib.c"), "int x;");
        assert_eq!(w.opened("vendor/lib.c").len(), 1);
        for (script, operation, path) in [
            ("echo x >> vendor/lib.c", Operation::Write, "vendor/lib.c"),
            ("echo x > vendor/lib.c", Operation::Write, "vendor/lib.c"),
            ("echo x > vendor/new.c", Operation::Create, "vendor/new.c"),
            ("mkdir vendor/d", Operation::Mkdir, "vendor/d"),
            ("mkfifo vendor/f", Operation::Mknod, "vendor/f"),
            ("ln -s a vendor/s", Operation::Symlink, "vendor/s"),
            ("ln vendor/lib.c vendor/l", Operation::Link, "vendor/lib.c"),
            ("rm -f vendor/lib.c", Operation::Unlink, "vendor/lib.c"),
            ("mv vendor/lib.c vendor/m", Operation::Rename, "vendor/lib.c"),
            ("chmod 777 vendor/lib.c", Operation::Chmod, "vendor/lib.c"),
        ] {
            let complaint = w.fails(script);
            assert!(complaint.contains("Read-only file system"), "{kind:?} {script}: {complaint}");
            assert!(w.was_denied(operation, path), "{kind:?} {script}: {:?}", w.denied());
        }
        assert!(w.denied().iter().all(|(_, d)| d.errno == "EROFS"));
        assert_eq!(w.ok("cat vendor/lib.c; ls vendor"), "int x;lib.c\n");
    }
}

#[test]
fn nothing_new_is_made_where_a_rule_guards() {
    for kind in STRICT {
        let w = workspace(kind);
        for (script, operation, path) in [
            ("echo x > src/.env", Operation::Create, "src/.env"),
            ("mkdir src/secrets", Operation::Mkdir, "src/secrets"),
            ("ln -s main.rs src/.env", Operation::Symlink, "src/.env"),
            ("ln src/main.rs src/.env", Operation::Link, "src/.env"),
            ("mv src/main.rs src/.env", Operation::Rename, "src/main.rs"),
            ("mv src vendor/src", Operation::Rename, "src"),
        ] {
            w.fails(script);
            // A denied link is recorded under the new name, a rename under both.
            assert!(w.was_denied(operation, path), "{kind:?} {script}: {:?}", w.denied());
        }
        assert_eq!(w.ok("ls -A src"), "main.rs\n");
    }
}

#[test]
fn a_guarded_thing_that_is_not_there_does_not_exist() {
    for kind in STRICT {
        let w = workspace(kind);
        assert!(w.fails("cat src/.env").contains("No such file"));
        assert!(w.denied().is_empty());
    }
}
