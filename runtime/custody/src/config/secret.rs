//! Secrets by reference: what the configuration holds is where a secret is, never the secret.

use std::fs::OpenOptions;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fmt, str};

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::check::Check;
use super::secret_command;

pub use super::environment::Environment;

/// Longest secret, in bytes.
pub(super) const SECRET_BYTES: usize = 64 * 1024;

/// How long a program may take to print a secret.
const PROGRAM_TIME: Duration = Duration::from_secs(10);

/// What every reference to a secret looks like.
const WANTED: &str = "a secret is given by reference, as {file: PATH}, {env: NAME} or {command: [PROGRAM, …]}, and \
                      never as it is";

/// Where a secret is: `{file: PATH}`, `{env: NAME}` or `{command: [PROGRAM, ARGUMENT, …]}`.
///
/// However it is printed, it is `<from …>`: the arguments of a command are left out, because they may be secret too.
#[derive(Clone, PartialEq, Eq, JsonSchema)]
#[schemars(rename_all = "snake_case")]
pub enum Secret {
    /// In a file that others can neither read nor write. A newline at its end is not part of it.
    File(PathBuf),
    /// In a variable of the server's environment.
    Env(String),
    /// What a program prints within ten seconds, without a shell. A newline at its end is not part of it.
    #[schemars(schema_with = "words")]
    Command(Vec<String>),
}

fn words(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
    let mut schema = <Vec<String>>::json_schema(generator);
    schema.insert("minItems".to_owned(), 1.into());
    schema
}

/// A secret. It is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretValue(String);

impl SecretValue {
    /// The secret itself, for where it is used.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Out of what was read.
    pub(super) fn from_bytes(bytes: Vec<u8>) -> Result<Self, Reason> {
        if bytes.len() > SECRET_BYTES {
            return Err(Reason::Long);
        }
        let mut text = String::from_utf8(bytes).map_err(|_| Reason::Text)?;
        if text.ends_with('\n') {
            text.pop();
            if text.ends_with('\r') {
                text.pop();
            }
        }
        if text.is_empty() { Err(Reason::Empty) } else { Ok(Self(text)) }
    }
}

impl fmt::Debug for SecretValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<secret>")
    }
}

/// Why a secret can't be had.
#[derive(Debug, thiserror::Error)]
#[error("the secret {secret} can't be used")]
pub struct SecretError {
    secret: String,
    #[source]
    source: Reason,
}

/// What is the matter with a secret.
#[derive(Debug, thiserror::Error)]
pub enum Reason {
    /// The file can't be read.
    #[error("the file can't be read")]
    File(#[source] io::Error),
    /// A directory, a pipe, a device.
    #[error("it is not a regular file")]
    NotRegular,
    /// Not only its owner and group can get at it.
    #[error("every user of this machine can get at it (mode {0:04o}): chmod o= it")]
    Open(u32),
    /// No such variable.
    #[error("the variable is not set")]
    Unset,
    /// The program can't be started or waited for.
    #[error("the program can't be run")]
    Program(#[source] io::Error),
    /// It said that it failed.
    #[error("the program ended with {0}")]
    Failed(std::process::ExitStatus),
    /// It took too long.
    #[error("the program did not end within {} s", .0.as_secs())]
    Late(Duration),
    /// Not text.
    #[error("it is not UTF-8")]
    Text,
    /// Nothing.
    #[error("it is empty")]
    Empty,
    /// Too much.
    #[error("it is longer than {SECRET_BYTES} bytes")]
    Long,
}

impl Secret {
    /// Fetches the secret.
    ///
    /// # Errors
    /// [`SecretError`], which names the reference and not the secret.
    pub fn resolve(&self, environment: &Environment) -> Result<SecretValue, SecretError> {
        let bytes = match self {
            Self::File(path) => file(path),
            Self::Env(name) => match environment.get(name) {
                Some(value) => Ok(value.as_bytes().to_vec()),
                None => Err(Reason::Unset),
            },
            Self::Command(words) => secret_command::output(words, PROGRAM_TIME),
        };
        bytes
            .and_then(SecretValue::from_bytes)
            .map_err(|source| SecretError { secret: self.to_string(), source })
    }

    pub(super) fn check(&self, field: &str, check: &mut Check<'_>) {
        match self {
            Self::File(path) => check.absolute(field, path),
            Self::Env(name) => {
                let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
                let starts_well = !name.starts_with(|c: char| c.is_ascii_digit());
                if name.is_empty() || !starts_well || !name.bytes().all(plain) {
                    // Not repeated: it may be the secret itself, put into the wrong place.
                    check.refuse(field, "what stands after env: is not a variable's name");
                }
            }
            Self::Command(words) => match words.first() {
                Some(program) => check.absolute(field, Path::new(program)),
                None => check.refuse(field, "the command has no program"),
            },
        }
    }
}

fn file(path: &Path) -> Result<Vec<u8>, Reason> {
    // Never waits for a pipe's other end.
    let open = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path);
    let file = open.map_err(Reason::File)?;
    let metadata = file.metadata().map_err(Reason::File)?;
    if !metadata.is_file() {
        return Err(Reason::NotRegular);
    }
    let mode = metadata.permissions().mode() & 0o7777;
    if mode & 0o007 != 0 {
        return Err(Reason::Open(mode));
    }
    let mut bytes = Vec::new();
    file.take(SECRET_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(Reason::File)?;
    Ok(bytes)
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "<from file {}>", path.display()),
            Self::Env(name) => write!(f, "<from env {name}>"),
            Self::Command(words) => {
                write!(f, "<from command {}>", words.first().map_or("", String::as_str))
            }
        }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reference)
    }
}

/// Reads a reference. No error repeats what was written: it may be the secret itself.
struct Reference;

macro_rules! refused {
    ($($visit:ident: $kind:ty),+) => {
        $(fn $visit<E: de::Error>(self, _: $kind) -> Result<Secret, E> {
            Err(E::custom(WANTED))
        })+
    };
}

impl<'de> de::Visitor<'de> for Reference {
    type Value = Secret;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(WANTED)
    }

    refused!(
        visit_bool: bool, visit_i64: i64, visit_i128: i128, visit_u64: u64, visit_u128: u128, visit_f64: f64,
        visit_str: &str, visit_bytes: &[u8]
    );

    fn visit_unit<E: de::Error>(self) -> Result<Secret, E> {
        Err(E::custom(WANTED))
    }

    fn visit_seq<A: de::SeqAccess<'de>>(self, _: A) -> Result<Secret, A::Error> {
        Err(de::Error::custom(WANTED))
    }

    fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<Secret, A::Error> {
        let wanted = |_| de::Error::custom(WANTED);
        let secret = match map.next_key::<String>().map_err(wanted)?.as_deref() {
            Some("file") => Secret::File(map.next_value().map_err(wanted)?),
            Some("env") => Secret::Env(map.next_value().map_err(wanted)?),
            Some("command") => Secret::Command(map.next_value().map_err(wanted)?),
            Some(_) | None => return Err(de::Error::custom(WANTED)),
        };
        match map.next_key::<de::IgnoredAny>().map_err(wanted)? {
            Some(_) => Err(de::Error::custom(WANTED)),
            None => Ok(secret),
        }
    }
}
