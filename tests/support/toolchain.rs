//! Lets sandboxes see the Rust toolchain of this machine, which rustup keeps in a home directory: those are hidden.

use std::ffi::OsStr;
use std::process::Command;

/// Where the toolchain stands while it is shown: `host` roots have `/opt`.
pub const TOOLCHAIN: &str = "/opt/rust";

/// A command that runs another one in a mount namespace of its own, in which [`TOOLCHAIN`] is the toolchain; nothing
/// outside of that namespace changes. What follows is to be given as arguments: the program, then its arguments.
///
/// # Panics
/// If rustc is missing.
#[must_use]
pub fn shown() -> Command {
    let output =
        Command::new("rustc").args(["--print", "sysroot"]).output().expect("rustc is there");
    let sysroot = String::from_utf8(output.stdout).expect("UTF-8");
    let script = "set -e
mount -t tmpfs -o mode=755 none /opt
mkdir \"$2\"
mount --bind \"$1\" \"$2\"
shift 2
exec \"$@\"";
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private", "--", "sh", "-c", script, "sh"]);
    command.args([OsStr::new(sysroot.trim_end()), OsStr::new(TOOLCHAIN)]);
    command
}
