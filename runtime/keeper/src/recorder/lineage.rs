//! Who an unknown pid is: a thread of a process that is known, or a child of one. Its fork was told late or not at all.

use crate::processes::Processes;

/// Generations that are looked back.
const MAX_GENERATIONS: usize = 16;

/// Asks /proc, makes the process known if it descends from a known one, and returns its pid (not a thread's).
pub(super) fn find(processes: &mut Processes, pid: u32) -> u32 {
    let Some((process, mut parent)) = facts(pid) else { return pid };
    if process != pid {
        processes.thread(pid, process);
    }
    let mut line = vec![process];
    for _ in 0..MAX_GENERATIONS {
        let Some(youngest) = line.last().copied() else { break };
        if processes.image(youngest).is_some() || parent <= 1 {
            break;
        }
        line.push(parent);
        match facts(parent) {
            Some((_, next)) => parent = next,
            None => break,
        }
    }
    for pair in line.windows(2).rev() {
        processes.forked(pair[1], pair[0]);
    }
    process
}

/// The process that `pid` is a thread of, and its parent.
fn facts(pid: u32) -> Option<(u32, u32)> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let field = |name: &str| -> Option<u32> {
        status.lines().find_map(|l| l.strip_prefix(name))?.trim().parse().ok()
    };
    Some((field("Tgid:")?, field("PPid:")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_is_found_to_be_of_its_process() {
        let (thread, process) = std::thread::spawn(|| {
            let mut processes = Processes::default();
            let thread = u32::try_from(nix::unistd::gettid().as_raw()).unwrap();
            (thread, find(&mut processes, thread))
        })
        .join()
        .unwrap();
        assert_ne!(thread, process);
        assert_eq!(process, std::process::id());
    }
}
