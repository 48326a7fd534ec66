//! What a group has used, read from the files of each version.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use custody_sandbox::Usage;

use super::hierarchy::{Controller, Home};

/// Reads what there is to read.
pub(super) fn read(homes: &BTreeMap<Controller, Home>) -> Usage {
    let mut usage = Usage::default();
    match homes.get(&Controller::Memory) {
        Some(Home::V2(path)) => {
            usage.memory_bytes = number(&path.join("memory.current"));
            usage.memory_peak_bytes = number(&path.join("memory.peak"));
            usage.memory_kills = field(&path.join("memory.events"), "oom_kill");
        }
        Some(Home::V1(path)) => {
            usage.memory_bytes = number(&path.join("memory.usage_in_bytes"));
            usage.memory_peak_bytes = number(&path.join("memory.max_usage_in_bytes"));
            usage.memory_kills = field(&path.join("memory.oom_control"), "oom_kill");
        }
        None => {}
    }
    match homes.get(&Controller::CpuTime) {
        Some(Home::V2(path)) => usage.cpu_micros = field(&path.join("cpu.stat"), "usage_usec"),
        Some(Home::V1(path)) => {
            usage.cpu_micros = number(&path.join("cpuacct.usage")).map(|nanos| nanos / 1_000);
        }
        None => {}
    }
    if let Some(Home::V2(path) | Home::V1(path)) = homes.get(&Controller::Processes) {
        usage.processes = number(&path.join("pids.current"));
        usage.process_refusals = field(&path.join("pids.events"), "max");
    }
    usage
}

/// A file that holds one number.
fn number(path: &Path) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// A line `name number` of a file.
fn field(path: &Path, name: &str) -> Option<u64> {
    let text = fs::read_to_string(path).ok()?;
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.trim().parse().ok())
}
