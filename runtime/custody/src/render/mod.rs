//! Results as people read them. Pure: values in, text out.

pub mod answer;
pub mod events;
pub mod session;
pub mod summary;
mod table;

pub use table::table;

/// Entries of a list that are shown before it is cut.
pub const SHOWN: usize = 12;

/// `text` with control and format characters made visible: what comes from a sandbox must neither steer the reader's terminal
/// nor look like another text.
pub fn tame(text: &str) -> String {
    text.chars()
        .flat_map(|c| match c.is_control() || is_format(c) {
            true => c.escape_default().collect::<Vec<_>>(),
            false => vec![c],
        })
        .collect()
}

/// Characters without a shape of their own, some of which change the order of others (Unicode Standard Annex 9).
fn is_format(c: char) -> bool {
    matches!(
        c,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}'
    )
}

/// A command as one line, with quotes where a shell would need them.
pub fn command_line(argv: &[String]) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,@%+".contains(c);
    let words: Vec<String> = argv
        .iter()
        .map(|word| {
            if !word.is_empty() && word.chars().all(plain) {
                word.clone()
            } else {
                format!("'{}'", tame(&word.replace('\'', "'\\''")))
            }
        })
        .collect();
    words.join(" ")
}

/// `text` cut to `width` characters.
pub fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(width.saturating_sub(1)).collect();
    short.push('…');
    short
}

/// A closed value as the record spells it, in words.
pub fn word(value: &impl serde::Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(text)) => text.replace('_', "-"),
        Ok(other) => other.to_string(),
        Err(error) => error.to_string(),
    }
}

/// `1 file`, `2 files`.
pub fn count(n: usize, one: &str, many: &str) -> String {
    format!("{n} {}", if n == 1 { one } else { many })
}

/// Lines for a list, cut at [`SHOWN`] with a last line that says how many more there are.
pub fn listed(lines: impl ExactSizeIterator<Item = String>) -> String {
    let total = lines.len();
    let mut text = String::new();
    for line in lines.take(SHOWN) {
        text.push_str("    ");
        text.push_str(&tame(&line));
        text.push('\n');
    }
    if total > SHOWN {
        text.push_str(&format!("    … and {} more\n", total - SHOWN));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_sandbox_says_cannot_steer_the_terminal() {
        assert_eq!(tame("a\u{1b}[2Jb\r"), "a\\u{1b}[2Jb\\r");
        assert_eq!(tame("x\u{202e}txt.exe é\u{2066}"), "x\\u{202e}txt.exe é\\u{2066}");
        assert_eq!(listed(["\u{202e}".to_owned()].into_iter()), "    \\u{202e}\n");
        assert_eq!(command_line(&["rg".into(), "a b".into(), String::new()]), "rg 'a b' ''");
    }

    #[test]
    fn long_lists_say_how_much_is_left_out() {
        let text = listed((0..SHOWN + 3).map(|n| n.to_string()));
        assert!(text.ends_with("… and 3 more\n"));
        assert_eq!(text.lines().count(), SHOWN + 1);
    }
}
