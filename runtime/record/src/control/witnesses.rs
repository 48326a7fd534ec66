//! What witnesses have against a log, as the control log tells it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Why a witness does not cosign a log's head, by the status codes of C2SP tlog-witness v1.0.0 where there is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RefusalReason {
    /// 422: the head does not go on from the one that the witness cosigned before: to the witness the log has forked.
    Forked,
    /// The witness cosigned more entries than the log has: it was rolled back, or somebody else writes it.
    RolledBack,
    /// 409 again and again: the witness contradicts itself about what it cosigned last.
    Conflict,
    /// 403: it knows another key for the log.
    UnknownKey,
    /// 404: it does not witness the log.
    UnknownLog,
    /// Any other status.
    Rejected,
    /// It answered with something that is no cosignature of its key on the head.
    BadAnswer,
}

/// `witness.refused`: a witness that is wanted does not cosign, or has another reason than before. One that can't be reached
/// refuses nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WitnessRefused {
    /// Origin of the log.
    pub log: String,
    /// The witness, by its name in the policy.
    pub witness: String,
    /// Why.
    pub reason: RefusalReason,
    /// HTTP status of its answer; absent if that was no refusal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Entries of the log under the head that it was asked to cosign.
    pub size: u64,
    /// Entries under the head that it cosigned last, as far as that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub witnessed: Option<u64>,
    /// What it said, in words.
    pub detail: String,
}

/// `witness.restored`: a witness that refused cosigns again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WitnessRestored {
    /// Origin of the log.
    pub log: String,
    /// The witness, by its name in the policy.
    pub witness: String,
    /// Entries of the log under the head that it cosigned.
    pub size: u64,
}
