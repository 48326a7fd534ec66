//! `transparency`: who may follow the installation's logs, and who witnesses them.

use custody_api_types::endpoint::Part;
use custody_record::tlog::TlogPolicy;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::check::Check;
use super::section::section;

/// Who may follow the installation's logs, and who witnesses them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Transparency {
    /// How much of the installation log everybody may read without a token.
    pub publish: Published,
    /// The witnesses whose cosignatures are wanted, as the text of a trust policy (C2SP tlog-policy): `witness <name> <vkey>
    /// <url>` for each, groups, and `quorum <name>`. Each needs a URL, its submission prefix (C2SP tlog-witness).
    pub witnesses: String,
}

section!("transparency": Transparency { publish, witnesses });

impl Default for Transparency {
    fn default() -> Self {
        Self { publish: Published::Nothing, witnesses: "quorum none\n".to_owned() }
    }
}

/// A part of the installation log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Published {
    /// A token is needed for all of it.
    #[default]
    Nothing,
    /// Signed heads and the hashes of the tree: enough to see that it only grows.
    Hashes,
    /// Its entries, too: ids of sessions, and when each had how many events.
    Entries,
}

impl Transparency {
    /// What everybody may read.
    pub fn published(&self) -> Option<Part> {
        match self.publish {
            Published::Nothing => None,
            Published::Hashes => Some(Part::Hashes),
            Published::Entries => Some(Part::Entries),
        }
    }

    pub(super) fn check(&self, check: &mut Check<'_>) {
        let policy = match TlogPolicy::parse(&self.witnesses) {
            Ok(policy) => policy,
            Err(error) => return check.refuse("transparency.witnesses", error.to_string()),
        };
        for witness in policy.witnesses() {
            let url = witness.url.as_deref().unwrap_or_default();
            if !url.starts_with("https://") && !url.starts_with("http://") {
                let reason =
                    format!("the witness {} needs the URL that it is asked at", witness.name);
                check.refuse("transparency.witnesses", reason);
            }
        }
    }
}
