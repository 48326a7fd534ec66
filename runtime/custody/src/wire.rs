//! The one place where parts are put together: the state, the clock, the driver.

use std::ffi::OsString;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use custody_keeper::layout::StateDir;
use custody_model::{Clock, Digest, ErrorCode, SessionId, SystemClock};
use custody_record::Vault;
use custody_sandbox_namespace::NamespaceDriver;
use custody_session::KeeperProgram;
use custody_store::Store;
use custody_store_sqlite::SqliteStore;

use crate::caller::{self, UserEnvironment};
use crate::cli::{Cli, Command, Format};
use crate::commands;
use crate::config::{self, Config, DIRECTORY, Environment, Settings, Sources, variable_of};
use crate::failure::{Explain, Failure};
use crate::wrapping::CommandWrapping;

/// First argument of the process that becomes a sandbox. Never typed by hand.
const LAUNCHER: &str = "sandbox-launch";

/// Makes this process a sandbox's launcher, if that is what it was started for.
pub fn launcher(mut args: impl Iterator<Item = OsString>) -> Option<ExitCode> {
    let _program = args.next();
    let first = args.next()?;
    (first == LAUNCHER).then(|| custody_sandbox_namespace::launch::main(args))
}

/// What the driver finds on this machine: name, whether sandboxes can be made with it, what was found, what it means.
pub fn driver_probes() -> Vec<(String, bool, String, String)> {
    let probes = custody_sandbox_namespace::probe().into_iter();
    probes.map(|probe| (probe.name.to_owned(), probe.usable, probe.found, probe.means)).collect()
}

/// What every command is given.
pub struct Wire {
    /// The installation.
    pub state: StateDir,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// How results are printed.
    pub format: Format,
    /// What the configuration is made of.
    pub sources: Sources,
    /// The server that was named.
    pub url: Option<String>,
    /// The state directory was named by whoever runs this.
    pub state_was_named: bool,
    /// This user's own files and tokens.
    pub environment: UserEnvironment,
    /// Where systemd wants to be told how the server does.
    pub notify_socket: Option<OsString>,
    program: PathBuf,
}

impl Wire {
    /// Puts together what `cli` asks for.
    pub fn new(cli: &Cli) -> Result<Self, Failure> {
        let sources = Sources {
            file: cli.config.clone(),
            state: cli.state.clone(),
            environment: std::env::vars_os().collect::<Environment>(),
            cores: std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
        };
        let state = match (&cli.state, &cli.command) {
            (Some(state), _) => state.clone(),
            // They work with a configuration that is not valid, or with none.
            (None, Command::Config(_) | Command::Completions { .. } | Command::Context(_)) => {
                DIRECTORY.into()
            }
            (None, _) => sources.state_directory().map_err(commands::config::failure)?,
        };
        let state = std::path::absolute(state)
            .explain(ErrorCode::Io, "the state directory has no absolute path")?;
        let program = std::env::current_exe()
            .explain(ErrorCode::Io, "the path of the custody program can't be found")?;
        Ok(Self {
            state: StateDir::new(state),
            clock: Arc::new(SystemClock),
            format: cli.output,
            url: cli.url.clone(),
            state_was_named: cli.state.is_some(),
            environment: UserEnvironment::read(),
            notify_socket: caller::notify_socket(),
            sources,
            program,
        })
    }

    /// The configuration in effect.
    pub fn config(&self) -> Result<Config, Failure> {
        self.sources.load().map_err(commands::config::failure)
    }

    /// The Unix socket of a server of this installation. Who may not read the configuration takes the usual one.
    pub fn socket(&self) -> PathBuf {
        match self.sources.load() {
            Ok(config) => config.settings.server.socket,
            Err(_) => self.state.path().join("run/custody.sock"),
        }
    }

    /// What makes sandboxes. Its control groups carry the state directory's name: two installations on one machine
    /// never touch each other's.
    pub fn driver(&self) -> Result<NamespaceDriver, Failure> {
        let place = Digest::of(self.state.path().as_os_str().as_encoded_bytes());
        let driver =
            NamespaceDriver::new(self.program.clone(), vec![LAUNCHER.into()], self.clock.clone())
                .explain(ErrorCode::EnvironmentLacks, "no sandbox can be made on this machine")?;
        Ok(driver.with_cgroup_parent(format!("custody-{}", &place.hex()[..12])))
    }

    /// The keys of what is sealed. Nothing is asked of a program that wraps them before one is needed.
    pub fn vault(&self, settings: &config::Vault) -> Result<Arc<Vault>, Failure> {
        let dir = self.state.vault();
        let vault = match &settings.wrapping {
            None => Vault::open(&dir),
            Some(by) => Vault::with_wrapping(&dir, Box::new(CommandWrapping::new(by))),
        };
        let vault = vault.explain(ErrorCode::Io, "the vault can't be opened")?;
        let former = settings.former.iter().map(|by| Box::new(CommandWrapping::new(by)));
        Ok(Arc::new(former.fold(vault, |vault, by| vault.with_former(by))))
    }

    /// The store in this file.
    pub async fn store(&self, file: &Path) -> Result<Box<dyn Store>, Failure> {
        let store = SqliteStore::open(file).await;
        Ok(Box::new(store.explain(ErrorCode::Io, "the index can't be opened")?))
    }

    /// How keepers are started: with what these settings say, and whatever a file says by then.
    pub fn keeper(&self, settings: &Settings) -> KeeperProgram {
        let vault = settings.vault.exposed().map(|(field, value)| ("vault", field, value));
        let disk = settings.disk.exposed().map(|(field, value)| ("disk", field, value));
        let observe = settings.observe.exposed().map(|(field, value)| ("observe", field, value));
        let environment = vault
            .into_iter()
            .chain(disk)
            .chain(observe)
            .map(|(section, field, value)| (variable_of(section, field), value))
            .collect();
        KeeperProgram {
            program: self.program.clone(),
            arguments: vec![
                "--state".to_owned(),
                self.state.path().display().to_string(),
                "keeper".to_owned(),
            ],
            environment,
        }
    }

    /// A new session's id.
    pub fn new_session(&self) -> Result<SessionId, Failure> {
        let mut random = [0; 10];
        getrandom::fill(&mut random).map_err(|e| {
            Failure::new(ErrorCode::Io, format!("the system gives no random bytes: {e}"))
        })?;
        Ok(SessionId::new(self.clock.now(), random))
    }
}
