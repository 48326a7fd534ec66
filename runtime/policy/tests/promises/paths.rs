//! Path rules: what a pattern covers, which rule wins, and that the automaton agrees with a naive reading.

use custody_model::WorkspacePath;
use custody_policy::{DEFAULT_RULE, PathPattern, PathRule, PathRules, PolicyVersion, Treatment};
use globset::{GlobBuilder, GlobMatcher};
use proptest::prelude::*;

use crate::documents::user;

fn path(text: &str) -> WorkspacePath {
    text.parse().expect("a path")
}

fn deny(pattern: &str) -> PathRule {
    PathRule::Deny(PathPattern::new(pattern).expect("a pattern"))
}

fn read_only(pattern: &str) -> PathRule {
    PathRule::ReadOnly(PathPattern::new(pattern).expect("a pattern"))
}

fn read_write(pattern: &str) -> PathRule {
    PathRule::ReadWrite(PathPattern::new(pattern).expect("a pattern"))
}

fn rules(rules: impl Into<Vec<PathRule>>) -> PathRules {
    PathRules::new(rules.into()).expect("few rules")
}

fn denied(pattern: &str, text: &str) -> bool {
    rules([deny(pattern)]).treatment(&path(text)).treatment == Treatment::Deny
}

#[test]
fn a_pattern_covers_what_a_gitignore_would() {
    for (pattern, covered, open) in [
        (".env", vec![".env", "a/.env", "a/b/.env/c"], vec!["x.env", ".env.local", ".ENV"]),
        ("*.pem", vec!["a.pem", "b/c.pem", ".pem"], vec!["a.pem.txt", "pem"]),
        ("secrets/**", vec!["secrets", "secrets/a", "secrets/a/b"], vec!["x/secrets", "secrets2"]),
        ("secrets/", vec!["secrets", "secrets/a", "x/secrets/a"], vec!["secrets2", "x/secret"]),
        ("/secrets", vec!["secrets", "secrets/a"], vec!["x/secrets"]),
        ("a/b", vec!["a/b", "a/b/c"], vec!["x/a/b", "a", "a/bc"]),
        ("**/a/b", vec!["a/b", "x/a/b/c", "x/y/a/b"], vec!["a/x/b", "xa/b"]),
        ("a/**/b", vec!["a/b", "a/x/b", "a/x/y/b/z"], vec!["a", "b", "x/a/b"]),
        ("a/*", vec!["a/b", "a/b/c"], vec!["a", "b"]),
        ("a/**/*", vec!["a/b", "a/b/c"], vec!["a"]),
        ("a?c", vec!["abc", "aéc", "x/a-c"], vec!["ac", "abbc", "a/c"]),
        ("a[0-9b]c", vec!["a7c", "abc"], vec!["acc", "ac"]),
        ("a[!0-9]c", vec!["abc", "aéc"], vec!["a7c", "a/c"]),
        ("*.{key,p12}", vec!["a.key", "x/b.p12"], vec!["a.{key,p12}", "a.k"]),
        ("{a,b/c}/d", vec!["a/d", "b/c/d"], vec!["c/d", "x/a/d"]),
        ("id_{rsa,ed{25519,448}}", vec!["id_rsa", "id_ed448"], vec!["id_ed", "id_rsa.pub"]),
        (r"\*x", vec!["*x"], vec!["ax"]),
        ("[]a]", vec!["]", "a"], vec!["b"]),
        ("x**y", vec!["xy", "xaby"], vec!["x/y"]),
        ("**", vec!["", "a", "a/b"], vec![]),
        ("*", vec!["a", "a/b"], vec![""]),
    ] {
        for text in covered {
            assert!(denied(pattern, text), "{pattern} covers {text}");
        }
        for text in open {
            assert!(!denied(pattern, text), "{pattern} does not cover {text}");
        }
    }
}

#[test]
fn names_are_matched_as_bytes() {
    let rules = rules([deny("a?c"), deny("*.pem"), deny("x[!a]z")]);
    for bytes in [b"a\xffc".as_slice(), b"\xfe\xff.pem", b"d/\xff.pem/x", b"x\xffz"] {
        assert_eq!(rules.treatment_of_bytes(bytes).treatment, Treatment::Deny, "{bytes:?}");
    }
    assert_eq!(rules.treatment_of_bytes(b"a\xff\xffc").treatment, Treatment::ReadWrite);
}

#[test]
fn the_last_rule_that_matches_wins_and_is_named() {
    let rules = rules([read_only("docs/"), read_write("docs/drafts"), deny("*.key")]);
    let ruling = |text| {
        let ruling = rules.treatment(&path(text));
        (ruling.treatment, ruling.rule.to_owned(), ruling.index)
    };
    assert_eq!(ruling("docs/a"), (Treatment::ReadOnly, "read_only: docs/".to_owned(), Some(0)));
    assert_eq!(ruling("docs/drafts/a").0, Treatment::ReadWrite);
    assert_eq!(ruling("docs/drafts/a.key").1, "deny: *.key");
    assert_eq!(ruling("src/a"), (Treatment::ReadWrite, DEFAULT_RULE.to_owned(), None));
}

#[test]
fn nothing_below_a_denied_directory_can_be_opened_again() {
    let rules = rules([deny("secrets/**"), read_write("secrets/public/**"), read_only("**/*.md")]);
    for text in ["secrets/public", "secrets/public/a", "secrets/a.md"] {
        assert_eq!(rules.treatment(&path(text)).treatment, Treatment::Deny, "{text}");
    }
}

#[test]
fn a_file_itself_can_be_excepted_from_an_earlier_rule() {
    let rules = rules([deny(".env.*"), read_write(".env.example")]);
    assert_eq!(rules.treatment(&path("a/.env.example")).treatment, Treatment::ReadWrite);
    assert_eq!(rules.treatment(&path("a/.env.local")).treatment, Treatment::Deny);
}

#[test]
fn the_built_in_rules_keep_git_working_and_credentials_away() {
    let policy = PolicyVersion::builtin_local(&user("dev"));
    let treatment = |text| policy.path_rules().treatment(&path(text)).treatment;
    for text in [
        ".git/HEAD",
        ".git/config",
        ".git/refs/heads/secrets/x.pem",
        ".git/hooks/pre-commit",
        "src/main.rs",
        ".env.example",
        "keys.rs",
        "pkg/secrets/secrets.go",
        ".npmrc",
        "id_rsa.pub",
        ".gitignore",
    ] {
        assert_eq!(treatment(text), Treatment::ReadWrite, "{text}");
    }
    for text in [
        ".env",
        "app/.env.production",
        "tls/server.pem",
        ".ssh/id_ed25519",
        "home/.aws/credentials",
        "secrets/key",
        "a/.docker/config.json",
        ".netrc",
    ] {
        assert_eq!(treatment(text), Treatment::Deny, "{text}");
    }
    assert!(!policy.path_rules().could_match_below(&path(".git")));
}

#[test]
fn rules_without_guards_say_so() {
    assert!(!PathRules::default().has_guards());
    assert!(!rules([read_write("a")]).has_guards());
    let read_only = rules([read_only("a")]);
    assert!(read_only.has_guards() && !read_only.denies());
    assert!(rules([deny("a")]).denies());
    assert_eq!(PathRules::default().digest(), rules([]).digest());
    assert_ne!(read_only.digest(), rules([deny("a")]).digest());
}

#[test]
fn rules_survive_their_text_form() {
    let before = rules([deny("a/**"), read_only("{b,c}"), read_write("*.md")]);
    let text = serde_json::to_string(&before).unwrap();
    assert_eq!(text, r#"[{"deny":"a/**"},{"read_only":"{b,c}"},{"read_write":"*.md"}]"#);
    let after: PathRules = serde_json::from_str(&text).unwrap();
    assert_eq!((after.digest(), &after), (before.digest(), &before));
}

#[test]
fn too_many_rules_are_refused() {
    let many = |count: usize, pattern: &str| PathRules::new(vec![deny(pattern); count]);
    assert!(many(512, "a").is_ok());
    assert!(many(513, "a").is_err());
    assert!(many(512, "a/b/c/d/e").is_err());
    assert!(PathPattern::new("{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}").is_err());
    assert!(PathPattern::new(&"{".repeat(500)).is_err());
}

#[test]
fn could_match_below_finds_every_way_into_a_directory() {
    let rules =
        rules([deny("a/b/*.key"), read_only("c/**"), read_write("c/open"), deny("/x/**/y")]);
    for (dir, could) in [
        ("", true),
        ("a", true),
        ("a/b", true),
        ("a/b/c", false),
        ("c", true),
        ("c/d", true),
        ("c/open", false),
        ("d", false),
        ("x", true),
        ("x/1/2/3", true),
        ("x/y", true),
        ("a/c", false),
    ] {
        assert_eq!(rules.could_match_below(&path(dir)), could, "{dir}");
    }
}

/// What the rules mean, spelled out: every rule on every prefix of the path, with somebody else's globs.
fn naive(rules: &[(Treatment, String)], path: &str) -> (Treatment, Option<usize>) {
    let matches = |pattern: &str, prefix: &str| {
        let body = pattern.strip_suffix('/').unwrap_or(pattern);
        let anchored = body.contains('/');
        let mut body = body.strip_prefix('/').unwrap_or(body).to_owned();
        while let Some(shorter) = body.strip_suffix("/**") {
            body = shorter.to_owned();
        }
        // The root is covered by `**` alone.
        if body == "**" || prefix.is_empty() {
            return body == "**";
        }
        let glob = if anchored { body } else { format!("**/{body}") };
        let glob = GlobBuilder::new(&glob)
            .literal_separator(true)
            .backslash_escape(true)
            .empty_alternates(true)
            .build()
            .expect("globset reads what we read");
        let matcher: GlobMatcher = glob.compile_matcher();
        matcher.is_match(prefix)
    };
    let mut covering = None;
    let mut prefixes = vec![""];
    prefixes.extend(path.match_indices('/').map(|(at, _)| &path[..at]));
    prefixes.push(path);
    for prefix in prefixes {
        let hit = rules.iter().rposition(|(_, pattern)| matches(pattern, prefix));
        covering = covering.max(hit);
        if covering.is_some_and(|at: usize| rules[at].0 == Treatment::Deny) {
            break;
        }
    }
    (covering.map_or(Treatment::ReadWrite, |at| rules[at].0), covering)
}

fn component() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => "[abc]{1,2}",
        1 => Just("*".to_owned()),
        1 => Just("a*".to_owned()),
        1 => Just("*b".to_owned()),
        1 => Just("?".to_owned()),
        1 => Just("*a*b".to_owned()),
        1 => Just("[ab]".to_owned()),
        1 => Just("[!a]c".to_owned()),
        1 => Just("{a,b,}c".to_owned()),
        1 => Just("{a,{b,ca}}".to_owned()),
        2 => Just("**".to_owned()),
    ]
}

fn pattern() -> impl Strategy<Value = String> {
    let body = proptest::collection::vec(component(), 1..4).prop_map(|parts| parts.join("/"));
    (any::<bool>(), body, any::<bool>()).prop_map(|(lead, body, trail)| {
        format!("{}{body}{}", if lead { "/" } else { "" }, if trail { "/" } else { "" })
    })
}

fn treatment() -> impl Strategy<Value = Treatment> {
    prop_oneof![Just(Treatment::ReadWrite), Just(Treatment::ReadOnly), Just(Treatment::Deny)]
}

fn compiled(rules: &[(Treatment, String)]) -> PathRules {
    let rule = |(treatment, pattern): &(Treatment, String)| match treatment {
        Treatment::ReadWrite => read_write(pattern),
        Treatment::ReadOnly => read_only(pattern),
        Treatment::Deny => deny(pattern),
    };
    PathRules::new(rules.iter().map(rule).collect()).expect("few rules")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn the_automaton_agrees_with_a_naive_reading(
        rules in proptest::collection::vec((treatment(), pattern()), 0..6),
        parts in proptest::collection::vec("[abc]{1,3}", 1..5),
    ) {
        let text = parts.join("/");
        let compiled = compiled(&rules);
        let ruling = compiled.treatment(&path(&text));
        prop_assert_eq!((ruling.treatment, ruling.index), naive(&rules, &text));
    }

    #[test]
    fn nothing_is_guarded_where_could_match_below_says_no(
        rules in proptest::collection::vec((treatment(), pattern()), 0..6),
        dir in proptest::collection::vec("[abc]{1,2}", 0..4),
        below in proptest::collection::vec("[abc]{1,2}", 1..4),
    ) {
        let compiled = compiled(&rules);
        let inside = path(&[dir.clone(), below].concat().join("/"));
        if !compiled.could_match_below(&path(&dir.join("/"))) {
            prop_assert_eq!(compiled.treatment(&inside).treatment, Treatment::ReadWrite);
        }
    }

    #[test]
    fn no_text_makes_the_pattern_parser_panic(text in "[*?\\[\\]{},\\\\/!^ab.é-]{0,24}", path in "[ab/é*]{0,24}") {
        if let Ok(pattern) = PathPattern::new(&text)
            && let Ok(rules) = PathRules::new(vec![PathRule::Deny(pattern)])
        {
            let _ = rules.treatment_of_bytes(path.as_bytes());
        }
    }

    #[test]
    fn any_bytes_have_a_treatment(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
        let policy = PolicyVersion::builtin_local(&user("dev"));
        let _ = policy.path_rules().treatment_of_bytes(&bytes);
    }
}
