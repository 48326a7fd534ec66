//! The one thing that opens a sandbox: a permit that is in the record.

use custody_model::action::StartSession;
use custody_policy::Permit;
use custody_record::sink::Recorded;

use crate::{SandboxError, SandboxSpec};

/// What a driver wants to see before it makes anything: allowed by one policy version, and durable in the record.
pub type Authorization = Recorded<Permit<StartSession>>;

/// Checks a specification, also against the permit: no limit may be looser than the one that was granted.
///
/// Every driver calls it first.
///
/// # Errors
/// [`SandboxError::InvalidSpec`] and [`SandboxError::ExceedsPermit`].
pub fn admit(authorization: &Authorization, spec: &SandboxSpec) -> Result<(), SandboxError> {
    spec.validate()?;
    let granted = authorization.intent().limits();
    let wanted = &spec.limits;
    let pairs = [
        (
            "cpu_millicores",
            granted.cpu_millicores.map(u64::from),
            wanted.cpu_millicores.map(u64::from),
        ),
        ("memory_bytes", granted.memory_bytes, wanted.memory_bytes),
        ("processes", granted.processes.map(u64::from), wanted.processes.map(u64::from)),
        ("disk_bytes", granted.disk_bytes, wanted.disk_bytes),
        ("wall_seconds", granted.wall_seconds, wanted.wall_seconds),
        ("idle_seconds", granted.idle_seconds, wanted.idle_seconds),
    ];
    for (limit, granted, wanted) in pairs {
        if let Some(granted) = granted
            && wanted.is_none_or(|wanted| wanted > granted)
        {
            return Err(SandboxError::ExceedsPermit { limit });
        }
    }
    Ok(())
}
