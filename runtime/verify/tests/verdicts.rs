//! The program itself: verdicts, exit codes, hostile input, and that it is one small static file.

#[path = "../../record/tests/samples/mod.rs"]
mod samples;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use custody_record::evidence::{Pack, Selection, Source};
use custody_record::tlog::{Note, WitnessKey};
use custody_record::witness::store_cosigned;
use custody_record::{KeyHistory, Keys};
use samples::{Place, keys, observe};
use serde_json::Value;

const GOOD: i32 = 0;
const USAGE: i32 = 2;
const BROKEN: i32 = 68;
const INCOMPLETE: i32 = 69;
const UNREADABLE: i32 = 74;
const UNWITNESSED: i32 = 79;
const UNVOUCHED: i32 = 80;

/// Largest program, in bytes.
const MAX_PROGRAM: u64 = 10 << 20;

fn run(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_custody-verify"))
        .args(arguments)
        // Nothing of the environment is needed.
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

#[track_caller]
fn expect(code: i32, arguments: &[&str]) -> String {
    let output = run(arguments);
    let text = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert_eq!(output.status.code(), Some(code), "{arguments:?}\n{text}");
    text
}

fn json(code: i32, arguments: &[&str]) -> Value {
    serde_json::from_str(&expect(code, &[arguments, &["--json"]].concat())).unwrap()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn pack(place: &Place, selection: &Selection) -> PathBuf {
    let history = KeyHistory::of(&keys().verifier());
    let source = Source {
        record: &place.record,
        log: &place.log,
        keys: &history,
        policy: None,
        content: None,
    };
    let path = place.record.with_extension("tar");
    let pack = Pack::of(source, selection.clone()).unwrap();
    let _written = pack.write(fs::File::create(&path).unwrap()).unwrap();
    path
}

#[test]
fn records_and_packs_get_a_verdict_in_words_in_json_and_as_an_exit_code() {
    let place = Place::new();
    place.sealed(20);
    let path = pack(&place, &Selection::default());
    let (key, log) = (keys().vkey(), text(&place.log).to_owned());
    for (arguments, kind) in [
        (vec![text(&path), "--key", &key], "evidence"),
        (vec![text(&place.record), "--key", &key, "--installation-log", &log], "record"),
    ] {
        let words = expect(GOOD, &arguments);
        assert!(words.contains("integrity") && words.contains("intact"), "{words}");
        assert!(words.contains("complete:"), "{words}");
        let value = json(GOOD, &arguments);
        assert_eq!(value["kind"], kind);
        assert_eq!((&value["integrity"], &value["events"]), (&"intact".into(), &24.into()));
        assert_eq!(value["findings"], Value::Array(Vec::new()));
        assert_eq!(value["key_source"], "given");
    }
    // Without a key it says what that means, and with a stranger's nothing holds.
    for target in [&path, &place.record] {
        let words = expect(UNVOUCHED, &[text(target)]);
        assert!(words.contains("not origin"), "{words}");
        let first = words.lines().next().unwrap();
        assert!(first.contains("by a key that nobody vouched for"), "{first}");
    }
    let stranger = Keys::from_seed("custody/other", [8; 32]).vkey();
    let value = json(BROKEN, &[text(&path), "--key", &stranger]);
    assert_eq!(value["findings"][0]["code"], "key_differs");
    expect(BROKEN, &[text(&place.record), "--key", &stranger]);
    expect(USAGE, &[text(&path), "--key", "nonsense"]);
    expect(USAGE, &[]);
    expect(UNREADABLE, &["/nowhere"]);
    expect(UNREADABLE, &["/dev/zero"]);
    let value = json(UNREADABLE, &["/nowhere"]);
    assert_eq!(value["error"]["code"], "io");
    assert!(expect(GOOD, &["--help"]).contains("Exit codes"));
}

#[test]
fn what_is_withheld_changes_no_verdict_and_a_gap_does() {
    let place = Place::new();
    place.sealed(5);
    let selection = Selection { events: Some("2".parse().unwrap()), withhold_content: true };
    let words = expect(GOOD, &[text(&pack(&place, &selection)), "--key", &keys().vkey()]);
    assert!(words.contains("events are withheld"), "{words}");
    let place = Place::new();
    let journal = place.journal();
    observe(&journal, samples::authorized());
    observe(&journal, samples::gap());
    observe(&journal, samples::closed(journal.counts()));
    journal.seal(&keys(), &place.installation_log()).unwrap();
    for path in [pack(&place, &Selection::default()), place.record.clone()] {
        let value = json(INCOMPLETE, &[text(&path), "--key", &keys().vkey()]);
        assert_eq!(value["integrity"], "intact");
        assert_eq!(value["completeness"], "incomplete");
    }
}

#[test]
fn flipped_bytes_of_packs_and_records_are_named_by_the_program() {
    let place = Place::new();
    place.sealed(2);
    let path = pack(&place, &Selection::default());
    let key = keys().vkey();
    let mut flipped = 0;
    let mut all = vec![(path.clone(), path)];
    let files = samples::files(&place.record);
    all.extend(files.iter().map(|file| (place.record.join(file), place.record.clone())));
    for (file, whole) in all {
        let original = fs::read(&file).unwrap();
        for at in (0..original.len()).step_by(53) {
            let mut bytes = original.clone();
            bytes[at] ^= 1 << (at % 8);
            fs::write(&file, &bytes).unwrap();
            let value = json(BROKEN, &[text(&whole), "--key", &key]);
            assert!(value["findings"].as_array().unwrap().iter().any(|f| f["file"].is_string()));
            flipped += 1;
        }
        fs::write(&file, &original).unwrap();
    }
    println!("{flipped} flipped bytes, each named by the program");
}

#[test]
fn hostile_directories_are_refused_without_being_followed() {
    let place = Place::new();
    place.sealed(1);
    let key = keys().vkey();
    let bundle = samples::files(&place.record).into_iter().find(|p| p.starts_with("tile/entries"));
    for name in ["checkpoint", "installation.vkey", "seal.dsse.json", text(&bundle.unwrap()), "new"]
    {
        let path = place.record.join(name);
        let original = fs::read(&path).ok();
        let mut hostile: Vec<Box<dyn Fn()>> = Vec::new();
        hostile.push(Box::new(|| std::os::unix::fs::symlink("/dev/zero", &path).unwrap()));
        hostile.push(Box::new(|| std::os::unix::fs::symlink("/etc", &path).unwrap()));
        hostile.push(Box::new(|| {
            assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
        }));
        for make in hostile {
            // It may not be there.
            let _ = fs::remove_file(&path);
            make();
            let value = json(BROKEN, &[text(&place.record), "--key", &key]);
            assert_eq!(value["findings"][0]["code"], "special_file", "{value}");
        }
        fs::remove_file(&path).unwrap();
        if let Some(original) = original {
            fs::write(&path, original).unwrap();
        }
    }
    // A content that would unpack to more than is wanted.
    let value = json(BROKEN, &[text(&place.record), "--key", &key, "--blob-limit", "5"]);
    assert!(value["findings"].to_string().contains("has more than 5 bytes"), "{value}");
    // Files without end.
    for name in ["checkpoint", "seal.dsse.json", "installation.vkey"] {
        let path = place.record.join(name);
        let original = fs::read(&path).unwrap();
        fs::File::options().write(true).open(&path).unwrap().set_len(1 << 40).unwrap();
        expect(BROKEN, &[text(&place.record), "--key", &key]);
        fs::write(&path, original).unwrap();
    }
    expect(GOOD, &[text(&place.record), "--key", &key]);
}

#[test]
fn the_program_for_outsiders_is_one_small_static_file() {
    let rustc = Command::new("rustc").arg("-vV").output().unwrap();
    let host = String::from_utf8(rustc.stdout).unwrap();
    let host = host.lines().find_map(|line| line.strip_prefix("host: ")).unwrap();
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("static");
    let mut cargo = Command::new(env!("CARGO"));
    for outer in ["CARGO_ENCODED_RUSTFLAGS", "RUSTC_WORKSPACE_WRAPPER", "CARGO_BUILD_TARGET"] {
        cargo.env_remove(outer);
    }
    // As `make verifier` does.
    let built = cargo
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(["build", "--quiet", "--locked", "--offline", "--profile", "verify"])
        .args(["--package", "custody-verify", "--target", host, "--target-dir", text(&target)])
        .env("RUSTFLAGS", "-C target-feature=+crt-static")
        .status()
        .unwrap();
    assert!(built.success());
    let program = target.join(host).join("verify/custody-verify");
    let size = fs::metadata(&program).unwrap().len();
    assert!(size < MAX_PROGRAM, "{size} bytes");
    let ldd = Command::new("ldd").arg(&program).output().unwrap();
    let said = [ldd.stdout, ldd.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(said.contains("statically linked") || said.contains("not a dynamic"), "{said}");
    let place = Place::new();
    place.sealed(3);
    let path = pack(&place, &Selection::default());
    let checked = Command::new(&program)
        .args([text(&path), "--key", &keys().vkey()])
        .env_clear()
        .output()
        .unwrap();
    assert_eq!(checked.status.code(), Some(GOOD));
    println!("custody-verify: {size} bytes, {}", said.trim());
}

#[test]
fn a_policy_that_is_not_met_has_a_verdict_and_an_exit_code_of_its_own() {
    let place = Place::new();
    place.sealed(3);
    let north = WitnessKey::from_seed("witness.example/north", [1; 32]).unwrap();
    let south = WitnessKey::from_seed("witness.example/south", [2; 32]).unwrap();
    let (key, log) = (keys().vkey(), text(&place.log).to_owned());
    let policy = |needed: &str| {
        let path = place.log.with_extension(needed);
        let (north, south) = (north.cosigner(), south.cosigner());
        let lines = format!(
            "witness north {north}\nwitness south {south}\ngroup all {needed} north south\nquorum all\n"
        );
        fs::write(&path, lines).unwrap();
        path
    };
    let (one, two) = (policy("1"), policy("2"));
    let mut note = Note::parse(&fs::read(place.log.join("checkpoint")).unwrap()).unwrap();
    note.add(north.cosign(&note, 1_700_000_000));
    store_cosigned(&place.log, &note).unwrap();
    let pack = pack(&place, &Selection::default());
    let evidence = vec![text(&pack), "--key", &key];
    let record = vec![text(&place.record), "--key", &key, "--installation-log", &log];
    for arguments in [&evidence, &record] {
        fn with<'a>(arguments: &[&'a str], policy: &'a Path) -> Vec<&'a str> {
            [arguments, &["--policy", text(policy)]].concat()
        }
        assert!(expect(GOOD, &with(arguments, &one)).contains("witnessed (quorum met: north)"));
        assert_eq!(json(GOOD, &with(arguments, &one))["witnesses"]["level"], "witnessed");
        assert!(
            expect(UNWITNESSED, &with(arguments, &two)).contains("quorum not met: north cosigned")
        );
        assert_eq!(
            json(UNWITNESSED, &with(arguments, &two))["witnesses"]["level"],
            "quorum_not_met"
        );
        // Nobody said whose cosignatures count.
        let value = json(GOOD, arguments);
        assert_eq!(value["witnesses"]["level"], "unchecked");
        assert_eq!(value["witnesses"]["claimed"][0], "witness.example/north");
        assert!(expect(GOOD, arguments).contains("not checked"));
    }
    let alone = [&record[..3], &["--policy", text(&one)]].concat();
    assert!(expect(UNWITNESSED, &alone).contains("no head of the installation log"));
    // A forged one is no matter of how many.
    let mut line = south.cosign(&note, 1_700_000_000);
    line.signature[20] ^= 4;
    note.add(line);
    store_cosigned(&place.log, &note).unwrap();
    let value = json(BROKEN, &[&record[..], &["--policy", text(&one)]].concat());
    assert_eq!(value["witnesses"]["level"], "invalid_cosignature");
    assert!(value["findings"].to_string().contains("cosignature_invalid"), "{value}");
    fs::write(&one, "quorum nobody").unwrap();
    expect(USAGE, &[&evidence[..], &["--policy", text(&one)]].concat());
    expect(UNREADABLE, &[&evidence[..], &["--policy", "/nowhere"]].concat());
}
