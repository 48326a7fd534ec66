//! How long the source files are: printed as a report, with one hard limit.

use crate::tree::rust_files;

/// A file with more lines than this says in its first [`HEAD`] lines why, in a sentence with [`WORDS`].
const LONG: usize = 800;
const HEAD: usize = 15;
const WORDS: &str = "over 800 lines because";

#[test]
fn files_stay_small_or_say_why() {
    let mut sizes: Vec<(usize, &str, &str)> =
        rust_files().map(|(path, text)| (text.lines().count(), path, text)).collect();
    sizes.sort_by(|a, b| b.cmp(a));
    let at = |share: usize| sizes[(sizes.len() - 1) * (100 - share) / 100].0;
    println!("{} Rust files: median {}, nine in ten below {}", sizes.len(), at(50), at(90));
    for (lines, path, _) in sizes.iter().take(12) {
        println!("{lines:>6}  {path}");
    }
    let wrong: Vec<_> = sizes
        .iter()
        .filter(|(lines, _, text)| {
            *lines > LONG && !text.lines().take(HEAD).any(|line| line.contains(WORDS))
        })
        .map(|(lines, path, _)| format!("{path}: {lines} lines"))
        .collect();
    assert!(wrong.is_empty(), "split them, or write `{WORDS} …` in their heads: {wrong:?}");
}
