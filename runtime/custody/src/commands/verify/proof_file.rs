//! `custody verify FILE.tlog-proof`: an entry's proof, offline.

use std::path::Path;
use std::process::ExitCode;

use custody_model::{Digest, ErrorCode, Timestamp};
use custody_record::Verifier;
use custody_record::tlog::{Note, TlogPolicy, TlogProof, leaf_hash};
use serde::Serialize;
use serde_json::Value;

use crate::failure::{Explain, Failure};
use crate::wire::Wire;
use crate::{output, render};

/// What a proof shows.
#[derive(Serialize)]
struct Shown {
    origin: String,
    size: u64,
    root: Digest,
    index: u64,
    /// Whose key signed the head: absent if none was given to check with.
    key: Option<String>,
    leaf: Digest,
    entry: Option<Value>,
    /// Names of the witnesses that cosigned the head, each with its time.
    witnesses: Vec<(String, Option<Timestamp>)>,
    /// They are a quorum of the policy that was given; absent without a policy.
    quorum: Option<bool>,
}

pub(super) fn run(
    wire: &Wire,
    path: &Path,
    key: Option<&Verifier>,
    policy: Option<&TlogPolicy>,
) -> Result<ExitCode, Failure> {
    let wrong = "the proof does not hold";
    let bytes =
        std::fs::read(path).explain(ErrorCode::Io, format!("{} can't be read", path.display()))?;
    let proof = TlogProof::parse(&bytes).explain(ErrorCode::VerificationFailed, wrong)?;
    let entry = proof.extra.as_ref().ok_or_else(|| {
        Failure::new(ErrorCode::NotFound, "the proof does not have the entry that it is about")
            .hint("it was made with --without-event: whoever has the event can check it with other tools")
    })?;
    let leaf = leaf_hash(entry);
    let claimed = proof.claimed().explain(ErrorCode::VerificationFailed, wrong)?;
    let key = key.ok_or_else(|| {
        Failure::new(ErrorCode::Usage, "there is no key to check the proof with")
            .hint("give the installation's verifier key with --key")
    })?;
    let head =
        proof.verify(leaf, &claimed.origin, key).explain(ErrorCode::VerificationFailed, wrong)?;
    let note = Note::parse(&proof.checkpoint).explain(ErrorCode::VerificationFailed, wrong)?;
    let judged = policy.map(|policy| policy.judge(&note)).transpose();
    let judged = judged.explain(ErrorCode::VerificationFailed, wrong)?;
    let quorum = judged.as_ref().map(|judged| judged.enough);
    let time = |seconds: u64| {
        let micros = i64::try_from(seconds).ok()?.checked_mul(1_000_000)?;
        Some(Timestamp::from_micros(micros))
    };
    let witnesses = judged.map(|judged| judged.cosigned).unwrap_or_default();
    let witnesses = witnesses.into_iter().map(|(w, at)| (w.name.clone(), time(at))).collect();
    let shown = Shown {
        origin: head.origin,
        size: head.size,
        root: head.root,
        index: proof.index,
        key: Some(key.named(&claimed.origin).id()),
        leaf,
        entry: serde_json::from_slice(entry).ok(),
        witnesses,
        quorum,
    };
    output::result(wire.format, &shown, || text(&shown, entry))?;
    Ok(match quorum {
        Some(false) => ExitCode::from(ErrorCode::Unwitnessed.exit_code()),
        Some(true) | None => ExitCode::SUCCESS,
    })
}

fn text(shown: &Shown, entry: &[u8]) -> String {
    let witnesses = match (shown.quorum, shown.witnesses.is_empty()) {
        (None, _) => "not checked: no policy was given, so only the log's key vouches for the head"
            .to_owned(),
        (Some(enough), none) => {
            let names: Vec<&str> = shown.witnesses.iter().map(|(name, _)| name.as_str()).collect();
            let who = if none { "nobody".to_owned() } else { names.join(", ") };
            let enough = if enough { "enough by the policy" } else { "TOO FEW by the policy" };
            format!("{who} cosigned the head: {enough}")
        }
    };
    format!(
        "the proof holds: this is entry {} of {}\nhead          {} entries, root {}\nkey           {}\nwitnesses     {}\n{}\n",
        shown.index,
        render::tame(&shown.origin),
        shown.size,
        shown.root,
        render::tame(shown.key.as_deref().unwrap_or("none")),
        render::tame(&witnesses),
        render::tame(&String::from_utf8_lossy(entry)),
    )
}
