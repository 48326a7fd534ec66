//! The checkout as the other modules read it: its root, the files that git knows or would add, the packages that
//! cargo knows.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use serde_json::Value;

/// Root of the checkout.
pub(crate) static ROOT: LazyLock<PathBuf> = LazyLock::new(|| {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.parent().expect("tests/ lies in the checkout").to_path_buf()
});

/// What a command prints; a failure fails the test.
pub(crate) fn output_of(command: &mut Command) -> Vec<u8> {
    let output = command.current_dir(&*ROOT).output().expect("the command starts");
    assert!(
        output.status.success(),
        "{command:?} failed: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    output.stdout
}

/// A file of the checkout.
pub(crate) struct SourceFile {
    /// Below [`ROOT`].
    pub(crate) path: String,
    /// `None` where it is not UTF-8 (fixtures of bytes).
    pub(crate) text: Option<String>,
}

/// Every file that is tracked, or that would be by `git add`.
pub(crate) static FILES: LazyLock<Vec<SourceFile>> = LazyLock::new(|| {
    let list = output_of(Command::new("git").args([
        "ls-files",
        "-z",
        "--cached",
        "--others",
        "--exclude-standard",
    ]));
    let list = String::from_utf8(list).expect("names in this repository are UTF-8");
    let files: Vec<SourceFile> = list
        .split_terminator('\0')
        // Listed and gone: removed, and not yet committed.
        .filter_map(|path| Some((path, std::fs::read(ROOT.join(path)).ok()?)))
        .map(|(path, bytes)| SourceFile { path: path.to_owned(), text: String::from_utf8(bytes).ok() })
        .collect();
    assert!(files.len() > 50, "only {} files: the list is not that of a checkout", files.len());
    files
});

/// The Rust files among [`FILES`], as (path, text).
pub(crate) fn rust_files() -> impl Iterator<Item = (&'static str, &'static str)> {
    FILES
        .iter()
        .filter(|file| file.path.ends_with(".rs"))
        .map(|file| (file.path.as_str(), file.text.as_deref().expect("Rust is UTF-8")))
}

/// What `cargo metadata` says of the workspace and everything that it is built of on Linux.
pub(crate) static METADATA: LazyLock<Value> = LazyLock::new(|| {
    let target = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let json = output_of(Command::new(env!("CARGO")).args([
        "metadata",
        "--format-version=1",
        "--locked",
        "--filter-platform",
        &target,
    ]));
    serde_json::from_slice(&json).expect("cargo prints JSON")
});

/// The packages of `METADATA`, ours (without a source) or all others.
pub(crate) fn packages(ours: bool) -> impl Iterator<Item = &'static Value> {
    METADATA["packages"]
        .as_array()
        .expect("a list")
        .iter()
        .filter(move |package| package["source"].is_null() == ours)
}
