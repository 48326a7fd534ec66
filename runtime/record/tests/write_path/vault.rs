//! The vault's files under faults: keys are made, wrapped anew and destroyed while each step fails in each way, and the power
//! is cut before each.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use custody_model::SessionId;
use custody_record::{ContentKey, Rewrapped, Scope, Vault, Wrapping};

use crate::faulty::{FaultyDisk, Promise};
use crate::samples::at;
use crate::story::until;

/// What wraps outside, in this test by a key that it knows.
#[derive(Debug)]
struct Outside(ContentKey);

impl Wrapping for Outside {
    fn name(&self) -> String {
        "outside/1".to_owned()
    }

    fn wrap(&self, scope: &str, key: &ContentKey) -> io::Result<Vec<u8>> {
        self.0.seal(scope, key.bound_to(scope).as_slice())
    }

    fn unwrap(&self, scope: &str, wrapped: &[u8]) -> io::Result<ContentKey> {
        let bytes = self.0.open(scope, wrapped)?;
        ContentKey::from_bound(scope, &bytes).ok_or_else(|| io::ErrorKind::InvalidData.into())
    }
}

fn outside() -> Box<Outside> {
    Box::new(Outside(ContentKey::from_bytes([0x5a; 32])))
}

fn scope(number: u8) -> Scope {
    match number {
        0 => Scope::Control,
        _ => Scope::Session(SessionId::new(at(number.into()), [number; 10])),
    }
}

/// Made and kept; made, and destroyed as they were; wrapped anew, and destroyed; destroyed after one attempt to wrap them
/// anew.
const KEPT: [u8; 2] = [0, 1];
const DESTROYED: u8 = 2;
const REWRAPPED: u8 = 3;
const ATTEMPTED: u8 = 4;

/// Tells it below `root`; how many calls failed.
pub(crate) fn tell(disk: &Arc<FaultyDisk>, root: &Path) -> usize {
    let mut failed = 0;
    let dir = root.join("vault");
    let vault = until(|| Vault::open_on(disk.clone(), &dir).inspect_err(|_| failed += 1));
    for number in [KEPT[0], KEPT[1], DESTROYED, REWRAPPED, ATTEMPTED] {
        let scope = scope(number);
        let key = until(|| vault.make(scope).inspect_err(|_| failed += 1));
        disk.promise("made", said(number, &key));
        assert_eq!(vault.key(scope).unwrap().unwrap().salt(), key.salt());
    }
    let mut destroy = |vault: &Vault, number: u8| {
        disk.promise("destroying", number.to_string());
        let _ = until(|| vault.destroy(scope(number)).inspect_err(|_| failed += 1));
        assert!(vault.key(scope(number)).unwrap().is_none());
        disk.promise("destroyed", number.to_string());
    };
    destroy(&vault, DESTROYED);
    let vault = until(|| Vault::with_wrapping_on(disk.clone(), &dir, outside()));
    let attempted = vault.rewrap(scope(ATTEMPTED)).is_ok();
    destroy(&vault, ATTEMPTED);
    failed += usize::from(!attempted);
    for number in [KEPT[0], KEPT[1], REWRAPPED] {
        // Who failed after the rename finds it done.
        let _ = until(|| vault.rewrap(scope(number)).inspect_err(|_| failed += 1));
        disk.promise("rewrapped", number.to_string());
    }
    disk.promise("destroying", REWRAPPED.to_string());
    let _ = until(|| vault.destroy(scope(REWRAPPED)).inspect_err(|_| failed += 1));
    disk.promise("destroyed", REWRAPPED.to_string());
    failed
}

fn said(number: u8, key: &ContentKey) -> String {
    format!("{number} {:?}", key.salt())
}

fn promised(all: &[Promise], what: &str) -> Vec<String> {
    all.iter().filter(|(of, _)| *of == what).map(|(_, text)| text.clone()).collect()
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

/// Every key that was promised opens, unless its end was begun; what was destroyed or wrapped anew is nowhere as it was.
pub(crate) fn assert_kept(root: &Path, all: &[Promise], what: &str) {
    let dir = root.join("vault");
    let vault = Vault::with_wrapping(&dir, outside()).unwrap();
    let destroying = promised(all, "destroying");
    for made in promised(all, "made") {
        let number = made.split(' ').next().unwrap();
        if destroying.iter().any(|of| of == number) {
            continue;
        }
        let number = number.parse().unwrap();
        let key = vault.key(scope(number)).unwrap_or_else(|e| panic!("{what}: {made}: {e:?}"));
        let key = key.unwrap_or_else(|| panic!("{what}: the key {number} is gone"));
        assert_eq!(said(number, &key), made, "{what}");
    }
    let nowhere = |number: &str, needle: &str| {
        let scope = format!("\"scope\":\"{}\"", scope(number.parse().unwrap()));
        for path in files(&dir) {
            let text = String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned();
            let there = text.contains(&scope) && text.contains(needle);
            assert!(!there, "{what}: {number} is still in {}", path.display());
        }
    };
    for number in promised(all, "destroyed") {
        nowhere(&number, "");
    }
    for number in promised(all, "rewrapped") {
        nowhere(&number, "\"wrapping\":\"file/");
    }
    // And it goes on.
    for scope in vault.scopes().unwrap() {
        if vault.key(scope).is_ok() {
            assert_ne!(vault.rewrap(scope).unwrap(), Rewrapped::Gone, "{what}");
            assert!(vault.key(scope).unwrap().is_some(), "{what}");
        }
        assert!(vault.destroy(scope).unwrap(), "{what}");
    }
    let own = vault.make(scope(9)).unwrap();
    assert_eq!(vault.key(scope(9)).unwrap().unwrap().salt(), own.salt());
}
