//! A session that really ran, exported by the command line.

use custody_tests::{Installation, Repository};

use crate::validator::valid;

/// Acts of every kind: reads, writes, refusals by a rule and by the network, a commit of its own.
const SCRIPT: &str = "cat README.md >/dev/null
cat secrets/key.txt 2>/dev/null
echo changed >>README.md
mv docs/guide.md docs/moved.md
rm src/unused.c
ln -s README.md link
chmod 600 Makefile
bash -c 'exec 3<>/dev/tcp/192.0.2.1/80'
getent hosts example.org
git -c user.name=A -c user.email=a@example.org commit --quiet --all --message 'Say more'
printf 'one\\ntwo\\n' >new.txt
exit 0";

#[test]
fn a_session_is_valid_in_each_format_and_what_was_dropped_is_said() {
    let repository = Repository::with_secrets();
    let installation = Installation::new();
    let policy = installation.policy(include_str!("../support/policy.yaml"));
    let output = installation.run(&repository, &["--quiet", "--policy", &policy], SCRIPT);
    assert_eq!(output.code, Some(0), "{}", output.text());
    let place = tempfile::tempdir().expect("a directory");
    let export = |format: &str, name: &str| {
        let file = place.path().join(name);
        let file = file.to_str().expect("UTF-8");
        let said = installation
            .custody(
                repository.path(),
                &["--output", "json", "export", "last", "--format", format, "--file", file],
            )
            .succeeded()
            .json();
        (std::fs::read(file).expect("the export"), said)
    };
    let record = installation.record(installation.session());
    let (lines, _) = export("json-lines", "all.jsonl");
    let lines: Vec<&[u8]> = lines.split(|b| *b == b'\n').filter(|l| !l.is_empty()).collect();
    assert_eq!(lines.len(), record.events().len());

    let (out, said) = export("ocsf", "ocsf.jsonl");
    let counts = valid("ocsf", &out);
    for class in [1001, 1007, 3003, 4001, 6002, 0] {
        assert!(counts[format!("class {class}")].is_u64(), "no event of class {class}: {counts}");
    }
    assert_eq!(said["summary"]["events"], lines.len());
    assert_eq!(said["summary"]["dropped"]["commit.created"], 2, "{said}");
    assert_eq!(said["version"], "1.8.0");

    let (out, _) = export("cloud-events", "ce.jsonl");
    assert_eq!(valid("cloud-events", &out)["events"], lines.len());
    let (out, _) = export("otlp", "otlp.jsonl");
    let counts = valid("otlp", &out);
    assert_eq!(counts["invoke_agent"], 1);
    assert!(counts["spans"].as_u64().is_some_and(|spans| spans > 5), "{counts}");
    let (out, _) = export("agent-trace", "at.jsonl");
    assert_eq!(valid("agent-trace", &out)["records"], 2);

    // Standard output is the export alone; what was dropped is said beside it.
    let said = installation
        .custody(repository.path(), &["export", "last", "--format", "ocsf"])
        .succeeded();
    assert_eq!(said.stdout.as_bytes(), std::fs::read(place.path().join("ocsf.jsonl")).unwrap());
    assert!(said.stderr.contains("dropped (commit.created 2"), "{}", said.stderr);
    let wrong = installation.custody(repository.path(), &["export", "last", "--format", "pdf"]);
    assert_eq!(wrong.code, Some(2), "{}", wrong.text());
}
