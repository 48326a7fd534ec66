//! Witnesses: processes of their own that somebody else would run, and what they notice.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use custody_model::{Clock as _, Digest, SessionId, SystemClock};
use custody_record::tlog::TlogPolicy;
use custody_record::{InstallationLog, Keys, SessionHead, Verifier};
use custody_tests::deadline::until;
use custody_tests::{Installation, Repository, Server, binary};
use custody_witness::{AskError, Asking, Collector, LogPlace, Outcome};
use serde_json::Value;
use tempfile::TempDir;

/// A witness of one organisation.
struct Witness {
    name: &'static str,
    place: TempDir,
    vkey: String,
    url: String,
    process: Option<Child>,
}

impl Witness {
    fn start(name: &'static str, installation: &str) -> Self {
        let place = TempDir::with_prefix("custody-witness-").expect("a directory");
        let key = place.path().join("secret.key");
        let made = Command::new(binary())
            .args(["witness", "keygen", &format!("witness.example/{name}"), "--file"])
            .arg(&key)
            .output()
            .expect("custody starts");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let vkey = String::from_utf8(made.stdout).expect("text").trim().to_owned();
        let mut witness = Self { name, place, vkey, url: String::new(), process: None };
        witness.launch("127.0.0.1:0", installation);
        witness
    }

    fn launch(&mut self, listen: &str, installation: &str) {
        let place = self.place.path().join("address");
        // It may never have been there.
        let _ = std::fs::remove_file(&place);
        let mut process = Command::new(binary())
            .args(["witness", "serve", "--listen", listen, "--installation", installation, "--key"])
            .arg(self.place.path().join("secret.key"))
            .arg("--memory")
            .arg(self.place.path().join("memory"))
            .arg("--address-file")
            .arg(&place)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("custody starts");
        self.url = until("the witness to listen", || {
            assert!(process.try_wait().expect("a child").is_none(), "the witness ended");
            Some(std::fs::read_to_string(&place).ok()?.trim().to_owned())
        });
        self.process = Some(process);
    }

    fn again(&mut self, installation: &str) {
        let listen = self.url.trim_start_matches("http://").to_owned();
        self.launch(&listen, installation);
    }

    fn kill9(&mut self) {
        let mut process = self.process.take().expect("it runs");
        process.kill().expect("killed");
        let _ = process.wait().expect("it ends");
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        if self.process.is_some() {
            self.kill9();
        }
    }
}

/// A server of an installation whose logs two of three witnesses have to cosign, and a session that is over.
struct Watched {
    installation: Installation,
    repository: Repository,
    server: Server,
    witnesses: Vec<Witness>,
    vkey: String,
    policy: String,
    _config: TempDir,
}

impl Watched {
    fn start() -> Self {
        let (installation, repository) = (Installation::new(), Repository::example());
        let ran = installation.run(&repository, &[], "cat README.md");
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
        let mut server = Server::start(&installation);
        let key = installation.state().join("keys/installation.vkey");
        let vkey = std::fs::read_to_string(key).expect("a key").trim().to_owned();
        let witnesses: Vec<Witness> =
            ["north", "east", "south"].map(|name| Witness::start(name, &vkey)).into();
        let mut policy = String::new();
        for Witness { name, vkey, url, .. } in &witnesses {
            policy.push_str(&format!("witness {name} {vkey} {url}\n"));
        }
        policy.push_str("group two-of-three 2 north east south\nquorum two-of-three\n");
        let config = TempDir::with_prefix("custody-config-").expect("a directory");
        let file = config.path().join("custody.yaml");
        let indented: String = policy.lines().map(|line| format!("    {line}\n")).collect();
        std::fs::write(
            &file,
            format!("transparency:\n  publish: hashes\n  witnesses: |\n{indented}"),
        )
        .expect("written");
        server.stop();
        server.restart_with(&["--config", file.to_str().expect("text")]);
        Self { installation, repository, server, witnesses, vkey, policy, _config: config }
    }

    fn custody(&self, words: &[&str]) -> custody_tests::Output {
        self.server.custody(&self.server.admin(), self.repository.path(), words)
    }

    fn json(&self, words: &[&str]) -> Value {
        let words: Vec<&str> = words.iter().copied().chain(["-o", "json"]).collect();
        self.custody(&words).json()
    }

    /// The log's head goes on, as a keeper would have it.
    fn grow(&self, dir: &Path, what: &str) -> u64 {
        let keys = Keys::open(&self.installation.state().join("keys")).expect("keys");
        let log = InstallationLog::open(dir, &keys).expect("a log");
        let head = SessionHead {
            session: SessionId::new(SystemClock.now(), [7; 10]),
            size: 1,
            root: Digest::of(what.as_bytes()),
            time: SystemClock.now(),
            sealed: false,
        };
        log.append(&head).expect("it goes on").size
    }

    fn log(&self) -> PathBuf {
        self.installation.state().join("log")
    }

    /// Waits until the quorum cosigned this much of the installation log; who did.
    fn until_witnessed(&self, size: u64) -> Vec<String> {
        let policy = TlogPolicy::parse(&self.policy).expect("a policy");
        let verifier: Verifier = self.vkey.parse().expect("a key");
        until(format!("{size} heads to be cosigned: {}", self.server.log()), || {
            let bytes = std::fs::read(self.log().join("cosigned")).ok()?;
            let note = custody_record::tlog::Note::parse(&bytes).expect("a note");
            let origin = verifier.log_origin();
            let head = custody_record::tlog::Checkpoint::open(&bytes, &origin, &verifier);
            let judged = policy.judge(&note).expect("its lines fit");
            assert!(judged.enough, "what readers are shown has its quorum");
            (head.expect("signed").size >= size)
                .then(|| judged.cosigned.iter().map(|(witness, _)| witness.name.clone()).collect())
        })
    }
}

#[test]
fn heads_are_cosigned_by_a_quorum_whoever_of_the_witnesses_is_dead() {
    let mut watched = Watched::start();
    let log = watched.log();
    let size = watched.grow(&log, "first");
    watched.until_witnessed(size);
    let verdict = watched.json(&["verify", "last"]);
    assert_eq!(verdict["witnesses"]["level"], "witnessed", "{verdict}");
    let text = watched.custody(&["verify", "last"]).text();
    assert!(text.contains("witnesses     witnessed (quorum met: "), "{text}");

    // One is dead: the two others are enough.
    watched.witnesses[1].kill9();
    let size = watched.grow(&log, "second");
    let who = watched.until_witnessed(size);
    assert_eq!(who, ["north", "south"]);

    // Two are dead: nothing new is shown as witnessed, and what was stays so.
    watched.witnesses[2].kill9();
    let before = size;
    let size = watched.grow(&log, "third");
    until("the server to see that it is alone", || {
        watched.server.log().contains("a witness does not cosign").then_some(())
    });
    let published = watched.json(&["proof", "installation", "--head"]);
    assert_eq!(published["size"], before, "others are shown the head that has its quorum");
    let verdict = watched.json(&["verify", "last"]);
    assert_eq!(verdict["witnesses"]["level"], "witnessed", "that session's heads were seen");

    // They come again, with what they remember; and one of them is killed again and again meanwhile.
    let vkey = watched.vkey.clone();
    watched.witnesses[2].again(&vkey);
    watched.until_witnessed(size);
    watched.witnesses[1].again(&vkey);
    let mut last = size;
    for round in 0..10 {
        last = watched.grow(&log, &format!("round {round}"));
        watched.witnesses[1].kill9();
        watched.witnesses[1].again(&vkey);
    }
    watched.until_witnessed(last);
    let size = watched.grow(&log, "at the end");
    watched.until_witnessed(size);
    until("all three to have cosigned", || {
        (watched.until_witnessed(size).len() == 3).then_some(())
    });
    println!("{size} heads, cosigned by two or three of three witnesses");

    // The control log is witnessed, too, and every answer says so.
    until("the control log to be cosigned", || {
        let report = watched.json(&["control", "verify"]);
        (report["witnesses"]["level"] == "witnessed").then_some(())
    });
    assert_eq!(watched.server.stop(), Some(0));
}

#[test]
fn a_forked_installation_log_is_refused_by_witnesses_and_named_when_two_observers_compare() {
    let watched = Watched::start();
    let log = watched.log();
    let size = watched.grow(&log, "common");
    watched.until_witnessed(size);
    // From here on the installation, which has the key, shows two people two logs.
    let room = TempDir::with_prefix("custody-fork-").expect("a directory");
    // Its anchor is written beside it.
    let fork = room.path().join("log");
    std::fs::create_dir(&fork).expect("made");
    let copied = Command::new("cp").arg("-a").arg(log.join(".")).arg(fork.as_path()).status();
    assert!(copied.expect("cp").success());
    let size = watched.grow(&log, "what the first is shown");
    assert_eq!(watched.grow(fork.as_path(), "what the second is shown"), size);
    watched.until_witnessed(size);

    let policy = Arc::new(TlogPolicy::parse(&watched.policy).expect("a policy"));
    let verifier: Verifier = watched.vkey.parse().expect("a key");
    let ask = |dir: &Path| {
        // What was cosigned of the log before is not what this one goes on from.
        let _ = std::fs::remove_file(dir.join("cosigned"));
        let origin = verifier.log_origin();
        let place = LogPlace { dir: dir.to_owned(), origin, verifier: verifier.clone() };
        let policy = policy.clone();
        let runtime = tokio::runtime::Runtime::new().expect("threads");
        runtime.block_on(async move {
            let asking = Asking::new().expect("a client");
            Collector::new(place, policy, asking).round().await.expect("a round").expect("a head")
        })
    };
    let mut refusals = BTreeMap::new();
    // As long as the other one, longer, and much longer: no witness takes it.
    for more in [0, 1, 5] {
        for n in 0..more {
            watched.grow(fork.as_path(), &format!("{more} {n}"));
        }
        let round = ask(fork.as_path());
        assert!(!round.quorum && round.cosigned.is_empty(), "{round:?}");
        assert_eq!(round.missing.len(), 3);
        for (name, outcome) in round.missing {
            assert!(matches!(outcome, Outcome::Asked(AskError::Forked(_))), "{name}: {outcome}");
            *refusals.entry(name).or_insert(0) += 1;
        }
    }
    println!("refusals: {refusals:?}");

    // Two observers compare what they were shown.
    let (mine, yours) = (fork.as_path().join("mine"), fork.as_path().join("yours"));
    std::fs::copy(log.join("checkpoint"), &mine).expect("copied");
    std::fs::copy(fork.as_path().join("checkpoint"), &yours).expect("copied");
    let (mine, yours) = (mine.to_str().expect("text"), yours.to_str().expect("text"));
    let compare = |more: &[&str]| {
        let mut words = vec!["verify"];
        words.extend(more);
        words.extend(["--key", &watched.vkey, "--checkpoint", mine, yours]);
        watched.installation.custody(watched.repository.path(), &words)
    };
    let alone = compare(&[]);
    assert_eq!(alone.code, Some(69), "of different sizes: {}", alone.stdout);
    assert!(alone.stdout.contains("undecided"), "{}", alone.stdout);
    let named = compare(&[log.to_str().expect("text")]);
    assert_eq!(named.code, Some(68), "{}{}", named.stdout, named.stderr);
    assert!(named.stdout.contains("FORKED"), "{}", named.stdout);
    let named = compare(&[fork.as_path().to_str().expect("text")]);
    assert_eq!(named.code, Some(68), "{}{}", named.stdout, named.stderr);
    assert!(
        named.stdout.contains("does not go on from") && named.stdout.contains(mine),
        "{}",
        named.stdout
    );
    // Of the same size two heads contradict each other by themselves.
    let same = {
        while watched.grow(&log, "more") < 6 + size {}
        std::fs::copy(log.join("checkpoint"), mine).expect("copied");
        compare(&[])
    };
    assert_eq!(same.code, Some(68), "{}{}", same.stdout, same.stderr);
    assert!(same.stdout.contains("different roots, and both are signed"), "{}", same.stdout);
}

#[test]
fn a_proof_of_an_event_is_checked_by_somebody_who_has_only_the_key() {
    let watched = Watched::start();
    let elsewhere = TempDir::with_prefix("custody-elsewhere-").expect("a directory");
    let file = elsewhere.path().join("event.tlog-proof");
    let file = file.to_str().expect("text");
    let _ = watched.custody(&["proof", "last", "2", "--file", file]).succeeded();
    // Nothing of the installation is there.
    let stranger = Installation::new();
    let check = |file: &str, key: &str| {
        stranger.custody(elsewhere.path(), &["verify", file, "--key", key, "-o", "json"])
    };
    let held = check(file, &watched.vkey).json();
    assert_eq!(held["index"], 2, "{held}");
    assert_eq!(held["entry"]["seq"], 2, "{held}");
    let text = std::fs::read_to_string(file).expect("text");
    assert!(text.starts_with("c2sp.org/tlog-proof@v1\nextra "), "{text}");
    for (from, to) in [("index 2", "index 3"), ("extra ey", "extra eX")] {
        assert!(text.contains(from), "{text}");
        std::fs::write(file, text.replacen(from, to, 1)).expect("written");
        assert_eq!(check(file, &watched.vkey).code, Some(68), "{from} → {to}");
    }
    // An entry of the installation log, under a head that witnesses cosigned.
    watched.until_witnessed(1);
    let head = elsewhere.path().join("head.tlog-proof");
    let head = head.to_str().expect("text");
    let _ = watched.custody(&["proof", "installation", "0", "--file", head]).succeeded();
    let policy = elsewhere.path().join("policy");
    std::fs::write(&policy, &watched.policy).expect("written");
    let policy = policy.to_str().expect("text");
    let words = ["verify", head, "--key", &watched.vkey, "--policy", policy, "-o", "json"];
    let held = stranger.custody(elsewhere.path(), &words).succeeded().json();
    assert_eq!(held["quorum"], true, "{held}");
    // And that the log goes on from a head of before, as a witness would be told.
    let older = elsewhere.path().join("older");
    let older = older.to_str().expect("text");
    let _ = watched.custody(&["proof", "installation", "--head", "--file", older]).succeeded();
    let log = watched.log();
    watched.until_witnessed(watched.grow(&log, "later"));
    let proof = watched.custody(&["proof", "installation", "--consistency", older]).text();
    assert!(proof.starts_with("old ") && proof.contains("\n\n"), "{proof}");
    let refused = watched.custody(&["proof", "installation", "--consistency", "9999"]);
    assert_eq!(refused.code, Some(68), "{}", refused.stderr);
}

#[test]
fn how_far_witnesses_vouch_is_in_every_answer_and_who_checks_says_whose_word_counts() {
    let mut watched = Watched::start();
    let size = watched.grow(&watched.log(), "first");
    watched.until_witnessed(size);
    let elsewhere = TempDir::with_prefix("custody-elsewhere-").expect("a directory");
    let file = |name: &str, text: &str| {
        let path = elsewhere.path().join(name);
        std::fs::write(&path, text).expect("written");
        path.to_str().expect("text").to_owned()
    };
    let shown = watched.json(&["session", "show", "last"]);
    assert_eq!(shown["witnesses"]["level"], "witnessed", "{shown}");
    let text = watched.custody(&["session", "show", "last"]).text();
    assert!(text.contains("witnesses   witnessed (quorum met: "), "{text}");

    // Somebody who checks for themselves.
    let lines = |quorum: &str| {
        let witness = |w: &Witness| format!("witness {} {}\n", w.name, w.vkey);
        let all: String = watched.witnesses.iter().map(witness).collect();
        format!("{all}group all {quorum} north east south\nquorum all\n")
    };
    let (two, stranger) = (file("two", &lines("2")), Witness::start("stranger", &watched.vkey));
    let strange = format!("witness stranger {}\nquorum stranger\n", stranger.vkey);
    let strange = file("stranger", &strange);
    let pack = elsewhere.path().join("evidence.tar");
    let pack = pack.to_str().expect("text");
    let words = ["evidence", "export", "last", "--file", pack];
    let _ = watched.installation.custody(watched.repository.path(), &words).succeeded();
    for target in [pack, "last"] {
        let check = |policy: &str| {
            let words = ["verify", target, "--key", &watched.vkey, "--policy", policy];
            watched.custody(&words)
        };
        let met = check(&two);
        assert_eq!(met.code, Some(0), "{target}: {}{}", met.stdout, met.stderr);
        assert!(met.stdout.contains("witnessed (quorum met: "), "{target}: {}", met.stdout);
        let unmet = check(&strange);
        assert_eq!(unmet.code, Some(79), "{target}: {}{}", unmet.stdout, unmet.stderr);
        assert!(unmet.stdout.contains("quorum not met"), "{target}: {}", unmet.stdout);
    }
    let unsaid = watched.custody(&["verify", pack, "--key", &watched.vkey]).text();
    assert!(unsaid.contains("not checked: lines with the names"), "{unsaid}");

    // Nobody is there any more: what is recorded now has only the installation's word.
    for witness in &mut watched.witnesses {
        witness.kill9();
    }
    let ran = watched.installation.run(&watched.repository, &[], "echo new >new.txt");
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let shown = watched.json(&["session", "show", "last"]);
    assert_eq!(shown["witnesses"]["level"], "quorum_not_met", "{shown}");
    assert_eq!(watched.server.stop(), Some(0));
}

#[test]
fn a_witness_that_refuses_is_on_record_once_and_once_more_when_it_cosigns_again() {
    let mut watched = Watched::start();
    let vkey = watched.vkey.clone();
    let size = watched.grow(&watched.log(), "first");
    watched.until_witnessed(size);
    let events = |watched: &Watched, kind: &str| -> Vec<Value> {
        let all = watched.custody(&["control", "events", "-o", "json"]).text();
        let all = all.lines().map(|line| serde_json::from_str::<Value>(line).expect("an event"));
        all.filter(|event| event["type"] == kind).collect()
    };
    // One of the witnesses is started for another installation: it refuses each second.
    let other = Keys::from_seed("custody/another", [3; 32]).vkey();
    watched.witnesses[0].kill9();
    watched.witnesses[0].again(&other);
    let refused = until("the refusals to be on record", || {
        let size = watched.grow(&watched.log(), "more");
        watched.until_witnessed(size);
        let refused = events(&watched, "witness.refused");
        (refused.len() == 2).then_some(refused)
    });
    for event in &refused {
        let data = &event["data"];
        assert_eq!((&data["witness"], &data["status"]), (&"north".into(), &404.into()), "{event}");
        assert_eq!(data["reason"], "unknown_log", "{event}");
        assert!(data["size"].as_u64() >= data["witnessed"].as_u64(), "{event}");
    }
    assert_ne!(refused[0]["data"]["log"], refused[1]["data"]["log"], "of each log once");
    for round in 0..5 {
        let size = watched.grow(&watched.log(), &format!("round {round}"));
        watched.until_witnessed(size);
    }
    assert_eq!(events(&watched, "witness.refused").len(), 2, "not each time");
    assert_eq!(events(&watched, "witness.restored").len(), 0);
    watched.witnesses[0].kill9();
    watched.witnesses[0].again(&vkey);
    let restored = until("the end of the refusals to be on record", || {
        watched.grow(&watched.log(), "again");
        let restored = events(&watched, "witness.restored");
        (restored.len() == 2).then_some(restored)
    });
    assert!(restored.iter().all(|event| event["data"]["witness"] == "north"), "{restored:?}");
    println!("{} refusals and {} restorations on record", refused.len(), restored.len());
    assert_eq!(watched.server.stop(), Some(0));
}
