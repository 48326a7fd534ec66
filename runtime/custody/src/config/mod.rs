//! The configuration: one YAML file and the environment, a typed section per file. It reads its file and the secrets
//! that are asked for; the environment comes in as a value.
//!
//! Invariant: no value of a secret is ever in here, only where it is.

mod check;
mod disk;
mod environment;
mod error;
mod identity;
mod limits;
mod load;
mod log;
mod observe;
#[cfg(test)]
mod promises;
mod push;
mod queue;
mod retention;
mod schema;
mod secret;
mod secret_command;
mod section;
mod server;
mod state;
mod store;
mod transparency;
mod url;
mod vault;

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use check::Check;
use section::Section;

pub use environment::{Environment, variable_of};
pub use error::{ConfigError, Origin};
pub use identity::{Identity, KeySet as KeySetPlace};
pub use load::Sources;
pub use log::{Level, Log, LogFormat};
pub use retention::Retention;
pub use schema::json_schema;
pub use state::DIRECTORY;
pub use vault::{Vault, Wrapping};

/// Every section. What is not said has its default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(title = "Custody configuration")]
pub struct Settings {
    /// Where the installation lives.
    #[serde(deserialize_with = "section::or_default")]
    pub state: state::State,
    /// Where the server listens, and whom it believes.
    #[serde(deserialize_with = "section::or_default")]
    pub server: server::Server,
    /// What one caller, and all of them, may ask of the API.
    #[serde(deserialize_with = "section::or_default")]
    pub limits: limits::Limits,
    /// How many sessions run, and how many wait in line.
    #[serde(deserialize_with = "section::or_default")]
    pub queue: queue::Queue,
    /// How contents are erased whose retention class has ended.
    #[serde(deserialize_with = "section::or_default")]
    pub retention: retention::Retention,
    /// Whose tokens are believed, and how long they last.
    #[serde(deserialize_with = "section::or_default")]
    pub identity: identity::Identity,
    /// The database of the index.
    #[serde(deserialize_with = "section::or_default")]
    pub store: store::Store,
    /// Where what is recorded is sent while it happens.
    #[serde(deserialize_with = "section::or_default")]
    pub push: push::Push,
    /// Who may follow the installation's logs, and who witnesses them.
    #[serde(deserialize_with = "section::or_default")]
    pub transparency: transparency::Transparency,
    /// What wraps the keys that contents are sealed with.
    #[serde(deserialize_with = "section::or_default")]
    pub vault: vault::Vault,
    /// How long a session that ends waits for a disk that is full, read-only or broken.
    #[serde(deserialize_with = "section::or_default")]
    pub disk: disk::Disk,
    /// Which files of a session are observed, and how closely.
    #[serde(deserialize_with = "section::or_default")]
    pub observe: observe::Observe,
    /// What the server says about itself.
    #[serde(deserialize_with = "section::or_default")]
    pub log: log::Log,
}

/// Does the same with every section.
macro_rules! sections {
    ($each:ident) => {
        $each!(state: state::State);
        $each!(server: server::Server);
        $each!(limits: limits::Limits);
        $each!(queue: queue::Queue);
        $each!(retention: retention::Retention);
        $each!(identity: identity::Identity);
        $each!(store: store::Store);
        $each!(push: push::Push);
        $each!(transparency: transparency::Transparency);
        $each!(vault: vault::Vault);
        $each!(disk: disk::Disk);
        $each!(observe: observe::Observe);
        $each!(log: log::Log);
    };
}

impl Settings {
    /// All fields, each with its section, in the order in which they are shown.
    pub fn fields() -> Vec<(&'static str, &'static str)> {
        let mut fields = Vec::new();
        macro_rules! add {
            ($section:ident: $type:ty) => {
                let name = <$type as Section>::NAME;
                fields.extend(<$type as Section>::FIELDS.iter().map(|field| (name, *field)));
            };
        }
        sections!(add);
        fields
    }

    /// Takes over one field of other settings.
    fn take(&mut self, section: &str, field: &str, from: &Self) {
        macro_rules! take {
            ($section:ident: $type:ty) => {
                if section == <$type as Section>::NAME {
                    self.$section.take(field, &from.$section);
                }
            };
        }
        sections!(take);
    }

    fn check(&self, check: &mut Check<'_>) {
        let Self {
            state,
            server,
            limits,
            queue,
            retention,
            identity,
            store,
            push,
            transparency,
            vault,
            disk,
            observe,
            log: _,
        } = self;
        state.check(check);
        server.check(check);
        limits.check(check);
        queue.check(check);
        retention.check(check);
        identity.check(check);
        store.check(check);
        push.check(check);
        transparency.check(check);
        vault.check(check);
        disk.check(check);
        observe.check(check);
    }
}

/// The configuration in effect.
#[derive(Clone, Debug)]
pub struct Config {
    /// The values.
    pub settings: Settings,
    /// The file that was read, if there was one.
    pub file: Option<PathBuf>,
    origins: BTreeMap<String, Origin>,
}

impl Config {
    /// Where the value of a field comes from, as in `server.listen`.
    pub fn origin(&self, field: &str) -> &Origin {
        self.origins.get(field).unwrap_or(&Origin::Default)
    }
}
