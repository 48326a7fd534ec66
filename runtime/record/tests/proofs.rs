//! Proofs: against the public vectors of RFC 6962, and against an implementation that we did not write.

mod samples;

use std::fs;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use custody_model::Digest;
use custody_record::tlog::{
    Checkpoint, ProofError, ProofFileError, TileHashes, TlogProof, TreeHashes, leaf_hash,
    prove_consistency, prove_inclusion, root_at, root_of, verify_consistency, verify_inclusion,
};
use proptest::prelude::*;
use samples::{Place, keys};
use serde::Deserialize;

/// A test case of transparency-dev/merkle; see the README beside them.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Inclusion {
    file: String,
    leaf_idx: u64,
    tree_size: u64,
    root: Option<String>,
    leaf_hash: Option<String>,
    proof: Option<Vec<String>>,
    #[serde(rename = "desc")]
    _desc: String,
    want_err: bool,
}

/// As [`Inclusion`].
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Consistency {
    file: String,
    size1: u64,
    size2: u64,
    root1: Option<String>,
    root2: Option<String>,
    proof: Option<Vec<String>>,
    #[serde(rename = "desc")]
    _desc: String,
    want_err: bool,
}

fn vectors<T: serde::de::DeserializeOwned>(name: &str) -> Vec<T> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/rfc6962");
    serde_json::from_slice(&fs::read(dir.join(name)).unwrap()).unwrap()
}

/// Some cases have words for a root, alike or not: their digests are alike or not, too.
fn root(text: Option<&String>) -> Digest {
    let bytes = STANDARD.decode(text.map_or("", String::as_str)).unwrap();
    <[u8; 32]>::try_from(bytes.clone()).map_or_else(|_| Digest::of(&bytes), Digest::from_bytes)
}

/// `None`: one is not of the length of a hash, which our types refuse before any proof is looked at.
fn proof(texts: Option<&Vec<String>>) -> Option<Vec<Digest>> {
    let hash = |text| STANDARD.decode(text).unwrap().try_into().ok().map(Digest::from_bytes);
    texts.into_iter().flatten().map(hash).collect()
}

#[test]
fn inclusion_proofs_are_judged_as_the_public_vectors_say() {
    let (mut held, mut refused) = (0, 0);
    for case in vectors::<Inclusion>("inclusion.json") {
        // What is shorter than a hash has no type to be in.
        let hash = |text: &Option<String>| proof(Some(&vec![text.clone()?]));
        let parts = hash(&case.leaf_hash).zip(hash(&case.root)).zip(proof(case.proof.as_ref()));
        let holds = parts.is_some_and(|((leaf, root), proof)| {
            verify_inclusion(leaf[0], case.leaf_idx, case.tree_size, root[0], &proof).is_ok()
        });
        assert_eq!(holds, !case.want_err, "{}", case.file);
        *(if holds { &mut held } else { &mut refused }) += 1;
    }
    println!("{held} proofs held, {refused} were refused");
    assert_eq!((held, refused), (6, 92));
}

#[test]
fn consistency_proofs_are_judged_as_the_public_vectors_say() {
    let (mut held, mut refused) = (0, 0);
    for case in vectors::<Consistency>("consistency.json") {
        let old = (case.size1, root(case.root1.as_ref()));
        let new = (case.size2, root(case.root2.as_ref()));
        let holds = proof(case.proof.as_ref())
            .is_some_and(|proof| verify_consistency(old, new, &proof).is_ok());
        assert_eq!(holds, !case.want_err, "{}", case.file);
        *(if holds { &mut held } else { &mut refused }) += 1;
    }
    println!("{held} proofs held, {refused} were refused");
    assert_eq!((held, refused), (6, 92));
}

/// A tree in memory, hash by hash.
struct Leaves(Vec<Digest>);

impl TreeHashes for Leaves {
    type Error = std::convert::Infallible;

    fn hash(&self, level: u32, index: u64) -> Result<Digest, Self::Error> {
        let from = usize::try_from(index << level).unwrap();
        Ok(root_of(&self.0[from..from + (1 << level)]))
    }
}

/// The same tree for the other implementation: hashes in the order in which Go's sumdb stores them.
struct Stored(Vec<tlog_tiles::Hash>);

impl tlog_tiles::HashReader for Stored {
    fn read_hashes(&self, at: &[u64]) -> Result<Vec<tlog_tiles::Hash>, tlog_tiles::tlog::Error> {
        Ok(at.iter().map(|i| self.0[usize::try_from(*i).unwrap()]).collect())
    }
}

fn entry(n: u64) -> Vec<u8> {
    n.to_string().into_bytes()
}

fn both(size: u64) -> (Leaves, Stored) {
    let mut stored = Stored(Vec::new());
    for n in 0..size {
        let mut hashes = tlog_tiles::stored_hashes(n, &entry(n), &stored).unwrap();
        stored.0.append(&mut hashes);
    }
    (Leaves((0..size).map(|n| leaf_hash(&entry(n))).collect()), stored)
}

fn theirs(digest: Digest) -> tlog_tiles::Hash {
    tlog_tiles::Hash(*digest.as_bytes())
}

fn ours(proof: &[tlog_tiles::Hash]) -> Vec<Digest> {
    proof.iter().map(|hash| Digest::from_bytes(hash.0)).collect()
}

#[test]
fn every_proof_of_every_small_tree_is_that_of_another_implementation() {
    const LARGEST: u64 = 70;
    let (leaves, stored) = both(LARGEST);
    let (mut inclusion, mut consistency) = (0, 0);
    for size in 1..=LARGEST {
        let root = root_at(&leaves, size).unwrap();
        assert_eq!(theirs(root), tlog_tiles::tlog::tree_hash(size, &stored).unwrap());
        for index in 0..size {
            let proof = prove_inclusion(&leaves, index, size).unwrap();
            assert_eq!(proof, ours(&tlog_tiles::prove_record(size, index, &stored).unwrap()));
            let leaf = leaf_hash(&entry(index));
            assert_eq!(verify_inclusion(leaf, index, size, root, &proof), Ok(()));
            assert!(verify_inclusion(leaf, index + 1, size, root, &proof).is_err());
            inclusion += 1;
        }
        for old in 1..=size {
            let proof = prove_consistency(&leaves, old, size).unwrap();
            assert_eq!(proof, ours(&tlog_tiles::prove_tree(size, old, &stored).unwrap()));
            let before = (old, root_at(&leaves, old).unwrap());
            assert_eq!(verify_consistency(before, (size, root), &proof), Ok(()));
            let forked = (old, leaf_hash(b"another"));
            assert!(verify_consistency(forked, (size, root), &proof).is_err());
            consistency += 1;
        }
    }
    println!("{inclusion} inclusion and {consistency} consistency proofs compared");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_changed_proof_is_refused(
        size in 2_u64..300, index: proptest::sample::Index, older: proptest::sample::Index,
        place: proptest::sample::Index, bit in 0_u32..256,
    ) {
        let leaves = Leaves((0..size).map(|n| leaf_hash(&entry(n))).collect());
        let root = root_at(&leaves, size).unwrap();
        let flip = |proof: &mut Vec<Digest>| {
            let at = place.index(proof.len());
            let mut bytes = *proof[at].as_bytes();
            bytes[bit as usize / 8] ^= 1 << (bit % 8);
            proof[at] = Digest::from_bytes(bytes);
        };
        let index = index.index(usize::try_from(size).unwrap()) as u64;
        let leaf = leaf_hash(&entry(index));
        let mut proof = prove_inclusion(&leaves, index, size).unwrap();
        prop_assert_eq!(verify_inclusion(leaf, index, size, root, &proof), Ok(()));
        flip(&mut proof);
        prop_assert_eq!(verify_inclusion(leaf, index, size, root, &proof), Err(ProofError::Root));
        let old = 1 + older.index(usize::try_from(size - 1).unwrap()) as u64;
        let before = (old, root_at(&leaves, old).unwrap());
        let mut proof = prove_consistency(&leaves, old, size).unwrap();
        prop_assert_eq!(verify_consistency(before, (size, root), &proof), Ok(()));
        flip(&mut proof);
        prop_assert!(verify_consistency(before, (size, root), &proof).is_err());
    }

    #[test]
    fn no_bytes_make_the_reader_of_proof_files_panic(bytes: Vec<u8>, text in "(extra |index |[0-9A-Za-z+/=]|\n){0,60}") {
        drop(TlogProof::parse(&bytes));
        drop(TlogProof::parse(format!("c2sp.org/tlog-proof@v1\n{text}").as_bytes()));
    }

    #[test]
    fn sizes_that_nobody_has_are_refused_without_harm(index: u64, size: u64, old: u64, hashes in 0_usize..70) {
        let proof = vec![leaf_hash(b""); hashes];
        let root = leaf_hash(b"x");
        prop_assert!(verify_inclusion(root, index, size, leaf_hash(b"y"), &proof).is_err());
        prop_assert!(verify_consistency((old, root), (size, leaf_hash(b"y")), &proof).is_err());
    }
}

#[test]
fn tiles_on_disk_prove_every_entry_and_every_older_head() {
    let place = Place::new();
    let sealed = place.sealed(700);
    let size = sealed.head.size;
    let tiles = TileHashes::new(&place.record, size);
    let reader = custody_record::Reader::open(&place.record).unwrap();
    let leaves: Vec<Digest> = reader.entries().unwrap().map(|e| leaf_hash(&e.unwrap())).collect();
    assert_eq!(leaves.len() as u64, size);
    for (index, leaf) in (0..).zip(&leaves) {
        let proof = prove_inclusion(&tiles, index, size).unwrap();
        assert_eq!(verify_inclusion(*leaf, index, size, sealed.head.root, &proof), Ok(()));
    }
    for old in 1..=size {
        let proof = prove_consistency(&tiles, old, size).unwrap();
        let before = (old, root_of(&leaves[..usize::try_from(old).unwrap()]));
        assert_eq!(verify_consistency(before, (size, sealed.head.root), &proof), Ok(()));
    }
    assert!(prove_inclusion(&tiles, 0, size + 1).is_err(), "the log never had that size");
}

#[test]
fn a_proof_file_is_read_as_it_was_written_and_checked_offline() {
    let place = Place::new();
    let sealed = place.sealed(300);
    let checkpoint = fs::read(place.record.join("checkpoint")).unwrap();
    let origin = keys().verifier().session_origin(samples::session());
    let size = sealed.head.size;
    let tiles = TileHashes::new(&place.record, size);
    let reader = custody_record::Reader::open(&place.record).unwrap();
    let leaf = leaf_hash(&reader.entry(42).unwrap().unwrap());
    let hashes = prove_inclusion(&tiles, 42, size).unwrap();
    for extra in [None, Some(Vec::new()), Some(b"what led to it".to_vec())] {
        let proof =
            TlogProof { extra, index: 42, hashes: hashes.clone(), checkpoint: checkpoint.clone() };
        let bytes = proof.to_bytes();
        assert_eq!(TlogProof::parse(&bytes).as_ref(), Ok(&proof));
        let head = proof.verify(leaf, &origin, &keys().verifier()).unwrap();
        assert_eq!((head.size, head.root), (size, sealed.head.root));
        assert!(bytes.ends_with(&checkpoint), "the checkpoint stands in it as it is");
        let wrong = proof.verify(leaf_hash(b"another"), &origin, &keys().verifier());
        assert_eq!(wrong, Err(ProofFileError::Proof(ProofError::Root)));
        let elsewhere = proof.verify(leaf, "another/log", &keys().verifier());
        assert!(matches!(elsewhere, Err(ProofFileError::Checkpoint(_))));
    }
    // One hash: what a reader of the specification would write by hand.
    let head =
        Checkpoint { origin: "example.com/log".to_owned(), size: 2, root: root_of(&[leaf, leaf]) };
    let note = head.sign(&keys());
    let text = format!(
        "c2sp.org/tlog-proof@v1\nindex 1\n{}\n\n{}",
        STANDARD.encode(leaf.as_bytes()),
        String::from_utf8(note).unwrap()
    );
    let proof = TlogProof::parse(text.as_bytes()).unwrap();
    assert_eq!(proof.verify(leaf, "example.com/log", &keys().verifier()), Ok(head));
    for (from, to) in [
        ("proof@v1", "proof@v2"),
        ("index 1", "index 01"),
        ("index 1", "index -1"),
        ("index 1", "place 1"),
        ("index 1", "index 1\nindex 1"),
        ("index 1\n", "index 1\n\n"),
        ("index 1\n", "index 1\r\n"),
        ("=\n", "\n"),
    ] {
        let changed = text.replacen(from, to, 1);
        assert!(TlogProof::parse(changed.as_bytes()).is_err(), "{from:?} → {to:?}");
    }
}
