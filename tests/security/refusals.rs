//! What the kernel refuses at the border of a guard is on record, whichever way the path is spelled: with the process,
//! both paths, and the error that the process got.

use custody_record::event::Operation;
use custody_tests::repository::POLICY;
use custody_tests::{Installation, Record, Repository};

const OBSERVED: &[&str] = &[];
const STRICT: &[&str] = &["--strict"];

/// The refusal that must be on record.
struct Refusal {
    operation: Operation,
    path: &'static str,
    target: Option<&'static str>,
    errno: &'static str,
}

const fn renaming(
    path: &'static str,
    target: Option<&'static str>,
    errno: &'static str,
) -> Refusal {
    Refusal { operation: Operation::Rename, path, target, errno }
}

const fn linking(path: &'static str, target: Option<&'static str>, errno: &'static str) -> Refusal {
    Refusal { operation: Operation::Link, path, target, errno }
}

/// Runs one Perl expression, which must fail, after a shell's `before`.
fn record(options: &[&str], before: &str, call: &str) -> (Record, String) {
    let (installation, repository) = (Installation::new(), Repository::with_secrets());
    let policy = format!("{POLICY}  - read_only: docs/**\n");
    let policy = installation.policy(&policy);
    let options = [&["--policy", policy.as_str()], options].concat();
    // `syscall` takes no constants; it wants to be able to write to what it is given.
    let perl = format!(
        "perl -MErrno -e 'sub SYS {{ my ($n, @a) = @_; 0 == syscall($n, @a) }} \
         sub call {{ {call} }} call() and die q(it was done); \
         print q(GOT=), (sort grep {{ $!{{$_}} }} keys %!)[0], qq(\\n)'"
    );
    let output = installation.run(&repository, &options, &format!("{before}\n{perl}"));
    let text = output.text();
    let got = text.split_once("GOT=").unwrap_or_else(|| panic!("{options:?} {call}: {text}")).1;
    let got = got.split_whitespace().next().unwrap_or_default().to_owned();
    (installation.record(installation.session()), got)
}

/// The refusal is on record once, by the process that tried, with the error that it got.
fn on_record(options: &[&str], before: &str, call: &str, expected: &Refusal) {
    let (record, got) = record(options, before, call);
    let what = format!("{options:?} {call}");
    assert_eq!(got, expected.errno, "{what}");
    let told: Vec<_> = record
        .denied()
        .filter(|(event, _)| record.program(event).exe.ends_with("/perl"))
        .filter(|(_, denied)| denied.operation == expected.operation)
        .collect();
    let [(_, denied)] = told.as_slice() else { panic!("{what}: {told:?}") };
    assert_eq!(denied.path.to_string(), expected.path, "{what}");
    assert_eq!(
        denied.target.as_ref().map(ToString::to_string).as_deref(),
        expected.target,
        "{what}"
    );
    assert_eq!(denied.errno, expected.errno, "{what}");
    assert!(denied.rule.starts_with("deny: ") || denied.rule.starts_with("read_only: "), "{what}");
}

#[test]
fn through_an_absolute_link_in_a_relative_path() {
    let before = "ln -s /workspace here; mkdir sub; ln -s /workspace/here/sub sub/again";
    let refusal = renaming("secrets", Some("moved"), "EBUSY");
    on_record(OBSERVED, before, "rename q(here/secrets), q(moved)", &refusal);
    let twice = "rename q(here/sub/again/../secrets), q(moved)";
    on_record(OBSERVED, before, twice, &refusal);
}

#[test]
fn through_the_working_directory_in_proc() {
    let refusal = renaming("secrets", Some("moved"), "EBUSY");
    for process in ["self", "thread-self", "$$"] {
        let call = format!("rename qq(/proc/{process}/cwd/secrets), q(moved)");
        on_record(OBSERVED, "", &call, &refusal);
    }
}

#[test]
fn through_a_descriptor_in_proc() {
    let refusal =
        Refusal { operation: Operation::Rmdir, path: "secrets", target: None, errno: "EBUSY" };
    let call = "open D, q(<), q(src) or die; rmdir q(/proc/self/fd/) . fileno(D) . q(/../secrets)";
    on_record(OBSERVED, "", call, &refusal);
}

#[test]
fn through_the_root_in_proc() {
    let refusal =
        Refusal { operation: Operation::Unlink, path: ".env", target: None, errno: "EBUSY" };
    let call = "chdir q(/tmp); unlink q(/proc/self/root/workspace/.env)";
    on_record(OBSERVED, "", call, &refusal);
}

#[test]
fn from_a_descriptor_of_another_directory() {
    let refusal = renaming("secrets", Some("src/moved"), "EBUSY");
    let call = "open D, q(<), q(src) or die; chdir q(/); SYS(264, fileno(D), q(../secrets), fileno(D), q(moved))";
    on_record(OBSERVED, "", call, &refusal);
}

#[test]
fn as_the_directory_itself_by_a_dot() {
    let refusal = renaming("secrets", Some("moved"), "EXDEV");
    on_record(OBSERVED, "", "rename q(secrets/.), q(moved)", &refusal);
    let refusal =
        Refusal { operation: Operation::Rmdir, path: "docs", target: None, errno: "EINVAL" };
    on_record(OBSERVED, "", "rmdir q(docs/.)", &refusal);
}

#[test]
fn under_a_new_name_of_a_directory_above() {
    let before = "mkdir -p deep; mv deep deeper; ln -s ../.. deeper/up";
    let refusal = renaming("docs", Some("deeper/docs"), "EBUSY");
    on_record(OBSERVED, before, "rename q(deeper/up/workspace/docs/), q(deeper/docs)", &refusal);
}

#[test]
fn in_place_of_a_guarded_path() {
    let refusal = renaming("README.md", Some("secrets"), "EISDIR");
    on_record(OBSERVED, "", "rename q(README.md), q(secrets)", &refusal);
    let refusal = renaming("README.md", Some("LICENSE"), "EBUSY");
    on_record(OBSERVED, "", "rename q(README.md), q(LICENSE)", &refusal);
    // RENAME_EXCHANGE
    let call = "SYS(316, -100, q(README.md), -100, q(secrets), 2)";
    on_record(OBSERVED, "", call, &renaming("README.md", Some("secrets"), "EBUSY"));
}

#[test]
fn renames_out_of_the_guard() {
    let refusal = renaming("docs/guide.md", Some("guide.md"), "EXDEV");
    on_record(OBSERVED, "", "rename q(docs/guide.md), q(guide.md)", &refusal);
    let refusal = renaming("secrets/key.txt", Some("key.txt"), "EXDEV");
    on_record(OBSERVED, "", "rename q(secrets/key.txt), q(key.txt)", &refusal);
    // Out of the workspace, where the new name is none of the workspace's.
    for options in [OBSERVED, STRICT] {
        for path in ["docs/guide.md", "secrets/key.txt", "secrets"] {
            let call = format!("rename q({path}), q(/tmp/moved)");
            on_record(options, "", &call, &renaming(path, None, "EXDEV"));
        }
    }
}

#[test]
fn renames_into_the_guard() {
    let refusal = renaming("README.md", Some("secrets/new"), "EXDEV");
    on_record(OBSERVED, "", "rename q(README.md), q(secrets/new)", &refusal);
    let refusal = renaming("docs/guide.md", Some("secrets/new"), "EXDEV");
    on_record(OBSERVED, "", "rename q(docs/guide.md), q(secrets/new)", &refusal);
    for options in [OBSERVED, STRICT] {
        let refusal = renaming("docs/new", None, "EXDEV");
        on_record(options, "touch /tmp/made", "rename q(/tmp/made), q(docs/new)", &refusal);
    }
}

#[test]
fn hard_links_of_guarded_files() {
    let refusal = linking("LICENSE", Some("hard"), "EXDEV");
    on_record(OBSERVED, "", "link q(LICENSE), q(hard)", &refusal);
    let refusal = linking(".env", Some("src/hard"), "EXDEV");
    on_record(OBSERVED, "", "link q(/proc/self/cwd/.env), q(src/hard)", &refusal);
    let refusal = linking("docs/guide.md", Some("hard"), "EXDEV");
    on_record(OBSERVED, "", "link q(src/../docs/guide.md), q(hard)", &refusal);
    for options in [OBSERVED, STRICT] {
        let refusal = linking("LICENSE", None, "EXDEV");
        on_record(options, "", "link q(/workspace/LICENSE), q(/tmp/hard)", &refusal);
    }
}

#[test]
fn hard_links_through_a_link_that_is_followed() {
    let refusal = linking("LICENSE", Some("hard"), "EXDEV");
    // AT_SYMLINK_FOLLOW
    let call = "SYS(265, -100, q(soft), -100, q(hard), 0x400)";
    on_record(OBSERVED, "ln -s /workspace/LICENSE soft", call, &refusal);
    let call = "open D, q(<), q(LICENSE) or die; SYS(265, -100, q(/proc/self/fd/) . fileno(D), -100, q(hard), 0x400)";
    on_record(OBSERVED, "", call, &refusal);
}

#[test]
fn in_strict_mode_by_the_guard_with_both_paths() {
    let refusal = renaming("docs/guide.md", Some("guide.md"), "EROFS");
    on_record(
        STRICT,
        "ln -s /workspace here",
        "rename q(here/docs/guide.md), q(guide.md)",
        &refusal,
    );
    let refusal = renaming("secrets", Some("moved"), "EACCES");
    on_record(STRICT, "", "rename q(/proc/self/cwd/secrets), q(moved)", &refusal);
    let refusal = linking("LICENSE", Some("hard"), "EROFS");
    on_record(STRICT, "", "link q(/proc/self/root/workspace/LICENSE), q(hard)", &refusal);
}

/// The kernel's answer, where it has another reason, stays what it was and is no refusal of a guard's.
#[test]
fn and_nothing_else_is_refused_or_taken_for_a_refusal() {
    let before = "ln -s loop loop; mkdir sub; mkdir sub/secrets; ln -s /workspace here";
    for (call, errno) in [
        ("rename q(loop/secrets), q(x)", "ELOOP"),
        ("rename q(none/secrets), q(x)", "ENOENT"),
        ("rename q(secrets), q(none/x)", "ENOENT"),
        ("rename q(README.md), q(/tmp/x)", "EXDEV"),
        ("link q(README.md), q(/tmp/x)", "EXDEV"),
        ("link q(LICENSE), q(README.md)", "EEXIST"),
        ("SYS(316, -100, q(README.md), -100, q(secrets), 1)", "EEXIST"),
        ("rmdir q(README.md/secrets)", "ENOTDIR"),
        ("unlink q(x) x 5000 . q(/secrets)", "ENAMETOOLONG"),
    ] {
        let (record, got) = record(OBSERVED, before, call);
        assert_eq!(got, errno, "{call}");
        assert_eq!(record.denied().count(), 0, "{call}");
    }
    let done = "rename(q(sub/secrets), q(here/fine)) and rmdir(q(/proc/self/cwd/fine)) and \
        link(q(README.md), q(here/sub/linked)) and unlink(q(sub/./../sub/linked)) and ($! = 95) and 0";
    for options in [OBSERVED, STRICT] {
        let (record, got) = record(
            options,
            "mkdir sub; mkdir sub/fine0; ln -s /workspace here",
            &done.replace("sub/secrets", "sub/fine0"),
        );
        assert_eq!(got, "ENOTSUP", "{options:?}");
        assert_eq!(record.denied().count(), 0, "{options:?}");
    }
}
