//! From defaults, file, environment and options to the settings in effect, with where each comes from.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::ErrorKind;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use custody_policy::yaml::{self, ParseLimits, Places, nearest};

use super::check::{Check, field_of, pointer};
use super::environment::{Environment, Variable, variable_of};
use super::error::{ConfigError, Origin, Problem};
use super::queue::Queue;
use super::server::Server;
use super::state::DIRECTORY;
use super::store::Store;
use super::{Config, Settings};

/// Where the file is, if nothing says otherwise.
pub const FILE: &str = "/etc/custody/custody.yaml";

/// The variable that does what `--state` does.
const STATE: &str = "CUSTODY_STATE";

/// What a configuration is made of.
#[derive(Clone)]
pub struct Sources {
    /// The file, if one was named.
    pub file: Option<PathBuf>,
    /// The state directory, if one was named: `--state`, or CUSTODY_STATE.
    pub state: Option<PathBuf>,
    /// The environment.
    pub environment: Environment,
    /// How many processor cores there are.
    pub cores: NonZeroUsize,
}

impl Sources {
    /// Reads and checks everything.
    ///
    /// # Errors
    /// [`ConfigError`]. A file that was named has to be there, the one at [`FILE`] does not.
    pub fn load(&self) -> Result<Config, ConfigError> {
        self.load_or(Path::new(FILE))
    }

    /// The state directory alone, for a command that needs nothing else: whoever may not read the file at [`FILE`]
    /// (only the server has to) works with the default.
    ///
    /// # Errors
    /// Those of [`Sources::load`] otherwise.
    pub fn state_directory(&self) -> Result<PathBuf, ConfigError> {
        match self.load() {
            Ok(config) => Ok(config.settings.state.directory),
            Err(ConfigError::Unreadable { source, .. })
                if self.file.is_none() && source.kind() == ErrorKind::PermissionDenied =>
            {
                Ok(DIRECTORY.into())
            }
            Err(error) => Err(error),
        }
    }

    /// What whoever started this process handed down to it: the environment alone counts, whatever a file says by now.
    ///
    /// # Errors
    /// [`ConfigError::Invalid`].
    pub fn handed_down(&self) -> Result<Config, ConfigError> {
        self.settle(None, "")
    }

    /// [`Sources::load`] with another place where a file may be.
    pub(super) fn load_or(&self, usual: &Path) -> Result<Config, ConfigError> {
        let path = self.file.as_deref().unwrap_or(usual);
        let (file, text) = match std::fs::read(path) {
            Ok(bytes) => (Some(path.to_owned()), bytes),
            Err(error) if self.file.is_none() && error.kind() == ErrorKind::NotFound => {
                (None, Vec::new())
            }
            Err(source) => return Err(ConfigError::Unreadable { path: path.to_owned(), source }),
        };
        let text = match String::from_utf8(text) {
            Ok(text) => text,
            Err(_) => {
                let problem = Problem::in_file(None, String::new(), "it is not UTF-8".to_owned());
                return Err(ConfigError::Invalid { file, problems: vec![problem] });
            }
        };
        self.settle(file, &text)
    }

    /// Everything but reading the file.
    pub(super) fn settle(&self, file: Option<PathBuf>, text: &str) -> Result<Config, ConfigError> {
        let invalid = |problems| ConfigError::Invalid { file: file.clone(), problems };
        let (written, places) = read(text)
            .map_err(|error| {
                let field = field_of(&error.pointer);
                Problem::in_file(error.place, field, error.reason)
            })
            .map_err(|problem| invalid(vec![problem]))?;
        let mut layers = Layers::default();
        let fields = Settings::fields();
        for (section, field) in &fields {
            if let Some(place) = places.of(&pointer(&format!("{section}.{field}"))) {
                layers.set(section, field, &written, Origin::File { line: place.line });
            }
        }
        let mut problems = Vec::new();
        for variable in self.environment.settings(&fields) {
            match variable {
                Variable::Known { name, section, field, value } => {
                    match value_of(section, field, value) {
                        Ok(settings) => {
                            let origin = Origin::Environment { variable: name };
                            layers.set(section, field, &settings, origin);
                        }
                        Err((field, reason)) => problems.push(Problem {
                            origin: Origin::Environment { variable: name },
                            column: None,
                            field,
                            reason,
                        }),
                    }
                }
                Variable::Unknown { name } => problems.push(unknown(name, &fields)),
            }
        }
        self.derive(&mut layers);
        let Layers { settings, origins } = layers;
        let mut check = Check::new(&origins, &places);
        settings.check(&mut check);
        problems.extend(check.problems());
        if problems.is_empty() {
            Ok(Config { settings, origins, file: file.clone() })
        } else {
            Err(invalid(problems))
        }
    }

    /// What was named on the command line, and defaults that depend on something.
    fn derive(&self, layers: &mut Layers) {
        if let Some(state) = &self.state {
            let variable = self.environment.get(STATE).is_some_and(|set| set == state.as_os_str());
            // From where the command was typed, unlike what a file says.
            layers.settings.state.directory =
                std::path::absolute(state).unwrap_or_else(|_| state.clone());
            let origin = match variable {
                true => Origin::Environment { variable: STATE.to_owned() },
                false => Origin::Option { option: "--state" },
            };
            layers.origins.insert("state.directory".to_owned(), origin);
        }
        let missing = |field: &str| !layers.origins.contains_key(field);
        let (socket, path) = (missing("server.socket"), missing("store.path"));
        let (running, issuer) = (missing("queue.running"), missing("identity.issuer"));
        let settings = &mut layers.settings;
        if socket {
            settings.server.socket = Server::socket_in(&settings.state.directory);
        }
        if path {
            settings.store.path = Store::path_in(&settings.state.directory);
        }
        if running {
            settings.queue.running = Queue::running_on(self.cores);
        }
        if issuer && let Some(url) = &settings.server.public_url {
            settings.identity.issuer = url.to_string();
        }
    }
}

/// Settings as they become, and where each that is no default comes from.
#[derive(Default)]
struct Layers {
    settings: Settings,
    origins: BTreeMap<String, Origin>,
}

impl Layers {
    fn set(&mut self, section: &str, field: &str, from: &Settings, origin: Origin) {
        self.settings.take(section, field, from);
        self.origins.insert(format!("{section}.{field}"), origin);
    }
}

/// The settings that a text spells out, and where.
fn read(text: &str) -> Result<(Settings, Places), yaml::YamlError> {
    // Only the entries of a list have fields that must be there: the list's field, its number.
    let owner_of = |_: &str, last: &str| {
        let end = last.match_indices('/').nth(3).map_or(last.len(), |(at, _)| at);
        last[..end].to_owned()
    };
    let (settings, places) =
        yaml::read::<Option<Settings>>(text, &ParseLimits::default(), &owner_of)?;
    Ok((settings.unwrap_or_default(), places))
}

/// The settings with one field as a variable has it: what would stand behind the field's name in the file.
fn value_of(section: &str, field: &str, value: &OsStr) -> Result<Settings, (String, String)> {
    let name = format!("{section}.{field}");
    let text = value.to_str().ok_or_else(|| (name.clone(), "it is not UTF-8".to_owned()))?;
    // In one line nothing can come after the field.
    if text.contains(|c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}')) {
        return Err((name, "one line without control characters is wanted".to_owned()));
    }
    match read(&format!("{section}:\n  {field}: {text}\n")) {
        Ok((settings, _)) => Ok(settings),
        Err(error) => {
            let field = field_of(&error.pointer);
            Err((if field.starts_with(&name) { field } else { name }, error.reason))
        }
    }
}

fn unknown(name: String, fields: &[(&str, &str)]) -> Problem {
    let variables: Vec<String> =
        fields.iter().map(|(section, field)| variable_of(section, field)).collect();
    let variables: Vec<&str> = variables.iter().map(String::as_str).collect();
    let reason = match nearest(&name, &variables) {
        Some(near) => format!("there is no such setting, did you mean {near}?"),
        None => "there is no such setting; `custody config show` lists them all".to_owned(),
    };
    Problem {
        origin: Origin::Environment { variable: name },
        column: None,
        field: String::new(),
        reason,
    }
}
