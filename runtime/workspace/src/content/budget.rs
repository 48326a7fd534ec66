//! How much may still be hashed, once nothing of the session runs any more.

use std::sync::Mutex;
use std::sync::PoisonError;

/// Unlimited until a limit is set.
#[derive(Debug, Default)]
pub(super) struct Budget(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    left: Option<u64>,
    refused: u64,
}

impl Budget {
    /// From now on so many bytes; the first limit stays.
    pub(super) fn limit(&self, bytes: u64) {
        self.with(|state| {
            state.left.get_or_insert(bytes);
        });
    }

    /// Takes so many bytes, if they are left.
    pub(super) fn spend(&self, bytes: u64) -> bool {
        self.with(|state| match state.left {
            None => true,
            Some(left) => match left.checked_sub(bytes) {
                Some(rest) => {
                    state.left = Some(rest);
                    true
                }
                None => {
                    state.refused += 1;
                    false
                }
            },
        })
    }

    /// How often nothing was left.
    pub(super) fn refused(&self) -> u64 {
        self.with(|state| state.refused)
    }

    fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
