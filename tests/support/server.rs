//! A server for one test: `custody serve` on a port of its own, which can be killed and started again, and people who
//! call it.

use std::ffi::OsStr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::deadline::until;
use crate::installation::{Installation, Output, binary};

/// A running server. It is killed when dropped; its sessions are stopped first.
#[derive(Debug)]
pub struct Server {
    /// Home of everybody, token and address files, and the server's log.
    home: TempDir,
    state: std::path::PathBuf,
    environment: std::collections::BTreeMap<String, String>,
    url: String,
    process: Option<Child>,
    admin: Person,
}

/// Somebody who calls.
#[derive(Clone, Debug)]
pub struct Person {
    /// The service token.
    token: String,
}

impl Person {
    /// The service token, for a server that this does not run.
    #[must_use]
    pub fn token(&self) -> &str {
        &self.token
    }
}

impl Server {
    /// Starts one on an installation, and waits until it answers.
    ///
    /// # Panics
    /// If it does not, as all functions here.
    #[must_use]
    pub fn start(installation: &Installation) -> Self {
        let home = TempDir::with_prefix("custody-home-").expect("a directory");
        let admin = Person { token: String::new() };
        let state = installation.state().to_owned();
        let environment = installation.environment().clone();
        let mut server =
            Self { home, state, environment, url: String::new(), process: None, admin };
        server.launch("127.0.0.1:0", &[]);
        let token = std::fs::read_to_string(server.home.path().join("admin.token"));
        server.admin.token = token.expect("the first start makes a token").trim().to_owned();
        server
    }

    fn launch(&mut self, listen: &str, more: &[&str]) {
        let place = self.home.path().join("address");
        // It may never have been there.
        let _ = std::fs::remove_file(&place);
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(self.home.path().join("server.log"))
            .expect("writable");
        let mut command = Command::new(binary());
        command
            .args(["serve", "--listen", listen, "--address-file"])
            .arg(&place)
            .arg("--admin-token-file")
            .arg(self.home.path().join("admin.token"))
            .args(more)
            .env("CUSTODY_STATE", &self.state)
            .envs(&self.environment)
            .env("HOME", self.home.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log);
        let mut process = command.spawn().expect("custody starts");
        self.url = until("the server to listen", || {
            let ended = process.try_wait().expect("a child");
            assert!(ended.is_none(), "the server ended: {}", self.log());
            let url = std::fs::read_to_string(&place).ok()?;
            Some(url.trim().to_owned())
        });
        self.process = Some(process);
    }

    /// What it said.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.home.path().join("server.log")).unwrap_or_default()
    }

    /// Where it listens.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.as_ref().expect("it runs").id()
    }

    /// Kills it as a power failure would.
    pub fn kill9(&mut self) {
        let mut process = self.process.take().expect("it runs");
        process.kill().expect("killed");
        let _ = process.wait().expect("it ends");
    }

    /// Waits until it has died by itself: at a fault that it was started with.
    pub fn died(&mut self) {
        let mut process = self.process.take().expect("it runs");
        let status = until("the server to die", || process.try_wait().expect("a child"));
        assert!(!status.success(), "it ended in order: {}", self.log());
    }

    /// Asks it to end, and waits until it has; its exit code.
    pub fn stop(&mut self) -> Option<i32> {
        let mut process = self.process.take().expect("it runs");
        let pid = i32::try_from(process.id()).expect("a pid");
        // SAFETY: kill has no preconditions; the child was not waited for, so its pid is still its own.
        assert_eq!(unsafe { libc::kill(pid, libc::SIGTERM) }, 0);
        let status = until("the server to end", || process.try_wait().expect("a child"));
        status.code()
    }

    /// Starts it again where it was.
    pub fn restart(&mut self) {
        self.restart_with(&[]);
    }

    /// As [`Server::restart`], with more arguments.
    pub fn restart_with(&mut self, more: &[&str]) {
        let listen = self.url.trim_start_matches("http://").to_owned();
        self.launch(&listen, more);
    }

    /// The first admin.
    #[must_use]
    pub fn admin(&self) -> Person {
        self.admin.clone()
    }

    /// Registers the repository in `directory`, in which anybody who may ask for sessions may run `sh` from here on.
    pub fn let_anyone_run_sh(&self, installation: &Installation, directory: &Path) {
        let admin = self.admin();
        let policy = installation.policy(
            "version: custody/policy/v1\nname: open\nrequesters:\n  users: ['*']\nimages: [host]\ncommands:\n  - allow: \
             [sh]\n",
        );
        let words = ["policy", "create", &policy, "--activate"];
        let _ = self.custody(&admin, directory, &words).succeeded();
        let _ = self.custody(&admin, directory, &["repo", "add", "."]).succeeded();
    }

    /// Makes somebody with these roles (`ROLE` or `ROLE@PROJECT`).
    #[must_use]
    pub fn person(&self, name: &str, roles: &[&str]) -> Person {
        let admin = self.admin();
        let mut words = vec!["user", "create", name];
        for role in roles {
            words.extend(["--role", role]);
        }
        let _ = self.custody(&admin, self.home.path(), &words).succeeded();
        let words = ["token", "create", "--user", name, "--lifetime", "1d"];
        let token = self.custody(&admin, self.home.path(), &words).succeeded().stdout;
        Person { token: token.trim().to_owned() }
    }

    /// A command of somebody, without input, started in `directory`.
    pub fn command(
        &self,
        person: &Person,
        directory: &Path,
        arguments: &[impl AsRef<OsStr>],
    ) -> Command {
        let mut command = Command::new(binary());
        command
            .current_dir(directory)
            .args(arguments)
            .env_remove("CUSTODY_STATE")
            .env("CUSTODY_URL", &self.url)
            .env("CUSTODY_TOKEN", &person.token)
            .env("HOME", self.home.path())
            .stdin(Stdio::null());
        command
    }

    /// Runs a command of somebody to its end.
    pub fn custody(
        &self,
        person: &Person,
        directory: &Path,
        arguments: &[impl AsRef<OsStr>],
    ) -> Output {
        self.command(person, directory, arguments).output().expect("custody starts").into()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.process.is_some() {
            // Sessions outlive their server: what a test started ends with it.
            let admin = self.admin();
            let list = ["session", "list", "--in", "queued,provisioning,running", "-o", "json"];
            let listed = self.custody(&admin, self.home.path(), &list).stdout;
            let listed: serde_json::Value = serde_json::from_str(&listed).unwrap_or_default();
            for session in listed.as_array().into_iter().flatten() {
                let id = session["id"].as_str().unwrap_or_default();
                let _ = self.custody(&admin, self.home.path(), &["session", "stop", id]);
            }
        }
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}
