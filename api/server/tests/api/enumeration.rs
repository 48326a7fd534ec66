//! Every endpoint of the table against everybody who may call: who is answered what, and what is on record of it. An
//! endpoint without a line here fails.

use std::collections::BTreeMap;
use std::time::Duration;

use custody_api_types::endpoint::endpoints;
use custody_api_types::{Endpoint, Operation as Op};
use custody_model::{Scope, Timestamp, TokenKind};
use custody_record::control::{CallCompleted, ControlBody, ControlEvent};
use serde_json::json;

use crate::http::{Answer, Call};
use crate::installation::{APPROVED, Installation, POLICY, user};
use crate::recording::sealed;

/// The callers, in the order of the columns: nobody, an expired token, the developer whose things they are, a developer of
/// another project, an admin of the project, an admin and an auditor of the installation, an auditor of the project, and
/// somebody with every role whose token lacks the one scope.
const CALLERS: [&str; 9] = [
    "nobody",
    "expired",
    "dev",
    "stranger",
    "projectadmin",
    "admin",
    "auditor",
    "projectauditor",
    "narrow",
];

/// Those whose look-ups are on record.
const AUDITORS: [&str; 3] = ["auditor", "projectauditor", "narrow"];

/// The answers, in the order of the callers.
type Expected = [u16; 9];

const PUBLIC: Expected = [200; 9];
const KNOWN: Expected = [401, 401, 200, 200, 200, 200, 200, 200, 200];
const LISTED: Expected = [401, 401, 200, 200, 200, 200, 200, 200, 403];
const OF_PROJECT: Expected = [401, 401, 200, 404, 200, 200, 200, 200, 403];
const SEEN: Expected = OF_PROJECT;
const OWN: Expected = [401, 401, 200, 404, 404, 200, 200, 404, 403];
const READS_INSTALLATION: Expected = [401, 401, 403, 403, 403, 200, 200, 403, 403];
const SETS_INSTALLATION: Expected = [401, 401, 403, 403, 403, 200, 403, 403, 403];
const MAKES_INSTALLATION: Expected = [401, 401, 403, 403, 403, 201, 403, 403, 403];
const DECIDES: Expected = [401, 401, 403, 404, 200, 200, 403, 403, 403];

const CASES: &[(Op, Expected)] = &[
    (Op::Health, PUBLIC),
    (Op::Readiness, PUBLIC),
    (Op::Metrics, PUBLIC),
    (Op::Version, PUBLIC),
    (Op::OpenApi, PUBLIC),
    (Op::Docs, PUBLIC),
    (Op::Jwks, PUBLIC),
    (Op::InstallationGet, PUBLIC),
    (Op::Me, KNOWN),
    // Nobody's access token is exchanged: a service token is.
    (Op::TokenExchange, [401, 401, 403, 403, 403, 403, 403, 403, 403]),
    // One's own tokens are one's own matter, whatever the role.
    (Op::TokenCreate, [401, 401, 201, 201, 201, 201, 201, 201, 403]),
    (Op::TokenList, LISTED),
    (Op::TokenGet, OWN),
    (Op::TokenRevoke, [401, 401, 200, 404, 404, 200, 403, 404, 403]),
    (Op::UserCreate, MAKES_INSTALLATION),
    (Op::UserList, READS_INSTALLATION),
    (Op::UserGet, OWN),
    (Op::UserGrant, SETS_INSTALLATION),
    (Op::UserDisable, SETS_INSTALLATION),
    (Op::UserEnable, SETS_INSTALLATION),
    (Op::ProjectCreate, MAKES_INSTALLATION),
    (Op::ProjectList, LISTED),
    (Op::ProjectGet, OF_PROJECT),
    (Op::PolicyCreate, [401, 401, 403, 404, 201, 201, 403, 403, 403]),
    (Op::PolicyList, OF_PROJECT),
    (Op::PolicyGet, OF_PROJECT),
    (Op::PolicyActivate, DECIDES),
    (Op::PolicyDiff, OF_PROJECT),
    (Op::PolicyExplain, OF_PROJECT),
    // What lies on the server's machine is registered by an admin of the installation alone.
    (Op::RepositoryRegister, MAKES_INSTALLATION),
    (Op::RepositoryList, LISTED),
    (Op::RepositoryGet, OF_PROJECT),
    (Op::ImageList, LISTED),
    (Op::SessionCreate, [401, 401, 201, 404, 403, 403, 403, 403, 403]),
    (Op::SessionList, LISTED),
    (Op::SessionGet, SEEN),
    (Op::SessionApprove, DECIDES),
    (Op::SessionReject, DECIDES),
    // Those who may are told that it is not over.
    (Op::SessionErase, [401, 401, 403, 404, 409, 409, 403, 403, 403]),
    (Op::SessionHold, DECIDES),
    (Op::SessionRelease, DECIDES),
    (Op::SessionStop, [401, 401, 200, 404, 200, 200, 403, 403, 403]),
    // Those who may are told that it does not run.
    (Op::SessionSignal, [401, 401, 409, 404, 409, 409, 403, 403, 403]),
    (Op::SessionSummary, SEEN),
    (Op::SessionEvents, SEEN),
    (Op::SessionStream, SEEN),
    (Op::SessionFiles, SEEN),
    (Op::SessionDiff, SEEN),
    (Op::SessionBranch, SEEN),
    (Op::SessionTerminal, SEEN),
    (Op::SessionOutputs, SEEN),
    (Op::SessionRecord, SEEN),
    (Op::SessionExport, SEEN),
    // Auditors alone; the record as it is stays with those who may see it.
    (Op::SessionEvidence, [401, 401, 403, 404, 403, 403, 200, 200, 403]),
    (Op::SessionVerify, SEEN),
    // Those who may are told that it is a WebSocket.
    (Op::SessionAttach, [401, 401, 426, 404, 426, 426, 426, 426, 403]),
    (Op::Investigate, SEEN),
    (Op::RetentionList, READS_INSTALLATION),
    (Op::RetentionSweep, SETS_INSTALLATION),
    (Op::ControlEvents, READS_INSTALLATION),
    (Op::ControlVerify, READS_INSTALLATION),
    // Nothing is published here.
    (Op::LogCheckpoint, KNOWN),
    (Op::LogTile, KNOWN),
    (Op::LogEntries, READS_INSTALLATION),
    (Op::ControlCheckpoint, READS_INSTALLATION),
    (Op::ControlTile, READS_INSTALLATION),
    (Op::SessionCheckpoint, SEEN),
    (Op::SessionTile, SEEN),
];

/// What the calls are about, and fresh things for those that change them.
struct Subjects {
    sealed: String,
    count: u64,
}

impl Subjects {
    fn name(&mut self) -> String {
        self.count += 1;
        format!("made-{}", self.count)
    }

    /// A call that everybody who may makes with success.
    async fn call(&mut self, installation: &Installation, endpoint: &Endpoint) -> Call {
        let policy = installation.policy.to_string();
        let mut parameters: Vec<String> = Vec::new();
        for name in endpoint.path_parameters() {
            parameters.push(match name {
                "project" => "default".to_owned(),
                "policy" => policy.clone(),
                "repository" => installation.repository.clone(),
                "session" => self.session(installation, endpoint.operation).await,
                "format" => "json-lines".to_owned(),
                // By now the calls themselves fill one.
                "tile" if endpoint.operation == Op::ControlTile => {
                    installation.plane().integrate().await.unwrap();
                    "0/000".to_owned()
                }
                "tile" if endpoint.operation == Op::SessionTile => "0/000.p/7".to_owned(),
                "tile" => "0/000.p/1".to_owned(),
                "bundle" => "000.p/1".to_owned(),
                "user" => match endpoint.operation {
                    Op::UserGet => "dev".to_owned(),
                    _ => "colleague".to_owned(),
                },
                "token" => {
                    let token =
                        installation.mint("dev", TokenKind::Access, Scope::ALL.into()).await;
                    let now = installation.plane().now();
                    installation
                        .identity
                        .verify(&token, now)
                        .await
                        .unwrap()
                        .token
                        .unwrap()
                        .to_string()
                }
                other => panic!("no subject for {other}"),
            });
        }
        let parameters: Vec<&str> = parameters.iter().map(String::as_str).collect();
        let call = Call::new(endpoint.method.as_str(), &endpoint.path_with(&parameters));
        let source = installation.dir.path().join("default-source");
        let body = match endpoint.operation {
            Op::TokenCreate => json!({ "lifetime_seconds": 60 }),
            Op::UserCreate => json!({ "name": self.name() }),
            Op::UserGrant => json!({ "projects": { "default": ["developer"] } }),
            Op::ProjectCreate => json!({ "name": self.name() }),
            Op::PolicyCreate => json!({ "document": POLICY }),
            Op::PolicyExplain => json!({ "action": "file.read", "argument": "README" }),
            Op::RepositoryRegister => json!({ "source": source }),
            Op::SessionCreate => {
                json!({ "repository": installation.repository, "command": ["true"] })
            }
            Op::SessionReject | Op::SessionErase | Op::SessionHold | Op::SessionRelease => {
                json!({ "reason": "no" })
            }
            Op::SessionSignal => json!({ "signal": 2 }),
            Op::Investigate => {
                json!({ "repository": installation.repository, "question": "README:1" })
            }
            _ if endpoint.body.is_some_and(|body| !body.optional) => {
                panic!("no body for {endpoint:?}")
            }
            _ => return call,
        };
        call.json(&body)
    }

    async fn session(&self, installation: &Installation, operation: Op) -> String {
        match operation {
            Op::SessionApprove | Op::SessionReject => installation.session(Some(APPROVED)).await,
            Op::SessionStop
            | Op::SessionErase
            | Op::SessionHold
            | Op::SessionRelease
            | Op::SessionSignal
            | Op::SessionAttach => installation.session(None).await,
            _ => return self.sealed.clone(),
        }
        .id
        .to_string()
    }
}

async fn token_of(
    installation: &Installation,
    caller: &str,
    endpoint: &Endpoint,
) -> Option<String> {
    match caller {
        "nobody" => None,
        "expired" => {
            let past =
                Timestamp::from_micros(installation.plane().now().as_micros() - 7_200_000_000);
            Some(installation.signed("dev", past, Duration::from_secs(60)).await)
        }
        "narrow" => {
            let scopes = Scope::ALL.into_iter().filter(|scope| Some(*scope) != endpoint.scope);
            Some(installation.mint("everyone", TokenKind::Access, scopes.collect()).await)
        }
        name => Some(installation.token(name).to_owned()),
    }
}

/// What is on record of a call is what has to be, and nothing else is.
fn check_record(endpoint: &Endpoint, caller: &str, answer: &Answer, events: &[ControlEvent]) {
    let known = answer.status != 401;
    let audited = endpoint.changes || (endpoint.looks_up && AUDITORS.contains(&caller));
    let at = format!("{endpoint:?} by {caller}: {events:#?}");
    let hands_out = matches!(endpoint.operation, Op::SessionRecord | Op::SessionExport);
    if !audited && hands_out && answer.status == 200 {
        // That a record is handed out is an event whoever gets it.
        let [exported] = events else { panic!("{at}") };
        return assert!(matches!(exported.body, ControlBody::EvidenceExported(_)), "{at}");
    }
    if !(known && audited) {
        assert!(events.is_empty(), "{at}");
        return;
    }
    let [call, effects @ .., completed] = events else { panic!("{at}") };
    let operation = match &call.body {
        ControlBody::CallRequested(call) if endpoint.changes => &call.operation,
        ControlBody::RecordAccessed(call) if !endpoint.changes => &call.operation,
        _ => panic!("{at}"),
    };
    assert_eq!(operation, endpoint.operation.as_str());
    let via = call.via.as_ref().expect("from where");
    assert!(via.token.is_some() && via.origin.address.starts_with("127.0.0.1:"), "{at}");
    assert_eq!(Some(via.origin.request.to_string().as_str()), answer.header("x-request-id"));
    let result = CallCompleted {
        status: answer.status,
        code: (answer.status >= 400).then(|| answer.json()["code"].as_str().unwrap().to_owned()),
    };
    assert_eq!(completed.body, ControlBody::CallCompleted(result), "{at}");
    for event in effects.iter().chain([completed]) {
        assert_eq!((event.cause, &event.actor), (Some(call.id), &call.actor), "{at}");
    }
    assert!(answer.status < 400 || effects.is_empty(), "a refused call had effects: {at}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everybody_is_answered_what_their_roles_and_scopes_allow_and_it_is_on_record() {
    let installation = Installation::start().await;
    let cases: BTreeMap<Op, Expected> = CASES.iter().copied().collect();
    assert_eq!(cases.len(), CASES.len(), "an operation has two lines");
    let sealed = sealed(&installation, 3).await.id.to_string();
    let mut subjects = Subjects { sealed, count: 0 };
    let mut wrong = Vec::new();
    for endpoint in endpoints() {
        let expected = cases.get(&endpoint.operation);
        let expected = expected.unwrap_or_else(|| panic!("{endpoint:?} has no line in the table"));
        for (caller, expected) in CALLERS.into_iter().zip(expected) {
            let mut call = subjects.call(&installation, endpoint).await;
            if let Some(token) = token_of(&installation, caller, endpoint).await {
                call = call.token(&token);
            }
            let before = installation.log_size();
            let answer = call.to(installation.address).await;
            if answer.status != *expected {
                let body = String::from_utf8_lossy(&answer.body).into_owned();
                wrong.push(format!(
                    "{endpoint:?} by {caller}: {} and not {expected}: {body}",
                    answer.status
                ));
                continue;
            }
            if answer.status >= 400 {
                let code = answer.json()["code"].as_str().unwrap().to_owned();
                answer.problem(*expected, &code);
                let documented = endpoint.errors().iter().any(|known| known.as_str() == code);
                assert!(documented, "{endpoint:?} answers {code}, which is not documented");
            } else if !matches!(endpoint.success.media_type, "text/event-stream") {
                let kind = answer.header("content-type").unwrap();
                assert!(kind.starts_with(endpoint.success.media_type.split(';').next().unwrap()));
            }
            check_record(endpoint, caller, &answer, &installation.log(before));
            // Whoever was disabled on the way is needed again.
            if matches!(endpoint.operation, Op::UserDisable) && answer.status == 200 {
                let (plane, server) = (installation.plane(), custody_control::Author::server());
                plane.switch_user(&server, &user("colleague"), true, "").await.unwrap();
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(installation.stop().await, "everything is finished when the server has drained");
}
