//! The view: the guard lies where the rules guard, on the one overlay.

use custody_record::Body;
use custody_workspace::view::{Mediation, StrictReason, ViewError};

use crate::fixture::{DENY_SECRETS, Installation, in_own_mounts};

#[test]
fn the_guard_lies_on_guarded_paths_alone_and_refuses_there() {
    in_own_mounts(|| {
        let installation = Installation::new();
        let session = installation.session(DENY_SECRETS, false);
        let Mediation::Observed { guarded } = session.workspace.mediation() else {
            panic!("{:?}", session.workspace.mediation());
        };
        let paths: Vec<_> = guarded.iter().map(|guarded| guarded.path.to_string()).collect();
        assert_eq!(paths, [".env", "LICENSE", "secrets"]);
        assert_eq!(session.ok("cat LICENSE src/a.txt"), "free\na\n");
        for script in
            ["cat .env", "ls secrets", "cat secrets/key", "echo > LICENSE", "cat src/alias"]
        {
            assert!(!session.sh(script).status.success(), "{script}");
        }
        let told = session.told.0.lock().unwrap();
        assert!(told.iter().any(|body| matches!(body, Body::FileDenied(_))), "{told:?}");
    });
}

#[test]
fn trap_1_a_guarded_directory_cannot_be_moved_away_from_its_rule() {
    for strict in [false, true] {
        in_own_mounts(move || {
            let installation = Installation::new();
            let session = installation.session(DENY_SECRETS, strict);
            for script in [
                "mv secrets x; cat x/key",
                "mv .env env; cat env",
                "ln .env env2; cat env2",
                "rm -rf secrets; ls secrets",
            ] {
                let said = session.says(script);
                assert!(!said.contains("hidden key") && !said.contains("hidden token"), "{said}");
            }
            session.ok("test -d secrets && test -e .env");
        });
    }
}

#[test]
fn trap_1_moving_a_parent_takes_the_wall_along() {
    in_own_mounts(|| {
        let installation = Installation::new();
        let session = installation.session(r#"[{"deny": "/src/a.txt"}]"#, false);
        session.sh("mv src other");
        let said = session.says("cat src/a.txt; cat other/a.txt");
        assert!(said.contains("denied"), "{said}");
        let all = session.says("cat */*");
        assert!(!all.lines().any(|line| line == "a"), "{all}");
    });
}

#[test]
fn strict_lays_the_guard_over_everything() {
    in_own_mounts(|| {
        let installation = Installation::new();
        let session = installation.session(DENY_SECRETS, true);
        assert!(matches!(session.workspace.mediation(), Mediation::Strict { .. }));
        session.ok(
            "echo b >> src/a.txt && git status --porcelain > /tmp/s && grep -q src/a.txt /tmp/s",
        );
        assert!(!session.sh("cat .env").status.success());
        let outputs = session.publish();
        assert_eq!(outputs.commits.len(), 1);
        assert_eq!(outputs.violations, []);
    });
}

#[test]
fn nothing_starts_without_the_guard_that_rules_need() {
    in_own_mounts(|| {
        let installation = Installation::new();
        let rules = crate::fixture::rules(DENY_SECRETS);
        let (base, _) = installation.base(&rules);
        let layers = installation.state().join("layers");
        std::fs::create_dir(&layers).unwrap();
        let workspace = custody_workspace::view::Workspace::prepare(
            &custody_workspace::view::WorkspaceConfig {
                base: &base,
                rules: &rules,
                strict: false,
                directory: &layers,
                owner: crate::fixture::OWNER,
                max_guarded_paths: 10,
            },
        )
        .unwrap();
        assert!(matches!(workspace.attach(), Err(ViewError::NoGuard(_))));
        workspace.detach().unwrap();
    });
}

#[test]
fn more_guarded_paths_than_can_be_mounted_make_the_workspace_strict() {
    in_own_mounts(|| {
        let installation = Installation::new();
        let rules = crate::fixture::rules(DENY_SECRETS);
        let (base, _) = installation.base(&rules);
        let workspace = custody_workspace::view::Workspace::prepare(
            &custody_workspace::view::WorkspaceConfig {
                base: &base,
                rules: &rules,
                strict: false,
                directory: &installation.state(),
                owner: crate::fixture::OWNER,
                max_guarded_paths: 2,
            },
        )
        .unwrap();
        let reason = StrictReason::TooManyGuardedPaths { found: 3, limit: 2 };
        assert_eq!(workspace.mediation(), &Mediation::Strict { reason });
        workspace.detach().unwrap();
    });
}

#[test]
fn sessions_do_not_see_each_others_changes() {
    in_own_mounts(|| {
        let installation = Installation::new();
        let one = installation.session("[]", false);
        let two = installation.session("[]", false);
        one.ok("echo changed > src/a.txt; rm LICENSE");
        assert_eq!(two.ok("cat src/a.txt LICENSE"), "a\nfree\n");
        assert!(two.publish().branch.is_none());
        assert!(one.publish().branch.is_some());
    });
}
