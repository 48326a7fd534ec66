//! `custody config`: check, show and describe the configuration.

use std::io::ErrorKind;
use std::path::PathBuf;
use std::process::ExitCode;

use custody_model::ErrorCode;
use serde_json::{Map, Value, json};

use crate::cli::ConfigCommand;
use crate::config::{ConfigError, Settings, json_schema};
use crate::failure::{Explain, Failure};
use crate::output;
use crate::render::tame;
use crate::wire::Wire;

/// `custody config check|show|schema`.
pub fn run(wire: &Wire, command: ConfigCommand) -> Result<ExitCode, Failure> {
    match command {
        ConfigCommand::Check { file, secrets } => check(wire, file, secrets)?,
        ConfigCommand::Show => show(wire)?,
        ConfigCommand::Schema => output::raw(json_schema().as_bytes())?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Says what a broken configuration means for a command.
pub fn failure(error: ConfigError) -> Failure {
    let (code, message) = match &error {
        ConfigError::Unreadable { source, .. } if source.kind() == ErrorKind::NotFound => {
            (ErrorCode::NotFound, "there is no such configuration".to_owned())
        }
        ConfigError::Unreadable { .. } => {
            (ErrorCode::Io, "there is no configuration to work with".to_owned())
        }
        ConfigError::Invalid { file: Some(file), .. } => {
            (ErrorCode::Invalid, format!("the configuration {} is not valid", file.display()))
        }
        ConfigError::Invalid { file: None, .. } => {
            (ErrorCode::Invalid, "the configuration is not valid".to_owned())
        }
    };
    Failure::of(code, message, error).hint("custody config schema describes every field")
}

fn check(wire: &Wire, file: Option<PathBuf>, secrets: bool) -> Result<(), Failure> {
    let mut sources = wire.sources.clone();
    sources.file = file.or(sources.file);
    let config = sources.load().map_err(failure)?;
    if secrets {
        let token = config.settings.server.metrics_token(&sources.environment);
        let _ = token.explain(ErrorCode::Invalid, "server.metrics_token")?;
        for to in &config.settings.push.destinations {
            let destination = to.resolve(&sources.environment);
            let _ = destination
                .explain(ErrorCode::Invalid, format!("push.destinations, {}", to.name))?;
        }
    }
    let value = json!({ "valid": true, "file": config.file });
    output::result(wire.format, &value, || match &config.file {
        Some(path) => format!("{} is valid", path.display()),
        None => "there is no file; the defaults and the environment are valid".to_owned(),
    })
}

fn show(wire: &Wire) -> Result<(), Failure> {
    let config = wire.config()?;
    let values = serde_json::to_value(&config.settings)
        .explain(ErrorCode::Internal, "the configuration has no JSON form")?;
    let mut sections = Map::new();
    let mut text = match &config.file {
        Some(path) => format!("# from {}\n", path.display()),
        None => "# there is no file\n".to_owned(),
    };
    for (section, field) in Settings::fields() {
        let value = values[section][field].clone();
        let origin = config.origin(&format!("{section}.{field}"));
        let fields = sections.entry(section).or_insert_with(|| {
            text.push_str(&format!("{section}:\n"));
            Value::Object(Map::new())
        });
        text.push_str(&format!("{}  # {origin}\n", line(field, &value)));
        let mut entry = serde_json::to_value(origin)
            .explain(ErrorCode::Internal, "an origin has no JSON form")?;
        entry["value"] = value;
        fields[field] = entry;
    }
    let value = json!({ "file": config.file, "settings": sections });
    output::result(wire.format, &value, || text)
}

/// One field, as it could stand in the file.
fn line(field: &str, value: &Value) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:<> ".contains(c);
    let text = match value {
        // What needs no quotes in YAML has none.
        Value::String(text)
            if text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '/' || c == '<')
                && text.chars().all(plain)
                && !text.contains(": ")
                && !text.ends_with([':', ' ']) =>
        {
            text.clone()
        }
        other => other.to_string(),
    };
    format!("  {:<46}", tame(&format!("{field}: {text}")))
}
