//! What is linked in from outside: licences, sources and bans of `deny.toml`, checked with nothing but cargo.

use std::collections::BTreeMap;

use serde::Deserialize;
use spdx::{Expression, ParseMode};

use crate::tree::{FILES, packages};

#[derive(Deserialize)]
struct Deny {
    licenses: Licenses,
    bans: Bans,
    sources: Sources,
}

#[derive(Deserialize)]
struct Licenses {
    allow: Vec<String>,
}

#[derive(Deserialize)]
struct Bans {
    deny: Vec<Ban>,
}

#[derive(Deserialize)]
struct Ban {
    #[serde(rename = "crate")]
    name: String,
    reason: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Sources {
    allow_registry: Vec<String>,
}

fn deny() -> Deny {
    let file = FILES.iter().find(|file| file.path == "deny.toml").expect("deny.toml is there");
    toml::from_str(file.text.as_deref().expect("UTF-8")).expect("deny.toml is well formed")
}

#[test]
fn every_licence_is_one_that_we_may_ship() {
    let allowed = deny().licenses.allow;
    let mut wrong = BTreeMap::new();
    for package in packages(false) {
        let name = package["name"].as_str().expect("a name");
        let text = package["license"].as_str().unwrap_or("none named");
        let fits = Expression::parse_mode(text, ParseMode::LAX).is_ok_and(|expression| {
            expression.evaluate(|requirement| allowed.contains(&requirement.to_string()))
        });
        if !fits {
            wrong.insert(name, text);
        }
    }
    assert!(wrong.is_empty(), "licences that deny.toml does not allow: {wrong:?}");
}

#[test]
fn every_crate_comes_from_an_allowed_registry() {
    let allowed = deny().sources.allow_registry;
    let wrong: Vec<_> = packages(false)
        .filter(|package| {
            let source = package["source"].as_str().unwrap_or_default();
            !source.strip_prefix("registry+").is_some_and(|url| allowed.iter().any(|a| a == url))
        })
        .map(|package| (&package["name"], &package["source"]))
        .collect();
    assert!(wrong.is_empty(), "crates from elsewhere: {wrong:?}");
}

#[test]
fn nothing_banned_is_linked_in() {
    let bans = deny().bans.deny;
    let wrong: Vec<String> = packages(false)
        .filter_map(|package| bans.iter().find(|ban| package["name"] == ban.name.as_str()))
        .map(|ban| format!("{}: {}", ban.name, ban.reason))
        .collect();
    assert!(wrong.is_empty(), "banned crates: {wrong:?}");
}
