//! Sequences of file operations that follow from a seed, whose own log is compared with what was told of them: each
//! difference is told as a gap or as uncertain, or it is a fault. Of faults no more are allowed than are known to be left.
//!
//! `CUSTODY_SEQUENCES` says how many (1,000 where it is absent), `CUSTODY_SEED` which is the first; `make soak` runs many.

mod shadow;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt::Write as _;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use custody_model::{Digest, WorkspacePath};
use custody_record::Body;
use custody_record::event::{Access, FileKind, FileRead, Uncertain};
use custody_workspace::compare::compare;
use custody_workspace::content::{Contents, GitHash, HashLimits};
use custody_workspace::observe::UNKNOWN_PID;
use custody_workspace::spelling::Spelling;

use crate::fixture::{Fixture, Setup, base, observed_with, programs};
use shadow::{HEAD, Shadow, base_content};

/// Sequences in one overlay.
const TOGETHER: u64 = 50;
/// Operations that are tried in one sequence; about a third of them can be done.
const OPERATIONS: u32 = 60;
/// Where files of the base stand in each sequence's directory.
const FILES: &[&str] = &["a/x", "a/y", "a/d/x", "b/x", "b/z", "c/x"];
/// Faults that a failure shows.
const SHOWN: usize = 20;
/// Events that may be false or lack, of ten thousand that are told: what is known to be left. Only to be lowered. Of 20,000
/// sequences two had one.
const KNOWN_FAULTS_PER_TEN_THOUSAND: u64 = 2;

#[expect(clippy::disallowed_methods, reason = "a test program has no arguments of its own")]
fn setting(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).map_or(otherwise, |text| text.parse().expect("a number"))
}

/// What was found of all sequences.
#[derive(Debug, Default)]
struct Findings {
    faults: Vec<String>,
    told: u64,
    uncertain: u64,
    with_gaps: u64,
    /// Differences at the end in sequences of which a gap is told.
    after_gaps: u64,
}

#[test]
fn what_is_told_of_generated_sequences_is_true_or_told_as_uncertain() {
    let (first, count) = (setting("CUSTODY_SEED", 1), setting("CUSTODY_SEQUENCES", 1_000));
    let directory = tempfile::tempdir().unwrap();
    let program = compile(directory.path());
    let findings = Arc::new(Mutex::new(Findings::default()));
    let mut seed = first;
    while seed < first + count {
        let seeds: Vec<u64> = (seed..(first + count).min(seed + TOGETHER)).collect();
        let (program, findings) = (program.clone(), Arc::clone(&findings));
        seed += TOGETHER;
        let setup = Setup { programs: files(&seeds), ..Setup::default() };
        observed_with(setup, move |w| {
            let found = sequences(w, &program, &seeds);
            let mut all = findings.lock().unwrap();
            all.faults.extend(found.faults);
            all.told += found.told;
            all.uncertain += found.uncertain;
            all.with_gaps += found.with_gaps;
            all.after_gaps += found.after_gaps;
        });
    }
    let all = findings.lock().unwrap();
    println!(
        "{count} sequences from seed {first}: {} events, {} of them uncertain, {} sequences with a gap ({} differences \
         at their end), {} faults",
        all.told,
        all.uncertain,
        all.with_gaps,
        all.after_gaps,
        all.faults.len()
    );
    let mut text = String::new();
    for fault in all.faults.iter().take(SHOWN) {
        writeln!(text, "{fault}").unwrap();
    }
    let faults = all.faults.len() as u64;
    assert!(
        faults * 10_000 <= all.told * KNOWN_FAULTS_PER_TEN_THOUSAND,
        "{faults} faults, the first of them:\n{text}"
    );
    // What can't be told is the exception: most sequences have a rename there and back.
    assert!(all.uncertain * 2 < all.told, "{all:?}");
}

fn compile(directory: &Path) -> PathBuf {
    let program = directory.join("acts");
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/observe/generated/acts.c");
    let mut compiler = Command::new("cc");
    compiler.args(["-O1", "-Wall", "-Werror", "-pthread", "-o"]).arg(&program).arg(source);
    assert!(compiler.status().expect("a C compiler").success());
    program
}

fn files(seeds: &[u64]) -> Vec<(String, String)> {
    let of = |seed: &u64| {
        own_files().into_iter().map(move |(p, c)| (format!("s{seed}/{p}"), c)).collect::<Vec<_>>()
    };
    seeds.iter().flat_map(of).collect()
}

fn own_files() -> Vec<(String, String)> {
    (0..).zip(FILES).map(|(number, path)| ((*path).to_owned(), base_content(number))).collect()
}

fn sequences(w: &Fixture, program: &Path, seeds: &[u64]) -> Findings {
    let mut findings = Findings::default();
    let mut record = Vec::new();
    let mut with_gaps = HashSet::new();
    let mut texts = HashMap::new();
    let mut shadows = BTreeMap::new();
    for seed in seeds {
        let output = Command::new(program)
            .args([seed.to_string(), OPERATIONS.to_string()])
            .current_dir(w.view().join(format!("s{seed}")))
            .stdin(Stdio::null())
            .output()
            .unwrap();
        assert!(output.status.success(), "seed {seed}: {output:?}");
        w.observer.settle().unwrap();
        let (told, gaps) = w.told_with_gaps();
        let log = String::from_utf8(output.stdout).unwrap();
        let mut shadow = Shadow::new(&own_files());
        log.lines().for_each(|line| shadow.act(line));
        let before = findings.faults.len();
        shadows.insert(*seed, shadow);
        for (pid, body) in &told {
            // A file that was open at the end of a sequence may be told of as closed in the next one.
            if sequence(paths(body)[0]).is_none_or(|of| !shadows.contains_key(&of)) {
                findings.faults.push(format!("seed {seed}: of no sequence: {pid} {body:?}"));
            }
        }
        for (seed, shadow) in &shadows {
            let of = |body: &Body| sequence(paths(body)[0]).is_some_and(|of| of == *seed);
            let own: Vec<_> = told.iter().filter(|(_, body)| of(body)).cloned().collect();
            Check { seed: *seed, shadow, findings: &mut findings }.sound(&own);
        }
        let mut check = Check { seed: *seed, shadow: &shadows[seed], findings: &mut findings };
        if gaps.is_empty() {
            let of = |body: &Body| sequence(paths(body)[0]).is_some_and(|of| of == *seed);
            let own: Vec<_> = told.iter().filter(|(_, body)| of(body)).cloned().collect();
            check.complete(&own);
        } else {
            check.findings.with_gaps += 1;
            with_gaps.insert(*seed);
        }
        let mut text = format!("seed {seed}\n{log}");
        told.iter().for_each(|(pid, body)| writeln!(text, "{pid} {body:?}").unwrap());
        writeln!(text, "{gaps:?}").unwrap();
        if findings.faults.len() > before {
            // What is looked into.
            println!("{text}");
        }
        texts.insert(*seed, text);
        record.extend(told.into_iter().map(|(_, body)| body));
    }
    let root = w.contents.root().try_clone_to_owned().unwrap();
    let replayed = Contents::new(
        root,
        GitHash::Sha1,
        base().into_iter().chain(programs(&files(seeds))),
        HashLimits::default(),
    );
    record.iter().for_each(|body| replayed.replay(body));
    for (who, contents) in [("the record", &replayed), ("the keeper", &*w.contents)] {
        let compared = compare(w.upper_fd().as_fd(), contents, Spelling::as_it_is()).unwrap();
        for difference in compared.told.differences {
            let of = sequence(&difference.path);
            if of.is_some_and(|seed| with_gaps.contains(&seed)) {
                findings.after_gaps += 1;
                continue;
            }
            if let Some(text) = of.and_then(|seed| texts.remove(&seed)) {
                println!("{text}");
            }
            findings.faults.push(format!("{who} is wrong at the end: {difference:?}"));
        }
    }
    findings
}

/// The sequence in whose directory a path is.
fn sequence(path: &WorkspacePath) -> Option<u64> {
    let text = path.to_string();
    text.strip_prefix('s').and_then(|rest| rest.split('/').next()?.parse().ok())
}

fn paths(body: &Body) -> Vec<&WorkspacePath> {
    match body {
        Body::FileOpened(told) => vec![&told.path],
        Body::FileWritten(told) => vec![&told.path],
        Body::FileRenamed(told) => vec![&told.from, &told.to],
        Body::FileRemoved(told) => vec![&told.path],
        Body::FileLinked(told) => vec![&told.path],
        Body::FileSymlinked(told) => vec![&told.path],
        Body::AttributesChanged(told) => vec![&told.path],
        other => panic!("{other:?}"),
    }
}

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

struct Check<'a> {
    seed: u64,
    shadow: &'a Shadow,
    findings: &'a mut Findings,
}

impl Check<'_> {
    fn fault(&mut self, what: String) {
        self.findings.faults.push(format!("seed {}: {what}", self.seed));
    }

    /// The path as the sequence calls it; `None` if it is another's, which is a fault.
    fn own(&mut self, path: &WorkspacePath) -> Option<String> {
        let text = path.to_string();
        let own = text.strip_prefix(&format!("s{}/", self.seed)).map(str::to_owned);
        if own.is_none() && text != format!("s{}", self.seed) {
            self.fault(format!("{text} is not of this sequence"));
        }
        own
    }

    /// What is told without a doubt is true.
    fn sound(&mut self, told: &[(u32, Body)]) {
        for (pid, body) in told {
            self.findings.told += 1;
            let uncertain = uncertain(body);
            let own = paths(body).into_iter();
            let paths: Vec<String> = own.filter_map(|path| self.own(path)).collect();
            self.findings.uncertain += u64::from(uncertain.is_some());
            if uncertain.is_some_and(Uncertain::path) || paths.is_empty() {
                continue;
            }
            if let Some(never) = paths.iter().find(|path| !self.shadow.paths.contains(*path)) {
                self.fault(format!("{never} never was: {pid} {body:?}"));
                continue;
            }
            if !self.happened(*pid, body, &paths, uncertain.is_some_and(Uncertain::content)) {
                self.fault(format!("never happened: {pid} {body:?}"));
            }
        }
    }

    fn happened(&self, pid: u32, body: &Body, paths: &[String], doubtful: bool) -> bool {
        let path = &paths[0];
        let shadow = self.shadow;
        match body {
            Body::FileOpened(told) if told.kind == FileKind::Directory => {
                shadow.was_directory(path)
            }
            Body::FileOpened(told) if told.access == Access::Write => {
                // What it has when it is closed.
                let opened = shadow.opened_as((pid != UNKNOWN_PID).then_some(pid), path);
                let mut contents = shadow.contents.iter();
                let had = contents.any(|(at, has)| at == path && is(&told.content, has, &[]));
                opened && (doubtful || had)
            }
            Body::FileOpened(told) => {
                let set =
                    if told.access == Access::Execute { &shadow.executed } else { &shadow.opens };
                let attempted = shadow.opens.iter();
                let mut all = set.iter().chain(attempted);
                all.any(|(by, at, content)| {
                    *by == pid && at == path && (doubtful || is(&told.content, content, &[]))
                })
            }
            Body::FileWritten(told) if told.kind == FileKind::Directory => {
                shadow.was_directory(path)
            }
            Body::FileWritten(told) => {
                let between: &[&str] = if told.open { &["", HEAD] } else { &[] };
                let mut contents = shadow.contents.iter();
                // Who wrote through a mapping can't be told where several have one.
                let wrote = pid == UNKNOWN_PID || shadow.wrote(pid, path);
                wrote
                    && (doubtful
                        || contents
                            .any(|(at, content)| at == path && is(&told.after, content, between)))
            }
            Body::FileRenamed(_) => {
                shadow.renames.contains(&(pid, paths[0].clone(), paths[1].clone()))
            }
            Body::FileRemoved(_) => shadow.removals.contains(&(pid, path.clone())),
            _ => true,
        }
    }

    /// What was done is told, once at least.
    fn complete(&mut self, told: &[(u32, Body)]) {
        let (mut opened, mut executed) = (HashSet::new(), HashSet::new());
        let mut renamed = HashSet::new();
        for (pid, body) in told {
            match body {
                Body::FileOpened(told) => {
                    let Some(path) = self.own(&told.path) else { continue };
                    if told.access == Access::Execute {
                        executed.insert((*pid, path.clone()));
                    }
                    opened.insert((*pid, path));
                }
                Body::FileRenamed(told) => {
                    if let (Some(from), Some(to)) = (self.own(&told.from), self.own(&told.to)) {
                        renamed.insert((*pid, from, to));
                    }
                }
                _ => {}
            }
        }
        let shadow = self.shadow;
        for (what, done, told) in
            [("read", &shadow.reads, &opened), ("execution", &shadow.executions, &executed)]
        {
            for (pid, object) in done {
                if !shadow.named(*object, told, *pid) {
                    self.fault(format!(
                        "a {what} by {pid} is not told: {:?}",
                        shadow.names[object]
                    ));
                }
            }
        }
        for rename in &shadow.renames {
            if !renamed.contains(rename) {
                self.fault(format!("not told: rename {rename:?}"));
            }
        }
    }
}

/// Whether what is told of a content is true of `content`, or of one of the others. What has no digest says nothing.
fn is(told: &FileRead, content: &str, others: &[&str]) -> bool {
    let same = |content: &str| match (told.digest, &told.git_blob) {
        (Some(digest), _) => digest == Digest::of(content.as_bytes()),
        (None, Some(blob)) => *blob == GitHash::Sha1.blob_of(content.as_bytes()),
        (None, None) => true,
    };
    same(content) || others.iter().any(|other| same(other))
}
