//! The embedded default driver: a sandbox of Linux namespaces, control groups and a read-only root.
//!
//! ```text
//! keeper ── socket, lifeline ──► launcher ── clone3 ──► process 1: new root, ids, no privilege ── execve ──► init
//!   └ control groups: limits, freeze, kill               (pid, mount, net, ipc, uts, cgroup, user namespaces)
//! ```
//!
//! # Why our own
//! The alternatives were youki's libcontainer and runc. Measured on one machine, median of the start of a trivial
//! command: fork and exec 1.8 ms, bwrap 7 to 11 ms, libcontainer 40 ms (debug build), `runc run` 43 to 64 ms,
//! `docker run` 370 to 490 ms. What a container runtime adds over the system calls is more than the whole of what
//! Custody wants to spend. It also doesn't fit: a session's guards are mounts that exist only in the keeper's
//! private mount namespace, and its control socket and init have to pass through; a bundle in OCI form for a
//! runtime that starts from the machine's mounts would have to make them visible there. What remains is some
//! hundred lines over `nix` and `libc`, whose order is the point: every namespace but the user namespace belongs
//! to the host, so that even all capabilities inside would give no power over mounts, network or host name.
//!
//! # Lines that hold
//! - Invariant: the keeper never forks; only the launcher does, and it has one thread.
//! - Invariant: a sandbox does not outlive its keeper. The launcher reads the end of its socket and kills process
//!   1; the kernel kills process 1 if the launcher dies.
//! - Invariant: a protection that did not take is an error before init runs, read back from the kernel.
//! - Invariant: after the pivot there is no path to the host; a link in an image leads nowhere else.
//!
//! Seccomp and Landlock are init's, inside. Nested user namespaces are forbidden by the sandbox's own limit on them.

mod cgroup;
mod driver;
pub mod launch;
mod plan;
mod probe;
mod sandbox;

pub use cgroup::{Controller, Hierarchies, Mode};
pub use driver::{DEFAULT_CGROUP_PARENT, NamespaceDriver};
pub use probe::{Probe, probe};
