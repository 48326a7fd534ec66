//! The patterns of policies, compiled. Sessions under one policy share them: a process that asks for many sessions compiles
//! each policy's patterns once.

use std::sync::{Arc, Mutex, PoisonError};

use regex::bytes::Regex;

use super::{Pattern, RedactorError, rules};

/// Most policies whose compiled patterns are kept; of more, those that were not wanted for longest go.
const MAX_KEPT: usize = 32;

/// A policy's pattern.
#[derive(Clone, Debug)]
pub(super) struct Compiled {
    /// What it is called in the record.
    pub(super) name: Arc<str>,
    pub(super) regex: Regex,
}

/// By their text and not by a digest: that is short, and nothing else is equal to it.
type Kept = Vec<(Vec<Pattern>, Arc<[Compiled]>)>;

/// The last that was wanted stands at the end.
static KEPT: Mutex<Kept> = Mutex::new(Vec::new());

/// The patterns of a policy.
///
/// # Errors
/// [`RedactorError::Pattern`].
pub(super) fn of(patterns: &[Pattern]) -> Result<Arc<[Compiled]>, RedactorError> {
    if patterns.is_empty() {
        return Ok(Arc::default());
    }
    if let Some(known) = wanted(patterns) {
        return Ok(known);
    }
    // Not under the lock: it takes milliseconds, and two that compile the same do no harm.
    let compiled: Arc<[Compiled]> = patterns.iter().map(compile).collect::<Result<_, _>>()?;
    let mut kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
    if kept.iter().all(|(known, _)| known != patterns) {
        if kept.len() >= MAX_KEPT {
            kept.remove(0);
        }
        kept.push((patterns.to_vec(), compiled.clone()));
    }
    Ok(compiled)
}

fn wanted(patterns: &[Pattern]) -> Option<Arc<[Compiled]>> {
    let mut kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
    let at = kept.iter().position(|(known, _)| known == patterns)?;
    let last = kept.remove(at);
    let compiled = last.1.clone();
    kept.push(last);
    Some(compiled)
}

fn compile(pattern: &Pattern) -> Result<Compiled, RedactorError> {
    let regex = rules::compile(&pattern.pattern).map_err(|source| RedactorError::Pattern {
        name: pattern.name.clone(),
        source: Box::new(source),
    })?;
    Ok(Compiled { name: Arc::from(pattern.name.as_str()), regex })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(n: usize) -> Vec<Pattern> {
        vec![Pattern { name: format!("number-{n}"), pattern: format!("number-{n}=[0-9]+") }]
    }

    #[test]
    fn sessions_under_one_policy_share_its_patterns_and_not_more_are_kept_than_that() {
        let first = of(&policy(0)).unwrap();
        assert!(Arc::ptr_eq(&first, &of(&policy(0)).unwrap()), "they are compiled once");
        // The same patterns under other names are others: the name is what the record says.
        let mut renamed = policy(0);
        renamed[0].name = "renamed".to_owned();
        assert_eq!(&*of(&renamed).unwrap()[0].name, "renamed");
        for n in 1..=2 * MAX_KEPT {
            of(&policy(n)).unwrap();
            // It is wanted again and again, and so it stays.
            assert!(Arc::ptr_eq(&first, &of(&policy(0)).unwrap()), "after {n} others");
        }
        assert!(KEPT.lock().unwrap().len() <= MAX_KEPT);
    }
}
