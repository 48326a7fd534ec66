//! What ran is on record under its own name, also where the path is changed between the notice and the exec.

use custody_record::event::ProcessExecuted;
use custody_tests::repository::POLICY;
use custody_tests::{Installation, Record, Repository};

fn session(options: &[&str], script: &str) -> (Record, String) {
    let (installation, repository) = (Installation::new(), Repository::with_secrets());
    repository.script("docs/tool", "#!/bin/sh\nexit 0\n").commit("Add a tool");
    let policy = installation.policy(&format!("{POLICY}  - read_only: docs/**\n"));
    let options = [&["--policy", policy.as_str()], options].concat();
    let output = installation.run(&repository, &options, script);
    (installation.record(installation.session()), output.text())
}

/// What was run under the path `path`: what was told, or else its correction.
fn ran(record: &Record, path: &str) -> Vec<String> {
    let execs: Vec<&ProcessExecuted> = record.executed().map(|(_, data)| data).collect();
    let mut ran = Vec::new();
    for exec in execs.iter().filter(|exec| exec.exe == path && exec.failed.is_none()) {
        let correction = execs.iter().find(|other| other.corrects == Some(exec.image));
        let told = correction.map(|other| other.exe.clone()).or_else(|| exec.file.clone());
        ran.push(told.unwrap_or_else(|| exec.exe.clone()));
    }
    ran
}

#[test]
fn a_link_that_is_turned_all_the_time_hides_nothing() {
    // Each of the two says by its status which one ran.
    let script = "ln -s /bin/true /tmp/link; perl -e '
        my $turner = fork; if (!$turner) { while (1) { for (qw(true false)) {
            symlink qq(/bin/$_), q(/tmp/next); rename q(/tmp/next), q(/tmp/link) } } }
        my @ran; for (1..300) { push @ran, system(q(/tmp/link)) ? q(false) : q(true) }
        kill 9, $turner; print qq(RAN=@ran\\n)'";
    for options in [&[] as &[&str], &["--strict"]] {
        let (record, text) = session(options, script);
        let said = text.split_once("RAN=").unwrap_or_else(|| panic!("{text}")).1;
        let said = said.lines().next().expect("a line").trim().split(' ');
        let said: Vec<String> = said.map(|name| format!("/usr/bin/{name}")).collect();
        assert_eq!(said.len(), 300);
        assert_eq!(ran(&record, "/tmp/link"), said, "{options:?}");
        let corrected = record.executed().any(|(_, data)| data.corrects.is_some());
        assert_eq!(text.contains("(announced as /tmp/link)"), corrected, "{options:?}: {text}");
    }
}

#[test]
fn what_is_not_raced_is_not_corrected_and_the_keeper_is_nobody() {
    let script = "ln -s ../docs/tool src/tool; docs/tool; src/tool; /proc/self/cwd/docs/tool; secrets/key.txt; .env
        cp /bin/true own; ./own; cp /bin/true /tmp/own; cd docs; PATH=/tmp:. own; ../own; ./tool; echo the-end";
    for options in [&[] as &[&str], &["--strict"]] {
        let (record, text) = session(options, script);
        assert!(text.contains("the-end"), "{text}");
        assert_eq!(record.executed().filter(|(_, data)| data.corrects.is_some()).count(), 0);
        assert_eq!(ran(&record, "src/tool"), ["/workspace/docs/tool"], "{options:?}");
        for (event, _) in record.denied() {
            assert!(!record.program(event).argv.is_empty());
        }
        for (event, _) in record.opened() {
            assert!(!record.program(event).argv.is_empty());
        }
    }
}

/// `execvp` tries each directory of the search path: what it tried is told, and it is one attempt.
#[test]
fn a_miss_on_the_search_path_is_one_attempt() {
    let (installation, repository) = (Installation::new(), Repository::example());
    let script = "perl -e 'exec {q(no-such-program)} q(no-such-program), q(an argument)'
PATH=/nowhere:$PATH perl -e 'exec q(no-such-other)'; PATH=/nowhere:/usr/local/none:$PATH perl -e 'exec q(true)'; true";
    let _ = installation.run(&repository, &["--quiet"], script).succeeded();
    let record = installation.record(installation.session());
    let attempts = |name: &str| -> Vec<_> {
        let named = record.executed().map(|(_, executed)| executed);
        let named = named.filter(|executed| executed.exe.ends_with(name));
        named.collect()
    };
    for name in ["/no-such-program", "/no-such-other"] {
        let missed = attempts(name);
        assert_eq!(missed.len(), 1, "{missed:?}");
        assert_eq!(missed[0].failed.as_deref(), Some("ENOENT"));
        let tried = missed[0].tried.as_ref().expect("it was looked for elsewhere, too");
        assert!(
            tried.len() >= 4 && tried.iter().any(|directory| directory == "/usr/bin"),
            "{tried:?}"
        );
    }
    let found = attempts("/true");
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].failed, None);
    assert!(
        found[0].tried.as_ref().is_some_and(|tried| tried[..2] == ["/nowhere", "/usr/local/none"])
    );
}

#[test]
fn an_exec_is_on_record_with_as_many_arguments_as_the_kernel_takes_and_fails_there_with_more() {
    let script =
        "perl -e 'for my $args ([(q()) x 100000], [(q(x) x 120000) x 10], [q(x) x 140000]) {
        printf qq(RAN=%d\\n), system(q(/bin/true), @$args) }'";
    let (record, text) = session(&[], script);
    let ran: Vec<&str> = text.lines().filter_map(|line| line.trim().strip_prefix("RAN=")).collect();
    assert_eq!(ran, ["0", "0", "-1"], "{text}");
    let execs: Vec<&ProcessExecuted> =
        record.executed().map(|(_, data)| data).filter(|exec| exec.exe == "/bin/true").collect();
    let told: Vec<_> = execs
        .iter()
        .map(|exec| {
            let whole = exec.argv_whole.expect("the whole");
            (whole.count, whole.bytes, exec.failed.as_deref())
        })
        .collect();
    let name = "/bin/true".len() as u64 + 1;
    assert_eq!(
        told,
        [
            (100_001, name + 100_000, None),
            (11, name + 10 * 120_001, None),
            (2, name + 140_001, Some("E2BIG")),
        ]
    );
    assert!(execs.iter().all(|exec| exec.argv_cut && exec.argv[0] == "/bin/true"));
}
