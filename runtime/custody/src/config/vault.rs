//! `vault`: what wraps the keys that contents are sealed with.

use std::path::Path;
use std::time::Duration;

use custody_policy::quantity::Seconds;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize, Serializer};

use super::check::Check;
use super::section::{section, with_unit};

/// Most former wrappings.
const FORMER: usize = 8;
/// Longest name of a wrapping.
const NAME: usize = 128;
/// Most words of a command.
const WORDS: usize = 64;
/// Longest word of a command, in bytes.
const WORD: usize = 4096;

/// What wraps the keys that contents are sealed with.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Vault {
    /// The program that wraps new keys; without it the key in vault/wrapping.key of the state directory does, which is made
    /// at first use.
    pub wrapping: Option<Wrapping>,
    /// The programs that wrapped keys which are still there, until `custody vault rewrap` was run. What vault/wrapping.key
    /// wrapped opens as long as that file is there.
    #[schemars(length(max = FORMER))]
    pub former: Vec<Wrapping>,
}

section!("vault": Vault { wrapping, former });

/// A program that wraps and unwraps keys (protocol `custody/wrapping-command/v1`), such as one that asks a KMS, an HSM or a
/// TPM. However it is printed, its arguments are left out, because they may be secret.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Wrapping {
    /// The program, as a path from / on, and its arguments. It runs without a shell.
    #[serde(serialize_with = "without_arguments")]
    #[schemars(length(min = 1, max = WORDS))]
    pub command: Vec<String>,
    /// What each wrapped key says of what wrapped it: the name of the key that the program uses. A to Z, a to z, 0 to 9 and
    /// any of . _ : / @ + -
    #[schemars(length(min = 1, max = NAME))]
    pub name: String,
    /// How long it may take: 1s to 5m. Then it is killed, with all that it started.
    #[serde(default = "ten_seconds", serialize_with = "with_unit")]
    pub timeout: Seconds,
}

fn ten_seconds() -> Seconds {
    Seconds(10)
}

fn without_arguments<S: Serializer>(words: &[String], serializer: S) -> Result<S::Ok, S::Error> {
    let arguments = words.len().saturating_sub(1);
    let program = words.first().cloned().unwrap_or_default();
    let shown = match arguments {
        0 => vec![program],
        some => vec![program, format!("<{some} arguments>")],
    };
    shown.serialize(serializer)
}

impl std::fmt::Debug for Wrapping {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let program = self.command.first().map_or("", String::as_str);
        write!(f, "<{} by {program}>", self.name)
    }
}

/// As a file has it, with everything.
#[derive(Serialize)]
struct Whole<'a> {
    command: &'a [String],
    name: &'a str,
    timeout: u64,
}

impl Vault {
    /// The settings as they would stand in the file, in one line each, for a process that this one starts. They are
    /// not to be shown.
    pub fn exposed(&self) -> [(&'static str, String); 2] {
        let whole = |one: &Wrapping| {
            let (command, name) = (one.command.as_slice(), one.name.as_str());
            let whole = Whole { command, name, timeout: one.timeout.0 };
            // Texts and numbers have a JSON form.
            serde_json::to_string(&whole).unwrap_or_default()
        };
        let former: Vec<String> = self.former.iter().map(whole).collect();
        let wrapping = self.wrapping.as_ref().map_or_else(|| "null".to_owned(), whole);
        [("wrapping", plain(&wrapping)), ("former", plain(&format!("[{}]", former.join(","))))]
    }

    pub(super) fn check(&self, check: &mut Check<'_>) {
        check.at_most("vault.former", self.former.len(), FORMER);
        if let Some(wrapping) = &self.wrapping {
            wrapping.check("vault.wrapping", check);
        }
        let mut names: Vec<&str> = self.wrapping.iter().map(|one| one.name.as_str()).collect();
        for (at, former) in self.former.iter().enumerate() {
            let field = format!("vault.former.{at}");
            former.check(&field, check);
            if names.contains(&former.name.as_str()) {
                let reason = format!("there are two wrappings with the name {}", former.name);
                check.refuse(&format!("{field}.name"), reason);
            }
            names.push(&former.name);
        }
    }
}

impl Wrapping {
    /// How long it may take.
    pub fn limit(&self) -> Duration {
        Duration::from_secs(self.timeout.0)
    }

    fn check(&self, field: &str, check: &mut Check<'_>) {
        let command = format!("{field}.command");
        match self.command.first() {
            Some(program) => check.absolute(&command, Path::new(program)),
            None => check.refuse(&command, "the command has no program"),
        }
        check.at_most(&command, self.command.len(), WORDS);
        if self.command.iter().any(|word| word.len() > WORD || word.contains('\0')) {
            let reason = format!("a word has more than {WORD} bytes or a NUL in it");
            check.refuse(&command, reason);
        }
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"._:/@+-".contains(&b);
        if !(1..=NAME).contains(&self.name.len()) || !self.name.bytes().all(plain) {
            let reason = format!("{:?} is not 1 to {NAME} of A-Z, a-z, 0-9 and ._:/@+-", self.name);
            check.refuse(&format!("{field}.name"), reason);
        }
        check.duration(&format!("{field}.timeout"), self.timeout, 1..=300);
    }
}

/// JSON in ASCII: no character ends a line or a variable.
fn plain(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for c in json.chars() {
        if c.is_ascii() {
            text.push(c);
        } else {
            let mut units = [0; 2];
            for unit in c.encode_utf16(&mut units) {
                text.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
    text
}
