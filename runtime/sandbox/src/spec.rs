//! What a sandbox is to be: paths, identity, limits. Checked before anything is made.

use std::path::{Component, Path, PathBuf};

use custody_model::{Limits, SessionId};
use serde::{Deserialize, Serialize};

use crate::SandboxError;

/// Where the sandbox sees the workspace.
pub const WORKSPACE_INSIDE: &str = "/workspace";
/// Where the sandbox sees what Custody puts there: `init`, `control.sock` and `objects`.
pub const CUSTODY_INSIDE: &str = "/custody";
/// The home directory of the agent inside.
pub const HOME_INSIDE: &str = "/home/agent";

/// The directories of [`SandboxSpec::scratch`], and where the sandbox sees each.
pub const SCRATCH_DIRECTORIES: [(&str, &str); 5] = [
    ("tmp", "/tmp"),
    ("var-tmp", "/var/tmp"),
    ("shm", "/dev/shm"),
    ("agent", HOME_INSIDE),
    ("run", "/run"),
];

/// The longest host name that Linux takes, in bytes.
const HOSTNAME_MAX: usize = 64;
/// What an extra bind may neither be, nor cover, nor lie in: all that the driver makes itself.
const RESERVED: [&str; 5] = ["/workspace", "/custody", "/proc", "/sys", "/dev"];

/// What the file system below the sandbox's own mounts is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Root {
    /// The machine's own `/usr` and friends, read-only, without anything that is nobody's business.
    Host,
    /// An unpacked image, read-only.
    Directory(PathBuf),
}

/// Who the processes inside are.
///
/// Ids 0 to 65,535 inside are the host's `uid_base` and the 65,535 that follow it, for users and groups alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    /// The host's id of id 0 inside.
    pub uid_base: u32,
    /// The agent's user id inside, 1 to 65,533.
    pub uid: u32,
    /// The agent's group id inside, 1 to 65,533.
    pub gid: u32,
}

impl Identity {
    /// How many ids the sandbox has.
    pub const RANGE: u32 = 65_536;

    /// The agent's user id on the host.
    #[must_use]
    pub const fn host_uid(&self) -> u32 {
        self.uid_base + self.uid
    }

    /// The agent's group id on the host.
    #[must_use]
    pub const fn host_gid(&self) -> u32 {
        self.uid_base + self.gid
    }
}

impl Default for Identity {
    fn default() -> Self {
        Self { uid_base: 2_000_000_000, uid: 1000, gid: 1000 }
    }
}

/// Something of the host that is to be readable inside, such as a toolchain that lives in a home directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExtraBind {
    /// A file or directory of the host, absolute.
    pub host: PathBuf,
    /// Where the sandbox sees it, absolute.
    pub inside: PathBuf,
}

/// One sandbox as it is wanted. Every path of the host is one of the caller's mount namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SandboxSpec {
    /// Whose sandbox it is.
    pub session: SessionId,
    /// What it stands on.
    pub root: Root,
    /// The workspace, with everything that is mounted below it. It appears at `/workspace`.
    pub workspace: PathBuf,
    /// Shared git objects; they appear, read-only, at `/custody/objects`.
    pub objects: Option<PathBuf>,
    /// Custody's init, a static executable. It appears at `/custody/init` and becomes process 1.
    pub init: PathBuf,
    /// The directory that holds `control.sock`, on which the caller listens already. The driver hands the socket to
    /// the agent's identity, which init has; it appears at `/custody/control.sock`.
    pub control: PathBuf,
    /// An empty file system of the session's own, for everything that may be written besides the workspace. The driver makes
    /// [`SCRATCH_DIRECTORIES`] in it and attaches them. Without it the driver makes one that nobody else sees.
    pub scratch: Option<PathBuf>,
    /// What is enforced: at most what the permit grants.
    pub limits: Limits,
    /// The name of the machine as the sandbox sees it.
    pub hostname: String,
    /// Who the processes inside are.
    pub identity: Identity,
    /// What else of the host is readable.
    pub extra_read_only: Vec<ExtraBind>,
}

impl SandboxSpec {
    /// Checks everything that can be known without looking at the machine.
    ///
    /// # Errors
    /// [`SandboxError::InvalidSpec`], with the field and the reason.
    pub fn validate(&self) -> Result<(), SandboxError> {
        let invalid =
            |field: &'static str, reason: String| Err(SandboxError::InvalidSpec { field, reason });
        let host_paths = [
            ("workspace", Some(&self.workspace)),
            ("objects", self.objects.as_ref()),
            ("scratch", self.scratch.as_ref()),
            ("init", Some(&self.init)),
            ("control", Some(&self.control)),
            (
                "root",
                match &self.root {
                    Root::Host => None,
                    Root::Directory(path) => Some(path),
                },
            ),
        ];
        for (field, path) in host_paths {
            if let Some(path) = path
                && !is_plain_absolute(path)
            {
                return invalid(
                    field,
                    format!("{} is not an absolute path without `..`", path.display()),
                );
            }
        }
        let Identity { uid_base, uid, gid } = self.identity;
        if uid_base < Identity::RANGE || uid_base.checked_add(Identity::RANGE).is_none() {
            return invalid(
                "identity.uid_base",
                format!("{uid_base} leaves no 65,536 ids of its own"),
            );
        }
        for (field, id) in [("identity.uid", uid), ("identity.gid", gid)] {
            if !(1..65_534).contains(&id) {
                return invalid(field, format!("{id} is not from 1 to 65,533"));
            }
        }
        let is_label = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.';
        if self.hostname.is_empty()
            || self.hostname.len() > HOSTNAME_MAX
            || !self.hostname.chars().all(is_label)
        {
            return invalid(
                "hostname",
                format!(
                    "{:?} is not 1 to 64 letters, digits, hyphens and full stops",
                    self.hostname
                ),
            );
        }
        for bind in &self.extra_read_only {
            for path in [&bind.host, &bind.inside] {
                if !is_plain_absolute(path) {
                    return invalid(
                        "extra_read_only",
                        format!("{} is not an absolute path without `..`", path.display()),
                    );
                }
            }
            let inside = &bind.inside;
            let clashes = RESERVED
                .iter()
                .any(|own| inside.starts_with(own) || Path::new(own).starts_with(inside));
            if clashes {
                return invalid(
                    "extra_read_only",
                    format!("{} would cover what the driver makes itself", inside.display()),
                );
            }
        }
        Ok(())
    }
}

/// Absolute, not `/` itself, no `..`, no NUL.
fn is_plain_absolute(path: &Path) -> bool {
    use std::os::unix::ffi::OsStrExt;
    let mut components = path.components();
    components.next() == Some(Component::RootDir)
        && components.clone().next().is_some()
        && components.all(|c| matches!(c, Component::Normal(_)))
        && !path.as_os_str().as_bytes().contains(&0)
}
