//! Every class of operation is told: who, where, and what the content was before and after.

use custody_policy::{PathPattern, PathRule, PathRules};
use custody_record::Body;
use custody_record::event::{
    Access, AttributesChanged, FileKind, FileLinked, FileOpened, FileRead, FileRemoved,
    FileRenamed, FileSymlinked, FileWritten, Uncertain,
};

use crate::fixture::{Setup, blob, observed, observed_with, path, version, written};

fn opened(at: &str, access: Access, content: FileRead) -> Body {
    Body::FileOpened(FileOpened {
        path: path(at),
        kind: FileKind::File,
        access,
        content,
        uncertain: None,
    })
}

fn made(at: &str, kind: FileKind) -> Body {
    Body::FileWritten(FileWritten {
        path: path(at),
        kind,
        before: None,
        after: FileRead::default(),
        open: false,
        uncertain: None,
    })
}

fn removed(at: &str, kind: FileKind, before: Option<FileRead>) -> Body {
    Body::FileRemoved(FileRemoved { path: path(at), kind, before, uncertain: None })
}

fn renamed(from: &str, to: &str, kind: FileKind, replaced: Option<FileRead>) -> Body {
    Body::FileRenamed(FileRenamed {
        from: path(from),
        to: path(to),
        kind,
        replaced,
        uncertain: None,
        exchanged: false,
    })
}

#[test]
fn a_read_names_the_process_and_the_git_blob_of_what_was_read() {
    observed(|w| {
        let pid = w.run("/bin/cat", &["src/a.rs"]);
        assert_eq!(w.told(), [(pid, opened("src/a.rs", Access::Read, blob("fn a() {}\n")))]);
    });
}

#[test]
fn a_process_of_a_millisecond_is_named_with_its_own_pid() {
    observed(|w| {
        let pids: Vec<u32> = (0..50).map(|_| w.run("/bin/cat", &["README.md"])).collect();
        let told: Vec<u32> = w.told().into_iter().map(|(pid, _)| pid).collect();
        assert_eq!(told, pids);
    });
}

#[test]
fn running_a_program_of_the_workspace_is_an_execution_and_not_a_read() {
    observed(|w| {
        let pid = w.run("./tool", &[]);
        let told = w.told();
        assert_eq!(told.len(), 1, "{told:?}");
        assert_eq!(told[0].0, pid);
        assert!(matches!(&told[0].1, Body::FileOpened(o)
            if o.access == Access::Execute && o.path == path("tool") && o.content.git_blob.is_some()));
    });
}

#[test]
fn listing_a_directory_is_told() {
    observed(|w| {
        let pid = w.run("/bin/ls", &["src/deep"]);
        let listing = Body::FileOpened(FileOpened {
            path: path("src/deep"),
            kind: FileKind::Directory,
            access: Access::Read,
            content: FileRead::default(),
            uncertain: None,
        });
        assert_eq!(w.told(), [(pid, listing)]);
    });
}

#[test]
fn creating_appending_and_truncating_tell_the_versions_before_and_after() {
    observed(|w| {
        w.sh("echo one > new");
        w.told();
        w.sh("echo two >> new");
        let one = version(b"one\n");
        let two = version(b"one\ntwo\n");
        assert_eq!(w.changes(), [written("new", Some(one), two.clone(), false)]);
        w.sh(": > new");
        assert_eq!(w.changes(), [written("new", Some(two), version(b""), false)]);
        w.sh("echo x >> src/a.rs");
        let after = version(b"fn a() {}\nx\n");
        let before = Some(blob("fn a() {}\n"));
        assert_eq!(w.changes(), [written("src/a.rs", before, after.clone(), false)]);
        w.run("/bin/cat", &["src/a.rs"]);
        assert_eq!(w.bodies(), [opened("src/a.rs", Access::Read, after)]);
    });
}

#[test]
fn the_created_file_is_told_with_its_writer() {
    observed(|w| {
        let pid = w.sh("echo one > new");
        let told = w.told();
        assert!(told.iter().all(|(by, _)| *by == pid), "{told:?}");
        let last = told.into_iter().next_back().map(|(_, body)| body);
        let Some(Body::FileWritten(last)) = last else { panic!("{last:?}") };
        assert_eq!((last.path, last.after, last.open), (path("new"), version(b"one\n"), false));
    });
}

#[test]
fn an_open_for_writing_that_writes_nothing_is_no_new_version() {
    observed(|w| {
        w.sh(": >> src/a.rs");
        let content = version(b"fn a() {}\n");
        assert_eq!(w.changes(), [opened("src/a.rs", Access::Write, content)]);
    });
}

#[test]
fn reading_and_then_writing_by_one_process_tells_both() {
    observed(|w| {
        w.python("s = open('src/a.rs').read(); open('src/a.rs', 'w').write(s + 'more')");
        let mut bodies = w.bodies();
        // The open for writing is told as one for reading if the observer looks before the write.
        bodies.dedup();
        let Some(Body::FileOpened(first)) = bodies.first().cloned() else { panic!("{bodies:?}") };
        // Whether the read came before the write can't be told if both are told by one event.
        let uncertain = first.uncertain.filter(|uncertain| *uncertain == Uncertain::Content);
        let content = blob("fn a() {}\n");
        let (kind, access) = (FileKind::File, Access::Read);
        let read = FileOpened { path: path("src/a.rs"), kind, access, content, uncertain };
        let read = Body::FileOpened(read);
        assert_eq!(
            bodies,
            [
                read,
                written("src/a.rs", Some(blob("fn a() {}\n")), version(b"fn a() {}\nmore"), false),
            ]
        );
    });
}

#[test]
fn removing_tells_what_was_lost() {
    observed(|w| {
        w.sh("rm src/b.rs; mkdir d; rmdir d");
        assert_eq!(
            w.bodies(),
            [
                removed("src/b.rs", FileKind::File, Some(blob("fn b() {}\n"))),
                made("d", FileKind::Directory),
                removed("d", FileKind::Directory, None),
            ]
        );
    });
}

#[test]
fn removing_a_whole_directory_of_the_base_at_once_tells_each_file() {
    observed(|w| {
        w.sh("rm -r src");
        let mut told: Vec<String> = w
            .bodies()
            .into_iter()
            .map(|body| match body {
                Body::FileRemoved(removed) => removed.path.to_string(),
                other => panic!("{other:?}"),
            })
            .collect();
        told.sort();
        assert_eq!(told, ["src", "src/a.rs", "src/b.rs", "src/deep", "src/deep/c.rs"]);
        assert_eq!(w.compare().differences, []);
    });
}

#[test]
fn a_rename_tells_both_names_and_what_it_replaced() {
    observed(|w| {
        w.sh("mv src/a.rs src/z.rs");
        assert_eq!(w.bodies(), [renamed("src/a.rs", "src/z.rs", FileKind::File, None)]);
        w.sh("mv src/z.rs src/b.rs");
        let replaced = Some(blob("fn b() {}\n"));
        assert_eq!(w.bodies(), [renamed("src/z.rs", "src/b.rs", FileKind::File, replaced)]);
        w.sh("cat src/b.rs");
        assert_eq!(w.bodies(), [opened("src/b.rs", Access::Read, blob("fn a() {}\n"))]);
        assert_eq!(w.compare().differences, []);
    });
}

fn exchanged(from: &str, to: &str) -> Body {
    match renamed(from, to, FileKind::File, None) {
        Body::FileRenamed(rename) => Body::FileRenamed(FileRenamed { exchanged: true, ..rename }),
        other => other,
    }
}

#[test]
fn an_exchange_is_told_as_two_renames_and_the_contents_change_places() {
    observed(|w| {
        w.python(
            "import ctypes; assert ctypes.CDLL(None).renameat2(-100, b'src/a.rs', -100, b'README.md', 2) == 0",
        );
        assert_eq!(
            w.bodies(),
            [exchanged("README.md", "src/a.rs"), exchanged("src/a.rs", "README.md")]
        );
        w.sh("cat src/a.rs");
        assert_eq!(w.bodies(), [opened("src/a.rs", Access::Read, blob("read me\n"))]);
        assert_eq!(w.compare().differences, []);
    });
}

#[test]
fn after_the_rename_of_a_directory_its_files_have_their_new_names() {
    observed(|w| {
        w.sh("cat src/deep/c.rs; mv src lib; cat lib/deep/c.rs; echo x > lib/new; mv lib/deep lib/d2; cat lib/d2/c.rs");
        let c = blob("fn c() {}\n");
        assert_eq!(
            w.bodies(),
            [
                opened("src/deep/c.rs", Access::Read, c.clone()),
                renamed("src", "lib", FileKind::Directory, None),
                opened("lib/deep/c.rs", Access::Read, c.clone()),
                written("lib/new", None, version(b"x\n"), false),
                renamed("lib/deep", "lib/d2", FileKind::Directory, None),
                opened("lib/d2/c.rs", Access::Read, c),
            ]
        );
        assert_eq!(w.compare().differences, []);
    });
}

#[test]
fn a_directory_made_and_renamed_within_a_moment_is_told_under_both_names_in_order() {
    observed(|w| {
        w.sh("mkdir d; echo 1 > d/f; mv d e; cat e/f");
        let mut bodies = w.bodies();
        for body in &mut bodies {
            // That the file was not written again after the rename, or while it was read, can't be told.
            match body {
                Body::FileWritten(told) => told.uncertain = None,
                Body::FileOpened(told) => told.uncertain = None,
                _ => {}
            }
        }
        assert_eq!(
            bodies,
            [
                made("d", FileKind::Directory),
                written("d/f", None, version(b"1\n"), false),
                renamed("d", "e", FileKind::Directory, None),
                opened("e/f", Access::Read, version(b"1\n")),
            ]
        );
    });
}

#[test]
fn links_symbolic_links_and_special_files_are_told() {
    observed(|w| {
        w.sh("echo 1 > f; ln f g; ln -s ../outside s; mkfifo p; ln src/a.rs h");
        let link = |at: &str, target: Option<&str>| {
            Body::FileLinked(FileLinked {
                path: path(at),
                target: target.map(path),
                uncertain: None,
            })
        };
        assert_eq!(
            w.bodies(),
            [
                written("f", None, version(b"1\n"), false),
                link("g", Some("f")),
                Body::FileSymlinked(FileSymlinked {
                    path: path("s"),
                    target: "../outside".to_owned(),
                    uncertain: None
                }),
                made("p", FileKind::Other),
                link("h", Some("src/a.rs")),
            ]
        );
        w.sh("cat h g");
        assert_eq!(
            w.bodies(),
            [
                opened("h", Access::Read, blob("fn a() {}\n")),
                opened("g", Access::Read, version(b"1\n")),
            ]
        );
        assert_eq!(w.compare().differences, []);
    });
}

#[test]
fn attribute_changes_tell_the_mode_after() {
    observed(|w| {
        w.sh("chmod 600 README.md");
        w.python("import os; os.setxattr('README.md', 'user.x', b'y')");
        let changed = |mode: &str| {
            Body::AttributesChanged(AttributesChanged {
                path: path("README.md"),
                mode: Some(mode.to_owned()),
                xattr: None,
                uncertain: None,
            })
        };
        assert_eq!(w.bodies(), [changed("0600"), changed("0600")]);
        w.sh("chmod 755 src");
        assert!(matches!(&w.bodies()[..], [Body::AttributesChanged(c)]
            if c.path == path("src") && c.mode.as_deref() == Some("0755")));
    });
}

#[test]
fn a_file_without_a_name_is_told_when_it_gets_one() {
    observed(|w| {
        w.python(
            "import os, ctypes\n\
             f = os.open('.', os.O_TMPFILE | os.O_RDWR)\n\
             os.write(f, b'q')\n\
             assert ctypes.CDLL(None).linkat(-100, b'/proc/self/fd/%d' % f, -100, b'named', 0x400) == 0\n",
        );
        assert_eq!(w.bodies(), [written("named", None, version(b"q"), false)]);
    });
}

#[test]
fn a_file_that_lived_for_a_moment_is_told_without_its_content() {
    observed(|w| {
        w.python("import os; f = open('t', 'w'); f.write('x'); f.close(); os.unlink('t')");
        assert_eq!(
            w.bodies(),
            [
                written("t", None, FileRead::default(), false),
                removed("t", FileKind::File, Some(FileRead::default())),
            ]
        );
    });
}

#[test]
fn names_that_are_not_text_are_told() {
    observed(|w| {
        w.python("open(b'a\\xff\\n', 'w').write('1')");
        assert_eq!(w.bodies(), [written("a%FF%0A", None, version(b"1"), false)]);
    });
}

#[test]
fn git_s_own_files_are_known_by_their_content() {
    observed(|w| {
        w.sh("cat .git/HEAD");
        let head = version(b"ref: refs/heads/main\n");
        assert_eq!(w.bodies(), [opened(".git/HEAD", Access::Read, head.clone())]);
        w.sh("echo x > .git/HEAD.lock; mv .git/HEAD.lock .git/HEAD");
        let told = w.bodies();
        assert_eq!(told[1], renamed(".git/HEAD.lock", ".git/HEAD", FileKind::File, Some(head)));
    });
}

#[test]
fn what_comes_to_be_where_a_rule_guards_is_told_as_a_violation() {
    let rule = |pattern: &str| PathRule::Deny(PathPattern::new(pattern).unwrap());
    let rules = PathRules::new(vec![rule("**/*.pem"), rule("private/**")]).unwrap();
    observed_with(Setup { rules, ..Setup::default() }, |w| {
        w.sh("echo k > my.pem; mkdir x; echo 1 > x/f; mv x private; ln -s my.pem other.pem");
        let violated: Vec<String> = w
            .bodies()
            .into_iter()
            .filter_map(|body| match body {
                Body::PolicyViolated(violated) => {
                    Some(format!("{} {}", violated.path, violated.rule))
                }
                _ => None,
            })
            .collect();
        assert!(violated.contains(&"my.pem deny: **/*.pem".to_owned()), "{violated:?}");
        assert!(violated.contains(&"private/f deny: private/**".to_owned()), "{violated:?}");
        assert!(violated.contains(&"other.pem deny: **/*.pem".to_owned()), "{violated:?}");
    });
}
