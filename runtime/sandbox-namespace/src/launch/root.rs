//! The sandbox's root: a small tmpfs, closed at the end, with read-only views of the host or an image on it.
//!
//! Two phases. While the host is in sight everything that is wanted of it is cloned as detached trees. Then the new
//! root is entered, the old one let go, and only then anything is made or attached: a symbolic link in an image
//! can't lead out of the sandbox, because there is no outside any more.

use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use custody_sandbox::spec::{CUSTODY_INSIDE, SCRATCH_DIRECTORIES, WORKSPACE_INSIDE};
use custody_sandbox::{Root, SandboxSpec};
use nix::mount::MsFlags;

use super::etc::Taken;
use super::identity::NestingLimit;
use super::mount::{self, READ_ONLY, Tree, WRITABLE};
use super::step::{During, Failure};
use super::{device, network};

/// What a `host` root shows of the machine, besides what is chosen from `/etc`: its programs, and the lists of what is
/// installed (programs ask dpkg for versions; what was answered to its questions, passwords among it, lies elsewhere).
const HOST_DIRECTORIES: [&str; 9] =
    ["bin", "lib", "lib32", "lib64", "libx32", "opt", "sbin", "usr", "var/lib/dpkg"];

/// The system's own trees. `/etc` is chosen and written by the driver; the lists of what is installed are beside it.
pub(crate) const SYSTEM_TREES: [&str; 9] =
    ["/bin", "/etc", "/lib", "/lib32", "/lib64", "/libx32", "/sbin", "/usr", "/var/lib/dpkg"];

/// What an administrator adds below them: each gets a mount of its own, so that it can be watched apart.
pub(crate) const ADDED_TREES: [&str; 1] = ["/usr/local"];

/// The directories of the root that the driver makes itself; an image's own are not shown.
const OWN_DIRECTORIES: [&str; 13] = [
    "custody",
    "dev",
    "etc",
    "home",
    "media",
    "mnt",
    "proc",
    "root",
    "run",
    "srv",
    "sys",
    "tmp",
    "workspace",
];

/// Size of the root's own tmpfs: init, `/etc`, mount points. It is closed before anything runs.
const ROOT_OPTIONS: &str = "mode=0755,size=256m";
/// The largest init, in bytes.
const INIT_MAX: u64 = 64 * 1024 * 1024;
/// What of `/sys` is shown, read-only: the processors, which runtimes count.
const SYS_SHOWN: &str = "/sys/devices/system/cpu";

/// An entry of the new root that comes from the host or the image.
#[derive(Debug)]
enum Entry {
    Link(PathBuf),
    Tree(Tree, bool),
}

/// Everything that is wanted of the outside, held by descriptors.
#[derive(Debug)]
pub(crate) struct Sources {
    entries: Vec<(PathBuf, Entry)>,
    etc: Taken,
    workspace: Tree,
    objects: Option<Tree>,
    scratch: Option<Tree>,
    control: Tree,
    init: Vec<u8>,
    processors: Option<Tree>,
    extra: Vec<(PathBuf, Entry)>,
}

impl Sources {
    /// Opens and clones all of it.
    pub(crate) fn open(spec: &SandboxSpec) -> Result<Self, Failure> {
        let socket = spec.control.join("control.sock");
        let identity = spec.identity;
        std::os::unix::fs::chown(&socket, Some(identity.host_uid()), Some(identity.host_gid()))
            .during(|| format!("hand {} to the agent's identity", socket.display()))?;
        let mut extra = Vec::new();
        for bind in &spec.extra_read_only {
            let entry = fs::metadata(&bind.host)
                .and_then(|meta| {
                    Ok(Entry::Tree(Tree::clone_of(&bind.host, READ_ONLY)?, meta.is_dir()))
                })
                .during(|| format!("open {}", bind.host.display()))?;
            extra.push((bind.inside.clone(), entry));
        }
        Ok(Self {
            entries: root_entries(&spec.root)?,
            etc: Taken::from_root(&spec.root)?,
            workspace: open(&spec.workspace, WRITABLE)?,
            objects: spec.objects.as_deref().map(|path| open(path, READ_ONLY)).transpose()?,
            scratch: spec.scratch.as_deref().map(|path| open(path, WRITABLE)).transpose()?,
            control: open(&socket, READ_ONLY)?,
            init: read_init(&spec.init)?,
            processors: Tree::clone_of(Path::new(SYS_SHOWN), READ_ONLY).ok(),
            extra,
        })
    }

    /// Enters the new root and builds everything in it. Afterwards nothing of the host can be reached but by what
    /// is attached here, and the root is closed. What is returned was found before `/proc/sys` was closed.
    pub(crate) fn build(self, spec: &SandboxSpec) -> Result<NestingLimit, Failure> {
        mount::enter_new_root(ROOT_OPTIONS)?;
        for name in OWN_DIRECTORIES {
            make_dir(&Path::new("/").join(name), 0o755)?;
        }
        set_mode(Path::new("/root"), 0o700)?;
        for (name, entry) in self.entries {
            put(&Path::new("/").join(name), entry)?;
        }
        for added in ADDED_TREES.map(Path::new) {
            if added.symlink_metadata().is_ok_and(|found| found.is_dir()) {
                attach(open(added, READ_ONLY)?, added)?;
            }
        }
        self.etc.write(spec)?;
        device::make_dev(spec.identity)?;
        device::mount_proc()?;
        network::bring_loopback_up()?;
        let nesting = NestingLimit::find()?;
        device::mask_proc()?;
        make_scratch(spec, self.scratch)?;
        attach(self.workspace, WORKSPACE_INSIDE)?;
        let custody = Path::new(CUSTODY_INSIDE);
        // Executable and not readable: the kernel then lets nobody inside trace process 1 or look into its memory.
        write(&custody.join("init"), &self.init, 0o111)?;
        write(&custody.join("control.sock"), b"", 0o600)?;
        attach(self.control, custody.join("control.sock"))?;
        if let Some(objects) = self.objects {
            make_dir(&custody.join("objects"), 0o755)?;
            attach(objects, custody.join("objects"))?;
        }
        if let Some(processors) = self.processors {
            make_dir(Path::new(SYS_SHOWN), 0o755)?;
            attach(processors, SYS_SHOWN)?;
        }
        for (inside, entry) in self.extra {
            put(&inside, entry)?;
        }
        device::close_dev()?;
        mount::restrict(Path::new("/"), READ_ONLY).during(|| "close the root".to_owned())?;
        Ok(nesting)
    }
}

/// The entries of the root that come from outside, by name.
fn root_entries(root: &Root) -> Result<Vec<(PathBuf, Entry)>, Failure> {
    let (base, names) = match root {
        Root::Host => {
            (PathBuf::from("/"), HOST_DIRECTORIES.iter().map(PathBuf::from).collect::<Vec<_>>())
        }
        Root::Directory(image) => {
            let names = fs::read_dir(image)
                .and_then(|entries| {
                    entries
                        .map(|entry| Ok(PathBuf::from(entry?.file_name())))
                        .collect::<io::Result<Vec<_>>>()
                })
                .during(|| format!("list {}", image.display()))?;
            (image.clone(), names)
        }
    };
    let mut entries = Vec::new();
    for name in names {
        if name.to_str().is_some_and(|name| OWN_DIRECTORIES.contains(&name)) {
            continue;
        }
        let path = base.join(&name);
        let Ok(meta) = path.symlink_metadata() else {
            continue;
        };
        let entry = if meta.is_symlink() {
            fs::read_link(&path).map(Entry::Link)
        } else {
            Tree::clone_of(&path, READ_ONLY).map(|tree| Entry::Tree(tree, meta.is_dir()))
        };
        entries.push((name, entry.during(|| format!("open {}", path.display()))?));
    }
    Ok(entries)
}

/// Who commits are by in repositories that are made inside, unless they say otherwise: who they are by in the workspace.
const GIT_IDENTITY: &str = "[user]\n\tname = Agent\n\temail = agent@custody.invalid\n";

/// Everything that the agent may write to besides the workspace: one tmpfs, so that one limit holds for all.
fn make_scratch(spec: &SandboxSpec, given: Option<Tree>) -> Result<(), Failure> {
    let base = Path::new("/srv");
    match given {
        Some(tree) => attach(tree, base)?,
        None => {
            let size = spec.limits.disk_bytes.map(|bytes| format!("size={bytes},"));
            let options = format!("{}mode=0755", size.unwrap_or_default());
            let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
            mount::mount_new("tmpfs", base, flags, &options)?;
        }
    }
    let identity = spec.identity;
    let root = (identity.uid_base, identity.uid_base);
    let agent = (identity.host_uid(), identity.host_gid());
    let runtime = format!("run/user/{}", identity.uid);
    for (name, mode, (uid, gid)) in [
        ("tmp", 0o1777, root),
        ("var-tmp", 0o1777, root),
        ("shm", 0o1777, root),
        ("agent", 0o755, agent),
        ("run", 0o755, root),
        ("run/lock", 0o1777, root),
        ("run/user", 0o755, root),
        (runtime.as_str(), 0o700, agent),
    ] {
        let path = base.join(name);
        make_dir(&path, mode)?;
        std::os::unix::fs::chown(&path, Some(uid), Some(gid))
            .during(|| format!("hand over {}", path.display()))?;
    }
    let git = base.join("agent/.gitconfig");
    std::fs::write(&git, GIT_IDENTITY)
        .and_then(|()| std::os::unix::fs::chown(&git, Some(agent.0), Some(agent.1)))
        .during(|| format!("write {}", git.display()))?;
    for (name, inside) in SCRATCH_DIRECTORIES {
        let inside = Path::new(inside);
        // An image's own /var is read-only: where it has no tmp, there is none.
        let image = matches!(spec.root, Root::Directory(_));
        if image
            && inside == Path::new("/var/tmp")
            && Path::new("/var").is_dir()
            && !inside.is_dir()
        {
            continue;
        }
        make_dir(inside, 0o755)?;
        attach(open(&base.join(name), WRITABLE)?, inside)?;
    }
    mount::detach(base)
}

/// Attaches or links one entry, making the way to it.
fn put(path: &Path, entry: Entry) -> Result<(), Failure> {
    if let Some(parent) = path.parent() {
        make_dir(parent, 0o755)?;
    }
    match entry {
        Entry::Link(target) => symlink(target, path).during(|| format!("link {}", path.display())),
        Entry::Tree(tree, true) => {
            make_dir(path, 0o755)?;
            attach(tree, path)
        }
        Entry::Tree(tree, false) => {
            if !path.exists() {
                write(path, b"", 0o644)?;
            }
            attach(tree, path)
        }
    }
}

fn read_init(path: &Path) -> Result<Vec<u8>, Failure> {
    let size = fs::metadata(path).during(|| format!("look at init, {}", path.display()))?.len();
    if size > INIT_MAX {
        return Err(Failure {
            step: format!("read init, {}", path.display()),
            reason: format!("it has {size} bytes; at most {INIT_MAX} are allowed"),
        });
    }
    fs::read(path).during(|| format!("read init, {}", path.display()))
}

fn open(path: &Path, attributes: u64) -> Result<Tree, Failure> {
    Tree::clone_of(path, attributes).during(|| format!("open {}", path.display()))
}

fn attach(tree: Tree, target: impl AsRef<Path>) -> Result<(), Failure> {
    let target = target.as_ref();
    tree.attach(target).during(|| format!("attach {}", target.display()))
}

fn make_dir(path: &Path, mode: u32) -> Result<(), Failure> {
    if path.is_dir() {
        return Ok(());
    }
    fs::create_dir_all(path).during(|| format!("make {}", path.display()))?;
    set_mode(path, mode)
}

fn set_mode(path: &Path, mode: u32) -> Result<(), Failure> {
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
        .during(|| format!("set the mode of {}", path.display()))
}

fn write(path: &Path, bytes: &[u8], mode: u32) -> Result<(), Failure> {
    fs::write(path, bytes)
        .and_then(|()| fs::set_permissions(path, fs::Permissions::from_mode(mode)))
        .during(|| format!("write {}", path.display()))
}
