//! The driver: control groups, launcher, and the sandboxes that others left behind.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use custody_model::{Clock, SessionId};
use custody_sandbox::{
    Authorization, Capabilities, Driver, Root, Sandbox, SandboxError, SandboxSpec, admit,
};

use crate::cgroup::{Controller, Group, Hierarchies};
use crate::launch::{ADDED_TREES, SYSTEM_TREES};
use crate::sandbox::NamespaceSandbox;

/// The group that holds the groups of all sessions, in each hierarchy.
pub const DEFAULT_CGROUP_PARENT: &str = "custody";

/// Makes sandboxes of namespaces and control groups. Needs to be root in the machine's own user namespace.
pub struct NamespaceDriver {
    launcher: PathBuf,
    launcher_args: Vec<OsString>,
    hierarchies: Hierarchies,
    cgroup_parent: String,
    clock: Arc<dyn Clock>,
}

impl std::fmt::Debug for NamespaceDriver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NamespaceDriver")
            .field("launcher", &self.launcher)
            .field("cgroup_parent", &self.cgroup_parent)
            .finish_non_exhaustive()
    }
}

impl NamespaceDriver {
    /// Takes the program that calls [`crate::launch::main`] when it is given these arguments: the `custody` binary
    /// itself (`/proc/self/exe`) and its hidden subcommand.
    ///
    /// # Errors
    /// [`SandboxError::Io`] if the machine's control groups can't be read.
    pub fn new(
        launcher: PathBuf,
        launcher_args: Vec<OsString>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, SandboxError> {
        let hierarchies =
            Hierarchies::detect().map_err(SandboxError::io("look for control groups"))?;
        Ok(Self {
            launcher,
            launcher_args,
            hierarchies,
            cgroup_parent: DEFAULT_CGROUP_PARENT.to_owned(),
            clock,
        })
    }

    /// Puts the sessions' groups below another one than [`DEFAULT_CGROUP_PARENT`]: one name, no path.
    #[must_use]
    pub fn with_cgroup_parent(mut self, parent: String) -> Self {
        self.cgroup_parent = parent;
        self
    }
}

impl Driver for NamespaceDriver {
    fn name(&self) -> &'static str {
        "namespace"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            freeze: self.hierarchies.has(Controller::Freezer),
            memory_limit: self.hierarchies.has(Controller::Memory),
            process_limit: self.hierarchies.has(Controller::Processes),
            cpu_limit: self.hierarchies.has(Controller::Cpu),
            host_pids: true,
            directory_root: true,
            system_trees: &SYSTEM_TREES,
            added_trees: &ADDED_TREES,
        }
    }

    fn provision(
        &self,
        authorization: &Authorization,
        spec: &SandboxSpec,
    ) -> Result<Box<dyn Sandbox>, SandboxError> {
        admit(authorization, spec)?;
        look(spec)?;
        let group =
            Group::create(&self.hierarchies, &self.cgroup_parent, spec.session, &spec.limits)?;
        let sandbox = NamespaceSandbox::provision(
            &self.launcher,
            &self.launcher_args,
            group,
            spec,
            Arc::clone(&self.clock),
        )?;
        Ok(Box::new(sandbox))
    }

    /// Only groups are left: mounts and processes end with the launcher. It takes the dead and not the living, because a
    /// session that begins meanwhile is in nobody's list.
    fn remove_leftovers(&self, dead: &[SessionId]) -> Result<Vec<SessionId>, SandboxError> {
        let mut removed = Vec::new();
        for mount in self.hierarchies.mounts() {
            let parent = mount.join(&self.cgroup_parent);
            let entries = match fs::read_dir(&parent) {
                Ok(entries) => entries,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => {
                    return Err(SandboxError::io(format!("list {}", parent.display()))(error));
                }
            };
            for entry in entries {
                let entry =
                    entry.map_err(SandboxError::io(format!("list {}", parent.display())))?;
                let name = entry.file_name();
                // Files of the group itself have other names than sessions.
                let Some(session) = name.to_str().and_then(|name| name.parse::<SessionId>().ok())
                else {
                    continue;
                };
                if dead.contains(&session) && !removed.contains(&session) {
                    let mut group = Group::left_over(
                        &self.hierarchies,
                        &self.cgroup_parent,
                        &session.to_string(),
                    );
                    group
                        .kill()
                        .map_err(SandboxError::io(format!("kill what is left of {session}")))?;
                    group.remove()?;
                    removed.push(session);
                }
            }
        }
        Ok(removed)
    }
}

/// Checks what the specification names, for an error that names the field and not a system call.
fn look(spec: &SandboxSpec) -> Result<(), SandboxError> {
    let directory = |field, path: &Path| {
        if path.is_dir() {
            Ok(())
        } else {
            let reason = format!("{} is not a directory", path.display());
            Err(SandboxError::InvalidSpec { field, reason })
        }
    };
    directory("workspace", &spec.workspace)?;
    if let Some(objects) = &spec.objects {
        directory("objects", objects)?;
    }
    if let Root::Directory(image) = &spec.root {
        directory("root", image)?;
    }
    let invalid = |field, reason| Err(SandboxError::InvalidSpec { field, reason });
    if !spec.init.is_file() {
        return invalid("init", format!("{} is not a file", spec.init.display()));
    }
    let socket = spec.control.join("control.sock");
    let is_socket = fs::symlink_metadata(&socket).is_ok_and(|meta| {
        use std::os::unix::fs::FileTypeExt;
        meta.file_type().is_socket()
    });
    if !is_socket {
        return invalid("control", format!("nobody listens on {}", socket.display()));
    }
    Ok(())
}
