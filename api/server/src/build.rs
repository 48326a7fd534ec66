//! What this build is, and who may read how it does.

use std::sync::Arc;

/// What this build is.
#[derive(Clone, Debug)]
pub struct Build {
    /// Custody's version.
    pub version: String,
    /// The commit that it was built from.
    pub commit: Option<String>,
    /// The installation, as its log and its tokens name it.
    pub installation: String,
}

/// Who may read the metrics.
#[derive(Clone)]
pub struct MetricsGuard {
    /// The bearer token that is wanted; without one only this machine reads them, over loopback or the Unix socket.
    pub token: Option<Arc<str>>,
}
