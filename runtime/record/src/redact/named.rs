//! Secrets that are known by what stands before them: the name of a variable or member, a header, an URL's user, a line of a
//! configuration file. What is no secret by itself is judged here: placeholders, code, paths and words stay.

use super::rules::{Bounds, Own, Seen, entropy};

const fn named(
    id: &'static str,
    keywords: &'static [&'static str],
    pattern: &'static str,
    judge: fn(&Seen<'_>) -> bool,
) -> Own {
    Own { id, keywords, pattern, bounds: Bounds::Pattern, skipped: 0, judge }
}

/// The rules, by the name that the record gives to what they find.
pub(super) const RULES: &[Own] = &[
    named(
        "url-password",
        &["://"],
        r#"(?i)[a-z][a-z0-9+.-]{1,30}://[^\s/?#:@"'<>\x60\\]{0,200}:([^\s/?#"'<>\x60\\]{1,300})@[^\s@]"#,
        given,
    ),
    named(
        "url-token",
        &["://"],
        r#"(?i)https?://([a-z0-9_-]{20,300})(?::x-oauth-basic)?@[^\s@]"#,
        |seen| given(seen) && mixed(seen.secret()),
    ),
    named(
        "authorization-header",
        &["authorization"],
        r#"(?i)authorization["']?[ \t]{0,4}[:=,]?[ \t]{0,4}["']?[ \t]{0,4}(?:bearer|basic|token|bot|digest|api-?key|negotiate)[ \t]{1,4}["']?([a-z0-9._~+/=-]{4,8192})"#,
        given,
    ),
    named(
        "authorization-header",
        &["authorization"],
        r#"(?i)authorization["']?[ \t]{0,4}[:=][ \t]{0,4}["']?([a-z0-9._~+/=-]{16,8192})"#,
        |seen| given(seen) && mixed(seen.secret()),
    ),
    named(
        "bearer-token",
        &["bearer "],
        "(?i)bearer[ \t]{1,4}[\"']?([a-z0-9._~+/=-]{16,8192})",
        |seen| given(seen) && mixed(seen.secret()),
    ),
    named(
        "basic-credentials",
        &["basic "],
        "(?i)\\bbasic[ \t]{1,4}([a-z0-9+/]{12,8192}={0,2})",
        |seen| mixed(seen.secret()) && seen.secret().iter().any(u8::is_ascii_uppercase),
    ),
    named(
        "key-header",
        &["x-", "private-token", "job-token", "api-key", "apikey", "subscription-key"],
        r#"(?i)\b(?:x-[a-z-]{0,40}(?:key|token|secret|signature)|private-token|job-token|deploy-token|(?:[a-z]{1,20}-){0,2}api-?key|ocp-apim-subscription-key)["']?[ \t]{0,4}:[ \t]{0,4}["']?([a-z0-9._~+/=-]{8,8192})"#,
        |seen| given(seen) && mixed(seen.secret()),
    ),
    named(
        "netrc-password",
        &["password"],
        r"(?i)\b(?:machine|login|account)\s{1,8}\S{1,200}\s{1,8}(?:[+-]\s{0,8})?password\s{1,8}(\S{1,300})",
        given,
    ),
    named(
        "npmrc-auth",
        &["_authtoken", "_auth", "_password"],
        r#"(?i)(?:^|[^a-z0-9])_(?:authtoken|auth|password)["']?[ \t]{0,4}[=:,]?[ \t]{0,4}["']?([^\s"',=:]{6,2000}={0,2})"#,
        |seen| given(seen) && !only_letters(seen.secret()),
    ),
    named(
        "docker-config-auth",
        &["auth\"", "auth\\", "identitytoken", "registrytoken"],
        r#"(?i)"(?:auth|identitytoken|registrytoken)"\s{0,8}:\s{0,8}"([a-z0-9+/=._-]{8,8192})""#,
        given,
    ),
    named(
        "query-secret",
        &["token=", "key=", "secret=", "password=", "passwd=", "signature=", "pwd="],
        r#"(?i)[?&](?:[a-z_.-]{0,30}(?:token|api_?key|apikey|secret|password|passwd|pwd|signature)|key)=([^\s&#"'<>\x60]{6,2000})"#,
        |seen| given(seen) && !only_letters(seen.secret()),
    ),
    named(
        "connection-string-password",
        &["password=", "pwd="],
        r#"(?i)(?:^|[;"'\s])(?:password|pwd)=([^;"'\s]{4,300});"#,
        given,
    ),
    Own {
        id: "named-secret",
        keywords: &[
            "password",
            "passwd",
            "passphrase",
            "pwd",
            "pass=",
            "pass:",
            "pass\"",
            "pass\\",
            "secret",
            "token=",
            "token:",
            "token\"",
            "token\\",
            "token'",
            "token ",
            "apikey",
            "api_key",
            "api-key",
            "accesskey",
            "access_key",
            "access-key",
            "secretkey",
            "private_key",
            "privatekey",
            "account_key",
            "auth_key",
            "authkey",
            "signing_key",
            "encryption_key",
            "credential",
        ],
        pattern: concat!(
            "(?i)(password|passwd|passphrase|pwd|pass|secret|token|api[_-]?key|access[_-]?key|",
            "secret[_-]?key|private[_-]?key|account[_-]?key|auth[_-]?key|signing[_-]?key|",
            r"encryption[_-]?key|credentials?)(?:_(?:prod|production|staging|dev|test|live|[0-9]{1,2}))?",
            r#"["']?([ \t]{0,8}(?:=>|:=|=|:)[ \t]{0,8})"#,
            r#"(?:"([^"\r\n]{4,1024})"|'([^'\r\n]{4,1024})'|([^\s"'\x60,;&|(){}<>\[\]]{4,1024}))"#,
        ),
        bounds: Bounds::Pattern,
        skipped: 2,
        judge: assigned,
    },
    named(
        "aws-secret-key",
        &["akia", "asia", "abia", "acca"],
        r#"(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}(?:[^A-Za-z0-9](?s:.{0,200}?))??[^A-Za-z0-9/+]([A-Za-z0-9/+]{40})(?:[^A-Za-z0-9/+=]|$)"#,
        secret_key,
    ),
    named(
        "aws-secret-key",
        &["akia", "asia", "abia", "acca"],
        r#"(?:(?m:^)\+|^|[^A-Za-z0-9/+])([A-Za-z0-9/+]{40})[^A-Za-z0-9/+=](?s:.{0,200}?)(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}(?:[^A-Za-z0-9]|$)"#,
        secret_key,
    ),
    named(
        "aws-secret-key",
        &["secret"],
        r#"(?i)secret[_.-]?(?:access[_.-]?)?key["']?(?:[ \t]{0,8}(?:=>|:=|=|:|,)[ \t]{0,8}|[ \t]{1,8})["']?([a-z0-9/+]{40})(?:[^a-z0-9/+=]|$)"#,
        secret_key,
    ),
    named(
        "twilio-auth-token",
        &["twilio"],
        r#"(?i)twilio[\w.-]{0,30}["']?\s{0,4}[:=]\s{0,4}["']?([0-9a-f]{32})(?:[^0-9a-z]|$)"#,
        given,
    ),
];

/// A secret, and no placeholder for one.
fn given(seen: &Seen<'_>) -> bool {
    !is_placeholder(seen.secret())
}

/// What stands for a secret: a variable, a template, stars.
pub(super) fn is_placeholder(value: &[u8]) -> bool {
    matches!(value, [b'$' | b'<' | b'{' | b'*' | b'%', ..])
        || value.iter().all(|byte| matches!(byte, b'*' | b'x' | b'X' | b'.' | b'-' | b'_'))
}

/// It has letters and digits, as what was drawn at random has.
pub(super) fn mixed(value: &[u8]) -> bool {
    value.iter().any(u8::is_ascii_digit) && value.iter().any(u8::is_ascii_alphabetic)
}

fn only_letters(value: &[u8]) -> bool {
    value.iter().all(u8::is_ascii_alphabetic)
}

/// A path or a name in code, and no secret: `config.database.password`, `/run/secrets/db`, `secrets/db.txt`.
pub(super) fn is_reference(value: &[u8]) -> bool {
    let path = |rest: &[u8]| {
        rest.iter()
            .all(|byte| byte.is_ascii_lowercase() || matches!(byte, b'_' | b'.' | b'/' | b'-'))
    };
    let identifier = |part: &[u8]| {
        part.first().is_some_and(|first| first.is_ascii_alphabetic() || *first == b'_')
            && part.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
            && !part.iter().any(u8::is_ascii_digit)
    };
    match value {
        [b'/', rest @ ..] | [b'.' | b'~', b'/', rest @ ..] => path(rest),
        _ => {
            value.contains(&b'.') && value.split(|byte| *byte == b'.').all(identifier)
                || value.windows(3).any(|three| three == b"://")
        }
    }
}

/// Drawn at random, and no digest in hexadecimal.
fn secret_key(seen: &Seen<'_>) -> bool {
    let secret = seen.secret();
    mixed(secret)
        && secret.iter().any(u8::is_ascii_uppercase)
        && secret.iter().any(u8::is_ascii_lowercase)
        && entropy(secret) > 3.5
}

/// What a name is given, in an environment, a configuration or code.
fn assigned(seen: &Seen<'_>) -> bool {
    let value = seen.secret.clone();
    // The name and the operator took part before: the first group that does is the name.
    let Some(name) = seen.captures.get(1) else { return false };
    let Some(operator) = seen.captures.get(2) else { return false };
    let quoted = seen.captures.get(3).or_else(|| seen.captures.get(4)).is_some();
    let secret = seen.text.get(value).unwrap_or_default();
    let before = name.start().checked_sub(1).and_then(|at| seen.text.get(at));
    let password = name.as_bytes().to_ascii_lowercase().starts_with(b"p")
        && !name.as_bytes().to_ascii_lowercase().starts_with(b"private");
    // `bypass:`, `compass=` are other words.
    let short = matches!(name.as_bytes().to_ascii_lowercase().as_slice(), b"pass" | b"pwd");
    if short && before.is_some_and(u8::is_ascii_alphabetic) {
        return false;
    }
    if is_placeholder(secret) || is_reference(secret) {
        return false;
    }
    // A call, an index or a type's argument is code.
    let next = seen.text.get(seen.secret.end);
    if !quoted && matches!(next, Some(b'(' | b'[' | b'<' | b'{')) {
        return false;
    }
    if secret.iter().any(u8::is_ascii_whitespace) && !is_variable(seen, name.range()) {
        return false;
    }
    if is_variable(seen, name.range()) && operator.as_bytes() == b"=" {
        let number = secret.iter().all(u8::is_ascii_digit);
        let word = matches!(
            secret.to_ascii_lowercase().as_slice(),
            b"true" | b"false" | b"null" | b"none" | b"required" | b"string" | b"bearer" | b"basic"
        );
        return !word && (password || !number);
    }
    if password {
        return !only_letters(secret) && !is_word(secret);
    }
    secret.len() >= 8 && mixed(secret) && !is_word(secret) && entropy(secret) > 2.5
}

/// The name of an environment's variable: capital letters, digits and underscores.
fn is_variable(seen: &Seen<'_>, name: std::ops::Range<usize>) -> bool {
    let start = seen.text[..name.start]
        .iter()
        .rposition(|byte| !byte.is_ascii_alphanumeric() && *byte != b'_')
        .map_or(0, |at| at + 1);
    seen.text[start..name.end].iter().all(|byte| !byte.is_ascii_lowercase())
}

/// Words that are joined: `required-field`, `my_token_name`, `--flag`.
fn is_word(value: &[u8]) -> bool {
    let lower = value
        .iter()
        .all(|b| b.is_ascii_lowercase() || matches!(b, b'-' | b'_' | b'.' | b':' | b'/'));
    let identifier = value.iter().all(|b| b.is_ascii_alphabetic() || *b == b'_');
    lower || identifier
}
