//! The redactor of a session: the published patterns, the values that its requester gave it, the patterns of its policy.

use custody_policy::PolicyVersion;
use custody_record::redact::Pattern;
use custody_record::{ContentKey, Redactor, RedactorError};

use crate::spec::SessionSpec;

/// What takes credentials out of everything that is recorded of this session.
///
/// # Errors
/// [`RedactorError`].
pub fn redactor(
    spec: &SessionSpec,
    policy: &PolicyVersion,
    key: &ContentKey,
) -> Result<Redactor, RedactorError> {
    let rules = &policy.document().redaction;
    let given = spec.environment.iter().filter(|(name, _)| !rules.is_plain(name));
    let values: Vec<&str> = given.map(|(_, value)| value.as_str()).collect();
    let patterns = rules
        .patterns
        .iter()
        .map(|pattern| Pattern { name: pattern.name.clone(), pattern: pattern.pattern.clone() });
    Redactor::new(key.salt(), &values, &patterns.collect::<Vec<_>>())
}
