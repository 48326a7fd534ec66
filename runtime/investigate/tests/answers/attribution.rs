//! Which session wrote it: by commit, tree, content and line, and never by guessing.

use custody_investigate::attribute::{Assurance, Attributed, Tier};
use custody_investigate::neighbour::Reach;
use custody_investigate::report::Answer;
use custody_investigate::statement::Topic;
use custody_model::SessionId;

use crate::ground::{Act, Ground};

fn found(attributed: &Attributed) -> Vec<(SessionId, Tier)> {
    attributed.attributions.iter().map(|found| (found.session, found.tier)).collect()
}

#[tokio::test]
async fn a_commit_is_its_sessions_before_and_after_it_was_rewritten() {
    let ground = Ground::new().await;
    ground.git(&["checkout", "--quiet", "-b", "work"]);
    ground.commit(&[("a.txt", "one\nTWO\nthree\n")], "First");
    ground.commit(&[("c.txt", "c\n")], "Second");
    let acts =
        [Act::Write("a.txt"), Act::Commit("work~1"), Act::Write("c.txt"), Act::Commit("work")];
    let session = ground.session("ada@example.com", 0, &acts).await;
    ground.mirror();
    assert_eq!(found(&ground.attribute("work").await), [(session, Tier::Commit)]);

    ground.git(&["checkout", "--quiet", "main"]);
    ground.git(&["merge", "--quiet", "--squash", "work"]);
    ground.commit(&[], "Both at once");
    let squashed = ground.attribute("main").await;
    assert_eq!(found(&squashed), [(session, Tier::Tree)]);
    let event = squashed.attributions[0].event.unwrap();
    assert_eq!(event.seq, 5, "the last of its commits with that tree");

    ground.git(&["reset", "--quiet", "--hard", "main~1"]);
    ground.commit(&[("other.txt", "o\n")], "Somebody else's");
    ground.git(&["cherry-pick", "work~1"]);
    let picked = ground.attribute("main").await;
    assert_eq!(found(&picked), [(session, Tier::Blob)]);
    assert_eq!(picked.attributions[0].files, ["a.txt".parse().unwrap()]);
    assert!(found(&ground.attribute("main~1").await).is_empty());
}

#[tokio::test]
async fn a_line_is_the_sessions_that_wrote_it_and_not_that_of_one_that_kept_it() {
    let ground = Ground::new().await;
    ground.git(&["checkout", "--quiet", "-b", "work"]);
    ground.commit(&[("a.txt", "one\nTWO\nthree\n")], "First");
    let session =
        ground.session("ada@example.com", 0, &[Act::Write("a.txt"), Act::Commit("work")]).await;
    ground.mirror();
    assert_eq!(found(&ground.attribute("a.txt:2@work").await), [(session, Tier::Commit)]);
    assert!(found(&ground.attribute("a.txt:1@work").await).is_empty());

    // The same content with another history: every line is the new commit's, as far as its own history tells.
    ground.git(&["checkout", "--quiet", "--orphan", "anew"]);
    ground.commit(&[("z.txt", "z\n")], "All anew");
    let written = ground.attribute("a.txt:2@anew").await;
    assert_eq!(found(&written), [(session, Tier::Blob)]);
    assert_eq!(written.text.as_deref(), Some("TWO"));
    let kept = ground.attribute("a.txt:1@anew").await;
    assert!(kept.attributions.is_empty());
    assert!(kept.notes[0].contains("the line was there before"), "{:?}", kept.notes);

    std::fs::remove_dir_all(ground.path().join("shop.git")).unwrap();
    let unknown = ground.attribute("a.txt:2@anew").await;
    assert!(unknown.attributions.is_empty());
    assert!(unknown.notes[0].contains("not here to tell"), "{:?}", unknown.notes);
}

#[tokio::test]
async fn a_trailer_declares_and_an_uncommitted_line_is_nobodys() {
    let ground = Ground::new().await;
    let session = ground.session("ada@example.com", 0, &[Act::Read("a.txt")]).await;
    ground.commit(&[("a.txt", "x\n")], &format!("Said so\n\nCustody-Session: {session}"));
    let declared = ground.attribute("HEAD").await;
    assert_eq!(found(&declared), [(session, Tier::Declared)]);
    assert_eq!(declared.attributions[0].assurance, Assurance::SelfReported);
    ground.commit(&[("a.txt", "y\n")], "Said so\n\nCustody-Session: nobody");
    let nobody = ground.attribute("HEAD").await;
    assert!(nobody.attributions.is_empty());
    assert!(nobody.notes[0].contains("names no session"));

    std::fs::write(ground.repository().join("a.txt"), "new\n").unwrap();
    let line = ground.attribute("a.txt:1").await;
    assert_eq!((line.commit, line.attributions.len(), line.notes.len()), (None, 0, 1));
}

#[tokio::test]
async fn an_empty_commit_is_nobodys_but_of_the_session_that_made_it() {
    let ground = Ground::new().await;
    ground.git(&["checkout", "--quiet", "-b", "work"]);
    let empty = ground.commit(&[], "Nothing");
    let session = ground.session("ada@example.com", 0, &[Act::Commit("work")]).await;
    assert_eq!(found(&ground.attribute(&empty).await), [(session, Tier::Commit)]);
    ground.git(&["checkout", "--quiet", "main"]);
    let other = ground.commit(&[], "Also nothing");
    assert!(ground.attribute(&other).await.attributions.is_empty());
}

#[tokio::test]
async fn an_answer_reads_the_records_of_the_sessions_that_it_names_and_says_what_it_lacks() {
    let mut ground = Ground::new().await;
    let commit = ground.commit(&[("a.txt", "x\n")], "First");
    let session =
        ground.session("ada@example.com", 0, &[Act::Write("a.txt"), Act::Commit(&commit)]).await;
    let other = ground.session("bob@example.com", 2, &[Act::Write("a.txt")]).await;
    std::fs::remove_dir_all(ground.record(other)).unwrap();
    let answer = ground.ask(&commit, Reach::default()).await;
    assert_eq!(ground.looked_up(), [session]);
    let finding = &answer.findings[0];
    assert_eq!(finding.neighbours.as_ref().unwrap().sessions[0].session, other);
    let text = |topic| finding.statements.iter().find(|s| s.topic == topic).unwrap().text.clone();
    assert_eq!(text(Topic::Wrote), "1 file");
    assert!(text(Topic::Requester).starts_with("ada@example.com"));
    for statement in &finding.statements {
        assert_eq!(statement.evidence.is_empty(), statement.assurance == Assurance::Absent);
    }
    let json = serde_json::to_string(&answer).unwrap();
    assert_eq!(serde_json::from_str::<Answer>(&json).unwrap(), answer);

    let lacks = |answer: &Answer| {
        let finding = &answer.findings[0];
        assert_eq!((&finding.summary, &finding.neighbours), (&None, &None));
        finding.statements[1].text.clone()
    };
    std::fs::write(ground.record(session).join("checkpoint"), "nothing\n").unwrap();
    let unreadable = ground.ask(&commit, Reach::default()).await;
    assert!(lacks(&unreadable).contains("can't be read"));
    assert_eq!(unreadable.unread[0].session, session);
    std::fs::remove_dir_all(ground.record(session)).unwrap();
    assert!(lacks(&ground.ask(&commit, Reach::default()).await).contains("no record"));
    ground.hidden = Some(session);
    assert!(lacks(&ground.ask(&commit, Reach::default()).await).contains("may be seen"));
}

#[test]
fn an_answer_has_a_schema() {
    let schema = schemars::schema_for!(Answer).to_value();
    let properties = schema["properties"].as_object().unwrap();
    for member in ["question", "commit", "text", "findings", "notes", "unread"] {
        assert!(properties.contains_key(member), "{member}");
    }
}
