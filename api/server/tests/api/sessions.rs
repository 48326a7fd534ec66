//! Sessions over the API: asked for once, found, decided about by others, stopped.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use custody_control::Author;
use custody_record::control::{ControlBody, ProjectCreated};
use serde_json::{Value, json};

use crate::http::{Answer, Call};
use crate::installation::{APPROVED, Installation};

async fn ask(installation: &Installation, key: &str, body: &Value) -> Answer {
    let call = Call::post("/v1/sessions", body).token(installation.token("dev"));
    call.header("idempotency-key", key).to(installation.address).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_request_under_the_same_key_is_one_session() {
    let installation = Installation::start().await;
    let repository = &installation.repository;
    let body = json!({ "repository": repository, "command": ["make", "all"] });
    let first = ask(&installation, "k1", &body).await;
    assert_eq!(first.header("idempotency-replayed"), None);
    let first = first.ok(201);
    assert_eq!(first["state"]["state"], "queued");
    assert_eq!(first["place"], json!({ "place": 1, "of": 1 }));
    // The same in another order, with a default spelt out.
    let same = json!({ "command": ["make", "all"], "image": "host", "repository": repository });
    let again = ask(&installation, "k1", &same).await;
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    assert_eq!(again.ok(201)["id"], first["id"]);
    let other = json!({ "repository": repository, "command": ["make", "none"] });
    ask(&installation, "k1", &other).await.problem(409, "conflict");
    // Another person's key is another key.
    let call = Call::post("/v1/sessions", &other).token(installation.token("colleague"));
    let call = call.header("idempotency-key", "k1").to(installation.address).await;
    assert_ne!(call.ok(201)["id"], first["id"]);
    assert_eq!(
        ask(&installation, "", &body).await.problem(422, "invalid")["field"],
        "Idempotency-Key"
    );
    ask(&installation, &"k".repeat(256), &body).await.problem(422, "invalid");

    // At once, too.
    let body = json!({ "repository": repository, "command": ["make", "twice"] });
    let (one, two) = tokio::join!(ask(&installation, "k2", &body), ask(&installation, "k2", &body));
    let ids: Vec<Value> =
        [&one, &two].iter().filter(|a| a.status == 201).map(|a| a.json()["id"].clone()).collect();
    assert!(!ids.is_empty() && ids.windows(2).all(|pair| pair[0] == pair[1]), "{one:?} {two:?}");
    for answer in [&one, &two] {
        assert!(matches!(answer.status, 201 | 409), "{answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_is_found_by_its_beginning_and_only_by_those_who_may_see_it() {
    let installation = Installation::start().await;
    let to = installation.address;
    let id = installation.session(None).await.id.to_string();
    let get = |name: &str, text: &str| {
        Call::get(&format!("/v1/sessions/{text}")).token(installation.token(name))
    };
    for text in [id.as_str(), &id[..35], "last"] {
        assert_eq!(get("dev", text).to(to).await.ok(200)["id"], id.as_str());
    }
    for text in [id.as_str(), &id[..35], "last"] {
        get("colleague", text).to(to).await.problem(404, "not_found");
    }
    // What is not there, and what one may not see, is told in the same words.
    let unknown = id.replace(&id[30..], "000000");
    let detail = |answer: Answer| {
        answer.json()["detail"].as_str().unwrap().replace(&id, "ID").replace(&unknown, "ID")
    };
    assert_eq!(
        detail(get("colleague", &id).to(to).await),
        detail(get("colleague", &unknown).to(to).await)
    );
    installation.session(None).await;
    get("dev", "0").to(to).await.problem(409, "conflict");
    for text in ["zz", "LAST", "%2e%2e", &id.to_uppercase()] {
        get("dev", text).to(to).await.problem(404, "not_found");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_are_filtered_sorted_and_read_page_by_page() {
    let installation = Installation::start().await;
    let to = installation.address;
    let mut all = Vec::new();
    for n in 0..5 {
        let policy = (n % 2 == 1).then_some(APPROVED);
        all.push(installation.session(policy).await.id.to_string());
    }
    let list = |name: &str, query: &str| {
        Call::get(&format!("/v1/sessions?{query}")).token(installation.token(name))
    };
    let ids = |page: &Value| -> Vec<String> {
        let items = page["items"].as_array().unwrap().iter();
        items.map(|item| item["id"].as_str().unwrap().to_owned()).collect()
    };
    let oldest = list("dev", "sort=requested_at").to(to).await.ok(200);
    assert_eq!(ids(&oldest), all);
    let mut read = Vec::new();
    let mut after = String::new();
    loop {
        let page = list("projectadmin", &format!("limit=2{after}")).to(to).await.ok(200);
        assert!(page["items"].as_array().unwrap().len() <= 2);
        read.extend(ids(&page));
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => break,
        }
    }
    read.reverse();
    assert_eq!(read, all);
    let waiting = list("auditor", "state=awaiting_approval&state=sealed").to(to).await.ok(200);
    assert_eq!(waiting["items"].as_array().unwrap().len(), 2);
    let queued = list("dev", "state=queued&sort=requested_at").to(to).await.ok(200);
    let places: Vec<&Value> =
        queued["items"].as_array().unwrap().iter().map(|s| &s["place"]).collect();
    assert_eq!(
        places,
        [&json!({"place":1,"of":3}), &json!({"place":2,"of":3}), &json!({"place":3,"of":3})]
    );
    for (query, count) in [
        ("project=default", 5),
        ("project=other", 0),
        ("requester=dev", 5),
        ("requester=colleague", 0),
        ("since=2020-01-01T00:00:00%2B01:00", 5),
        ("until=2020-01-01T00:00:00Z", 0),
        (&format!("prefix={}", &all[0][..35]), 1),
        (&format!("repository={}", installation.repository), 5),
    ] {
        let page = list("admin", query).to(to).await.ok(200);
        assert_eq!(page["items"].as_array().unwrap().len(), count, "{query}");
        let stranger = list("stranger", query).to(to).await.ok(200);
        assert_eq!(stranger["items"].as_array().unwrap().len(), 0, "{query}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_approves_their_own_request_and_a_rejection_says_why() {
    let installation = Installation::start().await;
    let to = installation.address;
    // `everyone` is developer and admin at once.
    let body =
        json!({ "repository": installation.repository, "command": ["true"], "policy": APPROVED });
    let own = Call::post("/v1/sessions", &body).token(installation.token("everyone"));
    let own = own.to(to).await.ok(201);
    assert_eq!(own["state"]["state"], "awaiting_approval");
    let id = own["id"].as_str().unwrap();
    let verb = |name: &str, verb: &str, body: &Value| {
        Call::post(&format!("/v1/sessions/{id}/{verb}"), body).token(installation.token(name))
    };
    verb("everyone", "approve", &json!({})).to(to).await.problem(403, "forbidden");
    verb("everyone", "reject", &json!({ "reason": "x" })).to(to).await.problem(403, "forbidden");
    let empty = verb("projectadmin", "reject", &json!({ "reason": " " })).to(to).await;
    assert_eq!(empty.problem(422, "invalid")["field"], "reason");
    let approved =
        verb("projectadmin", "approve", &json!({ "comment": "fine" })).to(to).await.ok(200);
    assert_eq!(approved["state"]["state"], "queued");
    assert_eq!(approved["approvals"][0]["comment"], "fine");
    verb("admin", "approve", &json!({})).to(to).await.problem(409, "conflict");

    let second = installation.session(Some(APPROVED)).await.id;
    let reject =
        Call::post(&format!("/v1/sessions/{second}/reject"), &json!({ "reason": "not today" }));
    let refused = reject.token(installation.token("projectadmin")).to(to).await.ok(200);
    assert_eq!(refused["state"]["state"], "refused");
    assert!(refused["state"]["reason"].as_str().unwrap().contains("not today"), "{refused}");
    assert!(refused["root"].is_string(), "a refusal has a sealed record");
    // Its record is there for whoever asked.
    let stream = Call::get(&format!("/v1/sessions/{second}/events/stream"));
    let stream = stream.token(installation.token("dev")).to(to).await;
    assert!(String::from_utf8_lossy(&stream.body).contains("event: end"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_is_sealed_and_indexed_however_many_control_events_come_meanwhile() {
    const REFUSALS: usize = 10;
    // Of one append: the store follows them one after the other, without a pause.
    const BURST: usize = 200;
    let installation = Installation::start().await;
    let plane = installation.orchestrator.plane().clone();
    let enough = Arc::new(AtomicBool::new(false));
    let writer = tokio::spawn({
        let (plane, enough) = (plane.clone(), enough.clone());
        async move {
            let mut made = 0;
            while !enough.load(Relaxed) {
                let bodies = (0..BURST).map(|number| {
                    let project = format!("p{}", made + number).parse().unwrap();
                    ControlBody::ProjectCreated(ProjectCreated {
                        project,
                        description: String::new(),
                    })
                });
                plane.record(&Author::server(), bodies.collect()).await.unwrap();
                made += BURST;
            }
            made
        }
    });
    for _refusal in 0..REFUSALS {
        let waiting = installation.session(Some(APPROVED)).await.id;
        let at = format!("/v1/sessions/{waiting}/reject");
        let reject = Call::post(&at, &json!({ "reason": "not today" }));
        let reject = reject.token(installation.token("projectadmin"));
        let refused = reject.to(installation.address).await.ok(200);
        assert!(refused["root"].is_string(), "a refusal has a sealed record: {refused}");
    }
    enough.store(true, Relaxed);
    let made = writer.await.unwrap();
    println!("{REFUSALS} refusals beside {made} other control events");
    assert!(made > REFUSALS, "nothing else was written meanwhile");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_admins_choose_the_policy_of_a_session_and_start_from_working_trees() {
    let installation = Installation::start().await;
    let to = installation.address;
    let ask = |name: &str, more: Value| {
        let mut body = json!({ "repository": installation.repository, "command": ["true"] });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        Call::post("/v1/sessions", &body).token(installation.token(name))
    };
    let answer = ask("dev", json!({ "policy": APPROVED })).to(to).await;
    assert_eq!(answer.problem(403, "forbidden")["field"], "policy");
    let answer = ask("dev", json!({ "dirty": true })).to(to).await;
    assert_eq!(answer.problem(403, "forbidden")["field"], "dirty");
    ask("everyone", json!({ "dirty": true })).to(to).await.ok(201);
    // A refusal by the policy is a session, not an error.
    let refused = ask("dev", json!({ "command": ["forbidden"] })).to(to).await.ok(201);
    assert_eq!(refused["state"]["state"], "refused");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settings_are_shown_to_whom_they_belong() {
    let installation = Installation::start().await;
    let to = installation.address;
    let names = |answer: Value| -> Vec<String> {
        let items = answer["items"].as_array().unwrap().iter();
        items.map(|item| item["name"].as_str().unwrap().to_owned()).collect()
    };
    for (name, projects) in [
        ("dev", vec!["default"]),
        ("stranger", vec!["other"]),
        ("auditor", vec!["default", "other"]),
    ] {
        let list = Call::get("/v1/projects").token(installation.token(name)).to(to).await;
        assert_eq!(names(list.ok(200)), projects);
    }
    let list = Call::get("/v1/repositories").token(installation.token("stranger")).to(to).await;
    assert_eq!(names(list.ok(200)), std::slice::from_ref(&installation.other_repository));
    let hidden =
        Call::get("/v1/repositories?project=default").token(installation.token("stranger"));
    hidden.to(to).await.problem(404, "not_found");
    let both =
        Call::get("/v1/repositories?limit=1").token(installation.token("admin")).to(to).await;
    assert!(both.ok(200)["next"].is_string());
    let images = Call::get("/v1/images").token(installation.token("dev")).to(to).await;
    assert_eq!(names(images.ok(200)), ["host"]);

    // A place from which nothing can be fetched is the client's mistake, and what git says stays here.
    let closed = format!("http://{}/none", std::net::SocketAddr::from(([127, 0, 0, 1], 1)));
    let nowhere = json!({ "source": closed, "fetch": true });
    let nowhere =
        Call::post("/v1/repositories", &nowhere).token(installation.token("projectadmin"));
    let problem = nowhere.to(to).await.problem(422, "invalid");
    assert_eq!(problem["field"], "source");
    assert!(!problem["detail"].as_str().unwrap().contains("127.0.0.1"), "{problem}");

    // Policies: kept, compared, activated, explained.
    let policies = "/v1/projects/default/policies";
    let admin = installation.token("projectadmin");
    let made =
        Call::post(policies, &json!({ "document": APPROVED })).token(admin).to(to).await.ok(201);
    let digest = made["digest"].as_str().unwrap();
    assert_eq!((&made["active"], &made["document"]), (&json!(false), &json!(APPROVED)));
    let of = |rest: &str| format!("{policies}/{digest}{rest}");
    let diff = Call::get(&of("/diff")).token(admin).to(to).await.ok(200);
    assert!(diff["diff"].as_str().unwrap().contains("+name: approved"), "{diff}");
    let active = Call::new("POST", &of("/activate")).token(admin).to(to).await.ok(200);
    assert_eq!(active["active"], true);
    let project = Call::get("/v1/projects/default").token(admin).to(to).await.ok(200);
    assert_eq!(project["active_policy"], digest);
    let explain = json!({ "action": "command.run", "argument": "make", "user": "dev" });
    let explained = Call::post(&of("/explain"), &explain).token(admin).to(to).await.ok(200);
    assert_eq!((&explained["decision"], &explained["user"]), (&json!("allow"), &json!("dev")));
    let wrong = Call::post(&of("/explain"), &json!({ "action": "fly" })).token(admin).to(to).await;
    assert_eq!(wrong.problem(422, "invalid")["field"], "action");
    let bad = Call::post(policies, &json!({ "document": "version: 7" })).token(admin).to(to).await;
    assert_eq!(bad.problem(422, "invalid")["field"], "document");
    // A digest of another project is none of this one.
    let elsewhere = of("").replace("default", "other");
    Call::get(&elsewhere).token(installation.token("admin")).to(to).await.problem(404, "not_found");
}
