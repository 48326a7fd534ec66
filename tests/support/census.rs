//! What a session could leave behind on the machine, counted.
//!
//! Only what belongs to one installation is counted, by its state directory and its sessions' ids, so that other
//! tests may run at the same time.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::installation::Installation;

/// Everything of an installation that lives or lies on the machine now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Census {
    /// Mounts in any mount namespace that name the state directory or a session.
    pub mounts: BTreeSet<String>,
    /// Processes whose command line, working directory or cgroup names them.
    pub processes: BTreeSet<String>,
    /// Control groups named after them.
    pub cgroups: BTreeSet<PathBuf>,
    /// Descriptors of any process, the test's own included, that are open below the state directory.
    pub descriptors: BTreeSet<String>,
    /// Sockets, pipes and other special files below the state directory.
    pub special_files: BTreeSet<PathBuf>,
    /// Directories of a session that only its life needs: `workspace` and `run`.
    pub working_directories: BTreeSet<PathBuf>,
    /// Sandboxes' and Custody's own directories outside of the state directory.
    pub stray_directories: BTreeSet<PathBuf>,
}

/// Where a process could keep something of a session without being asked to.
const ELSEWHERE: &[&str] = &["/tmp", "/var/tmp", "/run", "/dev/shm"];

/// Deepest directory of the control group trees that is looked at.
const CGROUP_DEPTH: usize = 8;

impl Census {
    /// Counts.
    ///
    /// # Panics
    /// If /proc can't be read.
    #[must_use]
    pub fn of(installation: &Installation) -> Self {
        let mut names = vec![installation.state().to_string_lossy().into_owned()];
        names.extend(installation.sessions().iter().map(ToString::to_string));
        let named = |text: &str| names.iter().any(|name| text.contains(name.as_str()));
        let mut census = Self::default();
        for process in fs::read_dir("/proc").expect("proc is mounted").flatten() {
            let pid = process.file_name().to_string_lossy().into_owned();
            if pid.bytes().all(|byte| byte.is_ascii_digit()) {
                census.count_process(&process.path(), &pid, &named);
            }
        }
        find(Path::new("/sys/fs/cgroup"), CGROUP_DEPTH, &mut |path| {
            if path.is_dir() && path.file_name().is_some_and(|name| named(&name.to_string_lossy()))
            {
                census.cgroups.insert(path.to_path_buf());
            }
        });
        for place in ELSEWHERE {
            for entry in fs::read_dir(place).into_iter().flatten().flatten() {
                let path = entry.path();
                let own = path == installation.state();
                let policy = path == installation.state().with_extension("policy.yaml");
                if !own && !policy && named(&path.to_string_lossy()) {
                    census.stray_directories.insert(path);
                }
            }
        }
        census.count_state(installation);
        census
    }

    fn count_process(&mut self, process: &Path, pid: &str, named: &dyn Fn(&str) -> bool) {
        // A process may end while it is looked at: then it left nothing.
        let read = |name: &str| fs::read(process.join(name)).unwrap_or_default();
        let text = |name: &str| String::from_utf8_lossy(&read(name)).replace('\0', " ");
        let link = |name: &str| {
            fs::read_link(process.join(name)).unwrap_or_default().to_string_lossy().into_owned()
        };
        let own = pid == std::process::id().to_string();
        let clues = [text("cmdline"), text("cgroup"), link("cwd"), link("exe")];
        if !own && clues.iter().any(|clue| named(clue)) {
            self.processes.insert(format!("{pid}: {}", clues[0]));
        }
        for line in text("mountinfo").lines().filter(|line| named(line)) {
            self.mounts.insert(line.to_owned());
        }
        for descriptor in fs::read_dir(process.join("fd")).into_iter().flatten().flatten() {
            let target = fs::read_link(descriptor.path()).unwrap_or_default();
            if named(&target.to_string_lossy()) {
                self.descriptors.insert(format!("{pid}: {}", target.display()));
            }
        }
    }

    fn count_state(&mut self, installation: &Installation) {
        for session in installation.sessions() {
            for name in ["workspace", "run"] {
                let directory = installation.directory(session).join(name);
                if directory.exists() {
                    self.working_directories.insert(directory);
                }
            }
        }
        find(installation.state(), usize::MAX, &mut |path| {
            let kind = path.symlink_metadata().map(|metadata| metadata.file_type());
            if kind.is_ok_and(|kind| !kind.is_file() && !kind.is_dir() && !kind.is_symlink()) {
                self.special_files.insert(path.to_path_buf());
            }
        });
    }

    /// Nothing of the installation lives.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Calls `look` for everything below `directory`, following no symbolic links.
fn find(directory: &Path, depth: usize, look: &mut dyn FnMut(&Path)) {
    if depth == 0 {
        return;
    }
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        look(&path);
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            find(&path, depth - 1, look);
        }
    }
}

/// Open descriptors of this process.
///
/// # Panics
/// If /proc can't be read.
#[must_use]
pub fn own_descriptors() -> usize {
    fs::read_dir("/proc/self/fd").expect("proc is mounted").count()
}
