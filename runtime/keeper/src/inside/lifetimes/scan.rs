//! The processes that `/proc` shows, where the connector is silent.

use std::collections::{BTreeMap, HashSet};
use std::io;

/// Every process that is not a zombie, and its parent.
pub(super) fn processes() -> io::Result<BTreeMap<u32, u32>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir("/proc")? {
        let Some(pid) = entry?.file_name().to_str().and_then(|n| n.parse().ok()) else { continue };
        // Gone since the directory was read: not living.
        let Ok(stat) = std::fs::read(format!("/proc/{pid}/stat")) else { continue };
        if let Some((state, parent)) = parse(&stat)
            && !matches!(state, b'Z' | b'X')
        {
            found.insert(pid, parent);
        }
    }
    Ok(found)
}

/// State and parent of a `/proc/PID/stat`; the name in it may hold anything.
fn parse(stat: &[u8]) -> Option<(u8, u32)> {
    let after = stat.iter().rposition(|b| *b == b')')? + 1;
    let mut fields = std::str::from_utf8(&stat[after..]).ok()?.split_ascii_whitespace();
    let state = *fields.next()?.as_bytes().first()?;
    Some((state, fields.next()?.parse().ok()?))
}

/// Parent and child of those who descend from `members` and are none yet, parents first.
pub(super) fn descendants(living: &BTreeMap<u32, u32>, members: &HashSet<u32>) -> Vec<(u32, u32)> {
    let mut known = members.clone();
    let mut found = Vec::new();
    loop {
        let before = found.len();
        for (&child, &parent) in living {
            if known.contains(&parent) && known.insert(child) {
                found.push((parent, child));
            }
        }
        if found.len() == before {
            return found;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_process_name_can_not_forge_a_parent() {
        assert_eq!(parse(b"12 (a) R 1 (b) S 77 1 1\n"), Some((b'S', 77)));
        assert_eq!(parse(b"12 (sh"), None);
    }

    #[test]
    fn grandchildren_are_found_behind_younger_pids() {
        let living = BTreeMap::from([(1, 0), (10, 1), (5, 10), (3, 5), (9, 2)]);
        let found = descendants(&living, &HashSet::from([10]));
        assert_eq!(found, [(10, 5), (5, 3)]);
    }

    proptest! {
        #[test]
        fn foreign_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&bytes);
        }
    }
}
