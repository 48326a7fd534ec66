//! `/etc` as the sandbox sees it: written anew where it names people and hosts, chosen from the root where programs
//! need it, absent otherwise.

use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use custody_sandbox::{Identity, Root, SandboxSpec};

use super::mount::{READ_ONLY, Tree};
use super::step::{During, Failure};

/// The entries of the machine's own `/etc` that a `host` root shows; `*` at the end stands for any ending.
///
/// An allow-list: what a machine keeps in `/etc` beyond it (accounts, keys, tokens of package managers, mail, cron)
/// is nobody's business. Settings that may hold passwords (of maven, pip, npm, git) and the login
/// scripts of `profile.d` are left out on purpose.
pub(crate) const HOST_ENTRIES: [&str; 69] = [
    "alternatives",
    "bash.bashrc",
    "ca-certificates",
    "ca-certificates.conf",
    "chromium",
    "chromium.d",
    "dconf",
    "debconf.conf",
    "debian_version",
    "dictionaries-common",
    "dpkg",
    "drirc",
    "emacs",
    "firefox*",
    "fonts",
    "gai.conf",
    "gdb",
    "ghostscript",
    "glvnd",
    "groff",
    "gtk-2.0",
    "gtk-3.0",
    "gtk-4.0",
    "host.conf",
    "ImageMagick*",
    "inputrc",
    "issue",
    "java*",
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "libreoffice",
    "locale.alias",
    "locale.conf",
    "localtime",
    "lsb-release",
    "magic",
    "magic.mime",
    "mailcap",
    "manpath.config",
    "maven/logging",
    "maven/m2.conf",
    "mime.types",
    "nanorc",
    "netconfig",
    "networks",
    "OpenCL",
    "os-release",
    "pango",
    "papersize",
    "perl",
    "pki/ca-trust/extracted",
    "pki/tls/certs",
    "profile",
    "protocols",
    "python*",
    "rpc",
    "services",
    "sgml",
    "shells",
    "ssl/certs",
    "ssl/openssl.cnf",
    "terminfo",
    "timezone",
    "vim",
    "vulkan",
    "X11",
    "xdg",
    "xml",
];

/// The entries of an image's `/etc` that are never shown.
const IMAGE_SECRETS: [&str; 8] =
    ["shadow", "shadow-", "gshadow", "gshadow-", "passwd-", "group-", "machine-id", "ssh"];

/// The files that are written anew.
const WRITTEN: [&str; 6] = ["passwd", "group", "hosts", "hostname", "resolv.conf", "nsswitch.conf"];

/// Files up to this size are copied; larger ones are bound. In bytes.
const COPY_MAX: u64 = 256 * 1024;

/// What one entry is.
#[derive(Debug)]
enum Content {
    /// A file, with its permission bits.
    Copy(Vec<u8>, u32),
    /// A directory or a large file; `true` for a directory.
    Bind(Tree, bool),
    /// A symbolic link's target.
    Link(PathBuf),
}

/// The entries that are taken over, read and cloned while the host is still in sight.
#[derive(Debug)]
pub(crate) struct Taken(Vec<(PathBuf, Content)>);

impl Taken {
    /// Takes over what the root has.
    pub(crate) fn from_root(root: &Root) -> Result<Self, Failure> {
        let names = match root {
            Root::Host => chosen(Path::new("/etc")),
            Root::Directory(image) => all_of(&image.join("etc")),
        }
        .during(|| "list /etc".to_owned())?;
        let base = match root {
            Root::Host => PathBuf::from("/etc"),
            Root::Directory(image) => image.join("etc"),
        };
        let mut taken = Vec::new();
        for name in names {
            if let Some(content) =
                take(&base.join(&name)).during(|| format!("read /etc/{}", name.display()))?
            {
                taken.push((name, content));
            }
        }
        Ok(Self(taken))
    }

    /// Writes `/etc` in the new root.
    pub(crate) fn write(self, spec: &SandboxSpec) -> Result<(), Failure> {
        let etc = Path::new("/etc");
        for (name, content) in self.0 {
            let path = etc.join(&name);
            put(&path, content).during(|| format!("make {}", path.display()))?;
        }
        for (name, text) in written(&spec.hostname, spec.identity) {
            let path = etc.join(name);
            write_file(&path, text.as_bytes(), 0o644)
                .during(|| format!("write {}", path.display()))?;
        }
        Ok(())
    }
}

/// The names in `/etc` that the allow-list has and the machine too, sorted as the list is.
fn chosen(etc: &Path) -> io::Result<Vec<PathBuf>> {
    let mut names = Vec::new();
    for entry in HOST_ENTRIES {
        match entry.strip_suffix('*') {
            Some(prefix) => {
                for found in fs::read_dir(etc)? {
                    let name = found?.file_name();
                    if name.to_str().is_some_and(|name| name.starts_with(prefix)) {
                        names.push(PathBuf::from(name));
                    }
                }
            }
            None if etc.join(entry).symlink_metadata().is_ok() => names.push(PathBuf::from(entry)),
            None => {}
        }
    }
    Ok(names)
}

fn all_of(etc: &Path) -> io::Result<Vec<PathBuf>> {
    let mut names = Vec::new();
    let entries = match fs::read_dir(etc) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(names),
        Err(error) => return Err(error),
    };
    for found in entries {
        let name = found?.file_name();
        let hidden = name
            .to_str()
            .is_some_and(|name| IMAGE_SECRETS.contains(&name) || WRITTEN.contains(&name));
        if !hidden {
            names.push(PathBuf::from(name));
        }
    }
    Ok(names)
}

fn take(path: &Path) -> io::Result<Option<Content>> {
    let meta = path.symlink_metadata()?;
    let kind = meta.file_type();
    Ok(if kind.is_symlink() {
        Some(Content::Link(fs::read_link(path)?))
    } else if kind.is_dir() {
        Some(Content::Bind(Tree::clone_of(path, READ_ONLY)?, true))
    } else if kind.is_file() && meta.len() <= COPY_MAX {
        let mut bytes = Vec::new();
        fs::File::open(path)?.take(COPY_MAX).read_to_end(&mut bytes)?;
        Some(Content::Copy(bytes, meta.permissions().mode() & 0o777))
    } else if kind.is_file() {
        Some(Content::Bind(Tree::clone_of(path, READ_ONLY)?, false))
    } else {
        None
    })
}

fn put(path: &Path, content: Content) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    match content {
        Content::Copy(bytes, mode) => write_file(path, &bytes, mode),
        Content::Link(target) => symlink(target, path),
        Content::Bind(tree, directory) => {
            if directory {
                fs::create_dir_all(path)?;
            } else {
                write_file(path, b"", 0o644)?;
            }
            tree.attach(path)
        }
    }
}

fn write_file(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    fs::write(path, bytes)?;
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}

/// The files that say who and where the sandbox is. Names are resolved by init's refuser at 127.0.0.1.
fn written(hostname: &str, identity: Identity) -> [(&'static str, String); 6] {
    let Identity { uid, gid, .. } = identity;
    [
        (
            "passwd",
            format!(
                "root:x:0:0:root:/root:/usr/sbin/nologin\n\
                 agent:x:{uid}:{gid}:agent:/home/agent:/bin/sh\n\
                 nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n"
            ),
        ),
        ("group", format!("root:x:0:\ntty:x:5:\nagent:x:{gid}:\nnogroup:x:65534:\n")),
        (
            "hosts",
            format!(
                "127.0.0.1 localhost {hostname}\n::1 localhost ip6-localhost ip6-loopback {hostname}\n"
            ),
        ),
        ("hostname", format!("{hostname}\n")),
        ("resolv.conf", "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n".to_owned()),
        (
            "nsswitch.conf",
            "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\nnetworks: files\n\
             protocols: files\nservices: files\n"
                .to_owned(),
        ),
    ]
}
