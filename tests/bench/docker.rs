//! A Docker engine of the benchmarks' own: its own socket and data, an image with nothing but the agent, ended with the
//! benchmark.

use std::error::Error;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use custody_tests::deadline::until;

use crate::fixture::run;
use crate::runc::AGENT;

/// Name of the image.
const IMAGE: &str = "custody-bench";

/// A running engine.
pub(crate) struct Docker {
    engine: Child,
    socket: PathBuf,
    data: PathBuf,
}

impl Docker {
    /// Starts the engine and imports the image out of the bundle's root.
    pub(crate) fn start(work: &Path) -> Result<Self, Box<dyn Error>> {
        let data = work.join("docker");
        std::fs::create_dir_all(&data)?;
        // A socket's path has at most 107 bytes: not below a target directory of any depth.
        let run_directory = tempfile::TempDir::with_prefix("custody-bench-")?.keep();
        let socket = run_directory.join("docker.sock");
        let log = std::fs::File::create(work.join("dockerd.log"))?;
        let engine = Command::new("dockerd")
            .arg("--host")
            .arg(format!("unix://{}", socket.display()))
            .arg("--data-root")
            .arg(data.join("data"))
            .arg("--exec-root")
            .arg(run_directory.join("exec"))
            .arg("--pidfile")
            .arg(run_directory.join("pid"))
            .args(["--bridge", "none", "--iptables=false", "--ip6tables=false"])
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        let docker = Self { engine, socket, data: run_directory };
        until("the Docker engine's socket", || UnixStream::connect(&docker.socket).ok());
        let tar = work.join("image.tar");
        run(Command::new("tar")
            .arg("-C")
            .arg(work.join("bundle/rootfs"))
            .arg("-cf")
            .arg(&tar)
            .arg("bin"))?;
        run(docker.client().arg("import").arg(&tar).arg(IMAGE))?;
        Ok(docker)
    }

    fn client(&self) -> Command {
        let mut command = Command::new("docker");
        command.arg("--host").arg(format!("unix://{}", self.socket.display()));
        command
    }

    /// Starts the agent in a container.
    pub(crate) fn command(&self) -> Command {
        let mut command = self.client();
        command.args([
            "run",
            "--rm",
            "--network",
            "none",
            "--memory",
            "1g",
            "--pids-limit",
            "512",
            IMAGE,
            AGENT,
        ]);
        command
    }
}

impl Drop for Docker {
    fn drop(&mut self) {
        let pid = i32::try_from(self.engine.id()).unwrap_or(0);
        if pid > 0 {
            // SAFETY: kill has no preconditions; the child is not waited for yet, so its pid is still its own.
            unsafe { libc::kill(pid, libc::SIGTERM) };
        }
        let _ = self.engine.wait();
        let _ = std::fs::remove_dir_all(&self.data);
    }
}
