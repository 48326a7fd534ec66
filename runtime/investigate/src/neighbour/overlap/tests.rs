//! The ranking, row by row.

use custody_store::Touch;

use super::*;

const READ: Touch = Touch { read: true, written: false, removed: false, denied: false };
const WROTE: Touch = Touch { read: false, written: true, removed: false, denied: false };
const REMOVED: Touch = Touch { read: false, written: false, removed: true, denied: false };
const DENIED: Touch = Touch { read: false, written: false, removed: false, denied: true };

fn id(n: u8) -> SessionId {
    SessionId::new(Timestamp::from_micros(1_000_000), [n; 10])
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros(seconds * 1_000_000)
}

fn row(session: u8, path: &str, touch: Touch, (first, last): (i64, i64)) -> FileRow {
    FileRow {
        session: id(session),
        repository: "shop".to_owned(),
        path: path.parse().unwrap(),
        touch,
        first_at: at(first),
        last_at: at(last),
        first_seq: 3,
        last_seq: 9,
        read_blob: None,
        read_digest: None,
        written_blob: None,
        written_digest: None,
    }
}

const SPAN: Span = Span { from: at_const(100), until: Some(at_const(200)) };

const fn at_const(seconds: i64) -> Timestamp {
    Timestamp::from_micros(seconds * 1_000_000)
}

fn order(own: &[FileRow], theirs: &[FileRow], first: Option<&str>) -> Vec<SessionId> {
    let first = first.map(|path| path.parse().unwrap());
    overlaps(own, theirs, SPAN, first.as_ref(), 10).into_iter().map(|(id, _)| id).collect()
}

#[test]
fn who_changed_the_same_file_comes_before_who_read_it_and_both_before_who_was_refused() {
    let own = [row(1, "a", WROTE, (110, 120)), row(1, "b", READ, (110, 120))];
    let theirs = [
        row(6, "b", DENIED, (150, 150)),
        row(5, "b", READ, (150, 150)),
        row(4, "b", WROTE, (150, 150)),
        row(3, "a", READ, (150, 150)),
        row(2, "a", REMOVED, (150, 150)),
    ];
    assert_eq!(order(&own, &theirs, None), [2, 3, 4, 5, 6].map(id));
    let found = overlaps(&own, &theirs, SPAN, None, 10);
    let who: Vec<WhoDid> = found.iter().map(|(_, overlap)| overlap.who).collect();
    assert_eq!(
        who,
        [
            WhoDid::BothChanged,
            WhoDid::NeighbourRead,
            WhoDid::NeighbourChanged,
            WhoDid::BothRead,
            WhoDid::Refused
        ]
    );
}

#[test]
fn who_ran_meanwhile_comes_first_then_who_is_nearest() {
    let own = [row(1, "a", WROTE, (110, 120))];
    let theirs = [
        row(2, "a", WROTE, (10, 20)),
        row(3, "a", WROTE, (250, 260)),
        row(4, "a", WROTE, (199, 300)),
        row(5, "a", WROTE, (80, 90)),
        row(6, "a", WROTE, (50, 250)),
    ];
    let found = overlaps(&own, &theirs, SPAN, None, 10);
    let seen: Vec<(SessionId, Relation)> =
        found.iter().map(|(id, overlap)| (*id, overlap.relation)).collect();
    let expected = [
        (id(4), Relation::During),
        (id(6), Relation::During),
        (id(5), Relation::Before),
        (id(2), Relation::Before),
        (id(3), Relation::After),
    ];
    assert_eq!(seen, expected);
}

#[test]
fn nothing_is_after_a_session_that_lives() {
    let own = [row(1, "a", WROTE, (110, 120))];
    let theirs = [row(2, "a", READ, (900, 900))];
    let alive = Span { until: None, ..SPAN };
    assert_eq!(overlaps(&own, &theirs, alive, None, 10)[0].1.relation, Relation::During);
}

#[test]
fn who_touched_the_file_that_was_asked_for_comes_first_and_so_does_that_file() {
    let own = [row(1, "a", WROTE, (110, 120)), row(1, "z", READ, (110, 120))];
    let theirs =
        [row(2, "a", WROTE, (150, 150)), row(3, "a", WROTE, (10, 10)), row(3, "z", READ, (10, 10))];
    assert_eq!(order(&own, &theirs, None), [2, 3].map(id));
    assert_eq!(order(&own, &theirs, Some("z")), [3, 2].map(id));
    let first = "z".parse().unwrap();
    let found = overlaps(&own, &theirs, SPAN, Some(&first), 10);
    assert_eq!(found[0].1.paths[0].path, first);
}

#[test]
fn paths_beyond_the_limit_are_counted() {
    let names: Vec<String> = (0..30).map(|n| format!("f{n:02}")).collect();
    let own: Vec<FileRow> = names.iter().map(|name| row(1, name, WROTE, (110, 120))).collect();
    let mut theirs: Vec<FileRow> =
        names.iter().map(|name| row(2, name, READ, (110, 120))).collect();
    theirs[29].touch.written = true;
    let found = overlaps(&own, &theirs, SPAN, None, 10);
    let overlap = &found[0].1;
    assert_eq!((overlap.paths.len(), overlap.path_count), (10, 30));
    assert_eq!(overlap.paths[0].path.to_string(), "f29", "the most telling first");
    assert_eq!(overlap.paths[0].neighbour.deeds, BTreeSet::from([Deed::Read, Deed::Written]));
    assert_eq!((overlap.paths[0].neighbour.first_seq, overlap.paths[0].neighbour.last_seq), (3, 9));
}

#[test]
fn a_session_is_not_its_own_neighbour_and_other_files_are_no_overlap() {
    let own = [row(1, "a", WROTE, (110, 120))];
    let theirs = [row(1, "a", WROTE, (110, 120)), row(2, "b", WROTE, (110, 120))];
    assert!(order(&own, &theirs, None).is_empty());
}
