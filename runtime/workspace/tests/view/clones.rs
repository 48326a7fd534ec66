//! Clones that lack something: a mirror that was fed from one has what a fuller source brings later, or says what is missing.

use std::fs;
use std::path::Path;

use custody_workspace::mirror::{Mirror, MirrorError, Mirrors, Source};

use crate::fixture::{Installation, git, in_own_mounts, rules};

/// A clone of the installation's repository at `name` beside it.
fn clone(installation: &Installation, name: &str, options: &[&str]) -> Source {
    let directory = installation.directory.path();
    git(&installation.app(), &["config", "uploadpack.allowFilter", "true"]);
    let url = format!("file://{}", installation.app().display());
    git(directory, &[&["clone", "--quiet"], options, &[&url, name]].concat());
    Source::parse(directory.join(name).to_str().unwrap()).unwrap()
}

fn mirror_of(installation: &Installation, source: &Source) -> Result<Mirror, MirrorError> {
    let mirror = Mirrors::of(&installation.directory.path().join("other")).add(source, None)?;
    mirror.update(source, None)?;
    Ok(mirror)
}

fn commits(mirror: &Mirror) -> String {
    git(mirror.git_dir(), &["rev-list", "--count", "refs/sources/HEAD"])
}

/// Every object of its history is there.
fn is_whole(mirror: &Mirror) {
    git(mirror.git_dir(), &["fsck", "--connectivity-only", "--no-dangling"]);
    git(mirror.git_dir(), &["rev-list", "--objects", "--all"]);
}

#[test]
fn a_history_that_was_cut_off_is_whole_once_a_fuller_source_arrives() {
    let installation = Installation::new();
    let shallow = clone(&installation, "shallow", &["--depth", "1"]);
    let full = clone(&installation, "full", &[]);
    assert!(shallow.is_shallow() && !full.is_shallow());
    assert_eq!(shallow.identity(), full.identity());
    let mirror = mirror_of(&installation, &shallow).unwrap();
    assert_eq!((commits(&mirror).as_str(), mirror.cut().unwrap().is_some()), ("1", true));
    mirror.update(&full, None).unwrap();
    assert_eq!((commits(&mirror).as_str(), mirror.cut().unwrap()), ("2", None));
    // And the shallow one does not cut it off again.
    mirror.update(&shallow, None).unwrap();
    assert_eq!((commits(&mirror).as_str(), mirror.cut().unwrap()), ("2", None));
    is_whole(&mirror);
}

/// Git's list of cuts is a directory here: no process can read it, whoever runs the test.
#[test]
fn a_history_whose_cuts_cannot_be_read_is_not_called_whole() {
    let installation = Installation::new();
    let mirror = mirror_of(&installation, &clone(&installation, "full", &[])).unwrap();
    assert_eq!((mirror.cut().unwrap(), mirror.cuts().unwrap()), (None, None));
    std::fs::create_dir(mirror.git_dir().join("shallow")).unwrap();
    assert!(mirror.cut().is_err());
    assert!(mirror.cuts().is_err());
}

#[test]
fn a_session_sees_the_whole_history_once_it_is_there() {
    in_own_mounts(|| {
        for text in ["[]", r#"[{"deny": "secrets/"}]"#] {
            let mut installation = Installation::new();
            let shallow = clone(&installation, "shallow", &["--depth", "1"]);
            let full = clone(&installation, "full", &[]);
            installation.mirror = mirror_of(&installation, &shallow).unwrap();
            let (cut, _) = installation.base(&rules(text));
            assert!(cut.tree().join(".git/shallow").exists());
            installation.mirror.update(&full, None).unwrap();
            let session = installation.session(text, false);
            assert_eq!(
                session
                    .ok("git rev-list --count HEAD; git show --stat HEAD~1 | wc -l")
                    .lines()
                    .next(),
                Some("2")
            );
            assert!(!session.base.tree().join(".git/shallow").exists());
        }
    });
}

#[test]
fn what_a_partial_clone_leaves_out_is_fetched_from_where_the_clone_would() {
    for filter in ["--filter=blob:none", "--filter=tree:0"] {
        for options in [&[filter][..], &[filter, "--no-checkout"]] {
            let installation = Installation::new();
            let partial = clone(&installation, "partial", options);
            let mirror = mirror_of(&installation, &partial).unwrap();
            assert_eq!(commits(&mirror), "2", "{options:?}");
            is_whole(&mirror);
            // What was never pushed is there too.
            let directory = installation.directory.path().join("partial");
            if options.len() == 1 {
                fs::write(directory.join("src/a.txt"), "own\n").unwrap();
                git(&directory, &["commit", "--quiet", "--all", "-m", "Own"]);
                mirror.update(&partial, None).unwrap();
                assert_eq!(commits(&mirror), "3", "{options:?}");
                is_whole(&mirror);
            }
        }
    }
}

#[test]
fn a_partial_clone_whose_remote_is_gone_is_refused_with_its_name() {
    let installation = Installation::new();
    let partial = clone(&installation, "partial", &["--filter=blob:none", "--no-checkout"]);
    let url = format!("file://{}", installation.app().display());
    fs::rename(installation.app(), installation.directory.path().join("gone")).unwrap();
    let error = mirror_of(&installation, &partial).unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, MirrorError::Partial { .. }), "{text}");
    assert!(
        text.contains("partial clone") && text.contains("origin") && text.contains(&url),
        "{text}"
    );
}

#[test]
fn no_program_that_a_partial_clone_names_is_run() {
    let installation = Installation::new();
    let partial = clone(&installation, "partial", &["--filter=blob:none", "--no-checkout"]);
    let directory = installation.directory.path().join("partial");
    let trap = installation.directory.path().join("trapped");
    let command = format!("ext::touch {}", trap.display());
    git(&directory, &["config", "remote.origin.url", &command]);
    git(&directory, &["config", "remote.origin.uploadpack", &format!("touch {};", trap.display())]);
    let again = Source::parse(directory.to_str().unwrap()).unwrap();
    assert!(matches!(mirror_of(&installation, &again), Err(MirrorError::Partial { .. })));
    let _ = partial;
    assert!(!trap.exists());
}

#[test]
fn a_repository_without_a_commit_has_the_format_that_it_says() {
    let made = |directory: &Path, format: &str| {
        fs::create_dir_all(directory).unwrap();
        git(directory, &["init", "--quiet", &format!("--object-format={format}")]);
        Source::parse(directory.to_str().unwrap()).unwrap()
    };
    let installation = Installation::new();
    for format in ["sha1", "sha256"] {
        let directory = installation.directory.path().join(format);
        let source = made(&directory, format);
        let mirror = mirror_of(&installation, &source).unwrap();
        let own = git(mirror.git_dir(), &["rev-parse", "--show-object-format"]);
        assert_eq!(own, format);
    }
    // Made anew in another format while the mirror held nothing.
    let directory = installation.directory.path().join("sha1");
    fs::remove_dir_all(directory.join(".git")).unwrap();
    let source = made(&directory, "sha256");
    git(&directory, &["commit", "--quiet", "--allow-empty", "-m", "First"]);
    let mirror = mirror_of(&installation, &source).unwrap();
    assert_eq!(commits(&mirror), "1");
}

#[test]
fn the_branches_that_a_session_starts_beside_exist_inside() {
    in_own_mounts(|| {
        let installation = Installation::new();
        let app = installation.app();
        git(&app, &["checkout", "--quiet", "-b", "topic"]);
        fs::write(app.join("new"), "new\n").unwrap();
        git(&app, &["add", "new"]);
        git(&app, &["commit", "--quiet", "-m", "Topic"]);
        git(&app, &["branch", "work", "HEAD~1"]);
        let source = Source::parse(app.to_str().unwrap()).unwrap();
        installation.mirror.update(&source, None).unwrap();
        for text in ["[]", r#"[{"deny": "secrets/"}]"#] {
            let session = installation.session(text, false);
            assert_eq!(
                session.ok("git diff --name-only main...HEAD; git branch --show-current"),
                "new\nwork\n"
            );
            assert_eq!(session.ok("git rev-parse work"), session.ok("git rev-parse topic"));
            let outputs = session.publish();
            assert_eq!((outputs.branch, outputs.violations), (None, Vec::new()), "{text}");
        }
    });
}
