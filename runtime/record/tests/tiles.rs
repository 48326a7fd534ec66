//! Logs on disk, against the tiles of an implementation that we did not write.

mod samples;

use std::fs;
use std::path::Path;

use custody_record::tlog::{
    Checkpoint, TileHashes, leaf_hash, prove_consistency, verify_consistency,
};
use custody_record::{InstallationLog, SessionHead};
use samples::{Place, at, keys};

/// Enough that a tile of the second level begins, and that two of the first are full.
const HEADS: u64 = 530;

/// The tree that should be there, in the order in which Go's sumdb stores hashes.
#[derive(Default)]
struct Stored(Vec<tlog_tiles::Hash>);

impl tlog_tiles::HashReader for Stored {
    fn read_hashes(&self, at: &[u64]) -> Result<Vec<tlog_tiles::Hash>, tlog_tiles::tlog::Error> {
        Ok(at.iter().map(|i| self.0[usize::try_from(*i).unwrap()]).collect())
    }
}

fn head(n: u64) -> SessionHead {
    SessionHead {
        session: samples::session(),
        size: n + 1,
        root: leaf_hash(&n.to_be_bytes()),
        time: at(1),
        sealed: false,
    }
}

/// What the other implementation publishes for a tree of `size`: (path, bytes). Its paths have a height, ours do not.
fn published(stored: &Stored, size: u64, bundles: bool) -> Vec<(String, Vec<u8>)> {
    let mut all = Vec::new();
    for tile in tlog_tiles::Tile::new_tiles(8, 0, size) {
        let bytes = tile.read_data(stored).unwrap();
        all.push((tile.path().replacen("tile/8/", "tile/", 1), bytes));
        if bundles && tile.level() == 0 {
            let mut data = tile;
            data.set_is_data();
            let first = tile.level_index() * 256;
            let mut bundle = Vec::new();
            for n in first..first + u64::from(tile.width()) {
                let entry = custody_record::canonical::to_vec(&head(n)).unwrap();
                bundle.extend_from_slice(&u16::try_from(entry.len()).unwrap().to_be_bytes());
                bundle.extend_from_slice(&entry);
            }
            all.push((data.path().replacen("tile/8/data/", "tile/entries/", 1), bundle));
        }
    }
    all
}

/// Whether the file is there, or that of the full tile that it became a part of.
fn is_there(dir: &Path, path: &str, bytes: &[u8]) -> bool {
    if let Ok(found) = fs::read(dir.join(path)) {
        return found == bytes;
    }
    let full = path.split_once(".p/").map(|(full, _)| dir.join(full));
    full.is_some_and(|full| fs::read(full).is_ok_and(|found| found.starts_with(bytes)))
}

#[test]
fn every_head_that_was_signed_has_its_tiles_and_bundles_as_another_implementation_makes_them() {
    let place = Place::new();
    let log = InstallationLog::open(&place.log, &keys()).unwrap();
    let mut stored = Stored::default();
    let mut roots = Vec::new();
    for n in 0..HEADS {
        let position = log.append(&head(n)).unwrap();
        assert_eq!((position.index, position.size), (n, n + 1));
        let entry = custody_record::canonical::to_vec(&head(n)).unwrap();
        let mut hashes = tlog_tiles::stored_hashes(n, &entry, &stored).unwrap();
        stored.0.append(&mut hashes);
        roots.push(position.root);
        for (path, bytes) in published(&stored, n + 1, true) {
            assert_eq!(fs::read(place.log.join(&path)).unwrap(), bytes, "{path} at {}", n + 1);
        }
    }
    // Whoever saw an older head still gets what it needs, and nothing else lies around.
    let mut wanted = std::collections::BTreeSet::new();
    for size in 1..=HEADS {
        for (path, bytes) in published(&stored, size, true) {
            assert!(is_there(&place.log, &path, &bytes), "{path} of the head {size}");
            wanted.insert(path);
        }
    }
    let tiles = samples::files(&place.log.join("tile"));
    for file in &tiles {
        let path = format!("tile/{}", file.display());
        assert!(wanted.contains(&path), "{path} is of no head");
        if let Some((full, _)) = path.split_once(".p/") {
            assert!(!place.log.join(full).exists(), "{path} and the full one");
        }
    }
    println!("{HEADS} heads, {} tiles and bundles on disk", tiles.len());
    // And every head is shown to go on from every other that a monitor may hold.
    let bytes = fs::read(place.log.join("checkpoint")).unwrap();
    let now =
        Checkpoint::open(&bytes, &keys().verifier().log_origin(), &keys().verifier()).unwrap();
    let hashes = TileHashes::new(&place.log, now.size);
    for (old, root) in (1..).zip(&roots) {
        let proof = prove_consistency(&hashes, old, now.size).unwrap();
        assert_eq!(verify_consistency((old, *root), (now.size, now.root), &proof), Ok(()));
    }
}
