//! `identity`: whose tokens are believed, and how long they last.

use std::collections::BTreeSet;
use std::path::PathBuf;

use custody_model::Scope;
use custody_policy::quantity::Seconds;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::check::Check;
use super::section::{section, with_unit};
use super::url::HttpUrl;

/// Longest issuer, audience, claim and prefix, in bytes.
const NAME_BYTES: usize = 256;
/// Most external issuers.
const EXTERNAL: usize = 32;
/// Longest alias of an external issuer, in characters.
const ALIAS: usize = 32;
const HOUR: u64 = 3_600;
const DAY: u64 = 24 * HOUR;

/// Whose tokens are believed, and how long they last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Identity {
    /// The name of this installation in the tokens that it issues (`iss`). Default: `server.public_url`, or
    /// `custody`.
    #[schemars(length(min = 1, max = NAME_BYTES))]
    pub issuer: String,
    /// Whom tokens have to be meant for (`aud`).
    #[schemars(length(min = 1, max = NAME_BYTES))]
    pub audience: String,
    /// How long a token of a person is valid: 1m to 24h.
    #[serde(serialize_with = "with_unit")]
    pub access_lifetime: Seconds,
    /// How long a token of a service may be valid at most: 1h to 366d.
    #[serde(serialize_with = "with_unit")]
    pub service_lifetime_max: Seconds,
    /// How far clocks may be apart: 1s to 5m.
    #[serde(serialize_with = "with_unit")]
    pub leeway: Seconds,
    /// Other issuers whose tokens are believed; at most 32.
    #[schemars(length(max = EXTERNAL))]
    pub external: Vec<External>,
}

section!("identity": Identity {
    issuer, audience, access_lifetime, service_lifetime_max, leeway, external,
});

impl Default for Identity {
    fn default() -> Self {
        Self {
            issuer: "custody".to_owned(),
            audience: "custody".to_owned(),
            access_lifetime: Seconds(15 * 60),
            service_lifetime_max: Seconds(90 * DAY),
            leeway: Seconds(30),
            external: Vec::new(),
        }
    }
}

/// Another issuer whose tokens are believed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct External {
    /// What it is called here: 1 to 32 of a-z, 0-9 and `-`.
    #[schemars(regex(pattern = "^[a-z0-9-]{1,32}$"))]
    pub name: String,
    /// Its name in its tokens (`iss`).
    #[schemars(length(min = 1, max = NAME_BYTES))]
    pub issuer: String,
    /// Whom its tokens have to be meant for (`aud`).
    #[schemars(length(min = 1, max = NAME_BYTES))]
    pub audience: String,
    /// Its public keys.
    pub jwks: KeySet,
    /// The claim with the user's name.
    #[serde(default = "subject")]
    #[schemars(length(min = 1, max = NAME_BYTES))]
    pub user_claim: String,
    /// What is put in front of its users' names, so that nobody gets the name of another issuer's user. Default: its
    /// name and a colon.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = NAME_BYTES))]
    pub prefix: Option<String>,
    /// What its tokens may be used for, whoever has them. Default: what their `scope` claim says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scopes: Option<BTreeSet<Scope>>,
    /// How old its keys may be before they are read anew: 30s to 24h.
    #[serde(default = "ten_minutes", serialize_with = "with_unit")]
    pub refresh: Seconds,
}

/// Where the public keys of an issuer are: a JSON Web Key Set (RFC 7517).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum KeySet {
    /// In a file, by its absolute path.
    File(PathBuf),
    /// At a URL: https, or http to a loopback address.
    Url(HttpUrl),
}

fn subject() -> String {
    "sub".to_owned()
}

fn ten_minutes() -> Seconds {
    Seconds(600)
}

impl External {
    /// What is put in front of its users' names.
    pub fn prefix(&self) -> String {
        self.prefix.clone().unwrap_or_else(|| format!("{}:", self.name))
    }
}

fn is_name(text: &str) -> bool {
    (1..=NAME_BYTES).contains(&text.len())
        && !text.contains(|c: char| c.is_control() || c.is_whitespace())
}

impl Identity {
    pub(super) fn check(&self, check: &mut Check<'_>) {
        name(check, "identity.issuer", &self.issuer);
        name(check, "identity.audience", &self.audience);
        check.duration("identity.access_lifetime", self.access_lifetime, 60..=DAY);
        check.duration(
            "identity.service_lifetime_max",
            self.service_lifetime_max,
            HOUR..=366 * DAY,
        );
        check.duration("identity.leeway", self.leeway, 1..=300);
        check.at_most("identity.external", self.external.len(), EXTERNAL);
        for (at, external) in self.external.iter().enumerate() {
            external.check(&format!("identity.external.{at}"), check);
            self.confusable(at, external, check);
        }
    }

    /// Two issuers must not be able to speak for each other's users.
    fn confusable(&self, at: usize, external: &External, check: &mut Check<'_>) {
        let field = |name: &str| format!("identity.external.{at}.{name}");
        if external.issuer == self.issuer {
            let reason = "this is the issuer of this installation: another one can't have its name";
            check.refuse(&field("issuer"), reason);
        }
        for before in &self.external[..at] {
            if before.name == external.name {
                let reason = format!("there are two issuers with the name {}", external.name);
                check.refuse(&field("name"), reason);
            }
            if before.issuer == external.issuer {
                let reason = format!("{} has the same issuer", before.name);
                check.refuse(&field("issuer"), reason);
            }
            let (one, other) = (before.prefix(), external.prefix());
            // An empty one is refused for itself, and so is a second issuer of the same name.
            let tried = before.name != external.name && !one.is_empty() && !other.is_empty();
            if tried && (one.starts_with(&other) || other.starts_with(&one)) {
                let reason = format!(
                    "{other:?} and the prefix of {}, {one:?}, begin alike: users could get each other's names",
                    before.name
                );
                check.refuse(&field("prefix"), reason);
            }
        }
    }
}

impl External {
    fn check(&self, field: &str, check: &mut Check<'_>) {
        let alias = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        if !(1..=ALIAS).contains(&self.name.len()) || !self.name.bytes().all(alias) {
            check.refuse(
                &format!("{field}.name"),
                format!("{:?} is not 1 to {ALIAS} of a-z, 0-9 and -", self.name),
            );
        }
        name(check, &format!("{field}.issuer"), &self.issuer);
        name(check, &format!("{field}.audience"), &self.audience);
        name(check, &format!("{field}.user_claim"), &self.user_claim);
        if let Some(prefix) = &self.prefix {
            name(check, &format!("{field}.prefix"), prefix);
        }
        match &self.jwks {
            KeySet::File(path) => check.absolute(&format!("{field}.jwks"), path),
            KeySet::Url(_) => {}
        }
        check.duration(&format!("{field}.refresh"), self.refresh, 30..=DAY);
    }
}

fn name(check: &mut Check<'_>, field: &str, text: &str) {
    if !is_name(text) {
        let reason =
            format!("1 to {NAME_BYTES} bytes without spaces and control characters are wanted");
        check.refuse(field, reason);
    }
}
