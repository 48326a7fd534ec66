//! The servers that this user has logged in to: `contexts.yaml` below the user's configuration directory, mode 0600.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use custody_api_client::ServerAddress;
use custody_model::ErrorCode;
use custody_policy::yaml::{self, ParseLimits};
use serde::{Deserialize, Serialize};

use crate::caller::UserEnvironment;
use crate::failure::{Explain, Failure};

/// Permissions that others have on the file.
const OTHERS: u32 = 0o077;

/// All of them, and which is the current one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Contexts {
    /// The name of the current one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current: Option<String>,
    /// By what they are called here.
    #[serde(default)]
    pub servers: BTreeMap<String, Server>,
}

/// A server that this user has logged in to.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Server {
    /// Where it is.
    pub url: String,
    /// The token of the login: a service token, or an access token. A secret.
    pub token: String,
    /// Who this user is there.
    pub user: String,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("url", &self.url).finish_non_exhaustive()
    }
}

fn place(environment: &UserEnvironment) -> Option<PathBuf> {
    Some(environment.configuration.as_ref()?.join("contexts.yaml"))
}

impl Contexts {
    /// Those of this user; none if there is no such file.
    ///
    /// # Errors
    /// If others can read the file, or it is not valid.
    pub fn read(environment: &UserEnvironment) -> Result<Self, Failure> {
        let Some(path) = place(environment) else { return Ok(Self::default()) };
        let shown = path.display();
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => {
                return Err(Failure::of(ErrorCode::Io, format!("{shown} can't be read"), error));
            }
        };
        let mode = fs::metadata(&path).explain(ErrorCode::Io, format!("{shown}"))?;
        let mode = mode.permissions().mode();
        if mode & OTHERS != 0 {
            let message = format!("{shown} has tokens in it, and others may read or write it");
            return Err(Failure::new(ErrorCode::Invalid, message)
                .hint(format!("chmod 600 {shown}, and make new tokens if others had it")));
        }
        let owner = |_: &str, pointer: &str| pointer.to_owned();
        let (contexts, _places) = yaml::read(&text, &ParseLimits::default(), &owner)
            .explain(ErrorCode::Invalid, format!("{shown} is not valid"))?;
        Ok(contexts)
    }

    /// Writes them, whole or not at all.
    ///
    /// # Errors
    /// If there is no place for them, or it can't be written.
    pub fn write(&self, environment: &UserEnvironment) -> Result<(), Failure> {
        let path = place(environment).ok_or_else(|| {
            Failure::new(ErrorCode::EnvironmentLacks, "there is no place for contexts.yaml")
                .hint("set HOME or XDG_CONFIG_HOME")
        })?;
        let text = serde_saphyr::to_string(self)
            .explain(ErrorCode::Internal, "the contexts have no YAML form")?;
        private(&path, text.as_bytes())
            .explain(ErrorCode::Io, format!("{} can't be written", path.display()))
    }

    /// The current one.
    ///
    /// # Errors
    /// If the file names one that is not there.
    pub fn current(&self) -> Result<Option<(&str, &Server)>, Failure> {
        let Some(name) = &self.current else { return Ok(None) };
        match self.servers.get(name) {
            Some(server) => Ok(Some((name, server))),
            None => {
                let message = format!("the current context {name} is not among the servers");
                Err(Failure::new(ErrorCode::Invalid, message)
                    .hint("`custody context use NAME` chooses another one"))
            }
        }
    }

    /// The one at this address.
    #[must_use]
    pub fn by_address(&self, address: &ServerAddress) -> Option<(&str, &Server)> {
        let same = |server: &Server| server.url.parse::<ServerAddress>().as_ref() == Ok(address);
        let mut servers = self.servers.iter().map(|(name, server)| (name.as_str(), server));
        servers.find(|(_, server)| same(server))
    }
}

/// Writes a file that nobody else may read, and its directory.
pub(super) fn private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let dir = path.parent().unwrap_or(Path::new("/"));
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    // tempfile makes its files with mode 0600.
    let mut file = tempfile::Builder::new().prefix(".new-").tempfile_in(dir)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}
