//! What the machine's control groups offer, read from its mounts.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// What a control group can count or limit. `Freezer` and `CpuTime` are part of every version 2 group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Controller {
    /// `memory`.
    Memory,
    /// `pids`.
    Processes,
    /// `cpu`.
    Cpu,
    /// `cpuacct` of version 1; built in in version 2.
    CpuTime,
    /// `freezer` of version 1; built in in version 2.
    Freezer,
}

impl Controller {
    const ALL: [Self; 5] = [Self::Memory, Self::Processes, Self::Cpu, Self::CpuTime, Self::Freezer];

    /// Its name in version 1.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Processes => "pids",
            Self::Cpu => "cpu",
            Self::CpuTime => "cpuacct",
            Self::Freezer => "freezer",
        }
    }

    const fn is_built_in(self) -> bool {
        match self {
            Self::CpuTime | Self::Freezer => true,
            Self::Memory | Self::Processes | Self::Cpu => false,
        }
    }
}

/// Which versions of control groups are mounted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// None.
    Absent,
    /// Version 1 only.
    V1,
    /// Version 2 only: what an ordinary distribution has.
    V2,
    /// Both.
    Hybrid,
}

/// Where one controller is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Home {
    /// In version 2; the mount point.
    V2(PathBuf),
    /// In version 1; the mount point.
    V1(PathBuf),
}

/// The hierarchies of this machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hierarchies {
    unified: Option<PathBuf>,
    unified_controllers: Vec<String>,
    v1: BTreeMap<Controller, PathBuf>,
}

impl Hierarchies {
    /// Looks at this process's mounts.
    ///
    /// # Errors
    /// `/proc/self/mountinfo` or a hierarchy's list of controllers can't be read.
    pub fn detect() -> io::Result<Self> {
        Self::among(&fs::read_to_string("/proc/self/mountinfo")?)
    }

    /// Looks at the mounts of a mountinfo table.
    fn among(mountinfo: &str) -> io::Result<Self> {
        let mut found = Self::parse(mountinfo);
        if let Some(unified) = &found.unified {
            let list = fs::read_to_string(unified.join("cgroup.controllers"))?;
            found.unified_controllers = list.split_ascii_whitespace().map(str::to_owned).collect();
        }
        Ok(found)
    }

    /// Reads a mountinfo table (proc_pid_mountinfo(5)). Lines that are not of that form are passed over.
    #[must_use]
    pub fn parse(mountinfo: &str) -> Self {
        let mut found = Self::default();
        for line in mountinfo.lines() {
            let Some((place, kind)) = line.split_once(" - ") else {
                continue;
            };
            let Some(point) = place.split(' ').nth(4) else {
                continue;
            };
            let mut kind = kind.split(' ');
            let (name, options) = (kind.next(), kind.nth(1).unwrap_or_default());
            let point = PathBuf::from(unescape(point));
            match name {
                Some("cgroup2") => found.unified = found.unified.or(Some(point)),
                Some("cgroup") => {
                    for controller in Controller::ALL {
                        if options.split(',').any(|option| option == controller.name()) {
                            found.v1.entry(controller).or_insert_with(|| point.clone());
                        }
                    }
                }
                Some(_) | None => {}
            }
        }
        found
    }

    /// A machine with version 2 alone, for tests.
    #[cfg(test)]
    pub(crate) fn version_2(mount: &Path, controllers: &[&str]) -> Self {
        Self {
            unified: Some(mount.to_owned()),
            unified_controllers: controllers.iter().map(|&name| name.to_owned()).collect(),
            v1: BTreeMap::new(),
        }
    }

    /// A machine with version 1 alone, for tests: a mount for each controller, below one directory.
    #[cfg(test)]
    pub(crate) fn version_1(mounts: &Path) -> Self {
        let mount = |controller: Controller| (controller, mounts.join(controller.name()));
        Self { v1: Controller::ALL.map(mount).into(), ..Self::default() }
    }

    /// Which versions there are.
    #[must_use]
    pub fn mode(&self) -> Mode {
        match (self.unified.is_some(), self.v1.is_empty()) {
            (false, true) => Mode::Absent,
            (false, false) => Mode::V1,
            (true, true) => Mode::V2,
            (true, false) => Mode::Hybrid,
        }
    }

    /// Whether a controller is there at all.
    #[must_use]
    pub fn has(&self, controller: Controller) -> bool {
        self.home(controller).is_some()
    }

    /// Where a controller is found; version 2 comes first.
    pub(crate) fn home(&self, controller: Controller) -> Option<Home> {
        let in_unified = controller.is_built_in()
            || self.unified_controllers.iter().any(|name| name == controller.name());
        match &self.unified {
            Some(unified) if in_unified => Some(Home::V2(unified.clone())),
            Some(_) | None => self.v1.get(&controller).cloned().map(Home::V1),
        }
    }

    /// The version 2 hierarchy.
    pub(crate) fn unified(&self) -> Option<&Path> {
        self.unified.as_deref()
    }

    /// Every mount point that a session's groups may be in.
    pub(crate) fn mounts(&self) -> Vec<&Path> {
        let mut mounts: Vec<&Path> =
            self.unified.iter().chain(self.v1.values()).map(PathBuf::as_path).collect();
        mounts.sort_unstable();
        mounts.dedup();
        mounts
    }
}

/// Undoes the octal escapes of mountinfo: `\040` for a space, `\011`, `\012`, `\134`.
fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let code = rest.get(1..4).and_then(|digits| u8::from_str_radix(digits, 8).ok());
        if let Some(code) = code.filter(u8::is_ascii) {
            out.push(char::from(code));
            rest = &rest[4..];
        } else {
            out.push('\\');
            rest = &rest[1..];
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HYBRID: &str = "\
24 22 0:21 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
25 22 0:22 / /sys/fs/cgroup/cpu,cpuacct rw shared:3 - cgroup cgroup rw,cpu,cpuacct
26 22 0:23 / /sys/fs/cgroup/uni\\040fied rw,relatime - cgroup2 cgroup2 rw,nsdelegate
27 22 0:24 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,name=systemd
";

    #[test]
    fn controllers_are_found_where_they_are() {
        let found = Hierarchies::parse(HYBRID);
        assert_eq!(found.mode(), Mode::Hybrid);
        assert_eq!(found.home(Controller::Memory), Some(Home::V1("/sys/fs/cgroup/memory".into())));
        assert_eq!(
            found.home(Controller::Cpu),
            Some(Home::V1("/sys/fs/cgroup/cpu,cpuacct".into()))
        );
        assert_eq!(
            found.home(Controller::Freezer),
            Some(Home::V2("/sys/fs/cgroup/uni fied".into()))
        );
        assert!(!found.has(Controller::Processes));
    }

    /// What systemd mounts on an ordinary distribution of today: version 2 alone, at the top.
    #[test]
    fn on_a_machine_with_version_2_alone_everything_is_there() {
        let mount = tempfile::tempdir().unwrap();
        let place = mount.path().display();
        let table =
            format!("30 23 0:26 / {place} rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n");
        fs::write(mount.path().join("cgroup.controllers"), "cpuset cpu io memory pids\n").unwrap();
        let found = Hierarchies::among(&table).unwrap();
        assert_eq!(found.mode(), Mode::V2);
        assert_eq!(found.mounts(), [mount.path()]);
        for controller in Controller::ALL {
            assert_eq!(found.home(controller), Some(Home::V2(mount.path().to_owned())));
        }
        // Some of them can be switched off at the start of the machine.
        fs::write(mount.path().join("cgroup.controllers"), "cpu pids\n").unwrap();
        let found = Hierarchies::among(&table).unwrap();
        assert!(!found.has(Controller::Memory) && found.has(Controller::Freezer));
        fs::remove_file(mount.path().join("cgroup.controllers")).unwrap();
        assert!(Hierarchies::among(&table).is_err(), "not taken for a machine without controllers");
    }

    #[test]
    fn on_a_machine_with_version_1_alone_each_controller_has_its_mount() {
        let found = Hierarchies::among(
            "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755\n\
             32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n\
             33 31 0:30 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
             34 31 0:31 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids\n\
             35 31 0:32 / /sys/fs/cgroup/freezer rw - cgroup cgroup rw,freezer\n\
             36 31 0:33 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd\n",
        )
        .unwrap();
        assert_eq!(found.mode(), Mode::V1);
        for (controller, name) in [
            (Controller::Memory, "memory"),
            (Controller::Processes, "pids"),
            (Controller::Cpu, "cpu,cpuacct"),
            (Controller::CpuTime, "cpu,cpuacct"),
            (Controller::Freezer, "freezer"),
        ] {
            let mount = Path::new("/sys/fs/cgroup").join(name);
            assert_eq!(found.home(controller), Some(Home::V1(mount)));
        }
        assert_eq!(found.mounts().len(), 4, "one that has two controllers counts once");
    }

    #[test]
    fn a_machine_without_control_groups_is_no_error() {
        let found = Hierarchies::among("31 23 0:28 / / rw - ext4 /dev/vda rw\n").unwrap();
        assert_eq!(found.mode(), Mode::Absent);
        assert!(!Controller::ALL.iter().any(|controller| found.has(*controller)));
    }

    #[test]
    fn a_controller_of_version_2_comes_before_one_of_version_1() {
        let mut found = Hierarchies::parse(HYBRID);
        found.unified_controllers = vec!["memory".to_owned()];
        assert!(matches!(found.home(Controller::Memory), Some(Home::V2(_))));
    }

    proptest! {
        #[test]
        fn no_table_of_mounts_makes_it_panic(text in ".{0,400}") {
            let _ = Hierarchies::parse(&text).mode();
        }

        #[test]
        fn any_mount_point_is_read_back(name in "[ -~]{1,40}") {
            let escaped: String = name
                .chars()
                .map(|c| match c {
                    ' ' => "\\040".to_owned(),
                    '\\' => "\\134".to_owned(),
                    c => c.to_string(),
                })
                .collect();
            let line = format!("1 2 0:3 / /{escaped} rw - cgroup2 none rw\n");
            let home = Hierarchies::parse(&line).home(Controller::Freezer);
            prop_assert_eq!(home, Some(Home::V2(format!("/{name}").into())));
        }
    }
}
