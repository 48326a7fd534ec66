//! Who calls: the user behind this process, and his environment. Read here and nowhere else.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;

use custody_model::{ErrorCode, UserName};
use nix::unistd::{Uid, User};

use crate::failure::Failure;

/// The name of the user who runs this process; the one behind sudo, if there is one.
pub fn user() -> Result<UserName, Failure> {
    let uid = Uid::current();
    if uid.is_root()
        && let Some(name) = variable("SUDO_USER")
        && let Ok(name) = name.parse()
    {
        return Ok(name);
    }
    Ok(user_of(uid.as_raw()))
}

/// What the environment says about this user's own files and tokens.
#[derive(Clone, Default)]
pub struct UserEnvironment {
    /// Where this user's configuration of Custody is.
    pub configuration: Option<PathBuf>,
    /// Where is what can be made anew.
    pub cache: Option<PathBuf>,
    /// CUSTODY_TOKEN: what calls to the server of --url carry. A secret.
    pub token: Option<String>,
}

impl UserEnvironment {
    /// As the XDG Base Directory Specification, version 0.8, has it.
    pub fn read() -> Self {
        let home = || variable("HOME").map(PathBuf::from).filter(|path| path.is_absolute());
        let base = |name: &str, below: &str| {
            let named = variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
            Some(named.or_else(|| Some(home()?.join(below)))?.join("custody"))
        };
        Self {
            configuration: base("XDG_CONFIG_HOME", ".config"),
            cache: base("XDG_CACHE_HOME", ".cache"),
            token: variable("CUSTODY_TOKEN").filter(|token| !token.is_empty()),
        }
    }
}

/// `NOTIFY_SOCKET`: where systemd wants to be told how the server does (sd_notify(3)).
pub fn notify_socket() -> Option<OsString> {
    #[expect(clippy::disallowed_methods, reason = "this module reads the environment")]
    let socket = std::env::var_os("NOTIFY_SOCKET");
    socket.filter(|socket| !socket.is_empty())
}

/// The name of a user of this machine, by number.
pub fn user_of(uid: u32) -> UserName {
    match User::from_uid(Uid::from_raw(uid)) {
        Ok(Some(user)) => user.name.parse().unwrap_or_else(|_| UserName::of_uid(uid)),
        Ok(None) | Err(_) => UserName::of_uid(uid),
    }
}

/// The named variables that are set, and those that every session may be offered.
pub fn environment(asked: &[String]) -> Result<BTreeMap<String, String>, Failure> {
    /// About the terminal and the language, and never a secret. The policy still decides.
    const OFFERED: [&str; 6] = ["TERM", "COLORTERM", "LANG", "LC_ALL", "LC_CTYPE", "TZ"];
    let mut all = BTreeMap::new();
    for name in OFFERED {
        if let Some(value) = variable(name) {
            all.insert(name.to_owned(), value);
        }
    }
    for name in asked {
        let value = variable(name).ok_or_else(|| {
            let message = format!("--env {name}: no variable of this name is set here to UTF-8");
            let bare = name.split('=').next().unwrap_or(name);
            Failure::new(ErrorCode::NotFound, message).hint(format!(
                "--env takes a name, and the value comes from this environment: {bare}=VALUE custody run --env {bare} …"
            ))
        })?;
        all.insert(name.clone(), value);
    }
    Ok(all)
}

fn variable(name: &str) -> Option<String> {
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]
    let value = std::env::var(name);
    value.ok()
}
