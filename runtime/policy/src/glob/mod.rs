//! Globs over bytes: the syntax of every pattern in a policy document.
//!
//! `*` any characters, `?` one character, `[a-z]` one of a class (`[!a-z]`: one that is not in it), `{a,b}` one of the
//! alternatives (they nest), `\` takes the next character as it is. Case-sensitive. A byte that is not part of
//! valid UTF-8 counts as one character. In paths no character is `/`, and `**` as a whole component is any
//! number of components, none included; elsewhere `**` is `*`.

mod name;
mod parse;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub(crate) use name::Name;
use parse::{Token, alternatives};

/// Longest pattern, in bytes.
pub const MAX_PATTERN_BYTES: usize = 1024;
/// Most alternatives that the braces of one pattern may multiply to.
pub const MAX_ALTERNATIVES: usize = 256;
/// Deepest nesting of braces.
pub const MAX_BRACE_DEPTH: usize = 8;

/// Why a text is not a pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{pattern:?} is not a pattern: {reason}")]
pub struct InvalidPattern {
    pattern: String,
    reason: Reason,
}

/// What is wrong with a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum Reason {
    #[error("it is empty")]
    Empty,
    #[error("it is longer than {MAX_PATTERN_BYTES} bytes")]
    TooLong,
    #[error("it contains a NUL character")]
    Nul,
    #[error("a [ lacks its ] (write \\[ for the character itself)")]
    OpenClass,
    #[error("a range of a class runs backwards")]
    BackwardRange,
    #[error("a class contains /, which no name of a file has")]
    SlashInClass,
    #[error("a {{ lacks its }} (write \\{{ for the character itself)")]
    OpenBrace,
    #[error("a }} lacks its {{ (write \\}} for the character itself)")]
    StrayBrace,
    #[error("braces nest deeper than {MAX_BRACE_DEPTH}")]
    DeepBraces,
    #[error("its braces multiply to more than {MAX_ALTERNATIVES} alternatives")]
    ManyAlternatives,
    #[error("it ends in a \\ that escapes nothing")]
    OpenEscape,
    #[error("it begins with !: there are no exceptions; write a later rule, as in `read_write: …`")]
    Negation,
    #[error(
        "it has an empty component: two slashes in a row, or nothing but slashes (all paths are **)"
    )]
    EmptyComponent,
    #[error("it has a component . or .., which no path in a workspace has")]
    DotComponent,
}

/// One component of a path pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Segment {
    /// `**`: any number of components.
    AnyDepth,
    /// One component.
    Name(Name),
}

/// A pattern for paths of a workspace.
///
/// As in a `.gitignore`: without a `/` (one at the end does not count) it matches at any depth; with one, from
/// the root on. `dir`, `dir/` and `dir/**` all cover the directory itself and everything below it; `dir/*` and
/// `dir/**/*` cover what is in it, but not itself. `**` covers everything, the root included.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PathPattern {
    text: String,
    /// Each is a sequence of segments that never ends in [`Segment::AnyDepth`]; empty means everything.
    alternatives: Vec<Vec<Segment>>,
}

impl PathPattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// [`InvalidPattern`] says what is wrong with it.
    pub fn new(text: &str) -> Result<Self, InvalidPattern> {
        let invalid = |reason| InvalidPattern { pattern: text.to_owned(), reason };
        if text.starts_with('!') {
            return Err(invalid(Reason::Negation));
        }
        let alternatives = alternatives(text, true)
            .and_then(|all| all.iter().map(|tokens| segments(tokens)).collect())
            .map_err(invalid)?;
        Ok(Self { text: text.to_owned(), alternatives })
    }

    /// The pattern as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    pub(crate) fn alternatives(&self) -> &[Vec<Segment>] {
        &self.alternatives
    }
}

fn segments(tokens: &[Token]) -> Result<Vec<Segment>, Reason> {
    let is_slash = |token: &Token| *token == Token::Char('/');
    let body = match tokens {
        [head @ .., last] if is_slash(last) => head,
        all => all,
    };
    let anchored = body.iter().any(is_slash);
    let body = match body {
        [first, tail @ ..] if is_slash(first) => tail,
        all => all,
    };
    let mut segments = Vec::new();
    if !anchored {
        segments.push(Segment::AnyDepth);
    }
    for component in body.split(is_slash) {
        match component {
            [] => return Err(Reason::EmptyComponent),
            [Token::Char('.')] | [Token::Char('.'), Token::Char('.')] => {
                return Err(Reason::DotComponent);
            }
            [Token::Star, Token::Star] => {
                if segments.last() != Some(&Segment::AnyDepth) {
                    segments.push(Segment::AnyDepth);
                }
            }
            name => segments.push(Segment::Name(Name::new(name))),
        }
    }
    if segments.last() == Some(&Segment::AnyDepth) {
        segments.pop();
    }
    Ok(segments)
}

/// A pattern for a text that is not a path of the workspace: a user's name, an image, an argument, a variable's
/// name. `*` matches any characters here, `/` included.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TextPattern {
    text: String,
    alternatives: Vec<Name>,
}

impl TextPattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// [`InvalidPattern`] says what is wrong with it.
    pub fn new(text: &str) -> Result<Self, InvalidPattern> {
        let alternatives = alternatives(text, false)
            .map_err(|reason| InvalidPattern { pattern: text.to_owned(), reason })?;
        let alternatives = alternatives.iter().map(|tokens| Name::new(tokens)).collect();
        Ok(Self { text: text.to_owned(), alternatives })
    }

    /// The pattern as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether it matches the whole of `text`.
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        self.alternatives.iter().any(|name| name.matches(text.as_bytes()))
    }

    /// Whether it names one text only.
    #[must_use]
    pub fn is_literal(&self) -> bool {
        matches!(self.alternatives.as_slice(), [Name::Literal(_)])
    }
}

macro_rules! text_form {
    ($name:ident, $description:literal) => {
        impl TryFrom<String> for $name {
            type Error = InvalidPattern;

            fn try_from(text: String) -> Result<Self, InvalidPattern> {
                Self::new(&text)
            }
        }

        impl From<$name> for String {
            fn from(pattern: $name) -> Self {
                pattern.text
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({
                    "type": "string",
                    "minLength": 1,
                    "maxLength": MAX_PATTERN_BYTES,
                    "description": $description,
                })
            }
        }
    };
}

text_form!(
    PathPattern,
    "A glob for paths of the workspace, as in a .gitignore: *, ?, [a-z], {a,b}, ** for any number of directories. Without a / it matches at any depth. It covers a directory with everything below it."
);
text_form!(
    TextPattern,
    "A glob for a text: * any characters, ? one character, [a-z], {a,b}; \\ takes the next character as it is."
);
