//! An event that has no room in the record never vanishes: it is reduced and says so, a gap stands in its place, or what waits
//! for it is refused.

mod samples;

use custody_model::{Actor, Digest};
use custody_record::event::*;
use custody_record::verify::{Code, Concern};
use custody_record::{KeyChoice, Reader, Sink, SinkError, VerifyOptions, verify};
use samples::{Place, keys};
use serde_json::{Value, json};

/// More bytes than any event has.
const MUCH: usize = MAX_EVENT_BYTES + 5000;

/// Values of the kind of `value` that alone have no room in an event.
fn oversized(value: &Value) -> Vec<Value> {
    match value {
        Value::String(_) => ["x", "\u{1}", "é\""].map(|text| json!(text.repeat(MUCH))).into(),
        Value::Array(entries) => {
            let mut kinds: Vec<Value> = entries.first().cloned().into_iter().collect();
            kinds.extend([json!(""), json!("abc/d"), json!("x".repeat(4000))]);
            let longer = |entry: Value| {
                let count = MUCH / entry.to_string().len() + 1;
                json!(vec![entry; count.min(MUCH)])
            };
            kinds.into_iter().map(longer).collect()
        }
        Value::Object(members) => {
            let Some(value) = members.values().next() else { return Vec::new() };
            let many = (0..MUCH / 8).map(|n| (format!("m{n}"), value.clone()));
            vec![Value::Object(many.collect())]
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => Vec::new(),
    }
}

/// Every variant of a document in which one value, at any depth, is oversized.
fn variants(value: &Value) -> Vec<Value> {
    let mut found = oversized(value);
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                found.extend(variants(member).into_iter().map(|variant| {
                    let mut changed = members.clone();
                    changed.insert(name.clone(), variant);
                    Value::Object(changed)
                }));
            }
        }
        Value::Array(entries) => {
            for (at, entry) in entries.iter().enumerate() {
                found.extend(variants(entry).into_iter().map(|variant| {
                    let mut changed = entries.clone();
                    changed[at] = variant;
                    Value::Array(changed)
                }));
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
    found
}

/// Every event of this type with an oversized value that the type can hold.
fn bodies_of(body: &Body) -> Vec<Body> {
    let whole = serde_json::to_value(body).unwrap();
    let with = |data: Value| json!({ "type": whole["type"], "data": data });
    variants(&whole["data"])
        .into_iter()
        .filter_map(|data| serde_json::from_value::<Body>(with(data)).ok())
        .filter(|body| custody_record::canonical::to_vec(body).unwrap().len() > MAX_EVENT_BYTES)
        .collect()
}

/// Something waits for it: it is never replaced.
fn is_intent(kind: EventType) -> bool {
    [
        EventType::SessionAuthorized,
        EventType::SessionProvisioned,
        EventType::SessionStarted,
        EventType::CommitCreated,
    ]
    .contains(&kind)
}

fn events(place: &Place) -> Vec<Event> {
    let reader = Reader::open(&place.record).unwrap();
    reader.events().unwrap().map(Result::unwrap).collect()
}

#[test]
fn every_type_of_event_with_any_oversized_member_is_reduced_or_a_gap_or_refused() {
    let place = Place::new();
    let journal = place.journal();
    samples::observe(&journal, samples::authorized());
    let (mut tried, mut refused, mut expected) = (0, 0, Vec::new());
    for body in samples::bodies() {
        let kind = body.event_type();
        if kind == EventType::SessionClosed {
            continue;
        }
        for body in bodies_of(&body) {
            tried += 1;
            match journal.observe(Draft::new(samples::at(10), samples::process(), body)) {
                Ok(id) => expected.push((id, kind)),
                Err(SinkError::Malformed(text)) if is_intent(kind) => {
                    refused += 1;
                    assert!(text.contains(kind.as_str()), "{text}");
                }
                Err(error) => panic!("{kind:?}: {error}"),
            }
        }
        // The same with more blobs than have room.
        let mut draft = Draft::new(samples::at(10), samples::process(), body);
        let blob = BlobRef {
            role: "files".to_owned(),
            digest: Digest::of(b"x"),
            stored: None,
            size: 1,
            media_type: "text/plain".to_owned(),
        };
        draft.blobs = vec![blob; MUCH / 100];
        match journal.observe(draft) {
            Ok(id) => expected.push((id, kind)),
            Err(error) => assert!(is_intent(kind), "{kind:?}: {error}"),
        }
    }
    assert!(tried > 90, "{tried} events were generated");
    assert!(refused < tried / 4, "{refused} of {tried} were refused");
    samples::observe(&journal, samples::closed(journal.counts()));
    journal.seal(&keys(), &place.installation_log()).unwrap();
    let found = events(&place);
    for (id, kind) in expected {
        let event = found.iter().find(|event| event.id == id).unwrap();
        match &event.body {
            Body::RecorderGap(gap) if gap.reason.contains(kind.as_str()) => {
                assert!(gap.reason.contains("65535"), "{}", gap.reason);
            }
            body => assert_eq!(body.event_type(), kind),
        }
        assert!(event.to_canonical().unwrap().len() <= MAX_EVENT_BYTES);
    }
    let options = VerifyOptions::new(KeyChoice::Given(keys().verifier()));
    let report = verify(&place.record, &options);
    // Blobs that are only named here are said to be missing; nothing else is wrong with the log.
    let wrong: Vec<_> = report
        .findings
        .iter()
        .filter(|finding| {
            finding.concern == Concern::Integrity && finding.code != Code::BlobMissing
        })
        .collect();
    assert!(wrong.is_empty(), "{wrong:?}");
}

#[test]
fn a_closing_of_any_length_of_reason_closes_the_record() {
    for body in bodies_of(&Body::SessionClosed(SessionClosed {
        reason: "why".to_owned(),
        ..closing(samples::closed(Default::default()))
    })) {
        let Body::SessionClosed(closed) = body else { panic!("another type") };
        if closed.reason.len() < MUCH {
            continue;
        }
        let place = Place::new();
        let journal = place.journal();
        samples::observe(&journal, samples::authorized());
        let counts = closing(samples::closed(journal.counts())).counts;
        let closed = SessionClosed { counts, coverage: Default::default(), ..closed };
        samples::observe(&journal, Body::SessionClosed(closed));
        journal.seal(&keys(), &place.installation_log()).unwrap();
        let Body::SessionClosed(closed) = events(&place).pop().unwrap().body else {
            panic!("not closed")
        };
        assert!(closed.reason.contains("(cut: it has "), "{}", closed.reason.len());
    }
}

fn closing(body: Body) -> SessionClosed {
    let Body::SessionClosed(closed) = body else { panic!("another type") };
    closed
}

/// What a record tells of one exec.
fn recorded(argv: Vec<String>) -> (ProcessExecuted, Vec<Event>) {
    let place = Place::new();
    let journal = place.journal();
    let executed = ProcessExecuted { argv, ..samples::executed() };
    journal
        .observe(Draft::new(samples::at(1), Actor::Keeper, Body::ProcessExecuted(executed)))
        .unwrap();
    journal.flush().unwrap();
    let mut found = events(&place);
    let Body::ProcessExecuted(executed) = found.pop().unwrap().body else { panic!("no exec") };
    (executed, found)
}

#[test]
fn an_exec_with_more_arguments_than_an_event_holds_is_recorded_with_digest_length_and_beginning() {
    let shapes = [
        vec!["x".repeat(120_000)],
        vec!["é".repeat(50_000); 3],
        vec![String::new(); 300_000],
        (0..100_000).map(|n| n.to_string()).collect(),
        vec!["\u{1}".repeat(20_000), "b".to_owned()],
        vec!["x".repeat(MAX_ARGUMENT_BYTES + 1)],
    ];
    for rest in shapes {
        let argv = [vec!["/bin/echo".to_owned()], rest].concat();
        let (executed, _) = recorded(argv.clone());
        let text: String = argv.iter().map(|argument| format!("{argument}\0")).collect();
        let whole = WholeList {
            bytes: text.len() as u64,
            count: argv.len() as u64,
            digest: Digest::of(text.as_bytes()),
        };
        assert_eq!((executed.argv_cut, executed.argv_whole), (true, Some(whole)));
        assert!(executed.argv.len() > 1 && executed.argv.len() <= argv.len());
        let last = executed.argv.len() - 1;
        assert_eq!(executed.argv[..last], argv[..last]);
        assert!(argv[last].starts_with(&executed.argv[last]));
    }
    let short = vec!["/bin/echo".to_owned(), "x".repeat(4000)];
    let (executed, _) = recorded(short.clone());
    assert_eq!((executed.argv, executed.argv_cut, executed.argv_whole), (short, false, None));
}

#[test]
fn a_credential_on_the_border_where_arguments_are_cut_is_redacted_whole() {
    let key = ["AKIA", "Q3EGPN5XWVYT", "7LKB"].concat();
    for before in MAX_ARGUMENT_BYTES - 60..MAX_ARGUMENT_BYTES + 20 {
        let argument = format!("{} {key} {}", "x".repeat(before), "y".repeat(9000));
        let (executed, others) = recorded(vec!["tool".to_owned(), argument]);
        let text = executed.argv.concat();
        assert!((5..key.len()).all(|end| !text.contains(&key[..end])), "{before}");
        assert_eq!(others.len(), 1, "its redaction is told");
    }
}
