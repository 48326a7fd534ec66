//! Which other sessions worked nearby: by file and time, reads and refusals included.

use std::collections::BTreeSet;
use std::time::Duration;

use custody_investigate::neighbour::{Deed, Neighbours, Reach, Relation, WhoDid};
use custody_model::SessionId;
use custody_store::Visibility;

use crate::ground::{Act, Ground};

const DAYS: i64 = 86_400;

fn named(near: &Neighbours) -> Vec<(SessionId, Relation, WhoDid)> {
    let sessions = near.sessions.iter();
    sessions.map(|near| (near.session, near.overlap.relation, near.overlap.who)).collect()
}

async fn near(ground: &Ground, question: &str, reach: Reach) -> Neighbours {
    ground.ask(question, reach).await.findings[0].neighbours.clone().unwrap()
}

#[tokio::test]
async fn neighbours_are_told_with_what_both_sides_did_when_and_by_which_event() {
    let ground = Ground::new().await;
    let commit = ground.commit(&[("a.txt", "x\n")], "First");
    let acts = [Act::Read("b.txt"), Act::Write("a.txt"), Act::Denied("key"), Act::Commit(&commit)];
    let _session = ground.session("ada@example.com", 0, &acts).await;
    let after = ground.session("bob@example.com", 100, &[Act::Write("b.txt")]).await;
    let during =
        ground.session("eve@example.com", 1, &[Act::Read("a.txt"), Act::Read("b.txt")]).await;
    let before = ground.session("joe@example.com", -500, &[Act::Write("a.txt")]).await;
    let refused = ground.session("jim@example.com", 50, &[Act::Denied("key")]).await;
    let _elsewhere = ground.session("kim@example.com", 50, &[Act::Write("c.txt")]).await;

    let found = near(&ground, &commit, Reach::default()).await;
    let expected = [
        (before, Relation::Before, WhoDid::BothChanged),
        (during, Relation::During, WhoDid::NeighbourRead),
        (after, Relation::After, WhoDid::NeighbourChanged),
        (refused, Relation::After, WhoDid::Refused),
    ];
    assert_eq!(named(&found), expected);
    assert_eq!((found.session_count, found.hidden, found.cut), (4, 0, false));
    assert_eq!((found.compared, found.path_count), (3, 3));
    let first = &found.sessions[1];
    assert_eq!(first.requester.as_str(), "eve@example.com");
    assert_eq!(first.state.name(), "sealed");
    let shared = &first.overlap.paths[0];
    assert_eq!(shared.path.to_string(), "a.txt");
    assert_eq!(shared.session.deeds, BTreeSet::from([Deed::Written]));
    assert_eq!(shared.neighbour.deeds, BTreeSet::from([Deed::Read]));
    assert_eq!((shared.session.first_seq, shared.neighbour.first_seq), (3, 2));
}

#[tokio::test]
async fn a_line_names_those_who_touched_its_file_first() {
    let ground = Ground::new().await;
    ground.commit(&[("a.txt", "x\n"), ("b.txt", "y\n")], "First");
    let acts = [Act::Write("a.txt"), Act::Write("b.txt"), Act::Commit("HEAD")];
    let _session = ground.session("ada@example.com", 0, &acts).await;
    let writer = ground.session("bob@example.com", 1, &[Act::Write("a.txt")]).await;
    let reader = ground.session("eve@example.com", 100, &[Act::Read("b.txt")]).await;
    let order = |found: &Neighbours| named(found).iter().map(|(id, ..)| *id).collect::<Vec<_>>();
    assert_eq!(order(&near(&ground, "HEAD", Reach::default()).await), [writer, reader]);
    assert_eq!(order(&near(&ground, "b.txt:1", Reach::default()).await), [reader, writer]);
}

#[tokio::test]
async fn a_window_and_two_limits_say_how_far_is_looked() {
    let ground = Ground::new().await;
    let commit = ground.commit(&[("a.txt", "x\n")], "First");
    let acts = [Act::Write("a.txt"), Act::Read("b.txt"), Act::Commit(&commit)];
    let _session = ground.session("ada@example.com", 0, &acts).await;
    let long_ago = ground.session("bob@example.com", -40 * DAYS, &[Act::Write("a.txt")]).await;
    let later = ground
        .session("eve@example.com", 29 * DAYS, &[Act::Read("a.txt"), Act::Read("b.txt")])
        .await;
    let found = near(&ground, &commit, Reach::default()).await;
    assert_eq!(named(&found), [(later, Relation::After, WhoDid::NeighbourRead)]);
    let wide = Reach { before: Duration::from_secs(41 * 86_400), ..Reach::default() };
    let found = near(&ground, &commit, wide).await;
    assert_eq!((found.sessions.len(), found.sessions[0].session), (2, long_ago));
    let one = Reach { sessions: 1, paths: 1, ..wide };
    let found = near(&ground, &commit, one).await;
    assert_eq!((found.sessions.len(), found.session_count, found.cut), (1, 2, true));
    let narrow = Reach { after: Duration::from_secs(86_400), ..Reach::default() };
    assert!(near(&ground, &commit, narrow).await.sessions.is_empty());
}

#[tokio::test]
async fn who_may_not_see_a_session_learns_of_it_as_a_number() {
    let ground = Ground::new().await;
    let commit = ground.commit(&[("a.txt", "x\n")], "First");
    let acts = [Act::Write("a.txt"), Act::Commit(&commit)];
    let _session = ground.session("ada@example.com", 0, &acts).await;
    let mine = ground.session("ada@example.com", 10, &[Act::Read("a.txt")]).await;
    let _other = ground.session("bob@example.com", 20, &[Act::Write("a.txt")]).await;
    let own = Visibility {
        everything: false,
        projects: BTreeSet::new(),
        own: Some("ada@example.com".parse().unwrap()),
    };
    let answer = ground.ask_as(&commit, Reach::default(), &own).await;
    let found = answer.findings[0].neighbours.clone().unwrap();
    assert_eq!(named(&found), [(mine, Relation::After, WhoDid::NeighbourRead)]);
    assert_eq!((found.session_count, found.hidden), (2, 1));
    assert!(!serde_json::to_string(&answer).unwrap().contains("bob@example.com"));
}
