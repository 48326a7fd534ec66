//! `custody proof`: that an entry is in a log, and that a log goes on from an older head.

mod source;

use std::fs;
use std::path::Path;
use std::process::ExitCode;

use custody_model::ErrorCode;
use custody_record::Verifier;
use custody_record::tlog::{Checkpoint, TlogProof, leaf_hash};
use custody_record::witness::AddCheckpoint;
use serde_json::{Value, json};

pub use source::{Head, Source};

use crate::cli::{Format, ProofArgs};
use crate::failure::{Explain, Failure};
use crate::output;
use crate::wire::Wire;

/// Proves.
pub fn run(wire: &Wire, args: &ProofArgs) -> Result<ExitCode, Failure> {
    let key = key(wire, args.key.as_deref())?;
    let source = Source::open(wire, &args.log)?;
    let head = source.head(key.as_ref())?;
    let (bytes, said) = match (args.seq, &args.consistency) {
        (Some(seq), _) => inclusion(&source, &head, seq, args.without_event)?,
        (None, Some(old)) => consistency(&source, &head, old, key.as_ref())?,
        (None, None) => (head.note.clone(), shown(&head.checkpoint)),
    };
    match &args.file {
        Some(path) => {
            fs::write(path, &bytes)
                .explain(ErrorCode::Io, format!("{} can't be written", path.display()))?;
            let mut said = said;
            said["file"] = json!(path);
            output::result(wire.format, &said, || format!("{}", path.display()))?;
        }
        None if wire.format == Format::Json => output::result(wire.format, &said, String::new)?,
        None => output::raw(&bytes)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// The key to check with: the one that was given, or that of the installation here.
pub fn key(wire: &Wire, given: Option<&str>) -> Result<Option<Verifier>, Failure> {
    if let Some(text) = given {
        return text.parse().map(Some).explain(ErrorCode::Usage, "--key");
    }
    let keys = wire.state.keys();
    if wire.url.is_some() || !keys.join("installation.vkey").exists() {
        return Ok(None);
    }
    Verifier::of_installation(&keys)
        .map(Some)
        .explain(ErrorCode::Io, "the installation's key can't be read")
}

fn shown(head: &Checkpoint) -> Value {
    json!({ "origin": head.origin, "size": head.size, "root": head.root })
}

fn inclusion(
    source: &Source,
    head: &Head,
    seq: u64,
    without_event: bool,
) -> Result<(Vec<u8>, Value), Failure> {
    let entry = source.entry(seq, &head.checkpoint)?;
    let leaf = leaf_hash(&entry.bytes);
    let event: Option<Value> = serde_json::from_slice(&entry.bytes).ok();
    let proof = TlogProof {
        extra: (!without_event).then_some(entry.bytes),
        index: seq,
        hashes: entry.proof,
        checkpoint: head.note.clone(),
    };
    let mut said = shown(&head.checkpoint);
    said["index"] = json!(seq);
    said["leaf"] = json!(leaf);
    said["hashes"] = json!(proof.hashes);
    said["entry"] = json!(event.filter(|_| !without_event));
    Ok((proof.to_bytes(), said))
}

fn consistency(
    source: &Source,
    head: &Head,
    old: &str,
    key: Option<&Verifier>,
) -> Result<(Vec<u8>, Value), Failure> {
    let (old, root) = if Path::new(old).exists() {
        let note = fs::read(old).explain(ErrorCode::Io, format!("{old} can't be read"))?;
        let older = Head::signed(note, key)?.checkpoint;
        if older.origin != head.checkpoint.origin {
            let message =
                format!("{old} is a head of {}, not of {}", older.origin, head.checkpoint.origin);
            return Err(Failure::new(ErrorCode::Invalid, message));
        }
        (older.size, Some(older.root))
    } else {
        let size = old.parse().map_err(|_| {
            let message = format!("{old} is neither a checkpoint's file nor a size");
            Failure::new(ErrorCode::NotFound, message)
        })?;
        (size, None)
    };
    let proof = source.consistency(old, root, &head.checkpoint)?;
    let asked = AddCheckpoint { old, proof, checkpoint: head.note.clone() };
    let mut said = shown(&head.checkpoint);
    said["old_size"] = json!(old);
    said["old_root"] = json!(root);
    said["hashes"] = json!(asked.proof);
    Ok((asked.to_bytes(), said))
}
