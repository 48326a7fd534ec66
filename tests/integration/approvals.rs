//! Nothing runs unauthorised: who asked, who approved and who may not.

use custody_model::state::session::SessionState;
use custody_record::event::Body;
use custody_session::SessionError;

use crate::ground::{Ground, author, user};

#[tokio::test(flavor = "multi_thread")]
async fn a_session_runs_once_the_last_approval_is_there_and_never_by_its_own_requester() {
    let ground = Ground::new(2).await;
    let row = ground.create("boss-dana", "true").await;
    let id = row.id;
    assert!(matches!(row.state, SessionState::AwaitingApproval { .. }), "{row:#?}");
    let approve = async |name: &str| {
        ground.orchestrator.approve(&author(name), id, &user(name), "looks fine").await
    };
    for (name, why) in [("boss-dana", "own request"), ("eve", "does not name eve")] {
        let error = approve(name).await.unwrap_err();
        assert!(matches!(error, SessionError::Forbidden(_)), "{error}");
        assert!(error.to_string().contains(why), "{error}");
    }
    let row = approve("boss-a").await.unwrap();
    assert!(matches!(row.state, SessionState::AwaitingApproval { .. }), "one is missing");
    let error = approve("boss-a").await.unwrap_err();
    assert!(error.to_string().contains("already"), "{error}");
    approve("boss-b").await.unwrap();
    let row = ground.until_over(id).await;
    assert!(matches!(row.state, SessionState::Sealed { .. }), "{row:#?}");
    // The keeper asked the policy itself, and the approvers are in its first event.
    let reader = custody_record::Reader::open(&ground.orchestrator.record(id)).unwrap();
    let Body::SessionAuthorized(authorized) = reader.get(0).unwrap().unwrap().body else {
        panic!("the first event tells the authorisation");
    };
    assert_eq!(authorized.approvers, [user("boss-a"), user("boss-b")]);
    let error = approve("boss-c").await.unwrap_err();
    assert!(matches!(error, SessionError::Conflict { .. }), "{error}");
    ground.orchestrator.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_rejected_cancelled_or_refused_has_a_sealed_record_and_never_ran() {
    let ground = Ground::new(1).await;
    let script = "echo ran >>/workspace/ran";
    let rejected = ground.create("dana", script).await.id;
    let empty = ground.orchestrator.reject(&author("boss"), rejected, &user("boss"), " ").await;
    assert!(matches!(empty, Err(SessionError::Invalid { field: "reason", .. })));
    let own = ground.orchestrator.reject(&author("dana"), rejected, &user("dana"), "no").await;
    assert!(matches!(own, Err(SessionError::Forbidden(_))));
    ground
        .orchestrator
        .reject(&author("boss"), rejected, &user("boss"), "too risky")
        .await
        .unwrap();
    let cancelled = ground.create("dana", script).await.id;
    ground.orchestrator.stop(&author("dana"), cancelled, "changed my mind").await.unwrap();
    let mut asked = ground.asks("dana", script);
    asked.command = vec!["rm".to_owned(), "-rf".to_owned(), "/".to_owned()];
    let refused = ground.orchestrator.create(&author("dana"), asked).await.unwrap().row.id;
    for (id, word) in
        [(rejected, "rejected by boss: too risky"), (cancelled, "changed my mind"), (refused, "")]
    {
        let row = ground.row(id).await;
        let SessionState::Refused { reason, .. } = &row.state else { panic!("{row:#?}") };
        assert!(reason.contains(word), "{reason}");
        assert!(row.root.is_some(), "its record is sealed");
        let _ = ground.installation.verify(id).succeeded();
        let again = ground.orchestrator.stop(&author("dana"), id, "again").await;
        assert!(matches!(again, Err(SessionError::Conflict { .. })));
    }
    ground.orchestrator.shut_down().await;
}
