//! The messages between keeper and init, version [`VERSION`].
//!
//! `Start → Ready → Go → Exited`, with signals, sizes and a stop in between; `Failed` ends it at any step. Unknown
//! members are refused on both sides: keeper and init are of one build.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Version of the protocol; a frame of another one is refused.
pub const VERSION: u32 = 1;

/// The descriptor that carries the control socket's directory inside of a sandbox names this file.
pub const CONTROL_SOCKET: &str = "control.sock";

/// From the keeper to init.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum ToInit {
    /// Prepare everything, but run nothing yet. The first message, once.
    Start(Box<Start>),
    /// [`ToInit::Start`] stands in the file beside this message: it is longer than a frame. See [`crate::start`].
    StartInFile,
    /// Run the command. Once, after [`FromInit::Ready`].
    Go,
    /// Send this signal (Linux number) to the terminal's foreground group, or without a terminal to the command's
    /// process group.
    Signal(i32),
    /// The terminal has this size now; nothing without a terminal.
    Resize(Window),
    /// SIGTERM to every process, SIGKILL to what is left `grace_ms` milliseconds later.
    Stop {
        /// Milliseconds between the two.
        grace_ms: u64,
    },
}

/// Which calls on names of files wait for the keeper.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WatchNames {
    /// None: nothing is guarded.
    #[default]
    Nothing,
    /// Renames and hard links: guarded paths are within one mount, and only what leaves it is refused unseen.
    Moves,
    /// Renames, hard links and removals: guarded paths are mount points.
    All,
}

/// What is to run, and within which walls.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Start {
    /// Program and arguments. A program without `/` is looked up in the `PATH` of `env`.
    pub argv: Vec<String>,
    /// The whole environment, as `NAME=value`.
    pub env: Vec<String>,
    /// Absolute path.
    pub cwd: String,
    /// A terminal of this size as standard input, output and error; three pipes without it.
    pub terminal: Option<Window>,
    /// Without a terminal: standard input is a pipe, else `/dev/null`.
    pub stdin: bool,
    /// Resource limits; those that init may not set stop the start.
    pub rlimits: Vec<Rlimit>,
    /// The second wall.
    pub landlock: Landlock,
    /// Listen for HTTP proxy clients at this port of 127.0.0.1, and hand the socket to the keeper.
    pub proxy_port: Option<u16>,
    /// Listen for DNS questions at 127.0.0.1:53 (UDP and TCP). Optional: [`Ready::protections`] tells if it could not.
    pub name_server: bool,
    /// Which calls on names wait for the keeper, too: the kernel refuses what would move a guarded mount point or cross
    /// its border without telling anybody.
    pub watch_names: WatchNames,
}

/// Size of a terminal, in character cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Window {
    /// Lines.
    pub rows: u16,
    /// Characters in a line.
    pub cols: u16,
}

/// One resource limit of `setrlimit(2)`, in the units of that page. Never raised above the hard limit that init has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rlimit {
    /// Of what.
    pub resource: Resource,
    /// Soft limit.
    pub soft: u64,
    /// Hard limit.
    pub hard: u64,
}

/// What a resource limit is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Resource {
    /// Size of a core dump, bytes.
    Core,
    /// Size of a file, bytes.
    FileSize,
    /// Open descriptors.
    OpenFiles,
    /// Locked memory, bytes.
    LockedMemory,
    /// Main thread's stack, bytes.
    Stack,
}

/// Landlock's rules: what is not named here can be neither read nor written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Landlock {
    /// Read and execute below these paths.
    pub read_only: Vec<String>,
    /// Everything below these paths. Those that do not exist are left out and reported.
    pub read_write: Vec<String>,
}

/// From init to the keeper.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum FromInit {
    /// Everything stands; the command waits for [`ToInit::Go`]. The descriptors come with this message.
    Ready(Ready),
    /// The command ended. What it left behind is being killed: the channel's end says that nothing is left.
    Exited(ExitStatus),
    /// A step failed; init ends.
    Failed(Failed),
}

/// What stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ready {
    /// What each descriptor of the message is, in their order.
    pub descriptors: Vec<Descriptor>,
    /// Name of a protection → how it took.
    pub protections: BTreeMap<String, String>,
}

/// What a descriptor from init is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Descriptor {
    /// The listener of seccomp's user notifications.
    Notices,
    /// The terminal's master side.
    Terminal,
    /// Write end of standard input.
    Stdin,
    /// Read end of standard output.
    Stdout,
    /// Read end of standard error.
    Stderr,
    /// Listening TCP socket of the HTTP proxy.
    Proxy,
    /// UDP socket of the name server.
    NamesUdp,
    /// Listening TCP socket of the name server.
    NamesTcp,
}

/// How the command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExitStatus {
    /// By itself, with this code.
    Code(u8),
    /// By a signal of this number.
    Signal(u8),
}

/// Why nothing runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Failed {
    /// At which step.
    pub step: Step,
    /// The error number, where the kernel gave one.
    pub errno: Option<i32>,
    /// In words.
    pub message: String,
}

/// The steps of init.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// Being process 1, and not readable by others.
    Process,
    /// The first message.
    Request,
    /// Terminal or pipes.
    Streams,
    /// Loopback and the sockets on it.
    Network,
    /// Making the command's process.
    Fork,
    /// Session and controlling terminal.
    Session,
    /// Working directory.
    Directory,
    /// Resource limits.
    Rlimits,
    /// Capabilities and `no_new_privs`.
    Privileges,
    /// Landlock.
    Landlock,
    /// The system call filter and its listener.
    Seccomp,
    /// `execve` of the command.
    Exec,
}
