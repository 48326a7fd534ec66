//! What this process says about itself on standard error. The record is something else.

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt;

use crate::config::{Level, Log, LogFormat};

/// The variable that says in detail what is said (tracing-subscriber's directives). It wins over the configuration.
const VARIABLE: &str = "CUSTODY_LOG";

/// Begins. Once in a process.
pub fn init(log: &Log) {
    let level = match log.level {
        Level::Error => tracing::Level::ERROR,
        Level::Warn => tracing::Level::WARN,
        Level::Info => tracing::Level::INFO,
        Level::Debug => tracing::Level::DEBUG,
        Level::Trace => tracing::Level::TRACE,
    };
    let filter = EnvFilter::builder()
        .with_env_var(VARIABLE)
        .with_default_directive(level.into())
        .from_env_lossy();
    // What the log's disk does not take is not said: to complain of it on the same stream would end the process.
    let lines =
        fmt().with_env_filter(filter).with_writer(std::io::stderr).log_internal_errors(false);
    match log.format {
        LogFormat::Text => lines.init(),
        LogFormat::Json => lines.json().init(),
    }
}
