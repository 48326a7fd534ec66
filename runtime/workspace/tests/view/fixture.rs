//! A repository, an installation, and a process inside: its own user ids, its own root, the session's view.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};

use custody_model::{Clock, SessionId, SystemClock, Timestamp};
use custody_policy::PathRules;
use custody_record::{Blobs, Body, Redactor, SinkError};
use custody_workspace::AccessSink;
use custody_workspace::base::{Base, BaseRequest, Progress};
use custody_workspace::checkout::Checkout;
use custody_workspace::content::{Contents, GitHash, HashLimits};
use custody_workspace::guard::{Guard, GuardConfig, GuardLimits, GuardMode};
use custody_workspace::mirror::{Mirror, Mirrors, Source};
use custody_workspace::outputs::{Identity, OutputLimits, OutputRequest, Outputs, publish};
use custody_workspace::overlay::Owner;
use custody_workspace::view::{MAX_GUARDED_PATHS, Workspace, WorkspaceConfig};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

pub(crate) const OWNER: Owner = Owner { uid: 2_000_001_000, gid: 2_000_001_000 };
pub(crate) const DENY_SECRETS: &str =
    r#"[{"deny": "secrets/"}, {"deny": ".env"}, {"read_only": "LICENSE"}]"#;

/// Runs a test in a thread with a mount namespace of its own, so that its mounts end with it.
pub(crate) fn in_own_mounts(test: impl FnOnce() + Send + 'static) {
    let run = move || {
        unshare(CloneFlags::CLONE_NEWNS).expect("these tests need root");
        let none: Option<&str> = None;
        mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).unwrap();
        test();
    };
    if let Err(panic) = std::thread::spawn(run).join() {
        std::panic::resume_unwind(panic);
    }
}

pub(crate) fn rules(text: &str) -> PathRules {
    serde_json::from_str(text).unwrap()
}

/// Runs git (of the machine, as a developer would) and returns what it said.
pub(crate) fn git(directory: &Path, words: &[&str]) -> String {
    let output = Command::new("git")
        .args(["-c", "user.name=Dev", "-c", "user.email=dev@example.org", "-c", "safe.directory=*"])
        .args(words)
        .current_dir(directory)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let complained = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "git {words:?}: {said}{complained}");
    said.trim_end().to_owned()
}

pub(crate) struct Installation {
    pub(crate) directory: tempfile::TempDir,
    pub(crate) mirror: Mirror,
}

pub(crate) fn write(path: &Path, content: &[u8]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

impl Installation {
    /// A repository with a history in which secrets moved about, and a mirror of it.
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let app = directory.path().join("app");
        fs::create_dir(&app).unwrap();
        git(&app, &["init", "--quiet", "--initial-branch=main"]);
        write(&app.join("secrets/key"), b"old hidden key\n");
        write(&app.join("src/moved"), b"was public once\n");
        write(&app.join("src/a.txt"), b"a\n");
        write(&app.join("LICENSE"), b"free\n");
        write(&app.join(".gitignore"), b"*.o\n");
        git(&app, &["add", "-A"]);
        git(&app, &["commit", "--quiet", "-m", "First"]);
        git(&app, &["tag", "-a", "v1", "-m", "one"]);
        fs::rename(app.join("src/moved"), app.join("secrets/moved")).unwrap();
        write(&app.join("secrets/key"), b"the hidden key\n");
        write(&app.join(".env"), b"TOKEN=hidden token\n");
        write(&app.join("src/run"), b"#!/bin/sh\necho ran\n");
        fs::set_permissions(app.join("src/run"), fs::Permissions::from_mode(0o755)).unwrap();
        symlink("../secrets/key", app.join("src/alias")).unwrap();
        symlink("a.txt", app.join("src/link")).unwrap();
        git(&app, &["add", "-A"]);
        git(&app, &["commit", "--quiet", "-m", "Second"]);
        Self::of(directory)
    }

    pub(crate) fn of(directory: tempfile::TempDir) -> Self {
        let source = Source::Checkout(Checkout::find(&directory.path().join("app")).unwrap());
        let mirror = Mirrors::of(&directory.path().join("state")).add(&source, None).unwrap();
        mirror.update(&source, None).unwrap();
        Self { directory, mirror }
    }

    pub(crate) fn app(&self) -> PathBuf {
        self.directory.path().join("app")
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.directory.path().join("state")
    }

    pub(crate) fn base(&self, rules: &PathRules) -> (Base, Vec<Progress>) {
        let commit = self.mirror.resolve("HEAD").unwrap().commit;
        let mut steps = Vec::new();
        let request = BaseRequest {
            mirror: &self.mirror,
            commit: &commit,
            rules,
            owner: OWNER,
            owner_inside: Owner { uid: 1000, gid: 1000 },
            identity: &Identity::agent(),
            now: SystemClock.now(),
        };
        let base = Base::prepare(&self.state(), &request, &mut |step| steps.push(step)).unwrap();
        (base, steps)
    }

    pub(crate) fn session(&self, rules_text: &str, strict: bool) -> Session<'_> {
        Session::new(self, rules(rules_text), strict)
    }
}

#[derive(Default)]
pub(crate) struct Told(pub(crate) Mutex<Vec<Body>>);

impl AccessSink for Told {
    fn access(&self, _: Timestamp, _: u32, body: Body) -> Result<(), SinkError> {
        self.0.lock().unwrap().push(body);
        Ok(())
    }
}

/// A session's workspace, and a root and user namespace for processes inside.
pub(crate) struct Session<'a> {
    installation: &'a Installation,
    pub(crate) id: SessionId,
    pub(crate) rules: PathRules,
    pub(crate) base: Base,
    pub(crate) workspace: Workspace,
    pub(crate) told: Arc<Told>,
    guard: Option<Guard>,
    root: PathBuf,
    holder: Child,
}

impl<'a> Session<'a> {
    fn new(installation: &'a Installation, rules: PathRules, strict: bool) -> Self {
        let (base, _) = installation.base(&rules);
        let mut random = [0; 10];
        std::io::Read::read_exact(&mut fs::File::open("/dev/urandom").unwrap(), &mut random)
            .unwrap();
        let id = SessionId::new(SystemClock.now(), random);
        let directory = installation.state().join("sessions").join(id.to_string());
        let layers = directory.join("workspace");
        fs::create_dir_all(&layers).unwrap();
        let workspace = Workspace::prepare(&WorkspaceConfig {
            base: &base,
            rules: &rules,
            strict,
            directory: &layers,
            owner: OWNER,
            max_guarded_paths: MAX_GUARDED_PATHS,
        })
        .unwrap();
        let told = Arc::new(Told::default());
        let guard = workspace.needs_guard().then(|| {
            let root = workspace.clean().try_clone_to_owned().unwrap();
            let present = base.manifest().present();
            let contents = Contents::new(root, GitHash::Sha1, present, HashLimits::default());
            let config = GuardConfig {
                backing: workspace.clean().try_clone_to_owned().unwrap(),
                rules: rules.clone(),
                mode: if strict { GuardMode::Strict } else { GuardMode::Paths },
                contents: Arc::new(contents),
                sink: Arc::clone(&told) as Arc<dyn AccessSink>,
                clock: Arc::new(SystemClock),
                passthrough: true,
                threads: 1,
                scan_links: false,
                limits: GuardLimits::default(),
            };
            Guard::mount(config, workspace.guard_point()).unwrap()
        });
        workspace.attach().unwrap();
        let root = directory.join("root");
        make_root(&root, workspace.view(), base.objects());
        let holder = user_namespace();
        Self { installation, id, rules, base, workspace, told, guard, root, holder }
    }

    /// Runs a shell script inside, in the workspace, as the agent's user.
    pub(crate) fn sh(&self, script: &str) -> Output {
        Command::new("nsenter")
            .args(["--target", &self.holder.id().to_string(), "--user"])
            .args(["--setuid", "1000", "--setgid", "1000"])
            .arg(format!("--root={}", self.root.display()))
            .arg("--wdns=/workspace")
            .args(["/bin/sh", "-c", script])
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("HOME", "/tmp")
            .env("LC_ALL", "C")
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }

    /// The same, and it has to succeed; what it wrote to standard output.
    pub(crate) fn ok(&self, script: &str) -> String {
        let output = self.sh(&format!("set -e\n{script}"));
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let complained = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{script}: {said}{complained}");
        said
    }

    /// Everything that it says, on both streams.
    pub(crate) fn says(&self, script: &str) -> String {
        let output = self.sh(script);
        let streams = [output.stdout, output.stderr].concat();
        String::from_utf8_lossy(&streams).into_owned()
    }

    pub(crate) fn publish(&self) -> Outputs {
        self.publish_within(OutputLimits::default())
    }

    pub(crate) fn publish_within(&self, limits: OutputLimits) -> Outputs {
        let scratch = self.installation.state().join("repositories");
        let request = OutputRequest {
            mirror: &self.installation.mirror,
            base: &self.base,
            rules: &self.rules,
            session: self.id,
            record_root: "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=",
            clean: self.workspace.clean(),
            clean_path: self.workspace.clean_path(),
            layer: self.workspace.upper(),
            scratch: &scratch,
            blobs: &self.blobs(),
            redactor: &Redactor::standard().unwrap(),
            subject: "Session of a test",
            author: &Identity::agent(),
            time: SystemClock.now(),
            limits,
        };
        publish(&request, &mut |_| Ok(())).unwrap()
    }

    /// Where the diff goes.
    pub(crate) fn blobs(&self) -> Blobs {
        Blobs::open(&self.installation.state().join("record"))
    }

    /// As if it had not been published: the branch's name is taken only once.
    pub(crate) fn forget_branch(&self) {
        self.mirror_git(&["update-ref", "-d", &format!("refs/heads/custody/{}", self.id)]);
    }

    /// Git in the mirror.
    pub(crate) fn mirror_git(&self, words: &[&str]) -> String {
        git(self.installation.mirror.git_dir(), words)
    }
}

impl Drop for Session<'_> {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
        let _ = nix::mount::umount2(&self.root, nix::mount::MntFlags::MNT_DETACH);
        let _ = self.workspace.detach();
        if let Some(guard) = self.guard.take() {
            let _ = guard.unmount();
        }
    }
}

fn bind(from: &Path, to: &Path) {
    let none: Option<&str> = None;
    mount(Some(from), to, none, MsFlags::MS_BIND | MsFlags::MS_REC, none).unwrap();
}

fn make_root(root: &Path, view: &Path, objects: &Path) {
    fs::create_dir_all(root).unwrap();
    let none: Option<&str> = None;
    mount(Some("tmpfs"), root, Some("tmpfs"), MsFlags::empty(), none).unwrap();
    fs::set_permissions(root, fs::Permissions::from_mode(0o755)).unwrap();
    for name in ["usr", "etc", "dev", "proc"] {
        fs::create_dir(root.join(name)).unwrap();
        bind(&Path::new("/").join(name), &root.join(name));
    }
    for name in ["bin", "lib", "lib64"] {
        symlink(format!("usr/{name}"), root.join(name)).unwrap();
    }
    fs::create_dir(root.join("tmp")).unwrap();
    fs::set_permissions(root.join("tmp"), fs::Permissions::from_mode(0o1777)).unwrap();
    fs::create_dir(root.join("workspace")).unwrap();
    bind(view, &root.join("workspace"));
    fs::create_dir_all(root.join("custody/objects")).unwrap();
    bind(objects, &root.join("custody/objects"));
}

/// A process that holds a user namespace with the ids of a sandbox; it ends when its input does.
fn user_namespace() -> Child {
    let mut holder = Command::new("unshare")
        .args(["--user", "sh", "-c", "echo; exec cat"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut ready = [0];
    std::io::Read::read_exact(holder.stdout.as_mut().unwrap(), &mut ready).unwrap();
    for map in ["uid_map", "gid_map"] {
        let path = format!("/proc/{}/{map}", holder.id());
        let mut file = fs::OpenOptions::new().write(true).open(path).unwrap();
        file.write_all(b"0 2000000000 65536\n").unwrap();
    }
    holder
}
