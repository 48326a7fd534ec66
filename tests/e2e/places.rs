//! What is read and written outside of the workspace is on record: scratch, and the image outside of the system's own trees.

use std::collections::{BTreeMap, BTreeSet};

use custody_model::Digest;
use custody_record::event::{
    Body, Coverage, Event, FileOutside, GapSource, Operation, OutsidePlace, Place, Uncertain,
    Unhashed,
};
use custody_tests::{Installation, Record, Repository};

const README: &[u8] = b"# Example\n";

/// What the session may write besides the workspace.
const SCRATCH: [&str; 5] = ["/tmp", "/var/tmp", "/home/agent", "/run/user/1000", "/dev/shm"];

fn outside(record: &Record) -> impl Iterator<Item = (&Event, &FileOutside)> {
    record.all(|body| if let Body::FileOutside(data) = body { Some(data) } else { None })
}

fn find<'a>(record: &'a Record, operation: Operation, path: &str) -> (&'a Event, &'a FileOutside) {
    outside(record)
        .find(|(_, told)| told.operation == operation && told.path == path)
        .unwrap_or_else(|| panic!("{operation:?} of {path} is not on record"))
}

fn digest(told: &FileOutside) -> Option<Digest> {
    told.content.as_ref().and_then(|content| content.digest)
}

fn size(told: &FileOutside) -> Option<u64> {
    told.content.as_ref().and_then(|content| content.size)
}

fn program<'a>(record: &'a Record, event: &Event) -> &'a str {
    record.program(event).argv[0].rsplit('/').next().unwrap_or_default()
}

fn assert_no_gap(record: &Record) {
    let gaps: Vec<_> = record
        .all(|body| if let Body::RecorderGap(gap) = body { Some(gap) } else { None })
        .collect();
    assert!(gaps.is_empty(), "{gaps:?}");
}

/// Each place × each thing that is done to a file, with the process, and the digest of each version.
#[test]
fn what_is_done_in_scratch_is_on_record() {
    for options in [&[] as &[&str], &["--strict"]] {
        let (installation, repository) = (Installation::new(), Repository::example());
        let script = SCRATCH
            .map(|place| {
                format!(
                    "p={place}/w; mkdir $p; cp README.md $p/a; cat $p/a >/dev/null; mv $p/a $p/b
python3 -c 'import sys; open(sys.argv[1], \"a\").write(\"two\\n\")' $p/b
rm $p/b; printf '#!/bin/sh\\n' >$p/tool; chmod 755 $p/tool; $p/tool; ln $p/tool $p/hard; ln -s tool $p/soft; mkfifo $p/fifo
rm $p/fifo $p/hard $p/soft; mkdir $p/d; rmdir $p/d"
                )
            })
            .join("\n");
        let _ = installation.run(&repository, options, &script).succeeded();
        let record = installation.record(installation.session());
        for place in SCRATCH {
            let path = |name: &str| format!("{place}/w/{name}");
            for (operation, name, by, content) in [
                (Operation::Create, "a", "cp", Some(README)),
                (Operation::Read, "a", "cat", Some(README)),
                (Operation::Rename, "a", "mv", None),
                (Operation::Write, "b", "python3", Some(&b"# Example\ntwo\n"[..])),
                (Operation::Unlink, "b", "rm", None),
                (Operation::Create, "tool", "sh", Some(b"#!/bin/sh\n")),
                (Operation::Setattr, "tool", "chmod", None),
                (Operation::Execute, "tool", "tool", Some(b"#!/bin/sh\n")),
                (Operation::Link, "hard", "ln", None),
                (Operation::Symlink, "soft", "ln", None),
                (Operation::Mknod, "fifo", "mkfifo", None),
                (Operation::Mkdir, "d", "mkdir", None),
                (Operation::Rmdir, "d", "rmdir", None),
            ] {
                let told = outside(&record).filter(|(event, told)| {
                    // While a file is written, versions of it may be told as well.
                    let made = operation == Operation::Create && told.operation == Operation::Write;
                    // It may be gone before anybody can see what it was.
                    let gone = matches!(operation, Operation::Symlink | Operation::Mknod)
                        && told.operation == Operation::Create
                        && told.uncertain == Some(Uncertain::Content);
                    told.path == path(name)
                        && (told.operation == operation || made || gone)
                        && program(&record, event) == by
                });
                let told: Vec<_> = told.map(|(_, told)| told).collect();
                let is_told = told.iter().any(|told| {
                    // What is done at once after the file was written may be told without its content, as uncertain; its path
                    // never is.
                    let content = digest(told) == content.map(Digest::of)
                        || told.uncertain == Some(Uncertain::Content)
                        // It was removed before it could be hashed.
                        || (operation == Operation::Write && told.content.is_none());
                    content && !told.uncertain.is_some_and(Uncertain::path)
                });
                assert!(is_told, "{operation:?} {} by {by}: {told:?}", path(name));
                assert!(told.iter().all(|told| told.place == OutsidePlace::Scratch));
            }
            let (_, renamed) = find(&record, Operation::Rename, &path("a"));
            assert_eq!(renamed.target, Some(path("b")));
            let mut soft =
                outside(&record).filter(|(_, told)| told.operation == Operation::Symlink);
            assert!(soft.all(|(_, told)| told.target.as_deref() == Some("tool")));
        }
        assert_no_gap(&record);
        assert_eq!(record.closed().coverage["scratch"], Coverage::Complete);
    }
}

/// Every change of a long sequence, in its order, compared with what the program says that it did.
#[test]
fn what_a_generated_sequence_changes_in_scratch_is_what_the_record_tells() {
    let (installation, repository) = (Installation::new(), Repository::example());
    repository.file("acts.py", ACTS).commit("Add the acts");
    let output = installation.run(&repository, &[], "python3 acts.py 20261201 1500");
    let done: Vec<&str> = output.stdout.lines().filter(|line| line.contains(" /")).collect();
    assert!(done.len() >= 1000, "{}", output.text());
    let record = installation.record(installation.session());
    let mut last = BTreeMap::new();
    let told: Vec<String> = outside(&record)
        .filter(|(event, told)| {
            told.path.starts_with("/tmp/acts/") && program(&record, event) == "python3"
        })
        .filter_map(|(_, told)| {
            if let Some(digest) = digest(told) {
                last.insert(told.path.clone(), digest);
            }
            let path = &told.path;
            match told.operation {
                Operation::Create => Some(format!("create {path}")),
                Operation::Mkdir => Some(format!("mkdir {path}")),
                Operation::Rename => {
                    let to = told.target.as_deref().unwrap_or_default();
                    if let Some(digest) = last.remove(path) {
                        last.insert(to.to_owned(), digest);
                    }
                    Some(format!("rename {path} {to}"))
                }
                Operation::Unlink => Some(format!("unlink {path}")),
                _ => None,
            }
        })
        .collect();
    let (contents, changes): (Vec<&str>, Vec<&str>) =
        done.into_iter().partition(|line| line.starts_with("has "));
    // Alike notices merge: of two acts on different files the later one may be told first, of one file never.
    let set = |acts: &[String]| acts.iter().cloned().collect::<BTreeSet<_>>();
    let changes: Vec<String> = changes.into_iter().map(str::to_owned).collect();
    let (told_set, changed_set) = (set(&told), set(&changes));
    let missing: Vec<_> = changed_set.difference(&told_set).collect();
    let extra: Vec<_> = told_set.difference(&changed_set).collect();
    assert!(missing.is_empty() && extra.is_empty(), "missing {missing:?}, not done {extra:?}");
    assert_eq!(told.len(), changes.len());
    let mut there = BTreeSet::new();
    for act in &told {
        match act.split(' ').collect::<Vec<_>>()[..] {
            ["create" | "mkdir", path] => assert!(there.insert(path.to_owned()), "{act}"),
            ["rename", from, to] => {
                assert!(there.remove(from), "{act} before it was there");
                assert!(there.insert(to.to_owned()), "{act}");
            }
            ["unlink", path] => assert!(there.remove(path), "{act} before it was there"),
            _ => panic!("{act}"),
        }
    }
    assert!(contents.len() > 100, "{contents:?}");
    for line in contents {
        let [_, path, content] = line.split(' ').collect::<Vec<_>>()[..] else { panic!("{line}") };
        assert_eq!(last.get(path), Some(&Digest::of(content.as_bytes())), "{path}");
    }
    assert_no_gap(&record);
    assert_eq!(record.closed().coverage["scratch"], Coverage::Complete);
}

/// Names are never used twice, so that each act has one event.
const ACTS: &str = "
import os, random, sys
generator, log, root = random.Random(int(sys.argv[1])), [], '/tmp/acts'
os.mkdir(root)
files, directories, serial = {}, [root], 0
def fresh():
    global serial
    serial += 1
    return os.path.join(generator.choice(directories), 'n%d' % serial)
for _ in range(int(sys.argv[2])):
    act = generator.randrange(10)
    if act < 4 or not files:
        path, text = fresh(), 'made%d' % serial
        with open(path, 'w') as file: file.write(text)
        files[path] = text
        log.append('create ' + path)
    elif act == 4 and len(directories) < 40:
        path = fresh()
        os.mkdir(path)
        directories.append(path)
        log.append('mkdir ' + path)
    elif act < 7:
        path, to = generator.choice(sorted(files)), fresh()
        os.rename(path, to)
        files[to] = files.pop(path)
        log.append('rename %s %s' % (path, to))
    elif act < 9:
        path = generator.choice(sorted(files))
        with open(path, 'a') as file: file.write('+')
        files[path] += '+'
    else:
        path = generator.choice(sorted(files))
        os.unlink(path)
        del files[path]
        log.append('unlink ' + path)
print('\\n'.join(log))
for path, text in files.items(): print('has', path, text)
";

/// A mapping writes after its descriptor is closed: the last version is the process's, and on record.
#[test]
fn what_a_mapping_writes_to_scratch_is_on_record() {
    let (installation, repository) = (Installation::new(), Repository::example());
    let script = "python3 -c '
import mmap
with open(\"/dev/shm/m\", \"w+b\") as file:
    file.write(b\"one\")
    file.flush()
    mapping = mmap.mmap(file.fileno(), 3)
mapping[:] = b\"two\"
mapping.close()'";
    let _ = installation.run(&repository, &[], script).succeeded();
    let record = installation.record(installation.session());
    let (event, told) = outside(&record)
        .filter(|(_, told)| told.path == "/dev/shm/m" && digest(told).is_some())
        .last()
        .expect("a version");
    assert_eq!(digest(told), Some(Digest::of(b"two")));
    assert_eq!(program(&record, event), "python3");
    assert_eq!(record.closed().coverage["scratch"], Coverage::Complete);
}

#[test]
fn a_session_in_which_nothing_happens_has_no_event_outside_of_the_workspace() {
    for options in [&[] as &[&str], &["--strict"]] {
        let (installation, repository) = (Installation::new(), Repository::example());
        let _ = installation.run(&repository, options, ":").succeeded();
        let record = installation.record(installation.session());
        let told: Vec<_> = outside(&record).collect();
        assert!(told.is_empty(), "{told:?}");
        assert_no_gap(&record);
        for (place, word) in [("scratch", Coverage::Complete), ("image", Coverage::Partial)] {
            assert_eq!(record.closed().coverage[place], word, "{place}");
        }
    }
}

/// The one-liner that left no event: it reads `/opt` and writes `/tmp`. And what is run from there.
#[test]
fn what_is_read_of_the_image_outside_of_the_systems_own_trees_is_on_record() {
    let host = tempfile::Builder::new().prefix("custody-").tempdir_in("/opt").expect("/opt");
    let open = |path: &std::path::Path| {
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).expect("opened");
    };
    open(host.path());
    for (name, text) in [("data", "of the image\n"), ("tool", "#!/bin/sh\n"), ("untouched", "x")] {
        std::fs::write(host.path().join(name), text).expect("written");
        open(&host.path().join(name));
    }
    let at = host.path().display().to_string();
    for options in [&[] as &[&str], &["--strict"]] {
        let (installation, repository) = (Installation::new(), Repository::example());
        let script = format!(
            "python3 -c 'open(\"/tmp/y\", \"w\").write(open(\"{at}/data\").read())'; {at}/tool; ls {at}; cat /etc/hosts /usr/bin/env >/dev/null"
        );
        let _ = installation.run(&repository, options, &script).succeeded();
        let record = installation.record(installation.session());
        let (event, read) = find(&record, Operation::Read, &format!("{at}/data"));
        assert_eq!(read.place, OutsidePlace::Image);
        assert_eq!(digest(read), Some(Digest::of(b"of the image\n")));
        assert_eq!(read.uncertain, None);
        assert_eq!(program(&record, event), "python3");
        let (event, _) = outside(&record)
            .find(|(_, told)| told.path == "/tmp/y" && digest(told) == digest(read))
            .expect("the version that was written");
        assert_eq!(program(&record, event), "python3");
        let (event, _) = find(&record, Operation::Execute, &format!("{at}/tool"));
        assert_eq!(program(&record, event), "tool");
        let untold = |path: &str| outside(&record).all(|(_, told)| told.path != path);
        assert!(untold(&format!("{at}/untouched")), "nobody read it");
        assert!(untold("/etc/hosts") && untold("/usr/bin/env"), "the system's own");
        assert_no_gap(&record);
        let page = installation.custody(
            installation.state(),
            &["session", "show", &installation.session().to_string()],
        );
        let page = page.succeeded().text();
        assert!(page.contains(&format!("read {at}/data")), "{page}");
        assert!(page.contains("create /tmp/y"), "{page}");
    }
}

/// What was added to the system's trees is told of, apart from them.
#[test]
fn what_is_read_below_usr_local_is_on_record() {
    let host = tempfile::Builder::new().prefix("custody-").tempdir_in("/usr/local").expect("there");
    let path = host.path().join("data");
    std::fs::write(&path, "added\n").expect("written");
    for path in [host.path(), &path] {
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).expect("opened");
    }
    let (installation, repository) = (Installation::new(), Repository::example());
    let script = format!("cat {} >/dev/null", path.display());
    let _ = installation.run(&repository, &[], &script).succeeded();
    let record = installation.record(installation.session());
    let (event, read) = find(&record, Operation::Read, &path.display().to_string());
    assert_eq!(digest(read), Some(Digest::of(b"added\n")));
    assert_eq!(program(&record, event), "cat");
}

#[test]
fn a_file_of_scratch_that_is_too_large_to_be_hashed_says_so() {
    let (mut installation, repository) = (Installation::new(), Repository::example());
    installation.set("CUSTODY_OBSERVE__OUTSIDE_FILE", "2KiB");
    let script = "head -c 2048 /dev/zero >/tmp/fits; head -c 2049 /dev/zero >/tmp/large; cat /tmp/large >/dev/null";
    let _ = installation.run(&repository, &[], script).succeeded();
    let record = installation.record(installation.session());
    let hashed = |path: &str| -> Vec<_> {
        let told = outside(&record).filter(|(_, told)| told.path == path);
        told.map(|(_, told)| (digest(told), size(told), told.unhashed)).collect()
    };
    let (fits, large) = (hashed("/tmp/fits"), hashed("/tmp/large"));
    assert!(fits.contains(&(Some(Digest::of(&[0; 2048])), Some(2048), None)), "{fits:?}");
    assert!(fits.iter().all(|(_, _, unhashed)| unhashed.is_none()), "{fits:?}");
    assert!(large.contains(&(None, Some(2049), Some(Unhashed::TooLarge))), "{large:?}");
    assert!(
        large.iter().all(|(digest, size, _)| digest.is_none() || *size < Some(2049)),
        "{large:?}"
    );
    let gap = record.all(|body| if let Body::RecorderGap(gap) = body { Some(gap) } else { None });
    assert!(gap.into_iter().all(|(_, gap)| gap.source != GapSource::Scratch));
    assert_eq!(record.closed().coverage[Place::Scratch.as_str()], Coverage::Complete);
}

/// What git reads of a pack nobody can see: what it was asked for follows from its arguments, and is told as inferred.
#[test]
fn what_git_is_asked_for_of_the_history_is_on_record() {
    let (installation, repository) = (Installation::new(), Repository::example());
    let oid = |name: &str| repository.git(&["rev-parse", name]);
    let (head, before) = (oid("HEAD"), oid("HEAD~1"));
    let blob = oid("HEAD:LICENSE");
    let script = format!(
        "git show HEAD:src/main.c >/dev/null; git show HEAD~1:src/main.c >/dev/null; git cat-file -p main:README.md >/dev/null
git cat-file blob {blob} >/dev/null; git archive HEAD docs | cat >/dev/null; git grep -q two HEAD -- src/main.c
git blame Makefile >/dev/null; git log -p -- src/unused.c >/dev/null; git --no-pager show --stat {} >/dev/null; cd src
git show HEAD:./unused.c >/dev/null; git show HEAD~1 -- main.c >/dev/null; git blame ../LICENSE >/dev/null
git show HEAD:src/main.c >/dev/null; git status --short
git init -q nested; cd nested; echo x >x; git add x; git commit -qm x; git show HEAD:x >/dev/null",
        &before[..10]
    );
    let _ = installation.run(&repository, &[], &script).succeeded();
    let record = installation.record(installation.session());
    let told: BTreeSet<_> = outside(&record)
        .filter_map(|(event, told)| {
            let history = told.history.as_ref().filter(|history| history.inferred)?;
            assert_eq!((told.place, told.operation), (OutsidePlace::GitObjects, Operation::Read));
            assert_eq!(program(&record, event), "git");
            let oid = |oid: &Option<custody_model::GitOid>| oid.as_ref().map(ToString::to_string);
            let path = history.path.as_ref().map(ToString::to_string);
            Some((told.path.clone(), oid(&history.commit), path, oid(&history.object)))
        })
        .collect();
    let at = |named: &str, commit: &str, path: &str, object: &str| {
        let object = Some(oid(object));
        (named.to_owned(), Some(commit.to_owned()), Some(path.to_owned()), object)
    };
    let expected = BTreeSet::from([
        at("HEAD:src/main.c", &head, "src/main.c", "HEAD:src/main.c"),
        at("HEAD~1:src/main.c", &before, "src/main.c", "HEAD~1:src/main.c"),
        at("main:README.md", &head, "README.md", "HEAD:README.md"),
        (blob.clone(), None, Some("LICENSE".to_owned()), Some(blob)),
        at("HEAD:docs", &head, "docs", "HEAD:docs"),
        // Pathspecs are relative to the directory in which git runs.
        at("HEAD~1:main.c", &before, "src/main.c", "HEAD~1:src/main.c"),
        at("HEAD:../LICENSE", &head, "LICENSE", "HEAD:LICENSE"),
        // Another repository has another HEAD.
        ("HEAD:x".to_owned(), None, None, None),
        at("HEAD:Makefile", &head, "Makefile", "HEAD:Makefile"),
        at("HEAD:src/unused.c", &head, "src/unused.c", "HEAD:src/unused.c"),
        (before[..10].to_owned(), None, None, None),
        at("HEAD:./unused.c", &head, "src/unused.c", "HEAD:src/unused.c"),
    ]);
    assert_eq!(told, expected);
    let opened = outside(&record)
        .filter(|(_, told)| told.operation == Operation::Open && told.path.ends_with(".pack"));
    assert!(opened.count() >= 9, "each of them opened a pack");
    let page = installation
        .custody(installation.state(), &["session", "show", &installation.session().to_string()]);
    let page = page.succeeded().text();
    assert!(page.contains("read HEAD:src/main.c of the history, by git's arguments"), "{page}");
    assert_no_gap(&record);
    assert_eq!(record.closed().coverage["git_objects"], Coverage::Partial);
}

/// What a policy denies is refused, and no read.
#[test]
fn what_is_denied_of_the_history_is_told_as_refused_and_not_as_read() {
    let (installation, repository) = (Installation::new(), Repository::with_secrets());
    let policy = installation.policy(custody_tests::repository::POLICY);
    let script = "git show HEAD:secrets/key.txt; git show HEAD:README.md";
    let _ = installation.run(&repository, &["--policy", &policy], script);
    let record = installation.record(installation.session());
    let named: Vec<&str> = outside(&record)
        .filter(|(_, told)| told.history.as_ref().is_some_and(|history| history.inferred))
        .map(|(_, told)| told.path.as_str())
        .collect();
    assert_eq!(named, ["HEAD:README.md"]);
    let refused =
        record.denied().filter(|(_, denied)| denied.path.to_string() == "secrets/key.txt");
    assert!(refused.count() > 0, "the attempt is on record");
}
