//! `custody verify SESSION --policy`: who vouches for the server's installation log, which has to have the head of the record
//! that was brought here.

use std::path::Path;

use custody_model::ErrorCode;
use custody_record::canonical;
use custody_record::living::placed;
use custody_record::tlog::{TlogPolicy, leaf_hash, prove_inclusion, verify_inclusion};
use custody_record::witness::WitnessAssurance;
use custody_record::{KeyChoice, Verifier};

use crate::commands::proof::Source;
use crate::failure::{Explain, Failure};
use crate::wire::Wire;

/// Of the sealed record in `dir`, whose seal was checked with this key.
pub(super) fn judge(
    wire: &Wire,
    dir: &Path,
    key: &KeyChoice,
    policy: &TlogPolicy,
) -> Result<WitnessAssurance, Failure> {
    let place = placed(dir).explain(ErrorCode::Io, "the record's seal can't be read")?;
    let Some(place) = place.filter(|place| place.head.sealed) else {
        return Ok(WitnessAssurance::not_yet());
    };
    let verifier = match key {
        KeyChoice::Given(key) | KeyChoice::Installation(key) | KeyChoice::Server(key) => {
            key.clone()
        }
        KeyChoice::Record => Verifier::read(&dir.join("installation.vkey"))
            .explain(ErrorCode::Io, "the record's key can't be read")?,
    };
    let source = Source::open(wire, "installation")?;
    let head = source.head(Some(&verifier))?;
    let (index, size) = (place.position.index, head.checkpoint.size);
    let origin = verifier.log_origin();
    let whole = WitnessAssurance::of_head(&head.note, &origin, &verifier, Some(policy));
    if index >= size {
        return Ok(whole.as_far_as(index + 1));
    }
    let leaf = canonical::to_vec(&place.head)
        .explain(ErrorCode::Internal, "the record's head can't be written")?;
    let proof = prove_inclusion(&source.tree(size), index, size)
        .explain(ErrorCode::Io, "the installation log's tiles give no proof")?;
    verify_inclusion(leaf_hash(&leaf), index, size, head.checkpoint.root, &proof).explain(
        ErrorCode::VerificationFailed,
        "the server's installation log does not have the record's head where its seal says",
    )?;
    Ok(whole)
}
