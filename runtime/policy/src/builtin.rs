//! The policy that is built in: the document `builtin/local.yaml` with the user's name filled in.

use custody_model::UserName;

const LOCAL: &str = include_str!("../builtin/local.yaml");
const USER: &str = "\"@USER@\"";

/// The built-in document for `user`.
pub(crate) fn local(user: &UserName) -> String {
    LOCAL.replace(USER, &quoted(&escaped(user.as_str())))
}

/// As a pattern that matches this text only.
fn escaped(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, '*' | '?' | '[' | ']' | '{' | '}' | '\\') {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern
}

/// As a double-quoted YAML scalar in ASCII.
fn quoted(text: &str) -> String {
    let mut scalar = String::from('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => scalar.extend(['\\', c]),
            ' '..='~' => scalar.push(c),
            other => scalar.push_str(&format!("\\U{:08X}", u32::from(other))),
        }
    }
    scalar.push('"');
    scalar
}
