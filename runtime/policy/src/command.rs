//! Which command lines a rule matches.

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, de};

use crate::glob::TextPattern;

/// A pattern for each of the first arguments of a command line, the program's name first; at least one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct CommandPattern(Vec<TextPattern>);

/// One rule about commands. In a document: `- allow: [cargo, "{build,test}"]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CommandRule {
    /// Allows command lines that begin like this.
    Allow(CommandPattern),
    /// Allows command lines that are exactly like this, without further arguments.
    AllowExactly(CommandPattern),
    /// Refuses command lines that begin like this. A program without `/` is refused in every directory.
    Deny(CommandPattern),
}

impl CommandPattern {
    /// Whether a command line begins like this. `any_directory`: a pattern for the program that has no `/` is for
    /// the last component of its path.
    #[must_use]
    pub fn begins(&self, command: &[String], any_directory: bool) -> bool {
        let Some((program, rest)) = command.split_first() else {
            return false;
        };
        let Some((first, others)) = self.0.split_first() else {
            return false;
        };
        let base = program.rsplit('/').next().unwrap_or(program);
        let program_matches = first.matches(program)
            || (any_directory && !first.as_str().contains('/') && first.matches(base));
        program_matches
            && others.len() <= rest.len()
            && others.iter().zip(rest).all(|(pattern, argument)| pattern.matches(argument))
    }

    fn text(&self) -> String {
        let words: Vec<_> = self.0.iter().map(TextPattern::as_str).collect();
        format!("[{}]", words.join(", "))
    }
}

impl std::fmt::Display for CommandPattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text())
    }
}

impl CommandRule {
    /// Whether it is about this command line.
    #[must_use]
    pub fn matches(&self, command: &[String]) -> bool {
        match self {
            // A path may lead to a file that the repository brings along: for `allow` it is another program.
            Self::Allow(pattern) => pattern.begins(command, false),
            Self::AllowExactly(pattern) => {
                pattern.0.len() == command.len() && pattern.begins(command, false)
            }
            Self::Deny(pattern) => pattern.begins(command, true),
        }
    }

    /// Whether it allows what it matches.
    #[must_use]
    pub const fn allows(&self) -> bool {
        match self {
            Self::Allow(_) | Self::AllowExactly(_) => true,
            Self::Deny(_) => false,
        }
    }
}

impl std::fmt::Display for CommandRule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Allow(pattern) => write!(f, "allow: {pattern}"),
            Self::AllowExactly(pattern) => write!(f, "allow_exactly: {pattern}"),
            Self::Deny(pattern) => write!(f, "deny: {pattern}"),
        }
    }
}

impl<'de> Deserialize<'de> for CommandPattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let patterns: Vec<TextPattern> = Vec::deserialize(deserializer)?;
        if patterns.is_empty() {
            return Err(de::Error::custom(
                "a command pattern needs at least the program's name; [\"*\"] is any command",
            ));
        }
        Ok(Self(patterns))
    }
}

impl JsonSchema for CommandPattern {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "CommandPattern".into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "array",
            "minItems": 1,
            "items": generator.subschema_for::<TextPattern>(),
            "description": "A glob for each of the first arguments, the program's name first.",
        })
    }
}
