//! Several processes that open the same directory of keys.

use std::path::Path;
use std::process::{Command, Stdio};

use custody_identity::LocalIssuer;

use crate::maker::{NOW, options};

/// In the working directory of a process of its own: the keys to open, and what it saw, are below it.
const SHARED: &str = "opened-by-several";

fn kids(dir: &Path) -> String {
    let issuer = LocalIssuer::open(options(dir), NOW).unwrap();
    let served = serde_json::to_value(issuer.jwks(NOW)).unwrap();
    served["keys"].to_string()
}

/// By itself a promise about one process; in [`SHARED`] it is what each of the processes below does.
#[test]
fn opening_again_gives_the_same_keys() {
    let own = tempfile::tempdir().unwrap();
    let shared = Path::new(SHARED);
    let dir = if shared.is_dir() { shared } else { own.path() };
    let first = kids(dir);
    std::fs::write(dir.join(std::process::id().to_string()), &first).unwrap();
    assert_eq!(kids(dir), first);
}

#[test]
fn processes_that_open_the_directory_at_once_have_the_same_keys() {
    let dir = tempfile::tempdir().unwrap();
    let shared = dir.path().join(SHARED);
    std::fs::create_dir(&shared).unwrap();
    let start = || {
        Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "processes::opening_again_gives_the_same_keys"])
            .current_dir(dir.path())
            .stdout(Stdio::null())
            .spawn()
            .unwrap()
    };
    let processes: Vec<_> = (0..8).map(|_| start()).collect();
    let ids: Vec<String> = processes.iter().map(|process| process.id().to_string()).collect();
    for mut process in processes {
        assert!(process.wait().unwrap().success());
    }
    let seen = ids.iter().map(|id| std::fs::read_to_string(shared.join(id)).unwrap());
    let keys = kids(&shared);
    for seen in seen {
        assert_eq!(seen, keys);
    }
}
