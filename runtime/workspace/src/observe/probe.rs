//! What this machine offers a workspace.

/// One thing that was tried.
#[derive(Clone, Debug)]
pub struct Probe {
    /// What.
    pub name: &'static str,
    /// Whether it is there.
    pub found: bool,
    /// What that means, or why it isn't there.
    pub meaning: String,
}

/// Tries.
#[must_use]
pub fn probe() -> Vec<Probe> {
    Vec::new()
}
