//! Ordinary work is told without a doubt: editing, compiling, a session of git.

use custody_record::Body;
use custody_record::event::Uncertain;

use crate::fixture::observed;

const SESSION: &str = "
export HOME=/nonexistent GIT_CONFIG_NOSYSTEM=1 GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b.c GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b.c
mkdir app
cd app
git init -q .
printf 'int f(void) { return 1; }\\n' >f.c
printf 'int f(void);\\nint main(void) { return f() - 1; }\\n' >main.c
git add .
git commit -qm one
sed -i 's/return 1/return 2 - 1/' f.c
cp f.c g.c
mv g.c h.c
cc -c f.c
cc -c main.c
cc -o program f.o main.o
./program
git checkout -qb other
git add h.c
git commit -qam two
git checkout -q -
rm -f program f.o main.o
git status --short
";

fn uncertain(body: &Body) -> Option<Uncertain> {
    match body {
        Body::FileOpened(told) => told.uncertain,
        Body::FileWritten(told) => told.uncertain,
        Body::FileRenamed(told) => told.uncertain,
        Body::FileRemoved(told) => told.uncertain,
        Body::FileLinked(told) => told.uncertain,
        Body::FileSymlinked(told) => told.uncertain,
        Body::AttributesChanged(told) => told.uncertain,
        other => panic!("{other:?}"),
    }
}

#[test]
fn ordinary_work_leaves_no_uncertain_path_and_no_gap() {
    observed(|w| {
        w.sh(SESSION);
        let told = w.told();
        assert!(told.len() > 100, "{}", told.len());
        let doubtful: Vec<_> = told.iter().filter(|(_, body)| uncertain(body).is_some()).collect();
        println!("{} events, {} of them with an uncertain content", told.len(), doubtful.len());
        let paths: Vec<_> =
            doubtful.iter().filter(|(_, b)| uncertain(b).is_some_and(Uncertain::path)).collect();
        assert!(paths.is_empty(), "{paths:?}");
    });
}
