//! The heads that a witness cosigned, beside the two logs, harmed in each way: fsck tells what can't be a head of the log or
//! what the log does not go on from, and verify never says "witnessed" of what is not.

use std::fs;
use std::path::Path;

use custody_keeper::layout::StateDir;
use custody_record::Verifier;
use custody_record::tlog::{Note, TlogPolicy, WitnessKey};
use custody_record::verify::{KeyChoice, VerifyOptions, verify};
use custody_record::witness::{COSIGNED_FILE, WitnessLevel, store_cosigned};

use super::{Ground, copy, put, said, whole_matrix};

/// A head as its witness cosigned it.
fn cosigned(head: &[u8], key: &WitnessKey) -> Note {
    let mut note = Note::parse(head).expect("a head");
    note.add(key.cosign(&note, 1_900_000_000));
    note
}

/// What verify says of witnesses of the newest session.
fn level(ground: &Ground, state: &Path, policy: &TlogPolicy) -> WitnessLevel {
    let newest = ground.installation.sessions().pop().expect("sessions");
    let state = StateDir::new(state);
    let key = KeyChoice::Installation(Verifier::of_installation(&state.keys()).expect("a key"));
    let options = VerifyOptions::new(key).with_installation_log(&state.log());
    let report = verify(&state.session(newest).record(), &options.with_witnesses(policy));
    report.witnesses.level
}

#[test]
fn a_cosigned_head_that_is_harmed_is_found_and_vouches_for_nothing() {
    let ground = Ground::new();
    let key = WitnessKey::from_seed("witness.example/north", [7; 32]).expect("a name");
    let policy = format!("witness north {}\nquorum north\n", key.cosigner());
    let policy = TlogPolicy::parse(&policy).expect("a policy");
    let state = ground.state();
    let head = |log: &str| fs::read(state.join(log).join("checkpoint")).expect("a head");
    for log in ["log", "control"] {
        store_cosigned(&state.join(log), &cosigned(&head(log), &key)).expect("written");
    }
    assert_eq!(said(state), [""; 0], "what is cosigned is whole");
    assert_eq!(level(&ground, state, &policy), WitnessLevel::Witnessed);

    let (mut cells, mut found, mut wrong) = (0, 0, Vec::new());
    for (log, other) in [("log", "control"), ("control", "log")] {
        let place = state.join(log).join(COSIGNED_FILE);
        let whole = fs::read(&place).expect("cosigned");
        let theirs = fs::read(state.join(other).join(COSIGNED_FILE)).expect("cosigned");
        let older = &ground.older[&Path::new(log).join("checkpoint")];
        let mut check = |what: &str, bytes: Option<&[u8]>, tells: bool| {
            cells += 1;
            put(&place, bytes);
            let told = said(state);
            found += usize::from(!told.is_empty());
            if told.is_empty() == tells {
                wrong.push(format!("fsck: {log}/cosigned {what}: {told:?}"));
            }
            let code = match log {
                "log" => "fsck: cosigned_damaged",
                _ => "fsck: control_log_broken",
            };
            if tells && !told.iter().any(|said| said.starts_with(code)) {
                wrong.push(format!("fsck: {log}/cosigned {what} is not {code}: {told:?}"));
            }
            let vouched = level(&ground, state, &policy) == WitnessLevel::Witnessed;
            if vouched != (log == "control") {
                wrong.push(format!("verify: {log}/cosigned {what}: witnessed: {vouched}"));
            }
            put(&place, Some(&whole));
        };
        check("emptied", Some(b""), true);
        check("cut in half", Some(&whole[..whole.len() / 2]), true);
        check("cut at the end", Some(&whole[..whole.len() - super::TAIL]), true);
        check("replaced by the other log's", Some(&theirs), true);
        // Nobody but the witness knows that there was one, or a newer one, and it is asked again.
        check("removed", None, false);
        check("replaced by an older one", Some(&cosigned(older, &key).to_bytes()), false);
        // The witness's own line, at the end, is checked by whoever names the witness in a policy.
        let own = whole.len() - whole.rsplit(|byte| *byte == b'\n').nth(1).map_or(0, <[u8]>::len);
        for at in (0..whole.len()).step_by(if whole_matrix() { 1 } else { 7 }) {
            cells += 1;
            let mut flipped = whole.clone();
            flipped[at] ^= 1;
            put(&place, Some(&flipped));
            let told = !said(state).is_empty();
            found += usize::from(told);
            if !told && at < own - 8 {
                wrong.push(format!("fsck: {log}/cosigned flipped at {at} of {}", whole.len()));
            }
            if log == "log" && level(&ground, state, &policy) == WitnessLevel::Witnessed {
                wrong.push(format!("verify: {log}/cosigned flipped at {at}"));
            }
        }
        put(&place, Some(&whole));
    }
    println!("{cells} harms of cosigned heads: {found} found by fsck, {} wrong", wrong.len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn logs_and_anchors_that_were_taken_back_behind_a_cosigned_head_are_found() {
    let ground = Ground::new();
    let key = WitnessKey::from_seed("witness.example/north", [7; 32]).expect("a name");
    let room = tempfile::TempDir::with_prefix("custody-matrix-").expect("a directory");
    for (log, code) in [("log", "cosigned_differs"), ("control", "control_log_broken")] {
        let state = room.path().join(log);
        copy(ground.state(), &state);
        let head = fs::read(state.join(log).join("checkpoint")).expect("a head");
        store_cosigned(&state.join(log), &cosigned(&head, &key)).expect("written");
        for path in ground.files.keys().filter(|path| path.starts_with(log)) {
            put(&state.join(path), None);
        }
        let anchor = Path::new(log).with_extension("anchor");
        for (path, bytes) in &ground.older {
            if path.starts_with(log) || *path == anchor {
                put(&state.join(path), Some(bytes));
            }
        }
        let told = said(&state);
        let told_so = told.iter().any(|said| {
            said.starts_with(&format!("fsck: {code}")) || said.starts_with("control: ")
        });
        assert!(told_so, "{log}: {told:?}");
    }
}
