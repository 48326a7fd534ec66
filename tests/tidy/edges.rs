//! The directions between crates: a table of what may depend on what, compared with `cargo metadata`.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::tree::{METADATA, packages, rust_files};

/// Each of our packages in the order in which a request meets them, and those that it may depend on.
///
/// A new edge is a decision about the architecture: it is made here, in the same commit, with its reason in the
/// message. The rules behind it:
/// - the model depends on nothing of ours; policy, record and identity on the model alone;
/// - contracts never depend on their implementations, which only the binary names;
/// - mediators know the record's sink, never a database;
/// - init is linked into every sandbox: it depends on nothing;
/// - whatever investigates cannot start, change or publish anything.
const EDGES: &[(&str, &[&str])] = &[
    ("custody-model", &[]),
    ("custody-policy", &["custody-model"]),
    ("custody-record", &["custody-model"]),
    ("custody-witness", &["custody-model", "custody-record"]),
    ("custody-verify", &["custody-model", "custody-record"]),
    ("custody-store", &["custody-model", "custody-record"]),
    ("custody-store-sqlite", &["custody-model", "custody-record", "custody-store"]),
    ("custody-identity", &["custody-model"]),
    (
        "custody-control",
        &["custody-model", "custody-policy", "custody-record", "custody-store", "custody-identity"],
    ),
    ("custody-sandbox", &["custody-model", "custody-policy", "custody-record"]),
    (
        "custody-sandbox-namespace",
        &["custody-model", "custody-policy", "custody-record", "custody-sandbox"],
    ),
    ("custody-workspace", &["custody-model", "custody-policy", "custody-record"]),
    ("custody-init", &[]),
    (
        "custody-keeper",
        &[
            "custody-model",
            "custody-policy",
            "custody-record",
            "custody-sandbox",
            "custody-workspace",
            "custody-init",
        ],
    ),
    (
        "custody-session",
        &[
            "custody-model",
            "custody-policy",
            "custody-record",
            "custody-store",
            "custody-control",
            "custody-sandbox",
            "custody-workspace",
            "custody-keeper",
        ],
    ),
    ("custody-investigate", &["custody-model", "custody-record", "custody-store"]),
    ("custody-export", &["custody-model", "custody-record"]),
    ("custody-push", &["custody-model", "custody-record", "custody-export"]),
    ("custody-api-types", &["custody-model", "custody-record", "custody-investigate"]),
    (
        "custody-api-server",
        &[
            "custody-model",
            "custody-policy",
            "custody-record",
            "custody-store",
            "custody-identity",
            "custody-control",
            "custody-session",
            "custody-investigate",
            "custody-export",
            "custody-api-types",
        ],
    ),
    (
        "custody-api-client",
        &["custody-model", "custody-record", "custody-investigate", "custody-api-types"],
    ),
    ("custody", ANYTHING),
    ("custody-tests", ANYTHING),
    ("custody-fuzz", ANYTHING),
];

/// The binary builds everything, and the tests test it.
const ANYTHING: &[&str] = &["*"];

/// Crates that pure stages must not depend on, whatever their features.
const IMPURE: &[&str] = &["tokio", "sqlx", "axum", "hyper", "reqwest", "fuser"];

/// The stages that know no network, no database and no runtime.
const PURE: &[&str] = &[
    "custody-model",
    "custody-policy",
    "custody-record",
    "custody-identity",
    "custody-investigate",
    "custody-export",
];

fn name(package: &Value) -> &str {
    package["name"].as_str().expect("a package has a name")
}

/// Dependencies of one kind: `None` is a normal one.
fn dependencies<'a>(
    package: &'a Value,
    kinds: &'a [Option<&str>],
) -> impl Iterator<Item = &'a str> {
    package["dependencies"]
        .as_array()
        .expect("a list")
        .iter()
        .filter(|dependency| kinds.contains(&dependency["kind"].as_str()))
        .map(name)
}

/// Place of a package on the path of the data.
fn place(package: &str) -> usize {
    EDGES.iter().position(|(name, _)| *name == package).unwrap_or_else(|| {
        panic!("{package} is not in the table of edges: where on the path does it stand?")
    })
}

#[test]
fn members_stand_in_the_order_of_the_data_path() {
    let paths: BTreeMap<&str, &str> = packages(true)
        .map(|package| (package["id"].as_str().expect("an id"), name(package)))
        .collect();
    let members: Vec<&str> = METADATA["workspace_members"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|id| paths[id.as_str().expect("an id")])
        .collect();
    let expected: Vec<&str> = EDGES.iter().map(|(name, _)| *name).collect();
    assert_eq!(
        members, expected,
        "Cargo.toml lists the members in the order of the table of edges"
    );
    for (package, allowed) in EDGES {
        for on in allowed.iter().filter(|on| **on != "*") {
            assert!(place(on) < place(package), "{package} → {on} runs against the path");
        }
    }
}

#[test]
fn crates_depend_only_in_the_allowed_directions() {
    let mut wrong = Vec::new();
    for package in packages(true) {
        let (package_name, allowed) = EDGES[place(name(package))];
        for on in
            dependencies(package, &[None, Some("build")]).filter(|on| on.starts_with("custody"))
        {
            if allowed != ANYTHING && !allowed.contains(&on) {
                wrong.push(format!("{package_name} → {on}"));
            }
        }
    }
    assert!(wrong.is_empty(), "edges that the table does not allow: {wrong:?}");
}

#[test]
fn tests_of_a_crate_use_no_stage_after_it() {
    let mut wrong = Vec::new();
    for package in packages(true) {
        for on in dependencies(package, &[Some("dev")]).filter(|on| on.starts_with("custody")) {
            // On itself: with the features that its tests need.
            if place(on) > place(name(package)) {
                wrong.push(format!("{} → {on}", name(package)));
            }
        }
    }
    assert!(wrong.is_empty(), "test dependencies against the path: {wrong:?}");
}

#[test]
fn pure_stages_stay_pure() {
    let mut wrong = Vec::new();
    for package in packages(true).filter(|package| PURE.contains(&name(package))) {
        for on in dependencies(package, &[None, Some("build")]).filter(|on| IMPURE.contains(on)) {
            wrong.push(format!("{} → {on}", name(package)));
        }
    }
    assert!(wrong.is_empty(), "pure stages with a runtime, a network or a database: {wrong:?}");
}

#[test]
fn whatever_investigates_writes_nothing() {
    let writers = [
        "UnitOfWork",
        ".save(",
        ".clear(",
        ".lease(",
        ".release(",
        "fs::write",
        "File::create",
        "OpenOptions",
        "create_dir",
        "fs::rename",
        "fs::remove",
    ];
    let mut seen = 0;
    let mut wrong = Vec::new();
    for (path, text) in
        rust_files().filter(|(path, _)| path.starts_with("runtime/investigate/src/"))
    {
        seen += 1;
        wrong.extend(writers.iter().filter(|w| text.contains(**w)).map(|w| format!("{path}: {w}")));
    }
    assert!(seen > 0, "the sources that investigate are gone, or elsewhere");
    assert!(wrong.is_empty(), "what investigates only reads: {wrong:?}");
}

#[test]
fn drivers_and_databases_are_named_only_where_everything_is_wired() {
    for (driver, own) in [
        ("custody_sandbox_namespace", "runtime/sandbox-namespace/"),
        ("custody_store_sqlite", "runtime/store-sqlite/"),
    ] {
        let allowed = ["runtime/custody/src/wire.rs", own, "tests/"];
        let wrong: Vec<&str> = rust_files()
            .filter(|(path, text)| {
                let tests = path.contains("/tests/");
                text.contains(driver) && !tests && !allowed.iter().any(|a| path.starts_with(a))
            })
            .map(|(path, _)| path)
            .collect();
        assert!(wrong.is_empty(), "{driver} is named outside of wire.rs: {wrong:?}");
    }
}

#[test]
fn only_the_crates_of_the_databases_speak_to_one() {
    let kinds = [None, Some("build"), Some("dev")];
    let wrong: Vec<&str> = packages(true)
        .filter(|package| dependencies(package, &kinds).any(|on| on == "sqlx"))
        .map(name)
        .filter(|package| !package.starts_with("custody-store-"))
        .collect();
    assert!(wrong.is_empty(), "SQL outside of the store: {wrong:?}");
}
