//! Secrets that are known by the argument before them, or by the program that they are given to: `curl -u NAME:SECRET`,
//! `--password SECRET`, `sshpass -p SECRET`. In a list of arguments and in a line of a shell alike.

use std::ops::Range;

use super::named::{is_placeholder, is_reference};

/// What is in each text that has such arguments: an option as it stands in a line, and as JSON spells it in a list.
pub(super) const KEYWORDS: &[&str] = &[
    " -u",
    " -p",
    " -a",
    " -w",
    " -passin",
    " -passout",
    "\"-u",
    "\"-p",
    "\"-a",
    "\"-w",
    "'-u",
    "'-p",
    "--user",
    "--proxy-user",
    "--auth",
    "--pass",
    "-password",
    "-passwd",
    "-passphrase",
    "--token",
    "-token",
    "--secret",
    "-secret",
    "--pat",
    "api-key",
    "apikey",
    "access-key",
    "secret-key",
    "-passin",
    " set ",
    "\"set\"",
    "--pin",
];

/// Shortest value that is taken for a secret, in bytes.
const MIN_SECRET_BYTES: usize = 3;

/// Longest line of a text that is looked at as a command, in bytes; of a longer one this much around an option.
const MAX_LINE_BYTES: usize = 16 << 10;

/// Programs whose `-u` is a name and a password.
const USER_AND_PASSWORD: &[&str] =
    &["curl", "wget", "http", "https", "xh", "ab", "siege", "lftp", "aria2c", "svn", "hey", "wrk"];

/// Programs whose `-p` is a password that follows at once: `-pSECRET`.
const ATTACHED_PASSWORD: &[&str] = &[
    "mysql",
    "mysqldump",
    "mysqladmin",
    "mysqlimport",
    "mysqlsh",
    "mariadb",
    "mariadb-dump",
    "sshpass",
    "7z",
    "7za",
    "7zz",
    "unrar",
    "rar",
];

/// Programs whose `-p` is a password.
const PASSWORD: &[&str] = &["sshpass", "mongo", "mongosh", "mongodump", "mongorestore", "ldapadd"];

/// Programs that log in somewhere with `login -p SECRET`.
const LOGIN: &[&str] =
    &["docker", "podman", "helm", "buildah", "skopeo", "az", "oc", "nerdctl", "crane"];

/// What the value of an option is.
enum Value {
    /// A secret.
    Secret,
    /// A name, a colon and a secret.
    AfterColon,
}

/// The secrets among arguments: which argument, and what of it. In a text, where words of a sentence may stand for
/// arguments, `prose` leaves out what may be one.
pub(super) fn find(words: &[&[u8]], prose: bool) -> Vec<(usize, Range<usize>)> {
    let mut found = Vec::new();
    for (at, word) in words.iter().enumerate() {
        let before = &words[..at];
        let next = words.get(at + 1);
        if let Some((start, value)) = attached(word, before) {
            add(&mut found, at, word, start, &value, prose);
        } else if let (Some(value), Some(next)) = (separate(word, before), next) {
            add(&mut found, at + 1, next, 0, &value, prose);
        }
    }
    found
}

fn add(
    found: &mut Vec<(usize, Range<usize>)>,
    at: usize,
    word: &[u8],
    start: usize,
    value: &Value,
    prose: bool,
) {
    let mut range = start..word.len();
    if let Some(b'"' | b'\'') = word.get(start) {
        range.start += 1;
    }
    let ends = |byte: u8| {
        matches!(byte, b'"' | b'\'')
            || prose && matches!(byte, b'`' | b';' | b')' | b'}' | b']' | b',')
    };
    while range.end > range.start && ends(word[range.end - 1]) {
        range.end -= 1;
    }
    let given = &word[range.clone()];
    if let Value::AfterColon = value {
        match given.iter().position(|byte| *byte == b':') {
            Some(colon) => range.start += colon + 1,
            None => return,
        }
    }
    let secret = &word[range.clone()];
    let short = match value {
        Value::Secret => MIN_SECRET_BYTES,
        // The colon says that it is one.
        Value::AfterColon => 1,
    };
    let option = secret.starts_with(b"-")
        && secret.iter().skip(1).all(|b| b.is_ascii_lowercase() || *b == b'-');
    if secret.len() < short || option || is_placeholder(secret) || is_reference(secret) {
        return;
    }
    if prose && is_prose(secret) {
        return;
    }
    found.push((at, range));
}

/// A word of a sentence, or what a help text writes for a value.
fn is_prose(word: &[u8]) -> bool {
    let short = word.len() < 8 && word.iter().all(u8::is_ascii_lowercase);
    let name = word.iter().all(|byte| byte.is_ascii_uppercase() || matches!(byte, b'_' | b'-'));
    short || name || word.starts_with(b"[")
}

/// Whether an option carries its secret in itself, and from where on.
fn attached(word: &[u8], before: &[&[u8]]) -> Option<(usize, Value)> {
    if let Some(equals) = word.iter().position(|byte| *byte == b'=')
        && word.starts_with(b"-")
    {
        let option = &word[..equals];
        if names_a_secret(option) {
            return Some((equals + 1, Value::Secret));
        }
        let user = matches!(option, b"--user" | b"--proxy-user" | b"--auth");
        return (user && ran(before, USER_AND_PASSWORD)).then_some((equals + 1, Value::AfterColon));
    }
    match word {
        [b'-', b'u' | b'U', _, ..] if ran(before, USER_AND_PASSWORD) => {
            Some((2, Value::AfterColon))
        }
        [b'-', b'p', _, ..] if !word.starts_with(b"-p=") && ran(before, ATTACHED_PASSWORD) => {
            Some((2, Value::Secret))
        }
        [b'p', b'a', b's', b's', b':', ..] => {
            let option = before
                .last()
                .is_some_and(|last| matches!(*last, b"-passin" | b"-passout" | b"-pass"));
            option.then_some((5, Value::Secret))
        }
        _ => None,
    }
}

/// What the argument after this one is.
fn separate(word: &[u8], before: &[&[u8]]) -> Option<Value> {
    if word.starts_with(b"-") && names_a_secret(word) {
        return Some(Value::Secret);
    }
    let logs_in = || before.iter().any(|word| *word == b"login") && ran(before, LOGIN);
    match word {
        b"-u" | b"-U" | b"--user" | b"--proxy-user" | b"-a" | b"--auth"
            if ran(before, USER_AND_PASSWORD) =>
        {
            Some(Value::AfterColon)
        }
        b"-p" if ran(before, PASSWORD) || logs_in() => Some(Value::Secret),
        b"-a" if ran(before, &["redis-cli"]) => Some(Value::Secret),
        b"-w" if ran(before, &["ldapsearch", "ldapmodify", "ldapadd", "ldapwhoami"]) => {
            Some(Value::Secret)
        }
        b"-P" if ran(before, &["zip", "unzip"]) => Some(Value::Secret),
        // `aws configure set aws_secret_access_key SECRET`, `npm config set //registry/:_authToken SECRET`.
        _ => {
            let sets = before.last().is_some_and(|last| *last == b"set")
                && before.iter().any(|word| word.starts_with(b"config"));
            (sets && names_a_secret(word)).then_some(Value::Secret)
        }
    }
}

/// Whether the name of an option or a setting says that its value is a secret.
fn names_a_secret(name: &[u8]) -> bool {
    const ENDS: [&str; 13] = [
        "password",
        "passwd",
        "passphrase",
        "pass",
        "token",
        "secret",
        "apikey",
        "secretkey",
        "accesskey",
        "secretaccesskey",
        "authtoken",
        "privatekey",
        "pat",
    ];
    let plain: Vec<u8> = name
        .iter()
        .filter(|byte| !matches!(byte, b'-' | b'_' | b'.'))
        .map(u8::to_ascii_lowercase)
        .collect();
    let whole = plain == b"pass" || plain == b"pat";
    ENDS.iter().any(|end| match *end {
        "pass" | "pat" => whole,
        // A file is named by it, and no key.
        "privatekey" => false,
        end => plain.ends_with(end.as_bytes()),
    })
}

/// Whether one of these programs was named before.
fn ran(before: &[&[u8]], programs: &[&str]) -> bool {
    before.iter().any(|word| {
        let start =
            word.iter().rposition(|byte| matches!(byte, b'/' | b'(' | b'`' | b'"' | b'\'' | b'+'));
        let name = &word[start.map_or(0, |at| at + 1)..];
        programs.iter().any(|program| program.as_bytes() == name)
    })
}

/// The secrets among the arguments of the commands in a part of a text.
pub(super) fn in_text(text: &[u8], place: Range<usize>) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let from = place.start.saturating_sub(MAX_LINE_BYTES);
    let start =
        text[from..place.start].iter().rposition(|b| *b == b'\n').map_or(from, |at| from + at + 1);
    let mut line = start;
    while line < place.end {
        let end = end_of_command(text, line);
        if text[line..end].windows(2).any(|two| matches!(two, b" -" | b"t ")) {
            // A word in quotes may be a command itself: `sh -c "…"`.
            let whole: Range<usize> = line..end;
            let mut commands = vec![whole];
            while let Some(command) = commands.pop() {
                let words = words(text, command.clone());
                let bytes: Vec<&[u8]> = words.iter().map(|word| &text[word.clone()]).collect();
                found.extend(
                    find(&bytes, true).into_iter().map(|(at, range)| {
                        words[at].start + range.start..words[at].start + range.end
                    }),
                );
                commands.extend(words.into_iter().filter(|word| {
                    word.len() < command.len()
                        && text[word.clone()].iter().any(u8::is_ascii_whitespace)
                }));
            }
        }
        line = end + 1;
    }
    found
}

/// Where the line ends that begins here; lines that end with a backslash go on.
fn end_of_command(text: &[u8], start: usize) -> usize {
    let most = start.saturating_add(MAX_LINE_BYTES).min(text.len());
    let mut at = start;
    while let Some(end) = text[at..most].iter().position(|byte| *byte == b'\n') {
        let end = at + end;
        if !text[start..end].trim_ascii_end().ends_with(b"\\") {
            return end;
        }
        at = end + 1;
    }
    most
}

/// The words of a command, without the quotes around a whole word.
fn words(text: &[u8], line: Range<usize>) -> Vec<Range<usize>> {
    let mut words = Vec::new();
    let mut at = line.start;
    while at < line.end {
        let byte = text[at];
        if byte.is_ascii_whitespace() || byte == b'\\' && text.get(at + 1) == Some(&b'\n') {
            at += 1;
            continue;
        }
        let start = at;
        let mut quote = None;
        while at < line.end {
            match (quote, text[at]) {
                // Inside of a word it quotes nothing but an option's value.
                (None, b'"' | b'\'') if at == start || text[at - 1] == b'=' => {
                    quote = Some(text[at]);
                }
                (Some(open), byte) if open == byte => quote = None,
                (None, byte) if byte.is_ascii_whitespace() => break,
                (None | Some(_), _) => {}
            }
            at += 1;
        }
        // A quote that nothing closes is an apostrophe: what follows are words again.
        if quote.is_some() {
            at = start
                + text[start..line.end]
                    .iter()
                    .position(u8::is_ascii_whitespace)
                    .unwrap_or(line.end - start);
        }
        let mut word = start..at;
        // What ends a command may follow the quotes at once.
        let ends = |byte: &u8| matches!(byte, b';' | b')' | b',' | b'&' | b'|' | b'}');
        let end =
            text[word.clone()].iter().rposition(|byte| !ends(byte)).map_or(at, |e| start + e + 1);
        if let [b'"', .., b'"'] | [b'\'', .., b'\''] = &text[start..end] {
            word = start + 1..end - 1;
        }
        words.push(word);
    }
    words
}
