//! What ran, and what tried to reach out.

use custody_model::ImageId;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::session::WholeList;

/// `process.executed`: one `execve`, reported before it happened. The actor is the process that called it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProcessExecuted {
    /// Number of the new image.
    pub image: ImageId,
    /// Its process, in the keeper's pid namespace.
    pub pid: u32,
    /// Its parent process, if it still lived.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent: Option<u32>,
    /// The image that the process, or the nearest ancestor that is known, ran before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent_image: Option<ImageId>,
    /// The path that was given to `execve`; with `corrects` the file that the kernel opened.
    pub exe: String,
    /// The file that `exe` led to when it was reported, if that is another path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// This is about the `execve` that was reported as this image: what it led to was changed after the report, and
    /// `exe` is what ran. The arguments are still those that were reported.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub corrects: Option<ImageId>,
    /// The arguments; only their beginning, if they have more than [`super::MAX_ARGUMENT_BYTES`].
    pub argv: Vec<String>,
    /// The arguments were cut.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub argv_cut: bool,
    /// All arguments, if they were cut; absent where they could not be read to their end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub argv_whole: Option<WholeList>,
    /// Its working directory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cwd: Option<String>,
    /// The call failed with this errno, as in `ENOENT`, where that was seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failed: Option<String>,
    /// The directories of the search path that were tried before `exe` without success, in this order (see `execvp`). They and
    /// `exe` are one attempt. Absent if there were none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tried: Option<Vec<String>>,
}

/// How a process or the session's command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ExitStatus {
    /// It ended by itself with this code, 0 to 255.
    Code(u8),
    /// A signal of this number ended it.
    Signal(u8),
}

/// `process.exited`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProcessExited {
    /// Its process.
    pub pid: u32,
    /// The last image that it ran.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<ImageId>,
    /// How, where it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<ExitStatus>,
}

/// By which way a process tried to get out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EgressVia {
    /// `connect(2)`.
    Connect,
    /// `sendto(2)`, `sendmsg(2)` or `sendmmsg(2)` with an address.
    Send,
    /// The HTTP proxy on loopback.
    Proxy,
    /// A question to the name server on loopback.
    Dns,
}

/// The transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names are those of the protocols")]
pub enum Transport {
    Tcp,
    Udp,
    Other,
}

/// `egress.denied`: an attempt to reach something outside, refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EgressDenied {
    /// The host's name, where it was named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// The address, where one was used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// The port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// The transport.
    pub transport: Transport,
    /// By which way.
    pub via: EgressVia,
    /// Method and path of a plain HTTP request through the proxy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request: Option<String>,
    /// Why, in words.
    pub reason: String,
}
