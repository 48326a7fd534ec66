//! The store as a whole: emptied, compared.

use std::collections::BTreeSet;

use super::rows::{
    Random, all_of_one_session, project_name, save, second, session, session_id, unit, user_name,
};
use crate::{
    Change, Holder, LeaseRow, PageRequest, Room, SessionFilter, Store, Taken, UnitOfWork,
    Visibility,
};

async fn dump(store: &dyn Store) -> Vec<String> {
    store.dump().await.expect("a dump")
}

/// What is derived is gone, as on the first day; leases are not derived.
pub async fn clearing_leaves_the_leases_and_nothing_else(store: &dyn Store) {
    let lease = LeaseRow {
        session: session_id(1),
        holder: Holder::new("a"),
        until: second(100),
        user: user_name("ada"),
        project: project_name("core"),
    };
    let taken = store.lease(&lease, second(0), &Room::ENDLESS).await.expect("an answer");
    assert_eq!(taken, Taken::Taken);
    let changes: Vec<Change> = (0..20).flat_map(all_of_one_session).collect();
    let unit = UnitOfWork { control: Some((0, 7)), record: None, changes };
    store.save(unit.clone()).await.expect("it is at 0");
    let filled = dump(store).await;
    for _ in 0..2 {
        store.clear().await.expect("it is cleared");
        assert!(dump(store).await.is_empty());
        assert_eq!(store.applied().await.expect("a number"), 0);
        assert_eq!(store.leases().await.expect("a read"), std::slice::from_ref(&lease));
        let all = SessionFilter::all(Visibility::everything());
        let page = store.sessions(&all, &PageRequest::first(5)).await.expect("a page");
        assert!(page.items.is_empty());
        assert_eq!(store.session(session_id(1)).await.expect("a read"), None);
    }
    // It takes everything again, keys of requests included.
    store.save(unit).await.expect("it is at 0");
    assert_eq!(dump(store).await, filled);
}

/// Filled in any order, by units of any size, with rows saved twice: the same lines.
pub async fn the_order_of_filling_leaves_no_trace(store: &dyn Store) {
    let mut changes: Vec<Change> = (0..30).flat_map(all_of_one_session).collect();
    save(store, changes.clone()).await;
    let expected = dump(store).await;
    assert_eq!(expected.len(), changes.len());
    let mut random = Random(9);
    for _ in 0..3 {
        store.clear().await.expect("it is cleared");
        random.shuffle(&mut changes);
        let mut rest = &changes[..];
        while !rest.is_empty() {
            let size = usize::try_from(1 + random.below(40)).expect("small").min(rest.len());
            save(store, rest[..size].to_vec()).await;
            rest = &rest[size..];
        }
        save(store, changes[..10].to_vec()).await;
        assert_eq!(dump(store).await, expected);
    }
}

/// One line for each row, of its table; a change of any row changes a line.
pub async fn a_dump_tells_every_row_and_every_change(store: &dyn Store) {
    save(store, all_of_one_session(1)).await;
    let lines = dump(store).await;
    let mut tables = BTreeSet::new();
    for line in &lines {
        let (table, json) = line.split_once('\t').expect("a table and a row");
        assert!(serde_json::from_str::<serde_json::Value>(json).expect("JSON").is_object());
        assert!(!line.contains('\n'));
        tables.insert(table);
    }
    assert_eq!(lines.len(), all_of_one_session(1).len());
    assert_eq!(tables.len(), 9, "one table for each kind of row: {tables:?}");
    assert!(lines.is_sorted());

    let mut row = session(2);
    let mut before = dump(store).await;
    for change in 0..4 {
        match change {
            0 => {}
            1 => row.counts.gaps += 1,
            2 => row.events += 1,
            _ => row.reason = Some("another".to_owned()),
        }
        store.save(unit(vec![Change::Session(Box::new(row.clone()))])).await.expect("saved");
        let after = dump(store).await;
        assert_eq!(after.iter().filter(|line| !before.contains(line)).count(), 1);
        before = after;
    }
}
