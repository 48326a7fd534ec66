//! A session in a page, for people.

use std::collections::BTreeSet;
use std::fmt::Write;

use custody_investigate::Summary;
use custody_model::WorkspacePath;
use custody_record::event::{ExitStatus, MediationMode, Outcome};

use super::{command_line, count, cut, listed, tame};

/// The whole page.
pub fn page(summary: &Summary) -> String {
    let mut text = String::new();
    // Writing to a String can't fail.
    let _ = writeln!(text, "session     {}", summary.session);
    if let Some(requester) = &summary.requester {
        let by = match summary.approvers.as_slice() {
            [] => "no approval needed".to_owned(),
            names => {
                let names: Vec<&str> = names.iter().map(custody_model::UserName::as_str).collect();
                format!("approved by {}", names.join(", "))
            }
        };
        let _ = writeln!(text, "requested   by {requester}, {by}");
    }
    let rule = summary.rule.as_deref().unwrap_or("-");
    let policy = summary.policy_name.as_deref().unwrap_or("-");
    let _ =
        writeln!(text, "policy      {policy} ({}), rule {rule}", &summary.policy.to_string()[..19]);
    if let Some(request) = &summary.request {
        let cut = request.command_whole.as_ref().map_or_else(String::new, |whole| {
            format!(" … (cut: {} arguments of {} bytes in all)", whole.count, whole.bytes)
        });
        let _ = writeln!(text, "command     {}{cut}", command_line(&request.command));
        let dirty = if request.dirty { ", with uncommitted changes" } else { "" };
        let _ = writeln!(
            text,
            "repository  {} at {}{dirty}",
            request.repository,
            request.base_commit.short()
        );
        let mediation = summary.mediation.map_or("-", MediationMode::as_str);
        let why = summary.mediation_reason.as_deref();
        let why = why.map_or_else(String::new, |why| format!(", because {why}"));
        let _ = writeln!(text, "sandbox     image {}, workspace {mediation}{why}", request.image);
    }
    if let Some(started) = summary.started {
        let _ = writeln!(text, "started     {}", started.time);
    }
    let _ = writeln!(text, "state       {}", state(summary));
    let _ = writeln!(text, "record      {} events{}", summary.events, coverage(summary));
    text.push('\n');
    text.push_str(&activity(summary));
    text
}

/// The paths of an ended session that were written, were not removed, and are in none of its commits, though nothing keeps them
/// out. None where the record has not all files of a commit at hand.
fn left_inside(summary: &Summary) -> Vec<&WorkspacePath> {
    let commits = || summary.commits.iter().map(|seen| &seen.commit);
    let whole = commits().all(|commit| commit.files.len() as u64 == commit.file_count);
    if summary.closed.is_none() || !whole {
        return Vec::new();
    }
    let committed = commits().flat_map(|commit| &commit.files).map(|file| &file.path);
    let kept_out = summary.violations.iter().map(|violation| &violation.path);
    let removed = summary.removed.iter().map(|removed| &removed.path);
    let told: BTreeSet<&WorkspacePath> = committed.chain(kept_out).chain(removed).collect();
    let is_told = |path: &WorkspacePath| {
        let mut above = Some(path.clone());
        std::iter::from_fn(|| {
            let path = above.take()?;
            above = path.parent();
            Some(path)
        })
        .any(|path| told.contains(&path))
            || told
                .range::<WorkspacePath, _>(path..)
                .next()
                .is_some_and(|next| next.starts_with(path))
    };
    summary.written.iter().map(|written| &written.path).filter(|path| !is_told(path)).collect()
}

/// What was read, written, run and refused.
pub fn activity(summary: &Summary) -> String {
    let mut text = String::new();
    let _ = writeln!(text, "  read      {}", count(summary.read.len(), "file", "files"));
    text.push_str(&listed(summary.read.iter().map(|t| times(&t.path.to_string(), t.count))));
    let _ = writeln!(text, "  wrote     {}", count(summary.written.len(), "file", "files"));
    text.push_str(&listed(summary.written.iter().map(|t| times(&t.path.to_string(), t.count))));
    if !summary.removed.is_empty() {
        let _ = writeln!(text, "  removed   {}", count(summary.removed.len(), "file", "files"));
        text.push_str(&listed(summary.removed.iter().map(|t| t.path.to_string())));
    }
    let _ = writeln!(
        text,
        "  ran       {}",
        count(summary.executed.len(), "command line", "command lines")
    );
    text.push_str(&listed(summary.executed.iter().map(|e| {
        let line = cut(&command_line(&e.argv), 100);
        match &e.ran {
            Some(ran) => times(&format!("{} (announced as {line})", tame(ran)), e.count),
            None => times(&line, e.count),
        }
    })));
    if !summary.outside.is_empty() {
        let files: BTreeSet<&str> = summary.outside.iter().map(|o| o.path.as_str()).collect();
        let _ = writeln!(text, "  outside   {}", count(files.len(), "file", "files"));
        text.push_str(&listed(summary.outside.iter().map(|o| {
            let operation = format!("{:?}", o.operation).to_lowercase();
            let history = match o.history.as_ref().map(|history| history.inferred) {
                Some(true) => " of the history, by git's arguments",
                Some(false) => " of the history",
                None => "",
            };
            times(&format!("{operation} {}{history}", tame(&o.path)), o.count)
        })));
    }
    let refused = summary.denied.len() + summary.egress.len();
    let _ = writeln!(text, "  refused   {}", count(refused, "attempt", "attempts"));
    let denied = summary.denied.iter().map(|d| {
        let who = d.program.as_deref().unwrap_or("?");
        let operation = format!("{:?}", d.operation).to_lowercase();
        times(&format!("{operation} {} by {} (rule {})", d.path, tame(who), tame(&d.rule)), d.count)
    });
    text.push_str(&listed(denied));
    let egress = summary.egress.iter().map(|e| {
        let who = e.program.as_deref().unwrap_or("?");
        let via = format!("{:?}", e.via).to_lowercase();
        times(&format!("{via} {} by {}", tame(&e.target), tame(who)), e.count)
    });
    text.push_str(&listed(egress));
    if !summary.violations.is_empty() {
        let _ = writeln!(text, "  kept out  {}", count(summary.violations.len(), "path", "paths"));
        text.push_str(&listed(
            summary
                .violations
                .iter()
                .map(|v| format!("{}: {} (rule {})", v.path, tame(&v.what), tame(&v.rule))),
        ));
    }
    if !summary.commits.is_empty() {
        let _ = writeln!(text, "  commits   {}", summary.commits.len());
        text.push_str(&listed(summary.commits.iter().map(|c| {
            let files = usize::try_from(c.commit.file_count).unwrap_or(usize::MAX);
            format!(
                "{} on {} by {} ({})",
                c.commit.commit.short(),
                c.commit.branch,
                format!("{:?}", c.commit.author).to_lowercase(),
                count(files, "file", "files")
            )
        })));
    }
    let left = left_inside(summary);
    if !left.is_empty() {
        let _ = writeln!(
            text,
            "  left      {} that it wrote {} in no commit: ignored by git, unchanged, or no plain file",
            count(left.len(), "path", "paths"),
            if left.len() == 1 { "is" } else { "are" }
        );
        text.push_str(&listed(left.into_iter().map(ToString::to_string)));
    }
    let refs: Vec<_> =
        summary.commits.iter().flat_map(|c| c.commit.refs.iter().flatten()).collect();
    if !refs.is_empty() {
        let _ = writeln!(text, "  refs      {} beside the branch", refs.len());
        text.push_str(&listed(
            refs.iter().map(|one| format!("{}, inside {}", tame(&one.name), tame(&one.inside))),
        ));
    }
    let inner: Vec<_> =
        summary.commits.iter().flat_map(|c| c.commit.submodules.iter().flatten()).collect();
    if !inner.is_empty() {
        let _ = writeln!(text, "  inner     {} of its submodules changed", inner.len());
        text.push_str(&listed(inner.iter().map(|one| {
            let refs = one.refs.as_ref().map_or(0, Vec::len);
            let path = tame(&one.path.to_text());
            format!(
                "{path} at {}, {}",
                one.commit.short(),
                count(refs, "ref beside", "refs beside")
            )
        })));
    }
    if let Some(back) = &summary.clock_set_back {
        let _ = writeln!(
            text,
            "  clock     set back by {} s or more while it ran (event #{}): times after that are not comparable with those before",
            back.micros / 1_000_000,
            back.event.seq
        );
    }
    if !summary.gaps.is_empty() {
        let _ = writeln!(text, "  gaps      {}", summary.gaps.len());
        text.push_str(&listed(summary.gaps.iter().map(|g| tame(&g.reason))));
    }
    if let Some(differences) = summary.differences.filter(|n| *n > 0) {
        let _ = writeln!(
            text,
            "  differs   {differences} paths of the workspace differ from the record"
        );
    }
    text
}

/// How it stands, in a few words.
pub fn state(summary: &Summary) -> String {
    match (summary.outcome, summary.closed) {
        (Some(outcome), Some(closed)) => {
            let mut text = format!("{:?}", outcome).to_lowercase();
            // The reason of a completed session tells it.
            let untold = outcome != Outcome::Completed || summary.reason.is_none();
            if let Some(exit) = summary.exit.filter(|_| untold) {
                match exit {
                    ExitStatus::Code(code) => {
                        let _ = write!(text, ", exit code {code}");
                    }
                    ExitStatus::Signal(signal) => {
                        let _ = write!(text, ", ended by signal {signal}");
                    }
                }
            }
            if let Some(reason) = &summary.reason {
                let _ = write!(text, ": {}", tame(reason));
            }
            if let Some(started) = summary.started {
                let _ =
                    write!(text, " ({:.1} s)", closed.time.micros_since(started.time) as f64 / 1e6);
            }
            text
        }
        _ if summary.started.is_some() => "running, or its keeper died".to_owned(),
        _ => "preparing, or its keeper died".to_owned(),
    }
}

fn coverage(summary: &Summary) -> String {
    let mut text = String::new();
    for (place, coverage) in &summary.coverage {
        let _ = write!(text, ", {} {}", place.replace('_', " "), coverage.word());
    }
    text
}

fn times(text: &str, count: u64) -> String {
    if count > 1 { format!("{text} ×{count}") } else { text.to_owned() }
}
