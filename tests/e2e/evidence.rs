//! Evidence of real sessions, across a rotation of the installation's key: exported by an auditor, on record, checked with
//! ordinary tools and by itself.

use std::fs;
use std::path::Path;
use std::process::Command;

use custody_tests::{Installation, Output, Repository, Server};
use serde_json::Value;

/// Exit code of a record whose integrity is broken.
const BROKEN: i32 = 68;

/// Exit code of what the caller's roles do not allow.
const FORBIDDEN: i32 = 77;

const POLICY: &str = "version: custody/policy/v1
name: open
requesters:
  users: ['*']
images: [host]
commands:
  - allow: [sh]
";

const SCRIPT: &str = "cat README.md; printf 'a private %s\\n' remark >note.txt";

fn ran(command: &mut Command) -> String {
    let output = command.output().expect("it starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8")
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

fn verify(installation: &Installation, file: &Path, key: &str) -> Output {
    let words = ["verify", text(file), "--key", key, "-o", "json"];
    installation.custody(installation.state(), &words)
}

#[test]
fn an_auditor_exports_what_anyone_can_check_and_it_is_on_record() {
    let (installation, repository) = (Installation::new(), Repository::example());
    let server = Server::start(&installation);
    let (admin, here) = (server.admin(), repository.path());
    let file = installation.policy(POLICY);
    let _ = server.custody(&admin, here, &["policy", "create", &file, "--activate"]).succeeded();
    let _ = server.custody(&admin, here, &["repo", "add", "."]).succeeded();
    let dana = server.person("dana", &["developer"]);
    let audra = server.person("audra", &["auditor"]);
    let _ = server.custody(&dana, here, &["run", "--", "sh", "-c", SCRIPT]).succeeded();
    let old = fs::read_to_string(installation.state().join("keys/installation.vkey")).unwrap();

    let out = tempfile::TempDir::new().unwrap();
    let whole = out.path().join("whole.tar");
    let words = ["evidence", "export", "last", "--file", text(&whole)];
    assert_eq!(server.custody(&dana, here, &words).code, Some(FORBIDDEN), "she is no auditor");
    let _ = server.custody(&audra, here, &words).succeeded();
    let part = out.path().join("part.tar");
    let words = [
        "evidence",
        "export",
        "last",
        "--event",
        "0-2",
        "--withhold-content",
        "--file",
        text(&part),
    ];
    let _ = server.custody(&audra, here, &words).succeeded();

    // By itself, and with the tools that every machine has.
    for (file, withheld) in [(&whole, false), (&part, true)] {
        let report = verify(&installation, file, old.trim()).succeeded().json();
        assert_eq!(report["integrity"], "intact");
        assert_eq!(report["completeness"], "complete");
        assert_eq!(report["events"] == report["disclosed_events"], !withheld, "{report}");
        assert_eq!(report["attested"]["requester"], "dana");
    }
    let names = ran(Command::new("tar").args(["tf", text(&whole)]));
    for name in ["manifest.json", "seal.dsse.json", "policy.json", "keys/history.json"] {
        assert!(names.lines().any(|line| line == name), "{name} is in\n{names}");
    }
    let unpacked = out.path().join("unpacked");
    fs::create_dir(&unpacked).unwrap();
    let _ = ran(Command::new("tar").args(["xf", text(&whole), "-C", text(&unpacked)]));
    let blobs = names.lines().filter(|line| line.starts_with("blobs/sha256/"));
    let mut checked = 0;
    for blob in blobs {
        let sum = ran(Command::new("sha256sum").arg(unpacked.join(blob)));
        assert_eq!(sum.split(' ').next(), blob.rsplit('/').next());
        checked += 1;
    }
    println!("{checked} contents checked with sha256sum");
    assert!(checked > 0);
    assert!(fs::read_to_string(&part).is_ok_and(|text| !text.contains("a private remark")));

    // On record: what was handed out, by its digest.
    let events = server.custody(&audra, here, &["control", "events", "-o", "json"]).succeeded();
    let exported: Vec<Value> = events
        .stdout
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .filter(|event| event["type"] == "evidence.exported")
        .collect();
    assert_eq!(exported.len(), 2, "the refused one was not handed out");
    for (event, file) in exported.iter().zip([&whole, &part]) {
        let sum = ran(Command::new("sha256sum").arg(file));
        let digest = format!("sha256:{}", sum.split(' ').next().unwrap());
        assert_eq!(event["data"]["pack"]["digest"], digest.as_str());
        assert_eq!(event["actor"]["name"], "audra");
    }

    // The key is rotated under the running server; what was sealed before and after is good.
    let rotated = installation.custody(here, &["keys", "rotate", "-o", "json"]).succeeded().json();
    let _ = server.custody(&dana, here, &["run", "--", "sh", "-c", SCRIPT]).succeeded();
    let keys = installation.custody(here, &["keys", "list", "-o", "json"]).succeeded().json();
    let keys = keys.as_array().unwrap();
    assert_eq!(keys.len(), 2);
    assert_eq!((&keys[0]["vkey"], &keys[1]["vkey"]), (&old.trim().into(), &rotated["vkey"]));
    assert!(keys.iter().all(|key| key["recorded"] == true), "{keys:?}");
    let new = out.path().join("new.tar");
    let words = ["evidence", "export", "last", "--file", text(&new)];
    let _ = server.custody(&audra, here, &words).succeeded();
    for file in [&whole, &new] {
        for key in [old.trim(), rotated["vkey"].as_str().unwrap()] {
            // The old pack does not know the new key yet: who trusts that one alone has to be told of the rotation.
            let knows = file == &new || key == old.trim();
            let verdict = verify(&installation, file, key);
            assert_eq!(verdict.code, Some(if knows { 0 } else { BROKEN }), "{}", verdict.text());
        }
    }
    let _ = server.custody(&audra, here, &["control", "verify"]).succeeded();
    for session in installation.sessions() {
        let _ = server.custody(&audra, here, &["verify", &session.to_string()]).succeeded();
    }
}
