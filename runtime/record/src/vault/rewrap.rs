//! Wrapping keys anew: by what wraps now, whatever wrapped them before.

use std::collections::BTreeMap;

use super::{Scope, Vault, VaultError, Wrapped};

/// What became of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rewrapped {
    /// It was wrapped anew; what wrapped it before.
    From(String),
    /// It was wrapped by what wraps now.
    Already,
    /// It is gone: it was destroyed meanwhile.
    Gone,
}

impl Vault {
    /// The scopes that have a key, in their order.
    ///
    /// # Errors
    /// [`VaultError::Io`].
    pub fn scopes(&self) -> Result<Vec<Scope>, VaultError> {
        self.files.scopes()
    }

    /// How many keys each wrapping wraps, by its name.
    ///
    /// # Errors
    /// [`VaultError`].
    pub fn wrappings(&self) -> Result<BTreeMap<String, u64>, VaultError> {
        let mut counts = BTreeMap::new();
        for scope in self.scopes()? {
            let Some(bytes) = self.files.read(scope)? else { continue };
            let wrapped = Wrapped::parse(&self.path(scope), scope, &bytes)?;
            *counts.entry(wrapped.wrapping).or_default() += 1;
        }
        Ok(counts)
    }

    /// Wraps the key of a scope by what wraps now. The new file is durable under its name before the bytes of the old one are
    /// overwritten; whoever dies in between has it ended by the next call.
    ///
    /// # Errors
    /// [`VaultError`]; the key opens as before, or as after, and the call can be made again.
    pub fn rewrap(&self, scope: Scope) -> Result<Rewrapped, VaultError> {
        let Some(before) = self.files.read(scope)? else { return Ok(Rewrapped::Gone) };
        let wrapped = Wrapped::parse(&self.path(scope), scope, &before)?;
        // What may take long is done before the others have to wait.
        let after = match wrapped.wrapping == self.wrapping.name() {
            true => None,
            false => Some(self.wrap(scope, &self.unwrap(scope, &wrapped)?)?),
        };
        let turn = self.files.turn()?;
        match self.files.read(scope)? {
            None => return Ok(Rewrapped::Gone),
            Some(now) if now != before => return Err(VaultError::Changed(scope)),
            Some(_) => {}
        }
        self.files.tidy(&turn, scope)?;
        let Some(after) = after else { return Ok(Rewrapped::Already) };
        self.files.replace(&turn, scope, &after)?;
        Ok(Rewrapped::From(wrapped.wrapping))
    }
}
