//! Fuzz targets: one function for each reader of bytes that come from outside.
//!
//! A target fails by a panic. None only looks for panics: what a reader takes must be the one spelling of what it read,
//! or two observers could read the same bytes differently, or different bytes as the same.
//!
//! `tests/fuzz/run` runs each under libFuzzer; `cargo test` tries each on its seeds.

mod record;
mod redaction;
mod sandbox;

use custody_policy::PolicyVersion;

pub use record::{
    add_checkpoint, checkpoint, control_event, envelope, event, key_history, note, pack, proof,
    trust_policy,
};
pub use redaction::redaction;
pub use sandbox::{frame, init_message, name_query};

/// A target: its name, which is also that of its program and of its directory of seeds, and its function.
pub type Target = (&'static str, fn(&[u8]));

/// Every target.
pub const TARGETS: &[Target] = &[
    ("add_checkpoint", add_checkpoint),
    ("checkpoint", checkpoint),
    ("control_event", control_event),
    ("envelope", envelope),
    ("event", event),
    ("frame", frame),
    ("init_message", init_message),
    ("key_history", key_history),
    ("name_query", name_query),
    ("note", note),
    ("pack", pack),
    ("policy", policy),
    ("proof", proof),
    ("redaction", redaction),
    ("trust_policy", trust_policy),
];

/// A policy document: its canonical form is a document of the same version.
///
/// # Panics
/// If it is not.
pub fn policy(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    let Ok(policy) = PolicyVersion::parse(text) else { return };
    let again = match PolicyVersion::parse(policy.canonical_json()) {
        Ok(again) => again,
        Err(error) => panic!("the canonical form is no document: {error}"),
    };
    assert_eq!(again.digest(), policy.digest(), "another version");
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::TARGETS;

    fn entries(dir: &Path) -> Vec<std::path::PathBuf> {
        let read = std::fs::read_dir(dir);
        let read = read.unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
        read.map(|entry| entry.unwrap().path()).collect()
    }

    /// Seeds are good examples, and inputs that once made a target fail.
    #[test]
    fn every_target_takes_its_seeds() {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        for (name, target) in TARGETS {
            let seeds = entries(&here.join("seeds").join(name));
            assert!(!seeds.is_empty(), "{name} has no seed");
            for seed in &seeds {
                println!("{}", seed.display());
                target(&std::fs::read(seed).unwrap());
            }
            println!("{name}: {} seeds", seeds.len());
        }
    }

    #[test]
    fn every_target_has_its_program_and_its_seeds() {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let named = |dir: &str| -> BTreeSet<String> {
            let stem = |path: &Path| path.file_stem().unwrap().to_str().unwrap().to_owned();
            entries(&here.join(dir)).iter().map(|path| stem(path)).collect()
        };
        let targets: BTreeSet<String> = TARGETS.iter().map(|(name, _)| (*name).into()).collect();
        assert_eq!(named("bin"), targets);
        assert_eq!(named("seeds"), targets);
    }
}
