//! The promises of the configuration, each a test.

mod documents;
mod errors;
mod fields;
mod secrets;
mod vault;

use std::num::NonZeroUsize;

use super::{Config, ConfigError, Environment, Sources};

/// Sources with these variables, on a machine with two cores.
fn sources(variables: &[(&str, &str)]) -> Sources {
    Sources {
        file: None,
        state: None,
        environment: variables
            .iter()
            .map(|(name, value)| ((*name).into(), (*value).into()))
            .collect::<Environment>(),
        cores: NonZeroUsize::new(2).expect("not zero"),
    }
}

/// What a file with this text makes of the configuration.
fn by_file(text: &str) -> Result<Config, ConfigError> {
    sources(&[]).settle(None, text)
}

/// What these variables make of it.
fn by_environment(variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
    sources(variables).settle(None, "")
}

/// What a command would say of it.
fn said(result: Result<Config, ConfigError>) -> String {
    result.expect_err("it is not valid").to_string()
}
