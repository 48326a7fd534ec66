//! Credentials that pass through a session are nowhere below the installation's state in clear: not in events, contents, the
//! index, logs or what is left of the session's working state. A search that can fail: the same search finds what is planted.
//!
//! What the session wrote is in git's objects of its branch, which git compresses: they are its product, not its record.

use std::path::{Path, PathBuf};

use custody_record::event::{Body, RedactionApplied};
use custody_tests::{Installation, Repository};

/// Kinds of credentials, put together here so that no scanner takes this file for a leak. None of them was ever in use.
struct Canaries {
    aws: String,
    github: String,
    key_line: String,
    injected: String,
    by_policy: String,
}

impl Canaries {
    fn new() -> Self {
        Self {
            aws: ["AKIA", "Q3EGPN5XWVYT", "7LKB"].concat(),
            github: ["ghp", "_", "x4T9bK2mQ7wZ1rV8cN5yH3jL6pD0sF4gAe2u"].concat(),
            key_line: ["MIIEvQIBADANBgkqhk", "iG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7"].concat(),
            injected: "plain words, and nobody's pattern: 47 ~ 11".to_owned(),
            by_policy: "CASE-2026-118277".to_owned(),
        }
    }

    fn private_key(&self) -> String {
        let body = format!("{}\\n", self.key_line).repeat(12);
        ["-----BEGIN ", "PRIVATE KEY-----\\n", &body, "-----END ", "PRIVATE KEY-----"].concat()
    }

    /// What is searched for: each of them as it is, and the injected value as tools encode it.
    fn needles(&self) -> Vec<(&'static str, Vec<u8>)> {
        let mut needles = vec![
            ("aws key", self.aws.clone().into_bytes()),
            ("github token", self.github.clone().into_bytes()),
            ("private key", self.key_line.clone().into_bytes()),
            ("injected value", self.injected.clone().into_bytes()),
            ("policy's pattern", self.by_policy.clone().into_bytes()),
        ];
        let clear: Vec<Vec<u8>> = needles.iter().map(|(_, needle)| needle.clone()).collect();
        for needle in clear {
            for before in 0..3 {
                needles.push(("base64", base64(&needle, before)));
            }
        }
        needles.push(("url encoded", b"plain%20words%2C%20and%20nobody%27s".to_vec()));
        needles
    }
}

/// Base64 of a text that stands `before` bytes after a multiple of three, without what its neighbours decide.
fn base64(text: &[u8], before: usize) -> Vec<u8> {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let text = [&[0; 2][..before], text].concat();
    let whole: Vec<u8> = text
        .chunks_exact(3)
        .flat_map(|three| {
            let bits = u32::from_be_bytes([0, three[0], three[1], three[2]]);
            [18, 12, 6, 0].map(|shift| DIGITS[(bits >> shift & 63) as usize])
        })
        .collect();
    whole[if before == 0 { 0 } else { 4 }..].to_vec()
}

/// What was searched, and what was found where.
#[derive(Debug, Default)]
pub(crate) struct Search {
    pub(crate) files: u64,
    pub(crate) bytes: u64,
    pub(crate) found: Vec<(&'static str, PathBuf)>,
}

/// Which of the needles are in a content: each is tried where its first two bytes stand.
pub(crate) fn held(content: &[u8], needles: &[(&'static str, Vec<u8>)]) -> Vec<usize> {
    let pair = |a: u8, b: u8| usize::from(a) << 8 | usize::from(b);
    let mut tried: Vec<Vec<usize>> = vec![Vec::new(); 1 << 16];
    for (number, (_, needle)) in needles.iter().enumerate() {
        tried[pair(needle[0], needle[1])].push(number);
    }
    let mut found = std::collections::BTreeSet::new();
    for at in 1..content.len() {
        for number in &tried[pair(content[at - 1], content[at])] {
            if content[at - 1..].starts_with(&needles[*number].1) {
                found.insert(*number);
            }
        }
    }
    found.into_iter().collect()
}

/// Reads every file below a directory, whatever it is.
pub(crate) fn search(directory: &Path, needles: &[(&'static str, Vec<u8>)]) -> Search {
    let mut search = Search::default();
    let mut left = vec![directory.to_owned()];
    while let Some(directory) = left.pop() {
        for entry in std::fs::read_dir(&directory).unwrap() {
            let entry = entry.unwrap();
            let kind = entry.file_type().unwrap();
            // A secret in a name would be one, too.
            let mut content = entry.file_name().into_encoded_bytes();
            if kind.is_dir() {
                left.push(entry.path());
            } else if kind.is_file() {
                content.push(b'\n');
                content.extend(std::fs::read(entry.path()).unwrap());
                search.files += 1;
                search.bytes += content.len() as u64;
            }
            for number in held(&content, needles) {
                search.found.push((needles[number].0, entry.path()));
            }
        }
    }
    search
}

const POLICY: &str = r"
version: custody/policy/v1
name: canaries
requesters:
  users: ['*']
images: [host]
commands:
  - allow: ['*']
environment:
  enter: [APP_SETTING]
redaction:
  patterns:
    - name: case
      pattern: 'CASE-\d{4}-\d{6}'
";

#[test]
fn credentials_of_a_session_are_nowhere_on_disk_in_clear() {
    let canaries = Canaries::new();
    let (installation, repository) = (Installation::new(), Repository::example());
    let policy = installation.policy(POLICY);
    let Canaries { aws, github, by_policy, .. } = &canaries;
    let key = canaries.private_key();
    // Command lines, terminal output (whole, in pieces, and encoded), files and their names, and environments of children.
    let script = format!(
        "echo {aws}; printf %s {}; sleep 0.3; printf '%s\\n' {}; printf '%b\\n' '{key}'
         echo \"$APP_SETTING\"; printf %s \"$APP_SETTING\" | base64 -w0; echo
         printf '%s' \"x$APP_SETTING\" | od -An -tx1 -v | tr -d ' \\n'; echo
         echo plain%20words%2C%20and%20nobody%27s%20pattern%3A%2047%20~%2011
         echo '{by_policy}' >{by_policy}.txt; printf '%b\\n' '{key}' >id_rsa
         echo \"setting=$APP_SETTING\" >settings.txt; echo 'token={github}' >>settings.txt
         env TOKEN={github} sh -c 'cat settings.txt id_rsa >/dev/null; true'
         mkdir {aws}; echo kept >{aws}/kept; cat /{by_policy}",
        &github[..20],
        &github[20..],
    );
    let arguments =
        ["run", "--policy", &policy, "--env", "APP_SETTING", "--", "sh", "-c", script.as_str()];
    let output = installation
        .command(repository.path(), &arguments)
        .env("APP_SETTING", &canaries.injected)
        .output()
        .expect("custody starts");
    let shown = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(shown.contains(aws.as_str()) && shown.contains(&canaries.injected), "{output:?}");

    let needles = canaries.needles();
    let searched = search(installation.state(), &needles);
    println!(
        "{} needles, {} files, {} bytes searched",
        needles.len(),
        searched.files,
        searched.bytes
    );
    assert!(searched.files > 20 && searched.bytes > 10_000, "{searched:?}");
    assert!(searched.found.is_empty(), "{:#?}", searched.found);

    // It is on record what was redacted, and the record verifies with its contents.
    let session = installation.session();
    let record = installation.record(session);
    let told: Vec<&RedactionApplied> = record
        .all(|body| if let Body::RedactionApplied(data) = body { Some(data) } else { None })
        .map(|(_, applied)| applied)
        .collect();
    let kinds: std::collections::BTreeSet<&str> =
        told.iter().flat_map(|one| &one.redactions).map(|one| one.kind.as_str()).collect();
    for kind in ["aws-access-token", "github-pat", "private-key", "injected-value", "case"] {
        assert!(kinds.contains(kind), "{kind} is not among {kinds:?}");
    }
    let count: u64 = told.iter().map(|one| one.count).sum();
    println!("{} events tell of {count} redactions: {kinds:?}", told.len());
    let report = installation.verify(session).succeeded();
    assert!(!report.stdout.contains("content_locked"), "{}", report.stdout);
    let diff =
        installation.custody(installation.state(), &["session", "diff", &session.to_string()]);
    let diff = diff.succeeded().stdout;
    assert!(diff.contains("[redacted:private-key:"), "{diff}");
}

#[test]
fn the_search_finds_what_is_there() {
    let canaries = Canaries::new();
    let directory = tempfile::tempdir().unwrap();
    let needles = canaries.needles();
    for (number, (_, needle)) in needles.iter().enumerate() {
        let place = directory.path().join(format!("below/{number}"));
        std::fs::create_dir_all(&place).unwrap();
        let content = [vec![0; number * 4096], needle.clone()].concat();
        std::fs::write(place.join("file"), content).unwrap();
    }
    let searched = search(directory.path(), &needles);
    assert_eq!(searched.found.len(), needles.len(), "{searched:?}");
    println!("{} plants found in {} files", searched.found.len(), searched.files);
}
