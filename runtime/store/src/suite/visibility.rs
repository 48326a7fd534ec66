//! Who sees which sessions, and finding one by the beginning of its id.

use std::collections::BTreeSet;

use super::pages::walk;
use super::rows::{Random, project_name, save_sessions, session, session_id, user_name};
use super::sessions::{ids, mixed, plain};
use crate::{MAX_PAGE, PageRequest, SessionFilter, SessionRow, SessionSort, Store, Visibility};

/// Members see their projects, and everybody what they asked for: no filter shows more.
pub async fn everybody_sees_what_is_theirs_and_nothing_else(store: &dyn Store) {
    let rows = mixed(&mut Random(6), 150);
    save_sessions(store, &rows).await;
    let projects = [vec![], vec!["core"], vec!["web", "docs"], vec!["nobody-s"]];
    for projects in projects {
        for own in [None, Some("ada"), Some("zoë"), Some("nobody")] {
            let visibility = Visibility {
                everything: false,
                projects: projects.iter().map(|name| project_name(name)).collect(),
                own: own.map(user_name),
            };
            let all = SessionFilter::all(visibility.clone());
            let filters = [
                all.clone(),
                SessionFilter { project: Some(project_name("core")), ..all.clone() },
                SessionFilter { project: Some(project_name("web-2")), ..all.clone() },
                SessionFilter { requester: Some(user_name("ada")), ..all.clone() },
                SessionFilter { requester: Some(user_name("bob")), ..all.clone() },
                SessionFilter {
                    project: Some(project_name("docs")),
                    requester: Some(user_name("zoë")),
                    ..all
                },
            ];
            for filter in filters {
                let page = store.sessions(&filter, &PageRequest::first(MAX_PAGE)).await;
                let found = page.expect("a page").items;
                assert!(found.iter().all(|row| visibility.shows(row)), "{filter:?}");
                assert_eq!(ids(&found), plain(&rows, &filter), "{filter:?}");
            }
        }
    }
}

/// Nothing to see is an empty page, not an error and not everything.
pub async fn whoever_sees_nothing_gets_an_empty_page(store: &dyn Store) {
    save_sessions(store, &[session(1), session(2)]).await;
    let nothing = Visibility { everything: false, projects: BTreeSet::new(), own: None };
    for sort in [SessionSort::NewestFirst, SessionSort::LastChangedFirst] {
        let filter = SessionFilter { sort, ..SessionFilter::all(nothing.clone()) };
        let page = store.sessions(&filter, &PageRequest::first(5)).await.expect("a page");
        assert!(page.items.is_empty() && page.next.is_none());
    }
}

/// Members of hundreds of projects get one list, in order and by page.
pub async fn many_projects_are_seen_in_one_order(store: &dyn Store) {
    let mut random = Random(7);
    let rows: Vec<SessionRow> = (0..900)
        .map(|n| {
            let mut row = session(n);
            row.project = project_name(&format!("p{}", random.below(400)));
            row
        })
        .collect();
    save_sessions(store, &rows).await;
    let projects = (0..300).map(|n| project_name(&format!("p{n}"))).collect();
    let visibility = Visibility { everything: false, projects, own: Some(user_name("nobody")) };
    for sort in [SessionSort::NewestFirst, SessionSort::OldestFirst, SessionSort::LastChangedFirst]
    {
        let filter = SessionFilter { sort, ..SessionFilter::all(visibility.clone()) };
        let found = walk(41, async |page| store.sessions(&filter, &page).await).await;
        assert_eq!(ids(&found), plain(&rows, &filter));
    }
}

/// Every beginning of an id finds it, hyphens or not at its end; what no id begins like finds nothing.
pub async fn an_id_is_found_by_any_beginning(store: &dyn Store) {
    let rows: Vec<SessionRow> = (0..40).map(|n| session(n * n * 1_000)).collect();
    save_sessions(store, &rows).await;
    let whole = session_id(9_000).to_string();
    let all = SessionFilter::all(Visibility::everything());
    let mut prefixes: Vec<String> = (0..=whole.len()).map(|end| whole[..end].to_owned()).collect();
    prefixes.extend([whole.to_uppercase(), whole.replace('-', ""), format!("{whole}0")]);
    prefixes.extend(["g", "-", "%", "_", "01_", "'", "é"].map(str::to_owned));
    for prefix in prefixes {
        let filter = SessionFilter { prefix: Some(prefix), ..all.clone() };
        let page = store.sessions(&filter, &PageRequest::first(MAX_PAGE)).await.expect("a page");
        assert_eq!(ids(&page.items), plain(&rows, &filter), "{:?}", filter.prefix);
    }
}
