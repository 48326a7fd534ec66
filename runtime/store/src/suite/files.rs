//! Files: paths of any bytes, and what overlaps in time.

use custody_model::{SessionId, Timestamp, WorkspacePath};

use super::pages::walk;
use super::rows::{Random, blob, commit, file, oid, path, save, second, session_id};
use crate::{Change, FileRow, MAX_PAGE, PageRequest, Store};

async fn save_files(store: &dyn Store, rows: &[FileRow]) {
    for rows in rows.chunks(2_000) {
        save(store, rows.iter().cloned().map(Box::new).map(Change::File).collect()).await;
    }
}

/// Names that a database, a text form or a pattern might stumble over.
const ODD: [&[u8]; 18] = [
    b"a",
    b"a b",
    b"A",
    b"%",
    b"%41",
    b"a%",
    b"_",
    b"it's",
    b"\"quoted\"",
    b"x';--",
    b"line\nbreak",
    b"\xff\xfe",
    b"\x80/\xc3\x28",
    b"a/\x01",
    b"caf\xc3\xa9",
    b"cafe\xcc\x81",
    b"\\x41",
    b"dir/sub/file.rs",
];

/// Every path comes back as it was, is found by exactly its bytes, and sorts by them.
pub async fn paths_of_any_bytes_come_back(store: &dyn Store) {
    let mut names: Vec<&[u8]> = ODD.to_vec();
    let longest = [b'x'; 4_096];
    names.push(&longest);
    let mut rows: Vec<FileRow> = names.iter().map(|name| file(1, name, 2, 3)).collect();
    rows.push(FileRow { path: WorkspacePath::root(), ..file(1, b"a", 4, 5) });
    save_files(store, &rows).await;
    rows.sort_by(|a, b| a.path.cmp(&b.path));
    for limit in [1, 4, MAX_PAGE] {
        let found = walk(limit, async |page| store.files(session_id(1), &page).await).await;
        assert_eq!(found, rows);
    }
    let blobs = names.iter().zip(0..).map(|(name, n)| Change::Blob(blob(1, 1, name, 100 + n)));
    save(store, blobs.chain([Change::Commit(commit(1, 1, 1))]).collect()).await;
    for (row, name) in names.iter().map(|name| (file(1, name, 2, 3), *name)) {
        let touched = store
            .touches("parser", &[path(name)], second(0), second(9), session_id(2), 9)
            .await
            .expect("a read");
        assert_eq!(touched, [row]);
    }
    for (name, n) in names.iter().zip(0..) {
        let found = store.written(&path(name), &oid(100 + n)).await.expect("a read");
        assert_eq!(found, [commit(1, 1, 1)]);
        assert!(store.written(&path(name), &oid(99)).await.expect("a read").is_empty());
    }
}

/// Paths that are longer than a cursor, and alike up to their ends, are on one page each.
pub async fn long_paths_are_paged_through(store: &dyn Store) {
    let mut rows: Vec<FileRow> = (0..40_u8)
        .map(|n| {
            let mut name = vec![b'd'; 1_000 + usize::from(n % 7)];
            name.extend([b'/', 200 + n]);
            file(1, &name, u64::from(n), u64::from(n) + 1)
        })
        .collect();
    rows.push(file(1, &[b'd'; 300], 1, 2));
    rows.push(file(1, &[b'd'; 301], 1, 2));
    save_files(store, &rows).await;
    save_files(store, &[file(2, &[b'd'; 302], 1, 2)]).await;
    rows.sort_by(|a, b| a.path.cmp(&b.path));
    for limit in [1, 2, 3, 41, 42, 43] {
        let found = walk(limit, async |page| store.files(session_id(1), &page).await).await;
        assert_eq!(found, rows, "by pages of {limit}");
    }
}

struct Question {
    repository: &'static str,
    paths: Vec<WorkspacePath>,
    from: Timestamp,
    until: Timestamp,
    except: SessionId,
    limit: usize,
}

impl Question {
    async fn ask(&self, store: &dyn Store) -> Vec<FileRow> {
        let Self { repository, paths, from, until, except, limit } = self;
        let found = store.touches(repository, paths, *from, *until, *except, *limit).await;
        found.expect("a read")
    }

    /// The plain way.
    fn answer(&self, rows: &[FileRow]) -> Vec<FileRow> {
        let mut found: Vec<FileRow> = rows
            .iter()
            .filter(|row| {
                row.repository == self.repository
                    && self.paths.contains(&row.path)
                    && row.last_at >= self.from
                    && row.first_at <= self.until
                    && row.session != self.except
            })
            .cloned()
            .collect();
        found.sort_by(|a, b| {
            let key = |row: &FileRow| (row.path.clone(), row.session);
            b.last_at.cmp(&a.last_at).then_with(|| key(a).cmp(&key(b)))
        });
        found.truncate(self.limit);
        found
    }
}

/// Touches of spans from nothing to weeks, before, in and around the time that is asked for.
pub async fn touches_are_those_whose_time_overlaps(store: &dyn Store) {
    let mut random = Random(8);
    let names: Vec<Vec<u8>> = (0..12_u8).map(|n| vec![b'f', n + 200]).collect();
    let lengths = [0, 1, 59, 60, 61, 3_599, 3_600, 3_601, 86_400, 86_401, 1_000_000];
    let mut rows = Vec::new();
    for session in 0..60 {
        for name in &names {
            if random.below(3) > 0 {
                let first = random.below(2_000_000);
                let mut row = file(session, name, first, first + random.one(&lengths));
                if random.below(6) == 0 {
                    row.repository = "other".to_owned();
                }
                rows.push(row);
            }
        }
    }
    save_files(store, &rows).await;
    let mut found = 0;
    for _ in 0..300 {
        let from = random.below(2_000_000);
        let question = Question {
            repository: if random.below(5) == 0 { "other" } else { "parser" },
            paths: (0..random.below(8)).map(|_| path(&random.one(&names))).collect(),
            from: second(from),
            until: second(from + random.one(&lengths)),
            except: session_id(random.below(60)),
            limit: usize::try_from(1 + random.below(40)).expect("small"),
        };
        let answer = question.answer(&rows);
        assert_eq!(question.ask(store).await, answer);
        found += answer.len();
    }
    assert!(found > 1_000, "only {found} touches were found");
    // The edges themselves: what ends as the time begins, and what begins as it ends.
    let row = &rows[0];
    for (from, until) in [(row.last_at, row.last_at), (row.first_at, row.first_at)] {
        let (repository, paths) = ("parser", vec![row.path.clone()]);
        let question =
            Question { repository, paths, from, until, except: session_id(99), limit: 1_000 };
        assert_eq!(question.ask(store).await, question.answer(&rows));
    }
}

/// The session that asks is left out, so are other repositories, and the latest come first.
pub async fn touches_are_the_latest_of_another_session_in_the_repository(store: &dyn Store) {
    let mut rows: Vec<FileRow> = (1..=30).map(|n| file(n, b"a", n % 7, 10 + n % 7)).collect();
    rows.push(FileRow { repository: "other".to_owned(), ..file(40, b"a", 1, 16) });
    rows.push(file(41, b"b", 1, 16));
    save_files(store, &rows).await;
    let (from, until) = (Timestamp::from_micros(i64::MIN), Timestamp::from_micros(i64::MAX));
    for limit in [0, 1, 5, 29, 30, 31] {
        let (repository, paths, except) = ("parser", vec![path(b"a"), path(b"a")], session_id(3));
        let question = Question { repository, paths, from, until, except, limit };
        let answer = question.answer(&rows);
        assert_eq!(answer.len(), limit.min(29));
        assert_eq!(question.ask(store).await, answer);
    }
    let none = store.touches("parser", &[], from, until, session_id(3), 9).await.expect("a read");
    assert!(none.is_empty());
}

/// As many paths as a large change has: more than any database has variables in a statement.
pub async fn touches_of_ten_thousands_of_paths_are_found(store: &dyn Store) {
    const PATHS: u64 = 70_000;
    let name = |n: u64| format!("src/{}/f{n}.rs", n % 97).into_bytes();
    let rows: Vec<FileRow> =
        (0..PATHS).step_by(1_000).map(|n| file(n / 1_000 % 5, &name(n), n, n + 5)).collect();
    save_files(store, &rows).await;
    let question = Question {
        repository: "parser",
        paths: (0..PATHS).map(|n| path(&name(n))).collect(),
        from: second(0),
        until: second(PATHS),
        except: session_id(0),
        limit: 1_000,
    };
    let found = question.ask(store).await;
    assert!(found.len() > 10);
    assert_eq!(found, question.answer(&rows));
    let page = store.files(session_id(1), &PageRequest::first(5)).await.expect("a page");
    assert_eq!(page.items.len(), 5);
}
