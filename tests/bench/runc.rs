//! The bundle that `runc run` starts: a root with nothing but the agent, limits as a session has them.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::fixture::run;
/// The agent in bundle and image.
pub(crate) const AGENT: &str = "/bin/agent";

/// A bundle on disk.
pub(crate) struct Bundle {
    directory: PathBuf,
}

impl Bundle {
    /// Makes it below `work`.
    pub(crate) fn make(work: &Path, agent: &Path) -> Result<Self, Box<dyn Error>> {
        let directory = work.join("bundle");
        let root = directory.join("rootfs");
        for inside in ["bin", "proc", "dev", "sys"] {
            std::fs::create_dir_all(root.join(inside))?;
        }
        std::fs::copy(agent, root.join("bin/agent"))?;
        run(Command::new("runc").current_dir(&directory).arg("spec"))?;
        let file = directory.join("config.json");
        let mut config: serde_json::Value = serde_json::from_slice(&std::fs::read(&file)?)?;
        config["process"]["terminal"] = false.into();
        config["process"]["args"] = vec![AGENT].into();
        config["linux"]["resources"]["memory"] = serde_json::json!({ "limit": 1_u64 << 30 });
        config["linux"]["resources"]["pids"] = serde_json::json!({ "limit": 512 });
        std::fs::write(file, serde_json::to_vec(&config)?)?;
        Ok(Self { directory })
    }

    /// Starts the agent in it.
    pub(crate) fn command(&self, round: usize) -> Command {
        let mut command = Command::new("runc");
        command.args(["run", "--bundle"]).arg(&self.directory);
        command.arg(format!("custody-bench-{}-{round}", std::process::id()));
        command
    }
}
