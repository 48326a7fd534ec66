//! What really took: read back from the kernel just before init is executed, never assumed.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use custody_sandbox::SandboxSpec;
use nix::sys::statvfs::{FsFlags, statvfs};

use super::step::{During, Failure};

/// Lines of `/proc/self/status` (proc_pid_status(5)) and the value that each must have.
const STATUS: [(&str, &str); 7] = [
    ("CapInh", "0000000000000000"),
    ("CapPrm", "0000000000000000"),
    ("CapEff", "0000000000000000"),
    ("CapBnd", "0000000000000000"),
    ("CapAmb", "0000000000000000"),
    ("NoNewPrivs", "1"),
    ("Groups", ""),
];

/// Paths of the sandbox and what must hold for the mount that they are on.
const MOUNTS: [(&str, FsFlags); 6] = [
    ("/", FsFlags::ST_RDONLY.union(FsFlags::ST_NOSUID).union(FsFlags::ST_NODEV)),
    ("/usr", FsFlags::ST_RDONLY.union(FsFlags::ST_NOSUID).union(FsFlags::ST_NODEV)),
    ("/dev", FsFlags::ST_RDONLY.union(FsFlags::ST_NOSUID)),
    ("/proc/sys", FsFlags::ST_RDONLY),
    ("/tmp", FsFlags::ST_NOSUID.union(FsFlags::ST_NODEV)),
    ("/workspace", FsFlags::ST_NOSUID.union(FsFlags::ST_NODEV)),
];

/// Checks the process and its mounts, and tells how each protection took.
pub(crate) fn read_back(spec: &SandboxSpec) -> Result<BTreeMap<String, String>, Failure> {
    let status =
        fs::read_to_string("/proc/self/status").during(|| "read back the status".to_owned())?;
    for (name, wanted) in STATUS {
        let found = value(&status, name);
        if found != Some(wanted) {
            return Err(Failure {
                step: format!("check {name}"),
                reason: format!("{found:?} is there, {wanted:?} is wanted"),
            });
        }
    }
    for (path, wanted) in MOUNTS {
        if !Path::new(path).exists() {
            continue;
        }
        let flags = statvfs(path).during(|| format!("look at {path}"))?.flags();
        if !flags.contains(wanted) {
            return Err(Failure {
                step: format!("check the mount at {path}"),
                reason: format!("it has {flags:?}, and {wanted:?} is wanted"),
            });
        }
    }
    let identity = spec.identity;
    Ok([
        ("capabilities", "none, in any set".to_owned()),
        ("init", "can't be traced from inside".to_owned()),
        ("keyring", "own".to_owned()),
        ("mounts", "own namespace, private; root read-only".to_owned()),
        ("nested_user_namespaces", "forbidden".to_owned()),
        ("network", "own namespace, loopback only".to_owned()),
        ("no_new_privs", "set".to_owned()),
        ("pid_namespace", "own".to_owned()),
        ("ipc_namespace", "own".to_owned()),
        ("uts_namespace", "own".to_owned()),
        ("user_namespace", format!("own; the agent is {} on the host", identity.host_uid())),
    ]
    .into_iter()
    .map(|(name, how)| (name.to_owned(), how))
    .collect())
}

/// The value of a line `Name:\tvalue`.
fn value<'a>(status: &'a str, name: &str) -> Option<&'a str> {
    status.lines().find_map(|line| Some(line.strip_prefix(name)?.strip_prefix(':')?.trim()))
}
