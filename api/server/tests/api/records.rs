//! Records over the API: pages, files, evidence.

use std::collections::BTreeMap;

use custody_record::evidence::{EvidenceOptions, verify_evidence};
use custody_record::verify::{Completeness, Integrity, KeyChoice, VerifyOptions};
use custody_record::{Event, Verifier};
use serde_json::{Value, json};

use crate::http::Call;
use crate::installation::Installation;
use crate::recording::{Recording, sealed};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_come_byte_for_byte_in_pages_and_by_type_and_path() {
    let installation = Installation::start().await;
    let to = installation.address;
    let row = sealed(&installation, 300).await;
    let get = |query: &str| {
        let target = format!("/v1/sessions/{}/events?{query}", row.id);
        Call::get(&target).token(installation.token("dev"))
    };
    let mut from = Some(0);
    let mut seen = 0;
    while let Some(start) = from {
        let answer = get(&format!("from={start}&limit=100")).to(to).await;
        let page: custody_api_types::event::EventPage =
            serde_json::from_slice(&answer.body).unwrap();
        for event in &page.items {
            // The text is the canonical one: nothing was written anew on the way.
            let parsed: Event = event.parse().unwrap();
            assert_eq!(parsed.seq, seen);
            seen += 1;
        }
        assert_eq!(page.end, page.next.is_none());
        from = page.next;
    }
    assert_eq!(seen, row.events);
    let of_type = get("type=file&limit=500").to(to).await.ok(200);
    assert_eq!(of_type["items"].as_array().unwrap().len(), 300);
    let session = get("type=session&type=terminal.recorded").to(to).await.ok(200);
    assert_eq!(session["items"].as_array().unwrap().len(), 4);
    let none = get("type=fil").to(to).await.ok(200);
    assert_eq!((none["items"].as_array().unwrap().len(), &none["end"]), (0, &json!(true)));
    let path = get("path=src/file_7.rs").to(to).await.ok(200);
    assert_eq!(path["items"].as_array().unwrap().len(), 1);
    let below = get("path=src&limit=1").to(to).await.ok(200);
    assert!(below["next"].is_u64() && below["end"] == false);
    let beyond = get("from=100000").to(to).await.ok(200);
    assert_eq!(beyond["items"], json!([]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_there_yet_is_told_apart_from_what_never_will_be() {
    let installation = Installation::start().await;
    let to = installation.address;
    let row = installation.session(None).await;
    let get = |rest: &str| {
        Call::get(&format!("/v1/sessions/{}/{rest}", row.id)).token(installation.token("dev"))
    };
    let page = get("events").to(to).await.ok(200);
    assert_eq!((&page["items"], &page["end"]), (&json!([]), &json!(false)));
    for rest in ["summary", "diff", "terminal", "record", "verify"] {
        get(rest).to(to).await.problem(409, "record_incomplete");
    }
    assert_eq!(get("files").to(to).await.ok(200)["items"], json!([]));
    let outputs = get("outputs").to(to).await.ok(200);
    assert_eq!((&outputs["commits"], outputs.get("branch")), (&json!([]), None));

    let recording = Recording::begin(&installation, &row);
    recording.opens("README");
    let live = get("events").to(to).await.ok(200);
    assert_eq!((live["items"].as_array().unwrap().len(), &live["end"]), (3, &json!(false)));
    assert_eq!(get("summary").to(to).await.ok(200)["read"][0]["path"], "README");
    let verdict = get("verify").to(to).await.ok(200);
    assert_eq!(verdict["completeness"], "open");
    get("diff").to(to).await.problem(409, "record_incomplete");
    recording.end();
    installation.index(row.id).await;
    assert_eq!(get("events").to(to).await.ok(200)["end"], true);
    assert_eq!(get("diff").to(to).await.body, b"");
    assert!(get("terminal").to(to).await.body.starts_with(b"{\"version\":3"));
    let files = get("files").to(to).await.ok(200);
    assert_eq!(
        (&files["items"][0]["path"], &files["items"][0]["read"]),
        (&json!("README"), &json!(true))
    );
    let verdict = get("verify").to(to).await.ok(200);
    assert_eq!(
        (&verdict["integrity"], &verdict["completeness"]),
        (&json!("intact"), &json!("complete"))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_that_is_handed_out_verifies_on_its_own() {
    let installation = Installation::start().await;
    let to = installation.address;
    let row = sealed(&installation, 300).await;
    let target = format!("/v1/sessions/{}/record", row.id);
    let answer = Call::get(&target).token(installation.token("auditor")).to(to).await;
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/x-tar")));
    let name = format!("attachment; filename=\"custody-{}.tar\"", row.id);
    assert_eq!(answer.header("content-disposition"), Some(name.as_str()));
    let dir = tempfile::tempdir().unwrap();
    tar::Archive::new(answer.body.as_slice()).unpack(dir.path()).unwrap();
    let record = dir.path().join(row.id.to_string());
    let key = Verifier::of_installation(&installation.state.keys()).unwrap();
    let report = custody_record::verify(&record, &VerifyOptions::new(KeyChoice::Given(key)));
    assert_eq!(
        (report.integrity, report.completeness, report.events),
        (Integrity::Intact, Completeness::Complete, row.events),
        "{report}"
    );
    let own = walk(&installation.orchestrator.record(row.id));
    assert_eq!(walk(&record), own);
}

/// The files below a directory, and what is in them.
fn walk(dir: &std::path::Path) -> BTreeMap<String, Vec<u8>> {
    let mut all = BTreeMap::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        if entry.file_type().unwrap().is_dir() {
            all.extend(walk(&entry.path()).into_iter().map(|(k, v)| (format!("{name}/{k}"), v)));
        } else {
            all.insert(name, std::fs::read(entry.path()).unwrap());
        }
    }
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_control_log_is_read_in_pages_and_verifies() {
    let installation = Installation::start().await;
    let to = installation.address;
    let get = |target: &str| Call::get(target).token(installation.token("admin"));
    let mut from = 0;
    let mut seqs = Vec::new();
    loop {
        let page = get(&format!("/v1/control/events?limit=7&from={from}")).to(to).await.ok(200);
        let items = page["items"].as_array().unwrap();
        seqs.extend(items.iter().map(|event| event["seq"].as_u64().unwrap()));
        match page["next"].as_u64() {
            Some(next) => from = next,
            None => break,
        }
    }
    let all: Vec<u64> = (0..installation.log_size()).collect();
    assert_eq!(seqs, all);
    let report = get("/v1/control/verify").to(to).await.ok(200);
    assert_eq!((&report["findings"], &report["signed"]), (&json!([]), &report["events"]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_question_is_answered_within_what_the_caller_may_see() {
    let installation = Installation::start().await;
    let to = installation.address;
    let ask = |name: &str, repository: &str, question: &str| {
        let body = json!({ "repository": repository, "question": question });
        Call::post("/v1/investigations", &body).token(installation.token(name))
    };
    let answer: Value = ask("auditor", &installation.repository, "README:1").to(to).await.ok(200);
    assert_eq!(answer["everything"], true);
    let answer: Value = ask("dev", &installation.repository, "README:1").to(to).await.ok(200);
    assert_eq!(answer["everything"], false);
    ask("dev", &installation.other_repository, "README:1").to(to).await.problem(404, "not_found");
    let none = ask("dev", &installation.repository, "?").to(to).await.problem(422, "invalid");
    assert_eq!(none["field"], "question");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn evidence_is_checked_by_itself_and_only_sealed_records_give_some() {
    let installation = Installation::start().await;
    let to = installation.address;
    let row = sealed(&installation, 20).await;
    let get = |target: String| {
        let call = Call::get(&target).token(installation.token("auditor"));
        async move { call.to(to).await }
    };
    let target = format!("/v1/sessions/{}/evidence", row.id);
    let key = Verifier::of_installation(&installation.state.keys()).unwrap();
    let options = EvidenceOptions::new(KeyChoice::Given(key));
    let mut seen = Vec::new();
    for query in ["", "?events=0-2,5&withhold_content=true"] {
        let answer = get(format!("{target}{query}")).await;
        assert_eq!(
            (answer.status, answer.header("content-type")),
            (200, Some("application/x-tar"))
        );
        let report = verify_evidence(&answer.body[..], &options);
        assert!(report.is_good(), "{report}");
        seen.push((report.events, report.disclosed_events));
        assert!(get(format!("{target}{query}")).await.body == answer.body, "reproducible");
    }
    assert!(seen[0].0 == seen[0].1 && seen[1].1 < seen[1].0, "{seen:?}");
    for query in ["?events=5,3", "?events=x", "?events=", "?unknown=1"] {
        let answer = get(format!("{target}{query}")).await;
        assert!(matches!(answer.status, 400 | 422), "{query}: {}", answer.status);
    }
    let open = installation.session(None).await;
    let answer = get(format!("/v1/sessions/{}/evidence", open.id)).await;
    assert_eq!(answer.status, 409);
    assert!(installation.stop().await);
}
