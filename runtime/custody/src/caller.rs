//! Who calls: the user behind this process, and his environment. Read here and nowhere else.

use std::collections::BTreeMap;

use custody_model::{ErrorCode, UserName};
use nix::unistd::{Uid, User};

use crate::failure::{Explain, Failure};

/// The name of the user who runs this process; the one behind sudo, if there is one.
pub fn user() -> Result<UserName, Failure> {
    let uid = Uid::current();
    if uid.is_root()
        && let Some(name) = variable("SUDO_USER")
        && let Ok(name) = name.parse()
    {
        return Ok(name);
    }
    let name = match User::from_uid(uid) {
        Ok(Some(user)) => user.name,
        Ok(None) | Err(_) => format!("uid-{uid}"),
    };
    name.parse().explain(ErrorCode::Invalid, "the name of this user can't be used")
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
            Failure::new(ErrorCode::NotFound, format!("--env {name}: it is not set, or not UTF-8"))
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
